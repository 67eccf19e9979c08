"""Red Hat Enterprise Linux 7 to 10 with its rebuilds (CentOS, AlmaLinux, Rocky, OpenVZ), and Fedora."""

from __future__ import annotations

from elfsig.kernels.key_rules import Trust
from elfsig.kernels.profile import Releases, Reply, SecureBoot
from elfsig.kernels.tables import parameters
from elfsig.kernels.tables.family import PLATFORM, RETRY, Family
from elfsig.kernels.tables.mainline import (
    BUILTIN,
    MACHINE,
    REASONS,
    REPLIES,
    RUN_TIME,
    SECURE_BOOT,
    SIG_ENFORCE,
    V3_17,
    V4_19,
    V5_4,
    V5_13,
    V6_12,
    V7_0,
)
from elfsig.lazy_dataclass import replace
from elfsig.model import Basis

OLD_LOCKDOWN = "Lockdown: {{tool}}: Loading of {what} is restricted; see man kernel_lockdown.7"
OLD_SWITCH = (
    "lockdown: kernel parameter lockdown with any value; /sys/kernel/security/lockdown does not exist"
)
REPLIES_OLD_LOCKDOWN = replace(
    REPLIES,
    lockdown={name: Reply("EPERM", None, OLD_LOCKDOWN.format(what=what)) for name, what in REASONS.items()},
)
"""The lockdown of distributions before it came to mainline in 5.4."""
OLD_WORDS = "the words of the lockdown line"

ON_X86 = "Secure Boot locks it down on x86 only: on aarch64 that option is off"
EVERY_KEY = frozenset({"builtin", "secondary", "machine", "platform"})
_BUILD = r"(?:\.[\w.]+?)??"
_TAIL = r"(?:_\d+)?(?:\.\w+)?(?:\+\w+)*"

RHEL7 = replace(
    V3_17,
    id="rhel7",
    title="Red Hat Enterprise Linux 7, CentOS 7, OpenVZ 7",
    releases=Releases(
        rf"3\.10\.0-\d+{_BUILD}\.(?:el7|vz7)(?:\.[\d.]+|\.centos\.plus)?{_TAIL}",
        ("3.10.0-1160.el7.x86_64", "3.10.0-1160.vz7.1", "3.10.0-1160.90.1.vz7.200.7"),
    ),
    trust=Trust((EVERY_KEY,), revoked_keys="always", identifiers="skid"),
    source="kernel/module_signing.c of 3.10.0-el7 (OpenVZ/vzkernel 0495ee1d): the blacklist is asked first",
    recalled=("that UEFI db and machine owner keys are on its system keyring",),
    fips="panic",
    notes=("PKCS#7 signatures are refused in every mode (ENOPKG)",),
)

RHEL8 = replace(
    V4_19,
    id="rhel8",
    title="Red Hat Enterprise Linux 8.8 and later, and its rebuilds",
    releases=Releases(
        rf"4\.18\.0-(?:4[89]\d|47[7-9]|[5-9]\d\d){_BUILD}\.(?:el8|vz8)(?:\.[\d.]+)?{_TAIL}",
        ("4.18.0-553.el8_10.x86_64", "4.18.0-513.18.1.el8_9.x86_64"),
    ),
    replies=REPLIES_OLD_LOCKDOWN,
    unsigned="ENODATA",
    crypto=replace(V4_19.crypto, fips_bits=2048, extensions="unknown"),
    trust=Trust((BUILTIN, PLATFORM), blacklist="own"),
    basis=Basis.SOURCE,
    source="configuration of 4.18.0-513.18.1 (openela-main/kernel); answers of module.c as in 5.4",
    recalled=(
        "that its module.c asks the platform keyring (Fedora's patch of 2019 does)", OLD_WORDS,
        "that FIPS mode refuses RSA below 2048 bits",
    ),
    switches=(SIG_ENFORCE, RUN_TIME, OLD_SWITCH, SECURE_BOOT),
    boot=parameters.SINCE_4_7_LOCKDOWN,
    notes=(*V5_4.notes, RETRY),
    who="module: ",
    not_pkcs7=V5_4.not_pkcs7,
    secure_boot=SecureBoot(enforces=True, locks=True),
)  # fmt: skip

RHEL8_EARLY = replace(
    RHEL8,
    id="rhel8-early",
    title="Red Hat Enterprise Linux 8.0 to 8.7, and its rebuilds",
    releases=Releases(
        rf"4\.18\.0-(?:\d\d?|[1-3]\d\d|4[0-6]\d|47[0-6]){_BUILD}\.(?:el8|vz8)(?:\.[\d.]+)?{_TAIL}",
        ("4.18.0-147.el8.x86_64", "4.18.0-372.9.1.el8.x86_64"),
    ),
    crypto=replace(RHEL8.crypto, late=frozenset({"sha384", "sha512"})),
    source="configuration of 8.1: IMA_ARCH_POLICY n, SHA-512 as a module; answers of module.c as in 5.4",
    recalled=(*RHEL8.recalled, "that 8.2 to 8.7 were configured as 8.1"),
    secure_boot=SecureBoot(locks=True),
)

