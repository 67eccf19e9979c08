"""Distributions' kernels, where they answer otherwise than mainline: each row names what differs."""

from __future__ import annotations

from dataclasses import replace

from elfsig.kernels.profile import Replies, Reply, Trust
from elfsig.kernels.tables_trailers import (
    MACHINE,
    REASONS,
    V3_17,
    V4_7,
    V5_4,
    V5_13,
    V5_18,
    V6_12,
    V7_0,
)
from elfsig.model import Basis

PLATFORM = frozenset({"platform", "machine"})
"""UEFI db, and machine owner keys that were not promoted to the machine keyring, lie in .platform."""
WITH_PLATFORM = Trust((MACHINE, PLATFORM), revoked_keys=True)
RETRY = "on ENOKEY it asks the platform keyring (UEFI db) as well, which mainline does not do for modules"
PATCHED = "source read; what this distribution adds to mainline is recalled"

RHEL7 = replace(
    V3_17,
    id="rhel7",
    title="Red Hat Enterprise Linux 7, CentOS 7",
    releases="3.10.0-*.el7",
    trust=Trust((frozenset({"builtin", "secondary", "machine", "platform"}),), revoked_keys=True),
    source="kernel/module_signing.c of 3.10.0-el7, read: the blacklist keyring is asked first",
    fips="panic",
    notes=("PKCS#7 signatures are refused in every mode (ENOPKG)",
           "UEFI db and machine owner keys are on its system keyring (recalled)"),
)  # fmt: skip

SLES12 = replace(
    V3_17,
    id="sles12",
    title="SUSE Linux Enterprise 12 and its SP1",
    releases="3.12.*-default",
    trust=Trust((frozenset({"builtin", "secondary", "machine", "platform"}),), revoked_keys=True),
    basis=Basis.RECALLED,
    source="SUSE's signing tools read, its kernels recalled; SP2 and later (4.4, 4.12) read PKCS#7",
)

DEBIAN_6_1 = replace(
    V5_18,
    id="debian-6.1",
    title="Debian 12, Linux 6.1",
    releases="6.1.0-*-amd64 and its sisters",
    crypto=replace(V5_18.crypto, absent=frozenset({"ecdsa"}), late=frozenset({"sha384", "sha512"})),
    trust=Trust((MACHINE, PLATFORM), revoked_files=True),
    basis=Basis.BOOTED,
    source="linux-image-6.1.0-56-cloud-amd64 6.1.192-2 booted with 124 files in three modes",
    compressed="tool",
    notes=(
        *V5_18.notes,
        RETRY,
        "built without ECDSA; SHA-384 and SHA-512 are a module (sha512_generic), taken here to be loaded",
        "revoked certificates (dbx) have no effect; the SHA-256 of a whole signed file on dbx has",
    ),
)

DEBIAN_6_12 = replace(
    V6_12,
    id="debian-6.12",
    title="Debian 13, Linux 6.12",
    releases="6.12.*+deb13-amd64 and its sisters",
    trust=Trust((MACHINE, PLATFORM), revoked_files=True),
    basis=Basis.BOOTED,
    source="linux-image-6.12.117+deb12-cloud-amd64 booted with 124 files in three modes",
    notes=(*V6_12.notes, RETRY, *DEBIAN_6_1.notes[-1:]),
)

DEBIAN_7_2 = replace(
    V7_0,
    id="debian-7.2",
    title="Debian unstable, Linux 7.2",
    releases="7.*+deb14-amd64 and its sisters",
    crypto=replace(V7_0.crypto, algorithms=V6_12.crypto.algorithms),
    trust=Trust((MACHINE, PLATFORM)),
    source="linux-image-7.2.13+deb14-cloud-amd64 booted with 124 files in three modes",
    notes=(
        *V5_18.notes,
        RETRY,
        "built without ML-DSA; SHA-3 is a module, taken here to be loaded",
        "revoked certificates and file hashes (dbx) have no effect",
    ),
)

