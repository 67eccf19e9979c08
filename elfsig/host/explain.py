"""explain on a machine: a module by name, the kernel that runs there, and the safe next step."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from elfsig.errors import ElfsigError
from elfsig.host import strictness
from elfsig.host.machine import Machine
from elfsig.host.next_step import Situation, Step, next_step
from elfsig.host.own_keys import checked, own_keys
from elfsig.host.package import Source, source_of
from elfsig.kernels import config as configs
from elfsig.kernels.boot_line import NOTHING
from elfsig.kernels.keys import KernelKeys
from elfsig.kernels.mode import Mode, merged
from elfsig.kernels.names import module_name
from elfsig.kernels.profile import Prediction, Profile
from elfsig.kernels.select import Chosen, for_release
from elfsig.model import Key, KeyId, Signature, Verdict
from elfsig.opened.evidence import MODULE_SUFFIXES
from elfsig.opened.module import Module, open_module
from elfsig.registry import Registry
from elfsig.trust.entries import Material
from elfsig.trust.ring import Ring
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
    profile = chosen.profile
    given_line = said.passed != NOTHING
    passed = said.passed if given_line else machine.passed
    built = configs.apply(profile, options or {}, passed)
    asked = merged([said.mode, built.mode]) if given_line else said.mode
    found = machine.known(built)
    held = machine.rings(built.profile, given)
    modes = strictness.only(asked, found)
    if not modes and not said.every:
        modes = strictness.possible(built.profile, found, owners=held.ring != held.booted)
        machine.remarks.extend(_unknown(machine, found))
    return replace(
        said, chosen=chosen, ring=_filled(held.ring), options=options, mode=merged([found.on, asked]),
        modes=modes, booted=_filled(held.booted), passed=passed,
    )  # fmt: skip


def _filled(ring: Ring) -> Ring | None:
    return ring if ring.keys or ring.revoked_hashes else None


def _unknown(machine: Machine, found: strictness.Known) -> Iterator[str]:
    """What is not known of the kernel's mode, in words."""
    if found.unknown:
        text = " or ".join(found.unknown)
        yield f"it is not known whether this kernel {text}: each possible mode is answered, or give its mode"
    if machine.reported.fips is None and machine.reported.line is None and found.fips is False:
        yield "it is not known whether this kernel is in FIPS mode: that it is not was assumed"


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
    module = _opened(machine, path, registry)
    asked = ask(module, asking)
    signatures = _signatures(module)
    ids = frozenset(each for signature in signatures for each in signature.key_ids)
    booted = asking.mode.secure_boot or machine.firmware.secure_boot is not False
    ring = asking.booted if booted else asking.ring
    keys = KernelKeys(ring, asked.profile, fips=asking.mode.fips)
    facts = _facts(machine, keys, path, signatures, asking.mode, asking.built(module))
    decides = next((each for each in asked.predictions if not each.accepted), asked.predictions[0])
    pairs = own_keys(machine, asked.profile, keys, fips=asking.mode.fips)
    verified = checked(machine, module, ring, pairs)
    revoking = (source for key in keys.known if key.ids & ids and (source := keys.revokes_key(key)))
    revoked_by = next(revoking, None) if verified.verdict is Verdict.UNTRUSTED else None
    case = Situation(
        machine, asked.profile, decides, path, facts.source, ids, verified,
        next((each for each in pairs if each.state != "unusable"), None),
        untrusted_mok=_is_untrusted_mok(machine, keys, decides, asked.profile, ids),
        judged=bool(keys.judged(ids)), named=machine.loads_by_name(path),
        revoked_by="" if revoked_by is None else _list_words(revoked_by),
        unread=_unread_lists(machine),
    )  # fmt: skip
    step = _find_out(case, asked) or next_step(case)
    return OnMachine(module, asked, facts, tuple(dict.fromkeys(_remarks(machine, path, ids))), step)


