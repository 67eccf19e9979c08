"""The safe next step for a module on a system.

Three rules come first: what was changed after it was signed, and what may stand in the place of a vendor's
module, must not be signed before the reason is known; a command names only files that are there; and below
another root (a mounted system, evidence) nothing is ever written.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from elfsig.host.commands import UNPRINTABLE, argument, enrolling, to_paste
from elfsig.host.machine import Machine
from elfsig.host.own_keys import Checked, Own, new_pair
from elfsig.host.package import Source
from elfsig.kernels.names import module_name
from elfsig.kernels.profile import Prediction, Profile
from elfsig.model import KeyId, Verdict

CHANGED = "do not sign it before you know why it changed"
DIFFERS = "do not sign it before you know why it differs"
FORMS = frozenset({
    "signed-attributes", "id-type", "unsupported-hash", "unsupported-algorithm", "unsupported-pair",
    "signature-form", "embedded-content", "signed-after-compression", "compressed-unreadable", "no-packet",
    "attributes-digest",
})  # fmt: skip
"""Faults of the signature's form, which do not mean that the module was changed."""
UNCHANGED = FORMS | {"ok", "unsigned", "unknown-key", "key-unusable", "revoked"}
NEW_KEYS = "this kernel can never use its key: make another one"
SECURE = "the kernel takes machine owner keys only with Secure Boot on, and it is not known to be on"
UNCHECKED = (
    "this kernel does not check signatures, and loads it as it is: only the package manager can tell"
    " whether it is what its package has"
)
YOURS = "if you built it yourself"


class Step(NamedTuple):
    """``text`` says what to do; ``command`` is one line that can be copied, None where none is safe."""

    text: str
    command: str | None = None


@dataclass(frozen=True)
class Situation:
    """All that the next step depends on.

    ``ids`` are the ids by which the signature names its key, ``own`` is the best key pair that this machine
    could sign with, ``checked`` what the keys on the machine say about the signature. ``untrusted_mok``: the
    key is a machine owner key that only a rule keeps from being trusted; ``judged``: this kernel does not
    load the key, or cannot use it. ``named``: ``path`` is what modprobe loads by the module's name.
    ``revoked_by`` names the list that revokes the signer's key, whatever this kernel makes of that;
    ``unread`` are the lists of revocations that could not be read.
    """

    machine: Machine
    profile: Profile
    prediction: Prediction
    path: Path
    source: Source
    ids: frozenset[KeyId]
    checked: Checked
    own: Own | None = None
    untrusted_mok: bool = False
    judged: bool = False
    named: bool = True
    revoked_by: str = ""
    unread: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return module_name(str(self.path))

    @property
    def changed(self) -> bool:
        """Whether the module or its signature was changed after signing, whatever this kernel makes of it."""
        fault, verdict = self.prediction.fault, self.checked.verdict
        return (
            fault not in UNCHANGED
            or verdict is Verdict.INVALID
            or (verdict is Verdict.MALFORMED and fault not in FORMS)
        )

    @property
    def verified(self) -> bool:
        """Whether this kernel looked at a signature, and trusts it: one built without that loads anything."""
        return self.prediction.fault == "ok" and self.prediction.place is not None


def next_step(case: Situation) -> Step:
    """What to do next. Below another root it has no command that writes."""
    step = _step(case)
    if not case.machine.live and case.verified and not (case.changed or case.revoked_by or case.unread):
        return Step("nothing needs to be done")
    if case.machine.live or step.command is None or step.command.startswith("sudo elfsig explain"):
        return step
    text = f"{step.text}; do not write below {case.machine.root}: this step is for the system itself"
    return Step(text)


def _with(text: str, *commands: list[str]) -> Step:
    line = to_paste(*commands)
    return Step(f"{text} ({UNPRINTABLE})") if line is None else Step(text, line)


