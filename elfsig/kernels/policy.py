"""From a module, keys and a profile to the response of that kernel: its steps first, then the reply.

The steps are in the kernel's own order, so a module with two faults gets the error that is reached first.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from elfsig.kernels import walk_cms, walk_x509
from elfsig.kernels.advice import advise
from elfsig.kernels.errnos import insmod_line, number
from elfsig.kernels.keys import kernel_keys
from elfsig.kernels.names import module_name
from elfsig.kernels.profile import PERMISSIVE, UNSIGNED, Mode, Prediction, Profile, Reply, Walked
from elfsig.kernels.section_era import walk_2012, walk_ksign, walk_sections
from elfsig.kernels.section_era.module_header import registers_crypto
from elfsig.kernels.walk import Accept, Case, Crash, Step, Stop, Went
from elfsig.lazy_dataclass import dataclass
from elfsig.model import Place
from elfsig.opened.module import Module
from elfsig.trust.ring import Ring


def _not_built(case: Case) -> Accept:
    return Accept("this kernel was built without CONFIG_MODULE_SIG: signatures are not checked")


def _no_modules(case: Case) -> Stop:
    text = "this kernel was built without CONFIG_MODULES: it has no system call that loads a module"
    return Stop("ENOSYS", "no-modules", text)


WALKS: Mapping[str, tuple[Step, ...]] = {
    "none": (Step("configuration", _not_built),),
    "no-modules": (Step("configuration", _no_modules),),
    "gkh-2003": walk_sections.GKH_2003,
    "fc2": walk_ksign.FC2,
    "ksign": walk_ksign.KSIGN,
    "ksign-any-hash": walk_ksign.KSIGN_ANY_HASH,
    "howells-2012": walk_2012.NOTE,
    "howells-2012-trailer": walk_2012.TRAILER,
    "howells-2012-modarg": walk_2012.ARGUMENT,
    "x509": walk_x509.X509,
    "x509-rc1": walk_x509.X509_RC1,
    "cms": walk_cms.CMS,
}

End = Stop | Accept | Crash
LATER = (
    "the signature check lets it pass, and then this kernel crashes on it, unless something else (its"
    " vermagic, for example) makes it refuse the module before: {why}"
)
PANIC = "Kernel panic - not syncing: Module verification failed with error -{number} in FIPS mode"
PANIC_MODULE = "Kernel panic - not syncing: Module {name} signature verification failed in FIPS mode"
PANIC_CRYPTO = (
    "in FIPS mode this kernel panics when a module that it does not count as well signed registers a"
    " cryptographic algorithm"
)
FIPS_ASSUMED = (
    "what FIPS mode rules out of hashes, algorithms and curves was not read for this kernel: that of a near"
    " one is assumed, and that it has this mode (CONFIG_CRYPTO_FIPS)"
)
LOADER = "modprobe"
BEFORE_SIGNATURE = frozenset({
    "elf", "not-elf", "not-module", "empty", "signed-after-compression", "compressed-damaged",
    "compressed-unreadable", "no-modules",
})  # fmt: skip
"""Faults that a kernel meets before its signature check; FIPS mode does not panic for these."""
SCOPE = "later checks (vermagic, symbols, ELF errors) are not simulated"
UNSOUND = "it passes the signature check, then fails with ENOEXEC: it is not a sound ELF file"


@dataclass(frozen=True, slots=True)
class Subject:
    """What is asked about: one file, the keys there are, and the profile.

    ``argument`` is a signature given as a module argument, for the kernel that read it from there.
    """

    module: Module
    ring: Ring | None
    profile: Profile
    argument: Place | None = None


def predict(subject: Subject, mode: Mode = PERMISSIVE) -> Prediction:
    """The response of the kernel of ``subject.profile`` in ``mode``. Never raises for what is in the file."""
    (answer,) = predict_modes(subject, (mode,))
    return answer


def every_mode(profile: Profile) -> tuple[Mode, ...]:
    """The modes of a profile: permissive, enforcing, and lockdown, Secure Boot and FIPS where it has them."""
    modes = [Mode(), Mode(enforcing=True)]
    if profile.replies.lockdown is not None:
        modes.append(Mode(lockdown=True))
    if profile.secure_boot is not None:
        modes.append(Mode(secure_boot=True))
    if profile.fips == "panic":
        modes += [Mode(fips=True), Mode(enforcing=True, fips=True)]
    return tuple(modes)


def predict_modes(subject: Subject, modes: tuple[Mode, ...]) -> Iterator[Prediction]:
    """One prediction for each mode. FIPS mode changes which keys are usable; else only the replies differ."""
    walks: dict[bool, tuple[Case, tuple[Walked, ...], End]] = {}
    for mode in modes:
        if mode.fips not in walks:
            case = _case(subject, mode)
            walks[mode.fips] = case, *_walk(case)
        case, steps, end = walks[mode.fips]
        case.mode = mode
        yield _answer(case, steps, end)


# --------------------------------------------------------------------------- the walk


def _case(subject: Subject, mode: Mode) -> Case:
    return Case(
        module=subject.module,
        keys=kernel_keys(subject.ring, subject.profile, fips=mode.fips),
        profile=subject.profile,
        mode=mode,
        argument=subject.argument,
    )


def _walk(case: Case) -> tuple[tuple[Walked, ...], End]:
    """Every step up to the one that decides, and that one's word."""
    walked: list[Walked] = []
    for step in WALKS[case.profile.walk]:
        said = step.check(case)
        walked.append(Walked(step.name, "stop" if isinstance(said, Stop) else "ok", said.text))
        if not isinstance(said, Went):
            return tuple(walked), said
    raise AssertionError(f"the walk {case.profile.walk} has no end")


