"""Mainline kernels from 3.7 to 7.3: one row for each release at which a response changed.

A row stands for a kernel in which every option that concerns signatures is on; a configuration
(:mod:`elfsig.kernels.config`) takes away what a build left out. Releases in which only tools changed have
no row.
"""

from __future__ import annotations

from elfsig.kernels.key_rules import Trust
from elfsig.kernels.profile import Profile, Releases, Replies, Reply, SecureBoot, SignatureLocation, Version
from elfsig.kernels.tables import computing, parameters
from elfsig.lazy_dataclass import replace
from elfsig.model import Basis

TAINTING = "{name}: module verification failed: signature and/or required key missing - tainting kernel"
LOCKDOWN = "Lockdown: {tool}: unsigned module loading is restricted; see man kernel_lockdown.7"
SIG_ENFORCE = "kernel parameter module.sig_enforce=1, or built with CONFIG_MODULE_SIG_FORCE"
RUN_TIME = "1 in /sys/module/module/parameters/sig_enforce (can be set, never cleared)"
LOCK_DOWN = "lockdown: kernel parameter lockdown=integrity, or /sys/kernel/security/lockdown"
SECURE_BOOT = "UEFI Secure Boot, where the kernel was built with CONFIG_IMA_ARCH_POLICY"
FORCED = "a module loaded by force counts as unsigned"
FOUR_REASONS = (
    "an enforcing kernel returns EKEYREJECTED for four different reasons; only its log distinguishes them"
)
REASONS = {
    "ENODATA": "unsigned module",
    "ENOPKG": "module with unsupported crypto",
    "ENOKEY": "module with unavailable key",
}
"""The three inner errors that a permissive kernel since 5.4 tolerates, as its log calls them."""

UNMODIFIED = (
    r"\d+\.\d+(?:\.\d+)?(?:-rc\d+)?(?:-next-\d{8})?"
    r"(?:\+|-dirty|-\d{1,7}-g[0-9a-f]{7,40}|-g[0-9a-f]{7,40})*"
)
"""What a kernel built from the upstream source calls itself; setlocalversion adds commits and "+"."""


def linux(example: str, since: Version, before: Version | None = None) -> Releases:
    """Upstream releases from ``since`` up to, not including, ``before``."""
    return Releases(UNMODIFIED, (example,), (*since, 0, 0)[:3], before and (*before, 0, 0)[:3])


def enforcing(line: str) -> dict[str, Reply]:
    """EKEYREJECTED for the three tolerated errors, with this line in the log."""
    return {name: Reply("EKEYREJECTED", None, line.format(what=what)) for name, what in REASONS.items()}


def _permissive(taint: str, *inner: str) -> dict[str, Reply]:
    return {name: Reply(None, taint, TAINTING) for name in inner}


_LOCKED = {name: Reply("EPERM", None, LOCKDOWN) for name in REASONS}
REPLIES = Replies(_permissive("E", *REASONS), enforcing("Loading of {what} is rejected"), _LOCKED)
_REPLIES_5_6 = replace(REPLIES, enforcing=enforcing("{{name}}: Loading of {what} is rejected"))
_REPLIES_5_11 = replace(REPLIES, enforcing=enforcing("{{name}}: loading of {what} is rejected"))

BUILTIN = frozenset({"builtin"})
SECONDARY = BUILTIN | {"secondary"}
MACHINE = SECONDARY | {"machine"}

_NOT_PKCS7_4_3 = "Module is not signed with expected PKCS#7 message"
_NOT_PKCS7 = "not signed with expected PKCS#7 message"

V3_7 = Profile(
    id="3.7",
    title="Linux 3.7 to 3.12",
    releases=linux("3.10.108", (3, 7), (3, 13)),
    walk="x509",
    look=SignatureLocation("x509", "trailer:modsig"),
    replies=Replies(_permissive("F", "ENOKEY")),
    crypto=computing.SINCE_3_7,
    trust=Trust((BUILTIN,), dates=True, identifiers="both"),
    basis=Basis.SOURCE,
    source="kernel/module_signing.c and kernel/module.c of 3.7",
    recalled=("the panic in FIPS mode",),
    unsigned="ENOKEY",
    fips="panic",
    switches=(SIG_ENFORCE,),
    boot=parameters.SINCE_3_7,
    notes=("an unsigned module sets taint F, as a forced one does, until 3.15",),
)

