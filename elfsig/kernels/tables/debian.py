"""Debian 10 to unstable. Its release is the upstream version with an ABI number or +debNN."""

from __future__ import annotations

from elfsig.kernels.key_rules import Trust
from elfsig.kernels.profile import Releases, SecureBoot, Version
from elfsig.kernels.tables import parameters
from elfsig.kernels.tables.computing import ML_DSA
from elfsig.kernels.tables.family import PLATFORM, RETRY, Family
from elfsig.kernels.tables.mainline import (
    MACHINE,
    RUN_TIME,
    SECONDARY,
    SIG_ENFORCE,
    V4_19,
    V5_4,
    V5_10_26,
    V5_18,
    V6_12,
    V6_14,
    V7_0,
    V7_2,
)
from elfsig.kernels.tables.redhat import OLD_SWITCH, OLD_WORDS, REPLIES_OLD_LOCKDOWN
from elfsig.lazy_dataclass import replace
from elfsig.model import Basis

_ARCH = (
    r"(?:amd64|arm64|arm64-16k|armmp|armmp-lpae|686|686-pae|s390x|powerpc64le(?:-\d+k)?|loong64|riscv64"
    r"|[45]kc-malta|octeon|loongson-3|mips64r2el|rpi)"
)
_ABI = r"(?:-rc\d+)?(?:-\d+|\+deb\d+(?:\+\d+|u\d+)*|\+bpo\d*|\+\d+|-\d+\.(?:bpo|deb\d+)\.\d+)*"
_PATTERN = rf"\d+\.\d+(?:\.\d+)?{_ABI}(?:-(?:cloud|rt|unsigned))*-{_ARCH}(?:-unsigned)?"
_CLOUD = rf"5\.10\.\d+{_ABI}-cloud-{_ARCH}"
_LOCKS, _BOTH = SecureBoot(locks=True), SecureBoot(enforces=True, locks=True)
_BOTH_7_1 = _BOTH._replace(moks="always")
ANY_MOK = "machine owner keys go to the machine keyring whatever MokListTrustedRT says (Debian's patch)"
NO_ML_DSA = "built without ML-DSA: it loads no such key"
_SHA_3 = frozenset({"sha3-256", "sha3-384", "sha3-512"})
NO_DBX = "revoked certificates (dbx) have no effect; the SHA-256 of a whole signed file on dbx has"


def _releases(*examples: str, since: Version, before: Version | None = None) -> Releases:
    return Releases(_PATTERN, examples, since, before)


DEBIAN_4_19 = replace(
    V4_19,
    id="debian-4.19",
    title="Debian 10, Linux 4.19",
    releases=_releases("4.19.0-27-amd64", since=(4, 19, 0), before=(4, 20, 0)),
    replies=REPLIES_OLD_LOCKDOWN,
    unsigned="ENODATA",
    crypto=replace(V4_19.crypto, late=frozenset({"sha384", "sha512"})),
    trust=Trust((SECONDARY | PLATFORM,), blacklist="own"),
    basis=Basis.RECALLED,
    source="mainline 4.19; the lockdown of Debian's patches, its configuration (SHA-512 as a module)",
    recalled=("that UEFI db and machine owner keys count for modules", OLD_WORDS),
    switches=(SIG_ENFORCE, RUN_TIME, OLD_SWITCH),
    boot=parameters.SINCE_4_7_LOCKDOWN,
    who="module: ",
    not_pkcs7=V5_4.not_pkcs7,
    secure_boot=_LOCKS,
)

DEBIAN_5_10 = replace(
    V5_10_26,
    id="debian-5.10",
    title="Debian 11, Linux 5.10",
    releases=Releases(
        rf"(?!{_CLOUD}){_PATTERN}", ("5.10.0-35-amd64", "5.10.0-0.bpo.15-amd64"), (5, 10, 0), (5, 11, 0)
    ),
    trust=Trust((SECONDARY, PLATFORM), revoked_files=True, blacklist="own"),
    basis=Basis.BOOTED,
    source="linux-image-5.10.0-32-amd64 5.10.223-1 booted with 244 files in three modes; its configuration:"
    " IMA_ARCH_POLICY n",
    notes=(*V5_4.notes, RETRY),
    secure_boot=_LOCKS,
)

DEBIAN_5_10_CLOUD = replace(
    DEBIAN_5_10,
    id="debian-5.10-cloud",
    title="Debian 11 for clouds, Linux 5.10",
    releases=Releases(_CLOUD, ("5.10.0-35-cloud-amd64",)),
    trust=Trust((SECONDARY,), revoked_files=True, blacklist="own"),
    source="linux-image-5.10.0-32-cloud-amd64 5.10.223-1 booted with 244 files in three modes; its"
    " configuration has no platform keyring",
    notes=V5_4.notes,
)

DEBIAN_6_1 = replace(
    V5_18,
    id="debian-6.1",
    title="Debian 12, Linux 6.1",
    releases=_releases(
        "6.1.0-54-amd64", "6.1.0-18-cloud-amd64", "6.1.0-0.deb11.21-amd64", since=(6, 1, 0), before=(6, 2, 0)
    ),
    crypto=replace(
        V5_18.crypto, absent=frozenset({"ecdsa"}), late=frozenset({"sha384", "sha512"}), extensions="unread"
    ),
    trust=Trust((MACHINE, PLATFORM), revoked_files=True, blacklist="own", machine="any"),
    basis=Basis.BOOTED,
    source="linux-image-6.1.0-56-cloud-amd64 6.1.192-2 booted with 244 files in three modes, and under real"
    " Secure Boot with 67",
    unpacks=frozenset(),
    notes=(
        *V5_4.notes,
        RETRY,
        ANY_MOK,
        "built without ECDSA; SHA-384 and SHA-512 are a module (sha512_generic), assumed to be loaded",
        NO_DBX,
    ),
    secure_boot=_BOTH,
)