def _opened(machine: Machine, path: Path, registry: Registry | None) -> Module:
    """The module, under its own name where that is a link; a link below a root does not lead out of it."""
    real = machine.files.required(path)
    module = open_module(str(real), registry)
    return module if real == path else module.renamed(str(path))


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
    remarks = [_module_words(machine, path), f"kernel {machine.release}", *machine.remarks]
    remarks.append(machine.initramfs(module_name(str(path))))
    remarks += [machine.loaded(key.hex()) for kind, key in sorted(ids) if kind == "skid"]
    if machine.pending(ids):
        remarks.append("the key's enrolment is pending: reboot, and confirm it in the MokManager screen")
    return remarks


def _module_words(machine: Machine, path: Path) -> str:
    name, folder = path.name, machine.files.real(path.parent)
    real = machine.files.real(path)
    is_link = real is not None and folder is not None and real != folder / name
    return f"module {path}, a link to {real}" if is_link else f"module {path}"


# --------------------------------------------------------------------------- facts


_ENFORCING: Mapping[bool | None, str] = {
    True: "on: only modules with a valid signature load",
    False: "off",
}


def _facts(
    machine: Machine,
    keys: KernelKeys,
    path: Path,
    signatures: Sequence[Signature],
    mode: Mode,
    built: configs.Built,
) -> Facts:
    said, found = machine.reported, machine.known(built)
    ids = frozenset(each for signature in signatures for each in signature.key_ids)
    locked = strictness.words(found.lockdown, mode.lockdown and not found.lockdown)
    enforced = strictness.words(found.enforcing, mode.enforcing and not found.enforcing)
    return Facts(
        secure_boot=machine.firmware.boot.words,
        lockdown=said.lockdown or locked,
        enforcing=_ENFORCING.get(said.enforcing, enforced),
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
    if held and machine.firmware.secure_boot is None and all(map(_is_owners, held)):
        where = _list_words(held[0].source)
        return f"{held[0].label} is in {where}; the kernel loads it only if Secure Boot is on: not known"
    held = [key for key in held if machine.firmware.secure_boot or not _is_owners(key)] or held
    if held:
        doubt = ", ".join(_unread_lists(machine))
        doubt = doubt and f"; whether it is revoked is not known: {doubt} could not be read"
        return f"enrolled: {held[0].label} is in {_where(keys, held[0])}{doubt}"
    if machine.owned(ids):
        return "a machine owner key (MokListRT), which this kernel does not load"
    if machine.pending(ids):
        return "not enrolled yet: it must be confirmed in MokManager"
    if machine.denied:
        return "not known: only root can read some lists of keys"
    if machine.gaps:
        gaps = ", ".join(dict.fromkeys(map(_list_words, machine.gaps)))
        return f"not known: no list that was read has it, but this was not read completely: {gaps}"
    return "not enrolled: neither the kernel, UEFI nor the machine owner's list has it"


def _is_owners(key: Key) -> bool:
    """Whether a key was found on the machine owner's list."""
    return Path(key.source).name.startswith("MokListRT")


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


def _unread_lists(machine: Machine) -> tuple[str, ...]:
    """The lists of revocations that could not be read, each once."""
    return tuple(dict.fromkeys(map(_list_words, machine.unread_revocations)))


def _is_untrusted_mok(
    machine: Machine, keys: KernelKeys, decides: Prediction, profile: Profile, ids: frozenset[KeyId]
) -> bool:
    """Whether it is a machine owner key that is not trusted only because of the machine keyring's rule."""
    if decides.fault != "unknown-key" or not machine.owned(ids):
        return False
    rings = frozenset().union(*profile.trust.rings)
    return "machine" in rings and any(key.ids & ids for key in keys.known)


def _find_out(case: Situation, asked: KernelAnswer) -> Step | None:
    """The step where a machine owner key is enrolled, and only Secure Boot decides whether it is loaded."""
    if case.machine.firmware.secure_boot is not None or case.machine.denied:
        return None
    faults = {each.mode.secure_boot: each.fault for each in asked.predictions}
    if faults.get(False) != "unknown-key" or faults.get(True) != "ok":
        return None
    return Step("find out whether Secure Boot is on: its key counts only then")