V3_7_RC1 = replace(
    V3_7,
    id="3.7-rc1",
    title="Linux 3.7-rc1, October 2012",
    releases=Releases(r"3\.7\.0-rc1\b.*", ("3.7.0-rc1",)),
    walk="x509-rc1",
    look=SignatureLocation("x509-rc1", "trailer:modsig-rc1"),
    source="kernel/module_signing.c of the merge (106a4ee2)",
    notes=("it scans the file from the start and uses the first marker", *V3_7.notes),
)

V3_13 = replace(
    V3_7,
    id="3.13",
    title="Linux 3.13 and 3.14",
    releases=linux("3.14.79", (3, 13), (3, 15)),
    trust=Trust((BUILTIN,), identifiers="skid"),
    source="as 3.7; crypto/asymmetric_keys/x509_public_key.c no longer checks the dates of certificates, nor"
    " (17334cabc814) that they have an authorityKeyIdentifier",
    recalled=(*V3_7.recalled, "that the check of dates went away in 3.13"),
)

V3_15 = replace(
    V3_13,
    id="3.15",
    title="Linux 3.15 and 3.16",
    releases=linux("3.16.85", (3, 15), (3, 17)),
    replies=Replies(_permissive("E", "ENOKEY")),
    source="as 3.13; commit 66cc69e34e86 (taint E)",
    notes=(),
    boot=parameters.SINCE_3_15,
)

V3_17 = replace(
    V3_15,
    id="3.17",
    title="Linux 3.17 to 4.2",
    releases=linux("4.1.52", (3, 17), (4, 3)),
    fips="crypto-modules",
    trust=Trust((BUILTIN,), identifiers="unknown"),
    source="kernel/module_signing.c at 091f6e26; crypto_check_module_sig() for FIPS mode",
    recalled=V3_13.recalled[1:],
)

V4_3 = replace(
    V3_17,
    id="4.3",
    title="Linux 4.3 to 4.6",
    releases=linux("4.4.302", (4, 3), (4, 7)),
    walk="cms",
    trust=Trust((BUILTIN,)),
    look=SignatureLocation("pkcs7", "trailer:modsig"),
    crypto=computing.SINCE_4_3,
    source="kernel/module_signing.c at a0c97f19, crypto/asymmetric_keys/pkcs7_*.c",
    recalled=(),
    notes=(
        "signatures of the form of 3.7 to 4.2 are refused in every mode (ENOPKG)",
        "module.sig_enforce=on is read from 4.6 on: 4.3 to 4.5 take 1 and y",
    ),
    not_pkcs7=_NOT_PKCS7_4_3,
)

V4_7 = replace(
    V4_3,
    id="4.7",
    title="Linux 4.7 to 4.18",
    releases=linux("4.9.337", (4, 7), (4, 19)),
    trust=Trust((SECONDARY,)),
    crypto=computing.SINCE_4_7,
    source="kernel/module_signing.c of 4.7, crypto/rsa.c (rsa_check_key_length)",
    notes=(*V4_3.notes[:1], FORCED),
    boot=parameters.SINCE_4_7,
)

V4_19 = replace(
    V4_7,
    id="4.19",
    title="Linux 4.19 to 5.3",
    releases=linux("4.19.325", (4, 19), (5, 4)),
    trust=Trust((SECONDARY,), blacklist="own"),
    source="kernel/module_signing.c of 4.19, certs/blacklist.c",
    who="{name}: ",
)

V5_4 = replace(
    V4_19,
    id="5.4",
    title="Linux 5.4 and 5.5",
    releases=linux("5.4.296", (5, 4), (5, 6)),
    replies=REPLIES,
    source="kernel/module.c and kernel/module_signature.c of 5.4, security/integrity/ima/ima_efi.c",
    unsigned="ENODATA",
    switches=(SIG_ENFORCE, RUN_TIME, LOCK_DOWN, SECURE_BOOT),
    notes=(FORCED, FOUR_REASONS),
    who="module: ",
    not_pkcs7=_NOT_PKCS7,
    secure_boot=SecureBoot(enforces=True, assumed=True),
    boot=parameters.SINCE_5_4,
)

V5_6 = replace(
    V5_4,
    id="5.6",
    title="Linux 5.6 to 5.10.25",
    releases=linux("5.8.18", (5, 6), (5, 10, 26)),
    replies=_REPLIES_5_6,
    crypto=computing.SINCE_5_6,
    source="kernel/module.c of 5.6 to 5.10.25: the log has the module's name in front",
    recalled=("that the module's name came with 5.6",),
)