def _step(case: Situation) -> Step:
    fault, source = case.prediction.fault, case.source
    if fault == "revoked":
        return Step("get a newer module: its key or this file itself is revoked")
    if case.changed:
        return _again(case, CHANGED)
    if case.verified and case.revoked_by:
        return Step(f"get a newer module: this kernel loads it, but {case.revoked_by} revokes its key")
    if case.verified and case.unread and case.machine.denied:
        return _as_root(case)
    if case.verified and case.unread:
        lists = ", ".join(case.unread)
        return Step(f"read {lists} by other means: this kernel loads it, but what is revoked is not known")
    if case.verified:
        return _load(case, "nothing needs to be done: load it")
    if source.kind in ("none", "unknown") and source.vendor:
        return _doubtful(case)
    if source.kind == "differs":
        return _again(case, DIFFERS)
    if case.prediction.accepted and source.kind != "package":
        return _load(case, "this kernel loads it as it is; a kernel that demands signatures would not")
    if fault == "ok":
        return Step(UNCHECKED)
    if fault == "unsigned":
        return _unsigned(case)
    if case.machine.denied:
        return _as_root(case)
    return _other_form(case) if fault in FORMS else _key(case)


def _load(case: Situation, text: str) -> Step:
    if case.named:
        return _with(text, ["sudo", "modprobe", case.name])
    return _with(text, ["sudo", "insmod", argument(case.path)])


def _unsigned(case: Situation) -> Step:
    if case.source.kind == "package":
        return _again(case, "if it is still unsigned then, the package ships it unsigned")
    if case.source.kind == "dkms":
        return _resign(case, "DKMS built it")
    return _own(case)


def _other_form(case: Situation) -> Step:
    """The signature is in a form that this kernel does not read; the module's builder can make another."""
    if case.source.kind == "dkms":
        return _resign(case, "DKMS built it, and its signature is not in a form that this kernel reads")
    if case.source.kind == "package":
        return _again(case, "its signature is not in a form that this kernel reads")
    return Step(
        "if you built this module, sign it in a form that this kernel reads"
        f" ({case.profile.look.format}); if not, ask whoever built it"
    )


def _as_root(case: Situation, text: str = "") -> Step:
    root = case.machine.root
    where = ["--this-machine"] if root == Path("/") else ["--root", str(root)]
    name = case.name if case.named else argument(case.path)
    text = text or "run this again as root: only root can read some of what decides"
    return _with(text, ["sudo", "elfsig", "explain", *where, name])


# --------------------------------------------------------------------------- not to be signed


def _again(case: Situation, why: str) -> Step:
    """Get the file again from where it came from; never sign it."""
    source = case.source
    if source.kind in ("dkms", "differs") and not source.name.startswith("-"):
        which = [source.name, "-k", case.machine.release]
        again = (["sudo", "dkms", "remove", *which], ["sudo", "dkms", "install", "--force", *which])
        return _with(f"build it again with DKMS; {why}", *again)
    if source.kind == "package":
        return Step(f"reinstall its package, {source.name}; {why}", source.reinstall)
    if source.denied:
        return _as_root(case, f"{why}; as root you are told where it comes from")
    return Step(f"get the module again from where it came from; {why}")


def _doubtful(case: Situation) -> Step:
    """It may be a vendor's module that was stripped or replaced, or stand before one."""
    source = case.source
    if source.denied:
        return _as_root(case, f"{DIFFERS}; as root you are told where it comes from")
    known = "no package lists this file" if source.kind == "none" else "where it comes from is not known"
    return Step(
        f"{known}, and {source.vendor}: reinstall the vendor's package, or find out why this file is there;"
        f" {DIFFERS} from the vendor's"
    )


# --------------------------------------------------------------------------- keys


