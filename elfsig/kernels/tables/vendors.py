"""Other vendors: Android, Arch, Azure Linux, Amazon, SteamOS, openEuler, Photon, Talos, Bottlerocket, and
kernels that look at no signature."""

from __future__ import annotations

from elfsig.kernels.key_rules import Trust
from elfsig.kernels.profile import (
    NO_RELEASE,
    Profile,
    Releases,
    Replies,
    Reply,
    SecureBoot,
    SignatureLocation,
)
from elfsig.kernels.tables.family import Family
from elfsig.kernels.tables.mainline import (
    BUILTIN,
    MACHINE,
    REASONS,
    REPLIES,
    SECONDARY,
    V4_19,
    V5_18,
    V6_6,
    V6_14,
)
from elfsig.lazy_dataclass import replace

_NONE = frozenset[str]()
NOT_BUILT_FOR_SIGNATURES = "built without CONFIG_MODULE_SIG: every module loads, signed or not"
KHC = "configuration in kernel-hardening-checker 0b9aebf (config_files/distros)"

ANDROID_GKI = replace(
    V5_18,
    id="android-gki",
    title="Android's generic kernel image",
    releases=Releases(
        r"\d+\.\d+\.\d+-android\d+-.*", ("5.10.107-android13-4-00001", "6.6.30-android15-8-g1a2b3c4d5e6f")
    ),
    replies=Replies(
        permissive={name: Reply(None, None) for name in REASONS},
        enforcing={name: Reply(None, None) for name in REASONS},
    ),
    crypto=replace(V5_18.crypto, absent=frozenset({"ecdsa", "sm3"})),
    trust=Trust((BUILTIN,)),
    source="kernel/module/signing.c of the variant with CONFIG_MODULE_SIG_PROTECT (ebd072ea);"
    " gki_defconfig of 5.10 and 6.6",
    switches=("a build with CONFIG_MODULE_SIG_FORCE and without CONFIG_MODULE_SIG_PROTECT",),
    notes=("an unsigned module loads; only signed ones may use or export protected symbols",),
    unpacks=_NONE,
    secure_boot=SecureBoot(moks="never"),
)

ARCH = replace(
    V6_14,
    id="arch",
    title="Arch Linux, Linux 6.14 to 7.0",
    releases=Releases(r"\d+\.\d+\.\d+-arch\d+-\d+", ("6.17.1-arch1-1",), (6, 14, 0), (7, 1, 0)),
    trust=Trust((SECONDARY, ), revoked_keys="always", blacklist="own"),
    source=f"{KHC} of 6.17: zstd with MODULE_DECOMPRESS, ECDSA key, no IMA (so machine owner keys are not"
    " loaded), list of revoked keys, no lockdown under Secure Boot",
    recalled=("that 6.14 to 7.0 are configured as 6.17",),
    notes=(*V6_14.notes, "machine owner keys (mokutil) do not count: it is built without IMA"),
    unpacks=frozenset({"zstd"}),
    secure_boot=SecureBoot(moks="never"),
)  # fmt: skip

AZURE_LINUX = replace(
    V6_6,
    id="azurelinux",
    title="Azure Linux 3, Linux 6.6",
    releases=Releases(
        r"\d+\.\d+\.\d+\.\d+-\d+(?:\.\d+)*\.azl\d+(?:\.\w+)?", ("6.6.134.1-1.azl3",), (6, 6, 0), (6, 7, 0)
    ),
    crypto=replace(V6_6.crypto, absent=frozenset({"sm3"})),
    trust=Trust((MACHINE,), blacklist="own"),
    source="microsoft/azurelinux 2172d5c: no platform retry, no list of revoked keys, no CA rule for the"
    " machine keyring, IMA_ARCH_POLICY, modules not compressed",
    unpacks=_NONE,
    secure_boot=SecureBoot(enforces=True, locks=True),
    hash="sha512",
)

STEAMOS = replace(
    V6_14,
    id="steamos",
    title="SteamOS (Valve's neptune kernel)",
    releases=Releases(
        r"\d+\.\d+\.\d+-valve\d+(?:\.\d+)*-\d+-neptune.*",
        ("6.11.11-valve12-1-neptune-611-gfd0dd251480d", "6.16.12-valve4-1-neptune-616-g1234567890ab"),
    ),
    replies=replace(
        REPLIES,
        permissive={
            **REPLIES.permissive,
            **{
                inner: Reply(None, "E", "Sig verification failed -{number}. Continuing")
                for inner in ("EKEYREJECTED", "EBADMSG", "EINVAL")
            },
        },
    ),
    source="kernel/module/signing.c of Valve's kernel (neptune-mirror/linux-neptune 9073dc99): a wrong"
    " signature is logged, and the module loads unless the kernel enforces or is locked down",
    recalled=("its configuration", "the taint that such a module gets"),
    notes=(*V6_14.notes, "a module whose signature does not match loads in permissive mode"),
)

