"""explain on a machine: a module by name, the kernel that runs there, and the safe next step."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from elfsig.errors import ElfsigError
from elfsig.host.firmware import WORDS
from elfsig.host.machine import Machine
from elfsig.host.next_step import Situation, Step, next_step
from elfsig.host.package import Source, source_of
from elfsig.kernels import config as configs
from elfsig.kernels.keys import KernelKeys
from elfsig.kernels.mode import Mode, merged
from elfsig.kernels.names import module_name
from elfsig.kernels.select import Chosen, for_release
from elfsig.model import Key, KeyId, Signature
from elfsig.opened.evidence import MODULE_SUFFIXES
from elfsig.opened.module import Module, open_module
from elfsig.registry import Registry
from elfsig.trust.entries import Material
from elfsig.verbs.verify.kernel import KernelAnswer, KernelQuestion, ask


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts that are always shown: the state of the machine, who signed the module, and where it comes
    from.

    ``secure_boot``, ``lockdown``, ``enforcing``, ``signer`` and ``key`` (whether it is enrolled) are in
    words.
    """

    secure_boot: str
    lockdown: str
    enforcing: str
    signer: str
    key: str
    source: Source


@dataclass(frozen=True, slots=True)
class OnMachine:
    """The answer for one module there, the facts about machine and module, and the next step."""

    module: Module
    asked: KernelAnswer
    facts: Facts
    remarks: tuple[str, ...]
    step: Step

    @property
    def command(self) -> str | None:
        """One line that can be copied, None where no command is safe."""
        return self.step.command


def question(machine: Machine, said: KernelQuestion, given: Sequence[Material] = ()) -> KernelQuestion:
    """The question for the kernel of ``machine``: what the user ``said`` first, the rest from the machine.

    ``given`` are keys in addition to those that the machine has. Raises UsageError.
    """
    chosen = said.chosen if said.chosen.profile else Chosen(for_release(machine.release))
    assert chosen.profile is not None
    options = machine.options() if said.options is None else said.options
    profile = chosen.profile if options is None else configs.apply(chosen.profile, options).profile
    mode = merged([machine.mode(profile), said.mode_of(profile)])
    held = machine.ring(profile, given)
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
    """One module on ``machine``. Raises ElfsigError for a module that does not exist or cannot be read."""
    path = locate(machine, name)
    module = open_module(str(path), registry)
    asked = ask(module, asking)
    signatures = _signatures(module)
    ids = frozenset(each for signature in signatures for each in signature.key_ids)
    keys = KernelKeys(asking.ring, asked.profile, fips=asking.mode.fips)
    facts = _facts(machine, keys, path, signatures, asking.mode)
    case = Situation(
        machine, asked.profile, asked.predictions[0], path, facts.source, ids, machine.own(ids),
        untrusted_mok=_is_untrusted_mok(machine, keys, asked, ids), judged=bool(keys.judged(ids)),
    )  # fmt: skip
    step = next_step(case)
    return OnMachine(module, asked, facts, tuple(dict.fromkeys(_remarks(machine, path, ids))), step)


def _signatures(module: Module) -> Sequence[Signature]:
    """The outermost signature: more than one where it has several signers."""
    for found in module.places:
        for format_ in found.claimants:
            try:
                return format_.pairs[0].envelope.parse(found.place.blob, found.place.params)
            except ElfsigError:
                continue
    return ()


def _remarks(machine: Machine, path: Path, ids: frozenset[KeyId]) -> list[str]:
    remarks = [f"module {path}", f"kernel {machine.release}", *machine.remarks]
    remarks.append(machine.initramfs(module_name(str(path))))
    remarks += [machine.loaded(key.hex()) for kind, key in sorted(ids) if kind == "skid"]
    if machine.pending(ids):
        remarks.append("the key's enrolment is pending: reboot, and confirm it in the MokManager screen")
    return remarks


# --------------------------------------------------------------------------- facts


def _facts(
    machine: Machine, keys: KernelKeys, path: Path, signatures: Sequence[Signature], mode: Mode
) -> Facts:
    said = machine.strictness
    ids = frozenset(each for signature in signatures for each in signature.key_ids)
    unknown = machine.firmware.state == "unknown" and said == (None, None)
    return Facts(
        secure_boot=WORDS[machine.firmware.state],
        lockdown="not known" if unknown else said.lockdown_words(mode),
        enforcing="not known" if unknown else said.enforcing_words(mode),
        signer=" and ".join(map(_signer, signatures)) or "nobody: it has no readable signature",
        key=_key_words(machine, keys, ids) if ids else "none",
        source=source_of(machine.root, path),
    )


def _signer(signature: Signature) -> str:
    serial = f" (serial {signature.serial.hex()})" if signature.serial else ""
    if signature.signer:
        return f'"{signature.signer}"{serial}'
    return f"the key {signature.key_id.hex()}" if signature.key_id else "an unnamed key"


def _key_words(machine: Machine, keys: KernelKeys, ids: frozenset[KeyId]) -> str:
    """Whether the key that signed is enrolled, and where."""
    held = [key for key in keys.known if key.ids & ids]
    for key in held:
        if (source := keys.revokes_key(key)) is not None:
            return f"{key.label}: revoked by {_list_words(source)}"
    judged = keys.judged(ids)
    if judged:
        key, why = next(iter(judged.items()))
        if why.loaded:
            return f"{key.label} is in {_where(keys, key)}, but this kernel cannot use it: {why.text}"
        return f"{key.label} is in {_list_words(key.source)}, but this kernel does not load it: {why.text}"
    if held:
        return f"enrolled: {held[0].label} is in {_where(keys, held[0])}"
    if machine.owned(ids):
        return "a machine owner key (MokListRT), which this kernel does not load"
    if machine.pending(ids):
        return "not enrolled yet: it must be confirmed in MokManager"
    if machine.denied:
        return "not known: only root can read some lists of keys"
    return "not enrolled: neither the kernel, UEFI nor the machine owner's list has it"


def _where(keys: KernelKeys, key: Key) -> str:
    """The list that a key is in, and the keyring that the kernel puts it into."""
    return f"{_list_words(key.source)} (keyring {keys.ring_of(key)})"


_LISTS = {
    "db": "the firmware's list of keys (UEFI db)",
    "dbx": "the firmware's list of revoked keys (UEFI dbx)",
    "MokListRT": "the machine owner's list of keys (MokListRT)",
    "MokListXRT": "the machine owner's list of revoked keys (MokListXRT)",
}


def _list_words(source: str) -> str:
    """The familiar name of a list of keys, else its path."""
    return _LISTS.get(Path(source).name.partition("-")[0], source)


def _is_untrusted_mok(machine: Machine, keys: KernelKeys, asked: KernelAnswer, ids: frozenset[KeyId]) -> bool:
    """Whether it is a machine owner key that is not trusted only because of the machine keyring's rule."""
    if asked.predictions[0].fault != "unknown-key" or not machine.owned(ids):
        return False
    rings = frozenset().union(*asked.profile.trust.rings)
    return "machine" in rings and any(key.ids & ids for key in keys.known)
