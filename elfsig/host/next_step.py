"""The safe next step for a module on a system.

Two rules come first: a module that a vendor signed and that was changed must not be signed again before the
reason is known, and below another root (a mounted system, evidence) nothing is ever written.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from elfsig.host.machine import NEW_KEY, Machine
from elfsig.host.package import Source
from elfsig.kernels.names import module_name
from elfsig.kernels.profile import Prediction, Profile
from elfsig.model import KeyId

CHANGED = "do not sign it before you know why it changed"
FORMS = frozenset({
    "signed-attributes", "id-type", "unsupported-hash", "unsupported-algorithm", "unsupported-pair",
    "signature-form", "embedded-content", "signed-after-compression", "compressed-unreadable", "no-packet",
})  # fmt: skip
"""Faults of the signature's form, which do not mean that the module was changed."""
NEW_KEYS = "this kernel can never use its key: make another one"


class Step(NamedTuple):
    """``text`` says what to do; ``command`` is one line that can be copied, None where none is safe."""

    text: str
    command: str | None = None


@dataclass(frozen=True)
class Situation:
    """All that the next step depends on.

    ``ids`` are the ids by which the signature names its key, ``own`` is the key pair that this machine
    signs with. ``untrusted_mok``: the key is a machine owner key that only a rule keeps from being trusted;
    ``judged``: this kernel does not load the key, or cannot use it.
    """

    machine: Machine
    profile: Profile
    prediction: Prediction
    path: Path
    source: Source
    ids: frozenset[KeyId]
    own: tuple[Path, Path] | None = None
    untrusted_mok: bool = False
    judged: bool = False

    @property
    def name(self) -> str:
        return module_name(str(self.path))


def next_step(case: Situation) -> Step:
    """What to do next. Below another root it has no command that writes."""
    step = _step(case)
    if not case.machine.live and case.prediction.fault == "ok":
        return Step("nothing needs to be done")
    if case.machine.live or step.command is None or step.command.startswith("sudo elfsig explain"):
        return step
    text = f"{step.text}; do not write below {case.machine.root}: this step is for the system itself"
    return Step(text)


def _step(case: Situation) -> Step:
    fault = case.prediction.fault
    if fault == "ok":
        return Step("nothing needs to be done: load it", f"sudo modprobe {case.name}")
    if case.prediction.accepted and case.source.kind != "package":
        text = "this kernel loads it as it is; a kernel that demands signatures would not"
        return Step(text, f"sudo modprobe {case.name}")
    if fault == "unsigned" and case.source.kind == "dkms":
        return _resign(case, "DKMS can sign it")
    if fault == "unsigned" and case.source.kind == "none":
        return _own(case)
    if fault == "unsigned":
        return _again(case, "if it is still unsigned then, the package ships it unsigned")
    if case.machine.denied:
        return _as_root(case)
    if fault in ("unknown-key", "key-unusable"):
        return _key(case)
    if fault == "revoked":
        return Step("get a newer module: its key or this file itself is revoked")
    return _other_form(case) if fault in FORMS else _again(case, CHANGED)


def _other_form(case: Situation) -> Step:
    """The signature is in a form that this kernel does not read; the module's builder can make another."""
    if case.source.kind == "dkms":
        return _resign(case, "DKMS can sign it in a form that this kernel reads")
    if case.source.kind == "package":
        return _again(case, "its signature is not in a form that this kernel reads")
    return Step(
        "if you built this module, sign it in a form that this kernel reads"
        f" ({case.profile.look.format}); if not, ask whoever built it"
    )


def _as_root(case: Situation) -> Step:
    root = case.machine.root
    where = ["--this-machine"] if root == Path("/") else ["--root", str(root)]
    command = shlex.join(["sudo", "elfsig", "explain", *where, case.name])
    return Step("run this again as root: only root can read some of what decides", command)


def _again(case: Situation, why: str) -> Step:
    """Get the file again from where it came from; never sign it."""
    if case.source.kind == "dkms":
        module = case.source.name
        command = f"sudo dkms install --force {shlex.quote(module)} -k {shlex.quote(case.machine.release)}"
        return Step(f"build it again with DKMS; {why}", command)
    if (again := case.source.reinstall) is not None:
        return Step(f"reinstall its package, {case.source.name}; {why}", again)
    return Step(f"get the module again from where it came from; {why}")


# --------------------------------------------------------------------------- keys


def _key(case: Situation) -> Step:
    machine = case.machine
    own = case.own
    mine = own is not None and machine.holds(own[1], case.ids)
    if case.judged:
        return _new_key(case) if mine or case.source.kind != "package" else _again(case, NEW_KEYS)
    if machine.pending(case.ids):
        return Step("reboot, and confirm the key in the blue MokManager screen", "sudo systemctl reboot")
    if case.untrusted_mok:
        return _trust_mok(case)
    if own is not None and mine:
        return _enrol(case, own[1])
    if case.source.kind == "package":
        return Step(
            f"nothing can be done here without its key: enrol the vendor's certificate if you trust it, or"
            f" boot the kernel that the package {case.source.name} is for"
        )
    if case.source.kind == "dkms":
        return _resign(case, "DKMS can sign it with a key that this machine trusts")
    return Step("enrol the certificate of the key that signed it, if you trust that signer")


def _enrol(case: Situation, certificate: Path) -> Step:
    command = f"sudo mokutil --import {shlex.quote(str(certificate))}"
    return Step("enrol the key that signed it, then reboot and confirm it in MokManager", command)


def _trust_mok(case: Situation) -> Step:
    """The key is enrolled, but this kernel's rule excludes it for modules."""
    if case.profile.trust.ca != "none":
        text = "for modules, this kernel accepts only CA keys from the machine owner's list"
        return Step(f"its key is enrolled, but {text}: enrol a CA key, and sign with a key that it issued")
    text = "its key is enrolled, but the kernel is not set to trust machine owner keys for modules"
    return Step(f"{text}: allow it, then reboot", "sudo mokutil --trust-mok")


def _new_key(case: Situation) -> Step:
    command = shlex.join(["sudo", "elfsig", "keys", "generate", "--codesigning", "-o", _new_name(case)])
    return Step("make a signing key that this kernel can use", command)


def _new_name(case: Situation) -> str:
    return str(case.machine.root / NEW_KEY)


def _resign(case: Situation, text: str) -> Step:
    if case.own is None and _enrolls(case.profile):
        return _new_key(case)
    module = case.source.name.partition("/")[0]
    return Step(text, f"sudo elfsig dkms resign {shlex.quote(module)}")


def _enrolls(profile: Profile) -> bool:
    return bool({"machine", "platform"} & frozenset().union(*profile.trust.rings))


def _own(case: Situation) -> Step:
    """A module without an owner: it may be signed with a key of this machine."""
    own = case.own
    if own is None and case.machine.denied:
        return _as_root(case)
    if own is None and _enrolls(case.profile):
        return _new_key(case)
    key, certificate = own or (Path("signing_key.pem"), Path("signing_key.x509"))
    words = ["sudo", "elfsig", "sign", "--format", case.profile.look.format, "--replace"]
    words += ["--key", str(key), "--cert", str(certificate), "--in-place", str(case.path)]
    return Step("sign it with a key that this kernel trusts", shlex.join(words))