V5_10_26 = replace(
    V5_4,
    id="5.10.26",
    title="Linux 5.10.26 and later releases of 5.10",
    releases=linux("5.10.245", (5, 10, 26), (5, 11)),
    crypto=computing.SINCE_5_6,
    source="kernel/module.c of 5.10.223: the log line as in 5.4; crypto/api.c, crypto/testmgr.c of 5.10.262",
)

V5_11 = replace(
    V5_4,
    id="5.11",
    title="Linux 5.11",
    releases=linux("5.11.22", (5, 11), (5, 12)),
    replies=_REPLIES_5_11,
    source="kernel/module.c of 5.11: name in front, and a lower-case \"loading of\"",
)  # fmt: skip

V5_12 = replace(
    V5_4,
    id="5.12",
    title="Linux 5.12",
    releases=linux("5.12.19", (5, 12), (5, 13)),
    source="kernel/module.c of 5.12: the log line as in 5.4",
)

V5_13 = replace(
    V5_4,
    id="5.13",
    title="Linux 5.13 to 5.16",
    releases=linux("5.15.195", (5, 13), (5, 17)),
    crypto=computing.SINCE_5_13,
    trust=Trust((SECONDARY,), revoked_keys="platform", blacklist="own"),
    source="kernel/module.c, certs/blacklist.c, pkcs7_parser.c: revoked keys are asked for on the platform"
    " path only, which modules do not take",
    recalled=("that FIPS mode refuses RSA below 2048 bits since 5.13 (it does in crypto/rsa.c of 6.1)",),
)

V5_17 = replace(
    V5_13,
    id="5.17",
    title="Linux 5.17",
    releases=linux("5.17.15", (5, 17), (5, 18)),
    unpacks=frozenset({"gzip", "xz"}),
    source="kernel/module_decompress.c and kernel/module_signing.c of 5.17",
)

V5_18 = replace(
    V5_17,
    id="5.18",
    title="Linux 5.18 to 6.2",
    releases=linux("6.1.158", (5, 18), (6, 3)),
    crypto=computing.SINCE_5_18,
    trust=Trust((MACHINE,), revoked_keys="platform", blacklist="own"),
    source="kernel/module/signing.c at 14e77332; certs/system_keyring.c and crypto/ of 6.1.192",
    recalled=(),
    notes=(
        *V5_13.notes,
        "its own decompressor takes gzip or xz, as it was built; zstd came between 6.2 and 6.12",
        "signatures by SM2 and EC-RDSA are parsed too, but elfsig cannot check them",
        "module.sig_enforce=true is read from 5.19 on: 5.18 takes 1, y and on",
    ),
    boot=parameters.SINCE_5_19,
)

V6_3 = replace(
    V5_18,
    id="6.3",
    title="Linux 6.3 to 6.5",
    releases=linux("6.5.13", (6, 3), (6, 6)),
    crypto=computing.SINCE_6_3,
    source="crypto/testmgr.c after c27b2d2012e1: FIPS mode allows ECDSA with P-256 and P-384; else as 5.18",
    notes=V5_18.notes[:-1],
)

V6_6 = replace(
    V6_3,
    id="6.6",
    title="Linux 6.6",
    releases=linux("6.6.116", (6, 6), (6, 7)),
    trust=replace(V5_18.trust, revoked_keys="always"),
    crypto=computing.SINCE_6_6,
    unpacks=frozenset({"gzip", "xz", "zstd"}),
    source="certs/system_keyring.c of 6.12: the list of revoked keys is asked first for every keyring"
    ' ("certs: Reference revocation list for all keyrings", August 2023)',
    recalled=("that FIPS mode limits RSA exponents since 6.6 (crypto/rsa.c has it)",),
    notes=(*V5_13.notes, V5_18.notes[-2]),
)

V6_7 = replace(
    V6_6,
    id="6.7",
    title="Linux 6.7 and 6.8",
    releases=linux("6.8.1", (6, 7), (6, 9)),
    crypto=computing.SINCE_6_7,
    source="pkcs7_parser.c after 16ab7cb5825f",
    notes=(*V6_6.notes, "SHA-1 was removed, and came back in 6.9 and in stable releases of 6.7 and 6.8"),
)