RHEL8 = replace(
    V4_7,
    id="rhel8",
    title="Red Hat Enterprise Linux 8",
    releases="4.18.0-*.el8",
    replies=replace(V5_4.replies, enforcing={n: Reply("EKEYREJECTED", None, f"Loading of {what} is rejected")
                                            for n, what in REASONS.items()}),
    unsigned="ENODATA",
    trust=WITH_PLATFORM,
    basis=Basis.RECALLED,
    source="mainline " + PATCHED + " (4.18 with the lockdown and the answers of 5.4)",
    switches=V5_4.switches,
    notes=(*V5_4.notes[:2], RETRY),
)  # fmt: skip

RHEL9 = replace(
    V5_13, id="rhel9", title="Red Hat Enterprise Linux 9", releases="5.14.0-*.el9", trust=WITH_PLATFORM,
    basis=Basis.RECALLED, source="mainline " + PATCHED, notes=(*V5_13.notes, RETRY),
)  # fmt: skip

RHEL10 = replace(
    V6_12, id="rhel10", title="Red Hat Enterprise Linux 10", releases="6.12.0-*.el10", trust=WITH_PLATFORM,
    basis=Basis.RECALLED, source="mainline " + PATCHED, notes=(*V6_12.notes, RETRY),
)  # fmt: skip

FEDORA = replace(
    V6_12, id="fedora", title="Fedora, current releases", releases="6.*.fc*", trust=WITH_PLATFORM,
    basis=Basis.RECALLED, source="mainline " + PATCHED, notes=(*V6_12.notes, RETRY),
)  # fmt: skip

UBUNTU_5_4 = replace(
    V5_4, id="ubuntu-5.4", title="Ubuntu 20.04, Linux 5.4", releases="5.4.0-*-generic and its sisters",
    trust=WITH_PLATFORM, basis=Basis.RECALLED, source="mainline " + PATCHED, notes=(*V5_4.notes, RETRY),
)  # fmt: skip

UBUNTU_5_15 = replace(
    V5_13, id="ubuntu-5.15", title="Ubuntu 22.04, Linux 5.15", releases="5.15.0-*-generic and its sisters",
    trust=WITH_PLATFORM, basis=Basis.RECALLED, source="mainline " + PATCHED, notes=(*V5_13.notes, RETRY),
)  # fmt: skip

UBUNTU = replace(
    V6_12, id="ubuntu", title="Ubuntu, Linux 6.12 and later", releases="6.14.0-*-generic and later",
    trust=WITH_PLATFORM, basis=Basis.RECALLED, source="mainline " + PATCHED, notes=(*V5_18.notes, RETRY),
)  # fmt: skip

SLES = replace(
    V5_18, id="sles", title="SUSE Linux Enterprise 15",
    releases="4.12.14-*-default to 6.4.0-*-default",
    trust=WITH_PLATFORM, basis=Basis.RECALLED, source="mainline " + PATCHED,
    notes=(*V5_18.notes, RETRY,
           "with CONFIG_CHECK_CODESIGN_EKU a key must be meant for signing code: that is not foreseen"),
)  # fmt: skip

ANDROID_GKI = replace(
    V5_18,
    id="android-gki",
    title="Android's generic kernel image",
    releases="*-android12-* and later",
    replies=Replies(
        permissive={name: Reply(None, None) for name in REASONS},
        enforcing={name: Reply(None, None) for name in REASONS},
        lockdown={name: Reply(None, None) for name in REASONS},
    ),
    source="kernel/module/signing.c of the variant with CONFIG_MODULE_SIG_PROTECT (ebd072ea), read",
    switches=("none: enforcement is compiled out",),
    notes=("an unsigned module loads; only signed ones may use or export protected symbols",),
)

ROWS = (
    RHEL7, RHEL8, RHEL9, RHEL10, FEDORA, DEBIAN_6_1, DEBIAN_6_12, DEBIAN_7_2, UBUNTU_5_4, UBUNTU_5_15, UBUNTU,
    SLES12, SLES, ANDROID_GKI,
)  # fmt: skip