DEBIAN_6_12 = replace(
    V6_12,
    id="debian-6.12",
    title="Debian 13, Linux 6.12 to 6.16",
    releases=_releases(
        "6.12.43+deb13-amd64", "6.12.74+deb13+1-amd64", "6.16.3+deb13-amd64", since=(6, 12, 0),
        before=(6, 17, 0),
    ),
    trust=Trust((MACHINE, PLATFORM), revoked_files=True, blacklist="own", machine="any"),
    basis=Basis.BOOTED,
    source="linux-image-6.12.117+deb12-cloud-amd64, 6.12.117+deb13 and 6.16.12+deb13 booted with 244 files in"
    " three modes, the first under real Secure Boot with 67 as well",
    unpacks=frozenset({"xz"}),
    notes=(*V6_12.notes, RETRY, ANY_MOK, NO_DBX),
    secure_boot=_BOTH,
)  # fmt: skip

NO_FILES = "revoked certificates and file hashes (dbx) have no effect"
DEBIAN_6_17 = replace(
    DEBIAN_6_12,
    id="debian-6.17",
    title="Debian 13 backports, Linux 6.17 to 6.19",
    releases=_releases("6.17.13+deb13-amd64", "6.18.5+deb14-amd64", since=(6, 17, 0), before=(7, 0, 0)),
    trust=Trust((MACHINE, PLATFORM), blacklist="own"),
    crypto=replace(DEBIAN_6_12.crypto, fips_assumed=True),
    source="linux-image-6.17.13+deb13-cloud-amd64 and 6.18.15+deb13 booted with 244 files in three modes, the"
    " image of 6.19.14+deb13 with 243; Debian's patches: machine owner keys need MokListTrustedRT",
    notes=(*V6_14.notes, RETRY, NO_FILES),
)

DEBIAN_7_0 = replace(
    V7_0,
    id="debian-7.0",
    title="Debian, Linux 7.0",
    releases=_releases("7.0.13+deb13-amd64", since=(7, 0, 0), before=(7, 1, 0)),
    crypto=replace(V7_0.crypto, absent=V7_0.crypto.absent | ML_DSA, fips_assumed=True),
    trust=Trust((MACHINE, PLATFORM), blacklist="sha256"),
    basis=Basis.BOOTED,
    source="the image of linux-image-7.0.13+deb13-cloud-amd64 booted with 243 files in three modes",
    recalled=("under which conditions it loads machine owner keys (as Debian's 6.17)",),
    unpacks=frozenset({"xz"}),
    notes=(*V6_12.notes, RETRY, NO_ML_DSA, NO_FILES),
    secure_boot=_BOTH,
)

DEBIAN_7_1 = replace(
    DEBIAN_7_0,
    id="debian-7.1",
    title="Debian, Linux 7.1",
    releases=_releases("7.1.8+deb14-amd64", since=(7, 1, 0), before=(7, 2, 0)),
    crypto=replace(DEBIAN_7_0.crypto, late=_SHA_3 | {"sha384", "sha512"}),
    source="Debian source 7.1.8; the image of linux-image-7.1.13+deb13-cloud-amd64 booted with 243 files in"
    " three modes",
    recalled=(),
    notes=(
        *V6_12.notes, RETRY, NO_ML_DSA,
        "SHA-384, SHA-512 and SHA-3 are modules, assumed to be loaded", NO_FILES,
    ),
    secure_boot=_BOTH_7_1,
)  # fmt: skip

DEBIAN_7_2 = replace(
    V7_2,
    id="debian-7.2",
    title="Debian unstable, Linux 7.2 and 7.3",
    releases=_releases("7.2.13+deb14-cloud-amd64", "7.3.4+deb13-cloud-amd64", since=(7, 2, 0)),
    crypto=replace(DEBIAN_7_0.crypto, late=_SHA_3, fips_built=False, fips_assumed=False),
    trust=DEBIAN_7_0.trust,
    source="linux-image-7.2.13+deb14-cloud-amd64, 7.3-rc7 and 7.3.4+deb13 booted with 244 files in three"
    " modes; 7.2.13 and 7.3.4 under real Secure Boot with 67; their configuration has no FIPS mode",
    unpacks=frozenset({"xz"}),
    notes=(
        *V6_12.notes, *V7_2.notes[-1:], RETRY, NO_ML_DSA, "SHA-3 is a module, assumed to be loaded", NO_FILES,
    ),
    recalled=(),
    secure_boot=_BOTH_7_1,
)  # fmt: skip

FAMILIES = (
    Family(
        "debian",
        "Debian",
        Releases(_PATTERN, ("5.19.0-2-amd64", "6.5.0-1-amd64", "6.10.11+bpo-amd64")),
        {
            "trust": Trust((MACHINE, PLATFORM), revoked_files=True, blacklist="own", machine="any"),
            "secure_boot": _BOTH,
        },
        ("that Debian's patches of 6.1 and 6.12 were in this version, and its configuration",),
        (RETRY, ANY_MOK),
    ),
)

ROWS = (
    DEBIAN_4_19, DEBIAN_5_10, DEBIAN_5_10_CLOUD, DEBIAN_6_1, DEBIAN_6_12, DEBIAN_6_17, DEBIAN_7_0, DEBIAN_7_1,
    DEBIAN_7_2,
)  # fmt: skip