V6_9 = replace(
    V6_7,
    id="6.9",
    title="Linux 6.9",
    releases=linux("6.9.12", (6, 9), (6, 10)),
    crypto=computing.SINCE_6_9,
    source="pkcs7_parser.c after 203a6763ab69",
    notes=V6_6.notes,
)

V6_10 = replace(
    V6_9,
    id="6.10",
    title="Linux 6.10 and 6.11",
    releases=linux("6.11.11", (6, 10), (6, 12)),
    crypto=computing.SINCE_6_10,
    basis=Basis.RECALLED,
    source="x509_cert_parser.c has no P-521 in 6.1 and has it in 6.12; SM2 went in the same span",
    recalled=("that P-521 came with 6.10", "the release in which SM2 went"),
)

V6_12 = replace(
    V6_10,
    id="6.12",
    title="Linux 6.12 and 6.13",
    releases=linux("6.12.57", (6, 12), (6, 14)),
    crypto=computing.SINCE_6_12,
    basis=Basis.SOURCE,
    source="kernel/module, certs, crypto/asymmetric_keys and crypto/testmgr.c of 6.12.118",
    recalled=("that FIPS mode takes RSA with SHA-1 in 6.13 (it does in 6.12, and not in 7.3)",),
    notes=(*V5_13.notes, "signatures by EC-RDSA are parsed too, but elfsig cannot check them"),
)

V6_14 = replace(
    V6_12,
    id="6.14",
    title="Linux 6.14 to 6.17",
    releases=linux("6.17.8", (6, 14), (6, 18)),
    crypto=computing.SINCE_6_14,
    source="kernel/module/Kconfig of 6.14: SHA-512 is the default digest for signing; else as 6.12",
    recalled=("that FIPS mode rules out RSA with SHA-1 before 7.3",),
    hash="sha512",
)

V6_18 = replace(
    V6_14,
    id="6.18",
    title="Linux 6.18",
    releases=linux("6.18.44", (6, 18), (6, 19)),
    crypto=computing.SINCE_6_18,
    source="x509_cert_parser.c after 5851afffe2ab; certificates were put to a running 6.18.44; else as 6.14",
)

V6_19 = replace(
    V6_18,
    id="6.19",
    title="Linux 6.19",
    releases=linux("6.19.5", (6, 19), (7, 0)),
    source="security/integrity/ima of 6.19: IMA reads the signature of the decompressed module; else as 6.14",
)

_ATTRIBUTES = (
    "ML-DSA signatures with signed attributes, as OpenSSL before 4.0 makes them, pass only in a build with"
    " PKCS7_WAIVE_AUTHATTRS_REJECTION_FOR_MLDSA"
)

V7_0 = replace(
    V6_19,
    id="7.0",
    title="Linux 7.0",
    releases=linux("7.0.9", (7, 0), (7, 1)),
    crypto=computing.SINCE_7_0,
    trust=replace(V6_19.trust, blacklist="sha256"),
    source="crypto/asymmetric_keys of 7.1.8: ML-DSA; the blacklist is asked by SHA-256 whatever the digest",
    notes=(*V6_12.notes, _ATTRIBUTES),
)

V7_1 = replace(
    V7_0,
    id="7.1",
    title="Linux 7.1",
    releases=linux("7.1.8", (7, 1), (7, 2)),
    source="kernel/module and security/integrity of 7.1.8: machine owner keys load without IMA's option",
    secure_boot=SecureBoot(enforces=True, moks="always", assumed=True),
)

V7_2 = replace(
    V7_1,
    id="7.2",
    title="Linux 7.2 and 7.3",
    releases=linux("7.3.4", (7, 2)),
    crypto=computing.SINCE_7_2,
    basis=Basis.BOOTED,
    source="kernels built from the source of 7.2.13 were booted; the source of 7.3.4 responds alike;"
    " crypto/testmgr.c of 7.3.4",
    recalled=("that FIPS mode rules out RSA with SHA-1 in 7.2",),
    notes=(
        *V7_1.notes,
        "a module whose section-name or symbol string table is not SHT_STRTAB is refused later (ENOEXEC)",
    ),
)

ROWS = (
    V3_7_RC1, V3_7, V3_13, V3_15, V3_17, V4_3, V4_7, V4_19, V5_4, V5_6, V5_10_26, V5_11, V5_12, V5_13, V5_17,
    V5_18, V6_3, V6_6, V6_7, V6_9, V6_10, V6_12, V6_14, V6_18, V6_19, V7_0, V7_1, V7_2,
)  # fmt: skip
