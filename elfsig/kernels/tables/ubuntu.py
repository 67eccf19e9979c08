"""Ubuntu 18.04 to 26.04, and Proxmox, whose kernels are built from Ubuntu's source."""

from __future__ import annotations

from elfsig.kernels.key_rules import Trust
from elfsig.kernels.profile import Profile, Releases, SecureBoot, Version
from elfsig.kernels.tables import parameters
from elfsig.kernels.tables.family import PLATFORM, RETRY, Family
from elfsig.kernels.tables.mainline import (
    MACHINE,
    RUN_TIME,
    SECONDARY,
    SIG_ENFORCE,
    V4_7,
    V5_4,
    V5_13,
    V6_7,
    V6_12,
    V7_0,
)
from elfsig.kernels.tables.redhat import OLD_SWITCH, OLD_WORDS, REPLIES_OLD_LOCKDOWN
from elfsig.lazy_dataclass import replace
from elfsig.model import Basis

_FLAVOUR = (
    r"(?:generic|lowlatency|aws|azure|gcp|oracle|kvm|oem|raspi|raspi2|nvidia|ibm|gke|gkeop|fips|realtime"
    r"|intel|intel-iotg|iot|bluefield|xilinx-zynqmp|riscv|starfive|snapdragon|laptop)"
)
_MORE = r"(?:-(?:64k|lpae|fde|fips|hwe|rt|lowlatency|realtime|tegra|nvidia|[56]\.\d+|edge|cvm))*"
_PATTERN = rf"\d+\.\d+\.\d+-[1-9]\d{{0,4}}-{_FLAVOUR}{_MORE}"
"""After the ABI, digits only, comes a flavour. (ABIs of six digits with a leading 0 are Ubuntu's builds of
unmodified mainline kernels.)"""
_LOCKS, _BOTH = SecureBoot(locks=True), SecureBoot(enforces=True, locks=True)
_PROXMOX = r"\d+\.\d+\.\d+-\d+(?:\.\d+)*-pve"
OWN_KEY = "it holds the key of its own build only: the lists of further trusted and revoked keys are empty"
LATE_ECDSA = "ECDSA and SM3 are modules: certificates with EC keys that load before them fail"
IMA_OPTION = "that IMA_ARCH_POLICY is off, so that Secure Boot locks down and does not enforce"


def _releases(*examples: str, since: Version, before: Version | None = None) -> Releases:
    return Releases(_PATTERN, examples, since, before)


UBUNTU_4_15 = replace(
    V4_7,
    id="ubuntu-4.15",
    title="Ubuntu 18.04, Linux 4.15",
    releases=_releases("4.15.0-213-generic", "4.15.0-1170-aws", since=(4, 15, 0), before=(4, 16, 0)),
    replies=REPLIES_OLD_LOCKDOWN,
    unsigned="ENODATA",
    trust=Trust((SECONDARY | PLATFORM,), blacklist="own"),
    basis=Basis.RECALLED,
    source="mainline 4.15 with the lockdown of the time before it came to mainline",
    recalled=("that UEFI db and machine owner keys count for modules", OLD_WORDS),
    switches=(SIG_ENFORCE, RUN_TIME, OLD_SWITCH),
    boot=parameters.SINCE_4_7_LOCKDOWN,
    secure_boot=_LOCKS,
)

UBUNTU_5_4 = replace(
    V5_4,
    id="ubuntu-5.4",
    title="Ubuntu 20.04, Linux 5.4",
    releases=_releases("5.4.0-216-generic", "5.4.0-1142-azure", since=(5, 4, 0), before=(5, 5, 0)),
    trust=Trust((SECONDARY, PLATFORM), blacklist="own"),
    basis=Basis.SOURCE,
    source="configuration of 5.4.0-26 (PLATFORM y, IMA_ARCH_POLICY n, LOCK_DOWN_IN_SECURE_BOOT); the retry"
    " in trees made from it",
    recalled=("that later releases of 5.4 have no list of revoked keys either",),
    notes=(*V5_4.notes, RETRY),
    secure_boot=_LOCKS,
)

UBUNTU_5_15 = replace(
    V5_13,
    id="ubuntu-5.15",
    title="Ubuntu 22.04, Linux 5.15",
    releases=_releases("5.15.0-91-generic", "5.15.0-1084-aws-fips", since=(5, 13, 0), before=(5, 17, 0)),
    crypto=replace(V5_13.crypto, late=frozenset({"ecdsa", "sm3"})),
    trust=Trust((SECONDARY, PLATFORM), revoked_keys="platform", blacklist="own"),
    source="kernel/module.c of trees made from it (endlessm/linux af8cb98a): platform retry; revoked keys"
    " are asked for before the platform keyring only",
    recalled=(*V5_13.recalled, "its own configuration", IMA_OPTION),
    notes=(*V5_13.notes, RETRY, LATE_ECDSA),
    secure_boot=_LOCKS,
)

