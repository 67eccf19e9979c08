"""SUSE Linux Enterprise 12, 15 and 16 with openSUSE Leap, and openSUSE Tumbleweed."""

from __future__ import annotations

from elfsig.kernels.key_rules import ExtensionRule, Trust
from elfsig.kernels.profile import Profile, Releases, SecureBoot, Version
from elfsig.kernels.tables.family import PLATFORM, RETRY, Family
from elfsig.kernels.tables.mainline import MACHINE, SECONDARY, V3_17, V4_7, V4_19, V5_13, V6_6, V6_14
from elfsig.kernels.tables.redhat import EVERY_KEY
from elfsig.lazy_dataclass import replace
from elfsig.model import Basis

_FLAVOUR = r"(?:default|preempt|azure|rt|rt_debug|64kb|kvmsmall|debug|vanilla|longterm)"
_SLE = rf"\d+\.\d+\.\d+-\d+(?:\.\d+)+(?:\.g[0-9a-f]+)?-{_FLAVOUR}"
_TUMBLEWEED = rf"\d+\.\d+\.\d+-\d+(?:\.g[0-9a-f]+)?-(?!azure){_FLAVOUR}"
"""SLE and Leap have a service pack and an update in the release, Tumbleweed a single number."""
EKU = (
    "with CONFIG_CHECK_CODESIGN_EKU a key must be meant for signing code (extendedKeyUsage); whether a build"
    " of SLE has that is not known, and it is not simulated"
)
_LOCKS = SecureBoot(locks=True)
_EXTENSIONS: dict[ExtensionRule, ExtensionRule] = {"unread": "unknown", "unknown": "unknown"}
"""SLE has the machine keyring's CA rule, which came upstream with the code that reads these extensions."""
_RETRY_SEEN = "the platform retry (bsc#1209006) and the configuration of openSUSE/kernel 117478b0"

SLES12 = replace(
    V3_17,
    id="sles12",
    title="SUSE Linux Enterprise 12 and its SP1",
    releases=Releases(r"3\.12\.\d+-[\d.]+-(?:default|xen|ec2)", ("3.12.74-60.64.40-default",)),
    trust=Trust((EVERY_KEY,), revoked_keys="always", identifiers="unknown"),
    source="SUSE's patch FATE#314574: the blacklist keyring is asked first; SP2 and later (4.4) read PKCS#7",
    recalled=("its messages", "the keyring of machine owner keys"),
)


def _sle(base: Profile, title: str, example: str, since: Version, before: Version) -> Profile:
    """SLE's changes to mainline: platform retry, list of revoked keys, whole files, zstd."""
    rings = (SECONDARY, PLATFORM) if base.trust.rings == (SECONDARY,) else (MACHINE, PLATFORM)
    modern = base.secure_boot is not None
    late = frozenset({"sm3"}) & base.crypto.hashes
    return replace(
        base,
        id=f"sles-{base.id}",
        title=title,
        releases=Releases(_SLE, (example,), since, before),
        crypto=replace(base.crypto, late=late, extensions=_EXTENSIONS.get(base.crypto.extensions, "either")),
        trust=Trust(
            rings,
            revoked_keys="never" if base.trust.revoked_keys == "never" else "always",
            revoked_files=base.trust.revoked_keys != "never",
            blacklist="own",
            ca="ca-only",
        ),
        basis=Basis.RECALLED,
        source=f"mainline {base.id} with {_RETRY_SEEN}",
        recalled=("that this service pack has the same patches and configuration", "CHECK_CODESIGN_EKU"),
        notes=(*base.notes, RETRY, EKU),
        unpacks=frozenset({"zstd"}) if base.unpacks else frozenset(),
        secure_boot=_LOCKS if modern else None,
    )


SLES_4_12 = _sle(
    V4_7, "SUSE Linux Enterprise 15 and its SP1, 12 SP4 and SP5", "4.12.14-197.45-default", (4, 12, 0),
    (4, 13, 0),
)  # fmt: skip
SLES_5_3 = _sle(
    V4_19, "SUSE Linux Enterprise 15 SP2 and SP3", "5.3.18-150300.59.106-default", (5, 3, 0), (5, 4, 0)
)
SLES_5_14 = _sle(
    V5_13, "SUSE Linux Enterprise 15 SP4 and SP5", "5.14.21-150500.55-default", (5, 14, 0), (5, 15, 0)
)
SLES_6_4 = _sle(
    replace(V6_6, crypto=V6_6.crypto, id="6.4"), "SUSE Linux Enterprise 15 SP6 and SP7",
    "6.4.0-150600.21-default", (6, 4, 0), (6, 5, 0),
)  # fmt: skip
SLES_6_12 = _sle(V6_14, "SUSE Linux Enterprise 16", "6.12.0-160000.5-default", (6, 12, 0), (6, 13, 0))

TUMBLEWEED = replace(
    V6_14,
    id="tumbleweed",
    title="openSUSE Tumbleweed, Linux 6.14 to 6.19",
    releases=Releases(_TUMBLEWEED, ("6.17.5-1-default",), (6, 12, 0), (7, 0, 0)),
    crypto=replace(V6_14.crypto, late=frozenset({"sm3"})),
    trust=Trust(
        (MACHINE, PLATFORM), revoked_keys="always", revoked_files=True, blacklist="own", ca="ca-only"
    ),
    source=f"{_RETRY_SEEN}: zstd, INTEGRITY_CA_MACHINE_KEYRING_MAX, list of revoked keys, IMA_ARCH_POLICY on"
    " x86 and arm64",
    notes=(*V6_14.notes, RETRY),
    unpacks=frozenset({"zstd"}),
    secure_boot=SecureBoot(enforces=True, locks=True),
    hash="sha256",
)

FAMILIES = (
    Family(
        "sles",
        "SUSE",
        Releases(rf"(?:{_SLE}|{_TUMBLEWEED})", ("4.4.103-6.38-default", "5.19.2-1-default")),
        {"trust": Trust((MACHINE, PLATFORM), blacklist="own", ca="ca-only"), "secure_boot": _LOCKS},
        ("SUSE's patches and configuration of this version",),
        (RETRY, EKU),
    ),
)

ROWS = (SLES12, SLES_4_12, SLES_5_3, SLES_5_14, SLES_6_4, SLES_6_12, TUMBLEWEED)