# --------------------------------------------------------------------------- the answer


def _answer(case: Case, steps: tuple[Walked, ...], end: End) -> Prediction:
    profile, mode = case.profile, case.mode
    inner = end.inner if isinstance(end, Stop) else None
    reply = _reply(profile, mode, inner) if inner else Reply()
    if case.later is not None and reply.errno is None and not isinstance(end, Crash):
        end, inner = Crash(LATER.format(why=case.later)), None
        steps, reply = (*steps, Walked("symbols", "stop", end.text)), Reply()
    panic = _panic(case, end, reply)
    log, message = _log(case, end, reply, panic)
    errno = None if panic else reply.errno
    return Prediction(
        id=profile.id,
        mode=mode,
        accepted=reply.errno is None and panic is None,
        errno=errno,
        inner=None if inner == UNSIGNED else inner,
        fault=end.fault,
        taint=None if reply.errno or panic else reply.taint,
        message=message or (log[-1] if log else None),
        log=log,
        insmod=insmod_line(profile.tool, os.path.basename(case.module.path), errno) if errno else None,
        reason=steps[-1].text,
        advice=advise(case, end, reply, panic is not None),
        basis=profile.basis,
        steps=steps,
        place=case.place,
        panic=panic is not None,
        notes=(*case.notes, *_mode_notes(case, end, reply), *_elf_notes(case, reply)),
    )


def _log(case: Case, end: End, reply: Reply, panic: str | None) -> tuple[tuple[str, ...], str | None]:
    """All lines that the kernel logs, and the one that says most."""
    own = [*case.log, *(() if isinstance(end, Accept) else end.log)]
    line = case.profile.replies.messages.get(end.fault)
    if line:
        own.append(line.format(description=case.claims.get("description", "?")))
    inner = end.inner if isinstance(end, Stop) else None
    message = panic or _message(reply, inner, module_name(case.module.path)) or None
    return (*own, *([message] if message else [])), message


def _message(reply: Reply, inner: str | None, name: str) -> str | None:
    if reply.message is None:
        return None
    code = number(inner) if inner and inner != UNSIGNED else 0
    return reply.message.format(name=name, tool=LOADER, number=code)


def _reply(profile: Profile, mode: Mode, inner: str) -> Reply:
    """The reply of the strictest mode that is on; enforcing wins over lockdown."""
    replies, mode = profile.replies, profile.in_mode(mode)
    table = replies.permissive
    if mode.enforcing:
        table = replies.enforcing
    elif mode.lockdown and replies.lockdown is not None:
        table = replies.lockdown
    return table.get(inner, Reply(inner))


def _panic(case: Case, end: End, reply: Reply) -> str | None:
    """The last line of a kernel that stops, None where it does not; "" where that line is not known.

    In FIPS mode early kernels panicked at any negative result of the signature check, later ones do where a
    module that they do not count as well signed registers an algorithm.
    """
    if isinstance(end, Crash):
        return ""
    if not (case.mode.fips and case.profile.crypto.fips_built) or not isinstance(end, Stop):
        return None
    if case.profile.fips == "crypto-modules" and reply.errno is None and registers_crypto(case.image):
        return PANIC_MODULE.format(name=module_name(case.module.path))
    if case.profile.fips != "panic" or end.fault in BEFORE_SIGNATURE:
        return None
    if end.inner == UNSIGNED and reply.errno is None:
        return None
    return PANIC.format(number=number(reply.errno or end.inner))


def _elf_notes(case: Case, reply: Reply) -> Iterator[str]:
    """What is wrong with a file that passes the signature check, as far as that is simulated."""
    if reply.errno is None and (case.image.elf_fault is not None or not case.image.is_elf):
        yield UNSOUND


def secure_boot_words(profile: Profile) -> str:
    """What Secure Boot switches on in this kernel."""
    boot = profile.secure_boot
    if boot is None or not (boot.enforces or boot.locks):
        return "Secure Boot changes nothing in what this kernel demands of modules"
    parts = ["demands valid signatures (as module.sig_enforce=1 does)"] if boot.enforces else []
    parts += ["locks itself down"] if boot.locks else []
    text = f"under Secure Boot it {' and it '.join(parts)}"
    if boot.assumed:
        text += "; this assumes CONFIG_IMA_ARCH_POLICY=y, which the kernel's configuration would show"
    return text


def _mode_notes(case: Case, end: End, reply: Reply) -> Iterator[str]:
    profile, mode = case.profile, case.mode
    if profile.caveat:
        yield profile.caveat
    if mode.lockdown and profile.replies.lockdown is None:
        yield "this kernel has no lockdown, so that mode has no effect"
    if mode.secure_boot:
        yield secure_boot_words(profile)
    if mode.fips:
        yield from _fips_notes(profile)
    panics = mode.fips and profile.crypto.fips_built and profile.fips == "crypto-modules"
    if panics and isinstance(end, Stop) and reply.errno is None:
        yield PANIC_CRYPTO
    yield SCOPE


def _fips_notes(profile: Profile) -> Iterator[str]:
    crypto = profile.crypto
    if not crypto.fips_built:
        yield "this kernel was built without FIPS mode (CONFIG_CRYPTO_FIPS), so that mode has no effect"
    elif profile.fips is None and not (crypto.fips_bits or crypto.fips_absent):
        yield "FIPS mode changes nothing in this kernel's response"
    if crypto.fips_built and crypto.fips_assumed:
        yield FIPS_ASSUMED