RHEL9 = replace(
    V5_13,
    id="rhel9",
    title="Red Hat Enterprise Linux 9, and its rebuilds",
    releases=Releases(
        rf"5\.14\.0-\d+{_BUILD}\.(?:el9|vz9)(?:\.[\d.]+)?{_TAIL}",
        ("5.14.0-427.13.1.el9_4.x86_64", "5.14.0-427.22.1.vz9.62.7", "5.14.0-536.el9.aarch64+64k"),
    ),
    crypto=replace(V5_13.crypto, absent=frozenset({"sm3"}), extensions="unknown"),
    trust=Trust((MACHINE, PLATFORM), blacklist="own", ca="ca-only"),
    source="configuration of 5.14.0-362.24.1.el9_3 (openela-main/kernel): no list of revoked keys,"
    " INTEGRITY_CA_MACHINE_KEYRING_MAX, IMA_ARCH_POLICY",
    recalled=("that its signing.c asks the platform keyring, as Fedora's patch does",),
    notes=(*V5_13.notes, RETRY, ON_X86),
    secure_boot=SecureBoot(enforces=True, locks=True),
    hash="sha512",
)

RHEL10 = replace(
    V6_12,
    id="rhel10",
    title="Red Hat Enterprise Linux 10, and its rebuilds",
    releases=Releases(
        rf"6\.12\.0-(?:\d\d?|1[0-3]\d|14[0-3]){_BUILD}\.el10(?:\.[\d.]+)?{_TAIL}",
        ("6.12.0-55.el10.x86_64", "6.12.0-55.40.1.el10_0.x86_64"),
    ),
    crypto=replace(V6_12.crypto, absent=frozenset({"sm3"})),
    trust=Trust((MACHINE, PLATFORM), blacklist="own", ca="ca-only"),
    source="configuration of 6.12.0-55.40.1.el10_0: MODULE_COMPRESS n, no list of revoked keys; Red Hat's"
    " documentation of module authentication (table 21.2)",
    recalled=(
        "that its signing.c asks the platform keyring, as Fedora's patch does",
        "the release of 10 from which the kernel decompresses modules itself",
        "INTEGRITY_CA_MACHINE_KEYRING_MAX (as in 9.3)",
    ),
    notes=(*V6_12.notes, RETRY, ON_X86),
    unpacks=frozenset(),
    secure_boot=SecureBoot(enforces=True, locks=True),
    hash="sha512",
)

RHEL10_STREAM = replace(
    RHEL10,
    id="rhel10-stream",
    title="CentOS Stream 10, from build 144 on",
    releases=Releases(
        rf"6\.12\.0-(?:14[4-9]|1[5-9]\d|[2-9]\d\d){_BUILD}\.el10(?:\.[\d.]+)?{_TAIL}",
        ("6.12.0-144.el10.x86_64",),
    ),
    source="configuration of 6.12.0-144.el10: xz with MODULE_DECOMPRESS; lockdown on aarch64 too",
    recalled=(RHEL10.recalled[0], RHEL10.recalled[2]),
    notes=(*V6_12.notes, RETRY),
    unpacks=frozenset({"xz"}),
)

_FEDORA = r"-(?:0\.rc\d+\.(?:\d{8}git[0-9a-f]+\.)?\d+|[1-9]\d*)"
"""Fedora's own build numbers; builds of copr have a word of their own here (cachyos, fsync, surface)."""
_CURRENT, _ANY = r"\.fc(?:4[2-9]|[5-9]\d)", r"\.fc\d\d"

FEDORA = replace(
    V6_12,
    id="fedora",
    title="Fedora 42 and later, Linux 6.12 to 6.19",
    releases=Releases(
        rf"\d+\.\d+\.\d+{_FEDORA}{_CURRENT}{_TAIL}",
        ("6.19.10-300.fc44.x86_64", "6.14.0-0.rc7.20250320gita7f2e10ecd8f.60.fc43.x86_64"),
        (6, 12, 0), (7, 0, 0),
    ),
    crypto=replace(V6_12.crypto, absent=frozenset({"sm3"})),
    trust=Trust((MACHINE, PLATFORM), blacklist="own"),
    source="patch-1-redhat.patch of 6.17.7 (bazzite-org/kernel-bazzite 369d3489): kernel/module/signing.c"
    " asks the platform keyring; configuration of Fedora 42",
    recalled=("which machine owner keys its machine keyring takes (no matter: both keyrings count)",),
    notes=(*V6_12.notes, RETRY, "it signs its modules with SHA-256, although it is configured for SHA-512"),
    unpacks=frozenset({"xz"}),
    secure_boot=SecureBoot(enforces=True, locks=True),
)  # fmt: skip

FEDORA_7_0 = replace(
    FEDORA,
    id="fedora-7.0",
    title="Fedora, Linux 7.0 and later",
    releases=Releases(rf"\d+\.\d+\.\d+{_FEDORA}{_CURRENT}{_TAIL}", ("7.0.4-200.fc44.x86_64",), (7, 0, 0)),
    crypto=replace(V7_0.crypto, absent=frozenset({"sm3"})),
    trust=replace(FEDORA.trust, blacklist="sha256"),
    basis=Basis.RECALLED,
    source="mainline 7.0 to 7.3 with Fedora's patch and configuration of 6.17",
    recalled=("that the patch and the configuration of 6.17 still hold for 7.0, and whether it has ML-DSA",),
    notes=(*V7_0.notes, RETRY),
)

FAMILIES = (
    Family(
        "fedora",
        "Fedora",
        Releases(rf"\d+\.\d+\.\d+{_FEDORA}{_ANY}{_TAIL}", ("6.5.6-300.fc39.x86_64",)),
        {"trust": FEDORA.trust, "secure_boot": SecureBoot(locks=True)},
        ("that this version of Fedora asks the platform keyring, and locks itself down under Secure Boot",),
        (RETRY,),
    ),
)

ROWS = (RHEL7, RHEL8_EARLY, RHEL8, RHEL9, RHEL10, RHEL10_STREAM, FEDORA, FEDORA_7_0)