UBUNTU_6_8 = replace(
    V6_7,
    id="ubuntu-6.8",
    title="Ubuntu 24.04, Linux 6.8",
    releases=_releases("6.8.0-31-generic", "6.8.0-1024-oracle", since=(6, 8, 0), before=(6, 9, 0)),
    crypto=replace(
        V6_7.crypto, hashes=V6_7.crypto.hashes | {"sha1"}, late=frozenset({"ecdsa", "sm3"}),
        extensions="either",
    ),
    trust=Trust((MACHINE, PLATFORM), revoked_keys="always", blacklist="own"),
    source="kernel/module/signing.c of trees made from Ubuntu's (zabbly/linux 537e3f5d); SHA-1 came back in"
    " 6.8.12; IMA_ARCH_POLICY y on riscv",
    recalled=(IMA_OPTION, "that it decompresses zstd itself, as 26.04 does"),
    notes=(*V6_7.notes[:-1], RETRY, LATE_ECDSA, "the first releases of 6.8 did not read SHA-1"),
    unpacks=frozenset({"zstd"}),
    secure_boot=_LOCKS,
)  # fmt: skip

UBUNTU = replace(
    V6_12,
    id="ubuntu",
    title="Ubuntu 24.10 to 25.10, Linux 6.11 to 6.19",
    releases=_releases("6.17.0-14-generic", "6.14.0-1006-realtime", since=(6, 11, 0), before=(7, 0, 0)),
    crypto=replace(V6_12.crypto, late=frozenset({"ecdsa", "sm3"})),
    trust=Trust((MACHINE, PLATFORM), revoked_keys="always", blacklist="own"),
    source="kernel/module/signing.c of trees made from Ubuntu's (zabbly/linux 537e3f5d); IMA_ARCH_POLICY y"
    " in 25.04",
    recalled=("that 6.11 and 6.17 are configured as 25.04",),
    notes=(*V6_12.notes, RETRY, LATE_ECDSA),
    unpacks=frozenset({"zstd"}),
    secure_boot=_BOTH,
    hash="sha512",
)

UBUNTU_7_0 = replace(
    UBUNTU,
    id="ubuntu-7.0",
    title="Ubuntu 26.04, Linux 7.0 and later",
    releases=_releases("7.0.0-14-generic", since=(7, 0, 0)),
    crypto=replace(V7_0.crypto, late=frozenset({"ecdsa", "sm3"})),
    trust=replace(UBUNTU.trust, blacklist="sha256"),
    source="configuration of 26.04 (CriticalShift/linux-ubuntu-resolute 3d79a7ba): zstd with"
    " MODULE_DECOMPRESS, RSA key, MACHINE y, CA_MACHINE n, list of revoked keys",
    recalled=("whether it has ML-DSA",),
    notes=(*V7_0.notes, RETRY, LATE_ECDSA),
)

FAMILIES = (
    Family(
        "ubuntu",
        "Ubuntu",
        Releases(_PATTERN, ("6.5.0-45-generic", "5.19.0-50-generic")),
        {
            "trust": Trust((MACHINE, PLATFORM), revoked_keys="platform", blacklist="own"),
            "secure_boot": _LOCKS,
        },
        ("that this version asks the platform keyring, and its configuration",),
        (RETRY,),
    ),
    Family(
        "proxmox",
        "Proxmox VE",
        Releases(_PROXMOX, ("5.15.158-2-pve", "6.5.13-6-pve")),
        {
            "trust": Trust((MACHINE, PLATFORM), revoked_keys="platform", blacklist="own"),
            "secure_boot": _LOCKS,
        },
        ("that this version is configured as Ubuntu's of the same age",),
        (RETRY, OWN_KEY),
    ),
)


def _proxmox(row: Profile, id_: str, title: str, *examples: str) -> Profile:
    """Ubuntu's row as Proxmox builds it: the same code, a key for each build, no other compiled-in keys."""
    return replace(
        row,
        id=id_,
        title=title,
        releases=row.releases._replace(pattern=_PROXMOX, examples=examples),
        source=f"proxmox/pve-kernel 6e44995, built from Ubuntu's source ({row.id}): {row.source}",
        recalled=("that its configuration is Ubuntu's of the same version",),
        notes=(*row.notes, OWN_KEY),
        hash="sha512",
    )


PROXMOX_6_8 = _proxmox(UBUNTU_6_8, "proxmox-6.8", "Proxmox VE 8, Linux 6.8", "6.8.12-4-pve")
PROXMOX = _proxmox(UBUNTU, "proxmox", "Proxmox VE 8 and 9, Linux 6.11 to 6.19", "6.14.11-4-pve")
PROXMOX_7_0 = _proxmox(UBUNTU_7_0, "proxmox-7.0", "Proxmox VE 9, Linux 7.0 and later", "7.0.14-1-pve")

ROWS = (
    UBUNTU_4_15, UBUNTU_5_4, UBUNTU_5_15, UBUNTU_6_8, UBUNTU, UBUNTU_7_0, PROXMOX_6_8, PROXMOX, PROXMOX_7_0,
)  # fmt: skip
