"""Oracle's Unbreakable Enterprise Kernel 3 to 8; the second one looks for sections (see :mod:`.sections`)."""

from __future__ import annotations

from elfsig.kernels.key_rules import Trust
from elfsig.kernels.profile import Releases, Reply, SecureBoot
from elfsig.kernels.tables import parameters
from elfsig.kernels.tables.family import PLATFORM
from elfsig.kernels.tables.mainline import (
    MACHINE,
    REASONS,
    RUN_TIME,
    SECONDARY,
    SIG_ENFORCE,
    V3_7,
    V3_17,
    V4_7,
    V5_4,
    V5_13,
    V6_12,
)
from elfsig.kernels.tables.redhat import EVERY_KEY, OLD_SWITCH, OLD_WORDS, REPLIES_OLD_LOCKDOWN
from elfsig.lazy_dataclass import replace
from elfsig.model import Basis

IN_BLACKLIST = "Module key '{description}' is in blacklist"
_FIRST = "the blacklist keyring is asked before the key is looked up"


def _uek(version: str, *examples: str) -> Releases:
    return Releases(rf"{version}-.*\.el\d+uek(?:\.\w+)?(?:\+\w+)?", examples)


UEK3 = replace(
    V3_7,
    id="uek3",
    title="Oracle's 3.8 (UEK3)",
    releases=_uek(r"3\.8\.13", "3.8.13-118.51.2.el6uek.x86_64"),
    trust=Trust((EVERY_KEY,), revoked_keys="always", dates=True, identifiers="both"),
    replies=replace(V3_7.replies, messages={"revoked": IN_BLACKLIST}),
    source=f"kernel/module_signing.c of Oracle's tree (oracle/linux-uek 02b35a6d): {_FIRST}",
    recalled=(*V3_7.recalled, "which of its keyrings hold UEFI's keys"),
)

UEK4 = replace(
    V3_17,
    id="uek4",
    title="Oracle's 4.1 (UEK4)",
    releases=_uek(r"4\.1\.12", "4.1.12-124.48.6.el7uek.x86_64"),
    trust=Trust((EVERY_KEY,), revoked_keys="always"),
    replies=replace(V3_17.replies, messages={"revoked": IN_BLACKLIST}),
    source=f"kernel/module_signing.c of Oracle's tree (oracle/linux-uek 02b35a6d): {_FIRST}",
    recalled=("which of its keyrings hold UEFI's keys",),
)

_COMMLESS = "Lockdown: Loading of {what} is restricted; see man kernel_lockdown.7"
UEK5 = replace(
    V4_7,
    id="uek5",
    title="Oracle's 4.14 (UEK5)",
    releases=_uek(r"4\.14\.35", "4.14.35-2047.518.4.el7uek.x86_64"),
    replies=replace(
        REPLIES_OLD_LOCKDOWN,
        lockdown={name: Reply("EPERM", None, _COMMLESS.format(what=what)) for name, what in REASONS.items()},
    ),
    unsigned="ENODATA",
    trust=Trust((SECONDARY | PLATFORM,), blacklist="own"),
    source="security/lock_down.c of Oracle's tree (oracle/linux-uek 0adec73e): its own lockdown",
    recalled=("which of its keyrings hold UEFI's keys", OLD_WORDS),
    switches=(SIG_ENFORCE, RUN_TIME, OLD_SWITCH),
    boot=parameters.SINCE_4_7_LOCKDOWN,
    secure_boot=SecureBoot(locks=True),
)

UEK6 = replace(
    V5_4,
    id="uek6",
    title="Oracle's 5.4 (UEK6)",
    releases=_uek(r"5\.4\.17", "5.4.17-2136.338.4.2.el8uek.x86_64"),
    trust=Trust((SECONDARY | {"machine"},), revoked_keys="platform", blacklist="own"),
    source="Oracle's tree (oracle/linux-uek 008dc48f): revoked keys are asked for on the platform path only;"
    " machine owner keys count from R6U3",
    recalled=("what Secure Boot switches on",),
    notes=(*V5_4.notes, "before R6U3 machine owner keys do not count"),
    secure_boot=SecureBoot(locks=True),
)

UEK7 = replace(
    V5_13,
    id="uek7",
    title="Oracle's 5.15 (UEK7)",
    releases=_uek(r"5\.15\.0", "5.15.0-200.131.27.el9uek.x86_64", "5.15.0-301.163.5.2.el8uek.x86_64"),
    crypto=replace(V5_13.crypto, extensions="unknown"),
    trust=Trust((MACHINE,), revoked_keys="platform", blacklist="own"),
    source="Oracle's tree (oracle/linux-uek 008dc48f): 5.15 with the machine keyring of 5.18",
    recalled=(*V5_13.recalled, "which machine owner keys that takes", "what Secure Boot switches on"),
    secure_boot=SecureBoot(locks=True),
)

UEK8 = replace(
    V6_12,
    id="uek8",
    title="Oracle's 6.12 (UEK8)",
    releases=_uek(r"6\.12\.0", "6.12.0-100.28.2.el10uek.x86_64", "6.12.0-102.36.5.2.el9uek.x86_64"),
    crypto=replace(V6_12.crypto, late=frozenset({"ecdsa"})),
    trust=Trust((MACHINE,), revoked_keys="always", blacklist="own"),
    basis=Basis.SOURCE,
    source="Oracle's tree and configuration (oracle/linux-uek 914b13b1): IMA_ARCH_POLICY, list of revoked"
    " keys, ECDSA as a module, no lockdown under Secure Boot",
    recalled=("that it does not ask the platform keyring for modules (inferred)",),
    secure_boot=SecureBoot(enforces=True),
)

ROWS = (UEK3, UEK4, UEK5, UEK6, UEK7, UEK8)