def _key(case: Situation) -> Step:
    by, package = case.checked.by, case.source.kind == "package"
    if case.judged or (by is not None and by.state == "unusable"):
        return _again(case, NEW_KEYS) if package else _anew(case)
    if case.machine.pending(case.ids):
        return _reboot()
    if case.untrusted_mok:
        return _trust_mok(case)
    if by is not None and by.state in ("absent", "enrolled"):
        return _admit(case, by, "enrol the key that signed it")
    if package:
        return Step(
            f"nothing can be done here without its key: enrol the vendor's certificate if you trust it, or"
            f" boot the kernel that the package {case.source.name} is for"
        )
    if case.source.kind == "dkms":
        return _resign(case, "DKMS built it, and this kernel does not trust the key that signed it")
    return Step("enrol the certificate of the key that signed it, if you trust that signer")


def _anew(case: Situation) -> Step:
    """This kernel can never use the key that signed it."""
    if case.source.kind == "dkms":
        return _resign(case, "DKMS built it, and this kernel can never use the key that signed it")
    return _own(case)


def _reboot() -> Step:
    return _with("reboot, and confirm the key in the blue MokManager screen", ["sudo", "systemctl", "reboot"])


def _admit(case: Situation, own: Own, text: str) -> Step:
    """Have the kernel trust a key of this machine."""
    secure = case.machine.firmware.secure_boot
    if own.state == "pending":
        return _reboot()
    if not _enrolls(case.profile):
        return Step(f"this kernel does not trust the key of {own.certificate}, and takes no other keys")
    if own.state == "enrolled":
        return _trust_mok(case) if secure else Step(f"the key of {own.certificate} is enrolled, but {SECURE}")
    text = f"{text} ({own.certificate}), then reboot and confirm it in MokManager"
    return _with(text if secure else f"{text}; but {SECURE}", *enrolling(str(own.certificate)))


def _trust_mok(case: Situation) -> Step:
    """The key is enrolled, but this kernel's rule excludes it for modules."""
    if case.profile.trust.ca != "none":
        text = "for modules, this kernel accepts only CA keys from the machine owner's list"
        return Step(f"its key is enrolled, but {text}: enrol a CA key, and sign with a key that it issued")
    text = "its key is enrolled, but the kernel is not set to trust machine owner keys for modules"
    return _with(f"{text}: allow it, then reboot", ["sudo", "mokutil", "--trust-mok"])


def _enrolls(profile: Profile) -> bool:
    boot = profile.secure_boot
    never = boot is not None and boot.moks == "never"
    return not never and bool({"machine", "platform"} & frozenset().union(*profile.trust.rings))


# --------------------------------------------------------------------------- signing


def _resign(case: Situation, text: str) -> Step:
    """What DKMS built is signed again, with the best key of this machine."""
    module = case.source.name.partition("/")[0]
    words = ["sudo", "elfsig", "dkms", "resign"]
    if case.own is not None and not case.own.default:
        words += ["--key", case.own.key, "--cert", str(case.own.certificate)]
    return _signing(case, text, [*words, *(["--"] if module.startswith("-") else []), module])


def _own(case: Situation) -> Step:
    """A module without an owner: its builder may sign it with a key of this machine."""
    if case.source.denied:
        return _as_root(case)
    own = case.own
    words = ["sudo", "elfsig", "sign", "--format", case.profile.look.format, "--replace"]
    if own is not None:
        words += ["--key", own.key, "--cert", str(own.certificate)]
    return _signing(case, YOURS, [*words, "--in-place", argument(case.path)])


def _signing(case: Situation, text: str, words: list[str]) -> Step:
    """Sign with a key that the kernel trusts; where there is none, what makes it so comes first."""
    own, machine = case.own, case.machine
    if own is not None and own.state == "trusted":
        return _with(f"{text}: sign it with the key of {own.certificate}, which this kernel trusts", words)
    if machine.denied:
        return _as_root(case)
    if own is not None:
        return _admit(case, own, f"{text}: before it is signed, enrol the key to sign it with")
    if _enrolls(case.profile):
        new = ["sudo", "elfsig", "keys", "generate", "--codesigning", "-o", argument(new_pair(machine))]
        return _with(f"{text}: make a signing key that this kernel can use, and ask again", new)
    return Step(f"{text}: sign it with a key that this kernel was built with, which is not on this machine")
