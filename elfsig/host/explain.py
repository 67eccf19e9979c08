"""explain on a machine: a module by name, the kernel that runs there, and the one command to type next."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from elfsig.errors import ElfsigError
from elfsig.host.machine import NEW_KEY, Machine
from elfsig.kernels import config as configs
from elfsig.kernels.names import module_name
from elfsig.kernels.select import Chosen, for_release
from elfsig.model import KeyId
from elfsig.opened.evidence import MODULE_SUFFIXES
from elfsig.opened.module import Module, open_module
from elfsig.registry import Registry
from elfsig.trust.entries import Material
from elfsig.verbs.verify.kernel import Asked, KernelQuestion, ask


@dataclass(frozen=True, slots=True)
class OnMachine:
    """The answer for one module there, what else was noticed, and the next command."""

    module: Module
    asked: Asked
    remarks: tuple[str, ...]
    command: str


def question(machine: Machine, said: KernelQuestion, given: Sequence[Material] = ()) -> KernelQuestion:
    """What to ask of the kernel of ``machine``: what the user ``said`` first, the rest from the machine.

    ``given`` are keys beside those that the machine has. Raises UsageError.
    """
    chosen = said.chosen if said.chosen.profile else Chosen(for_release(machine.release))
    options = machine.options() if said.options is None else said.options
    mode = configs.merged([machine.mode(), said.mode])
    held = machine.ring(given)
    ring = held if held.keys or held.revoked_hashes else None
    return replace(said, chosen=chosen, ring=ring, options=options, mode=mode)


def locate(machine: Machine, name: str) -> Path:
    """The file that ``name`` means: a path where it is one, else a module's name. Raises UsageError."""
    if os.sep in name or name.endswith(MODULE_SUFFIXES):
        return Path(name)
    return machine.find(name)


def explain(
    machine: Machine, asking: KernelQuestion, name: str, registry: Registry | None = None
) -> OnMachine:
    """One module on ``machine``. Raises ElfsigError for a module that is not there or cannot be read."""
    path = locate(machine, name)
    module = open_module(str(path), registry)
    asked = ask(module, asking)
    ids = _ids(module)
    command = next_command(machine, asked, path, ids)
    remarks = [f"module {path}", f"kernel {machine.release}"]
    remarks.append(machine.initramfs(module_name(str(path))))
    remarks += [machine.loaded(key.hex()) for kind, key in sorted(ids) if kind == "skid"]
    if machine.pending(ids):
        remarks.append(
            "the key waits for its enrolment: reboot, and confirm it in the blue MokManager screen"
        )
    remarks[2:2] = machine.remarks
    return OnMachine(module, asked, tuple(dict.fromkeys(remarks)), command)


def _ids(module: Module) -> set[KeyId]:
    """The names by which the outermost signature calls its key."""
    for found in module.places:
        for format_ in found.claimants:
            try:
                signatures = format_.pairs[0].envelope.parse(found.place.blob, found.place.params)
            except ElfsigError:
                continue
            return {each for signature in signatures for each in signature.key_ids}
    return set()


def next_command(machine: Machine, asked: Asked, path: Path, ids: set[KeyId]) -> str:
    """What to type next: one line that can be copied."""
    prediction = asked.predictions[0]
    if prediction.fault == "ok":
        return f"sudo modprobe {module_name(str(path))}"
    own = machine.own(ids)
    if machine.denied:
        where = ["--this-machine"] if machine.root == Path("/") else ["--root", str(machine.root)]
        return shlex.join(["sudo", "elfsig", "explain", *where, module_name(str(path))])
    if prediction.fault == "unknown-key":
        if machine.pending(ids):
            return "sudo systemctl reboot"
        if own is not None and machine.holds(own[1], ids):
            return f"sudo mokutil --import {shlex.quote(str(own[1]))}"
    if own is None and {"machine", "platform"} & frozenset().union(*asked.profile.trust.rings):
        name = str(machine.root / NEW_KEY)
        return shlex.join(["sudo", "elfsig", "keys", "generate", "--codesigning", "-o", name])
    key, certificate = own or (Path("signing_key.pem"), Path("signing_key.x509"))
    words = ["sudo", "elfsig", "sign", "--format", asked.profile.look.format, "--replace"]
    words += ["--key", str(key), "--cert", str(certificate), "--in-place", str(path)]
    return shlex.join(words)