OPENEULER = replace(
    V6_6,
    id="openeuler",
    title="openEuler 24.03, Linux 6.6",
    releases=Releases(
        r"6\.6\.0-[\d.]+\.oe\d+(?:sp\d+)?(?:\.\w+)?", ("6.6.0-28.0.0.34.oe2403.x86_64",)
    ),
    source="openEuler's tree of 6.6: sha256, not enforced, modules not compressed",
    recalled=("what it adds for SM2 and SM3", "its keyrings beside those of mainline"),
    unpacks=_NONE,
    hash="sha256",
)  # fmt: skip

PHOTON = replace(
    V5_18,
    id="photon",
    title="VMware Photon OS 5, Linux 6.1",
    releases=Releases(
        r"\d+\.\d+\.\d+-\d+(?:\.\d+)*\.ph\d+(?:-\w+)*", ("6.1.10-11.ph5", "6.1.75-2.ph5-esx")
    ),
    trust=Trust((BUILTIN, ), blacklist="own"),
    source=f"{KHC} and Photon's kernel patches: SECONDARY n, PLATFORM y, IMA_ARCH_POLICY n, an option of its"
    " own for Secure Boot (LOCK_DOWN_KERNEL_IN_SECUREBOOT)",
    recalled=("that its signing.c does not ask the platform keyring",),
    unpacks=_NONE,
    secure_boot=SecureBoot(locks=True),
)  # fmt: skip

TALOS = replace(
    V6_14,
    id="talos",
    title="Talos Linux, Linux 6.18",
    releases=Releases(r"\d+\.\d+\.\d+-talos", ("6.18.2-talos",)),
    crypto=replace(V6_14.crypto, absent=frozenset({"ecdsa"})),
    trust=Trust((BUILTIN,), blacklist="own"),
    source=f"{KHC}: sha512, no ECDSA, SECONDARY n, no IMA",
    recalled=("its decompression of modules",),
    secure_boot=SecureBoot(moks="never"),
    hash="sha512",
)

BOTTLEROCKET = replace(
    V5_18,
    id="bottlerocket",
    title="Bottlerocket, Linux 6.1",
    releases=NO_RELEASE,
    source=f"{KHC}: gzip, no IMA. Its releases look like upstream's, so it is chosen by id only",
    recalled=("its list of revoked keys",),
    unpacks=frozenset({"gzip"}),
    secure_boot=SecureBoot(moks="never"),
)


def _unsigned(id_: str, title: str, releases: Releases, source: str) -> Profile:
    """A kernel that looks at no signature."""
    return replace(
        V6_6,
        id=id_,
        title=title,
        releases=releases,
        walk="none",
        look=SignatureLocation("pkcs7", "trailer:modsig"),
        source=source,
        notes=(NOT_BUILT_FOR_SIGNATURES,),
        switches=("none",),
        secure_boot=None,
    )


WSL2 = _unsigned(
    "wsl2",
    "Windows Subsystem for Linux 2",
    Releases(r"\d+\.\d+\.\d+\.\d+-microsoft-standard.*", ("5.15.153.1-microsoft-standard-WSL2",)),
    "configuration of WSL2-Linux-Kernel: MODULE_SIG n",
)
NIXOS = _unsigned(
    "nixos",
    "NixOS",
    NO_RELEASE,
    "configuration of nixpkgs: MODULE_SIG n. Its releases look like upstream's, so it is chosen by id only",
)

XCP_NG = replace(
    V4_19,
    id="xcp-ng",
    title="XCP-ng 8, Linux 4.19",
    releases=Releases(r"4\.19\.0\+1", ("4.19.0+1",)),
    source="xcp-ng's kernel 106700f8: sig_enforce is a plain switch",
    recalled=("its configuration",),
    notes=(*V4_19.notes, "root can clear sig_enforce again: it is not a barrier there"),
)

AMAZON = Family(
    "amazon",
    "Amazon Linux",
    Releases(
        r"\d+\.\d+\.\d+-[\d.]+\.amzn\d+(?:\.\w+)?",
        ("6.12.25-35.53.amzn2023.x86_64", "5.10.178-162.673.amzn2.x86_64"),
    ),
    {},
    ("its configuration; its code for keyrings is that of mainline from 6.6 on",),
)

FAMILIES = (AMAZON,)

ROWS = (
    ANDROID_GKI, ARCH, AZURE_LINUX, STEAMOS, OPENEULER, PHOTON, TALOS, BOTTLEROCKET, WSL2, NIXOS, XCP_NG,
)  # fmt: skip
