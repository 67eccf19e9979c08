"""Mainline kernels from 3.7 to today: one row for each release at which an answer changed.

A row stands for a kernel with every option built in that concerns signatures; a configuration
(:mod:`elfsig.kernels.config`) takes away what a build left out. Rows between which nothing but tools
changed are not there.
"""

from __future__ import annotations

from dataclasses import replace

from elfsig.kernels.profile import Crypto, Look, Profile, Replies, Reply, Trust
from elfsig.model import Basis

TAINTING = "{name}: module verification failed: signature and/or required key missing - tainting kernel"
LOCKDOWN = "Lockdown: {tool}: unsigned module loading is restricted; see man kernel_lockdown.7"
SIG_ENFORCE = "kernel parameter module.sig_enforce=1, or built with CONFIG_MODULE_SIG_FORCE"
RUN_TIME = "1 in /sys/module/module/parameters/sig_enforce (can be raised, never lowered)"
LOCK_DOWN = (
    "kernel parameter lockdown=integrity, /sys/kernel/security/lockdown, or Secure Boot where the build"
    " locks down for it"
)
FORCED = "a module loaded by force counts as unsigned"
REASONS = {
    "ENODATA": "unsigned module",
    "ENOPKG": "module with unsupported crypto",
    "ENOKEY": "module with unavailable key",
}
"""The three inner errors that a permissive kernel forgives since 5.4, as its log calls them."""


def _permissive(taint: str, *inner: str) -> dict[str, Reply]:
    return {name: Reply(None, taint, TAINTING) for name in inner}


def _enforcing(line: str) -> dict[str, Reply]:
    return {name: Reply("EKEYREJECTED", None, line.format(what=what)) for name, what in REASONS.items()}


_LOCKED = {name: Reply("EPERM", None, LOCKDOWN) for name in REASONS}
_REPLIES_54 = Replies(
    _permissive("E", *REASONS), _enforcing("{{name}}: Loading of {what} is rejected"), _LOCKED
)
REPLIES_TODAY = replace(_REPLIES_54, enforcing=_enforcing("Loading of {what} is rejected"))

_BUILTIN = frozenset({"builtin"})
_SECONDARY = _BUILTIN | {"secondary"}
MACHINE = _SECONDARY | {"machine"}

_EARLY_HASHES = frozenset({"md4", "md5", "sha1", "rmd160", "sha224", "sha256", "sha384", "sha512"})
_CMS_HASHES = frozenset({"md4", "md5", "sha1", "sha224", "sha256", "sha384", "sha512"})
_SHA3 = frozenset({"sha3-256", "sha3-384", "sha3-512"})
_CURVES = frozenset({"secp192r1", "secp256r1", "secp384r1"})
_RSA = frozenset({"rsa"})
_ML_DSA = frozenset({"mldsa44", "mldsa65", "mldsa87"})

V3_7 = Profile(
    id="3.7",
    title="Linux 3.7 to 3.12",
    releases="3.7",
    walk="x509",
    look=Look("x509", "trailer:modsig"),
    replies=Replies(_permissive("F", "ENOKEY")),
    crypto=Crypto(_EARLY_HASHES, _RSA),
    trust=Trust((_BUILTIN,), dates=True),
    basis=Basis.SOURCE,
    source="kernel/module_signing.c and kernel/module.c of 3.7, read; the panic in FIPS mode recalled",
    unsigned="ENOKEY",
    fips="panic",
    switches=(SIG_ENFORCE,),
    notes=("an unsigned module taints with F, as a forced one does, until 3.15",),
)

V3_7_RC1 = replace(
    V3_7,
    id="3.7-rc1",
    title="Linux 3.7-rc1, October 2012",
    releases="3.7.0-rc1",
    walk="x509-rc1",
    look=Look("x509-rc1", "trailer:modsig-rc1"),
    source="kernel/module_signing.c of the merge (106a4ee2), read",
    notes=("scans the file forward and takes the first marker", *V3_7.notes),
)

V3_13 = replace(
    V3_7,
    id="3.13",
    title="Linux 3.13 and 3.14",
    releases="3.13",
    trust=Trust((_BUILTIN,)),
    source="as 3.7; that the dates of certificates are no longer looked at was read, the release recalled",
)

V3_15 = replace(
    V3_13,
    id="3.15",
    title="Linux 3.15 and 3.16",
    releases="3.15",
    replies=Replies(_permissive("E", "ENOKEY")),
    source="as 3.13; the taint letter E (commit 66cc69e34e86) read",
    notes=(),
)

V3_17 = replace(
    V3_15,
    id="3.17",
    title="Linux 3.17 to 4.2",
    releases="3.17",
    fips="crypto-modules",
    source="kernel/module_signing.c at 091f6e26, read; in FIPS mode crypto_check_module_sig()",
)

V4_3 = replace(
    V3_17,
    id="4.3",
    title="Linux 4.3 to 4.6",
    releases="4.3",
    walk="cms",
    look=Look("pkcs7", "trailer:modsig"),
    crypto=Crypto(_CMS_HASHES, _RSA),
    source="kernel/module_signing.c at a0c97f19 and crypto/asymmetric_keys/pkcs7_*.c, read",
    notes=("signatures in the form of 3.7 to 4.2 are refused in every mode (ENOPKG)",),
)

V4_7 = replace(
    V4_3,
    id="4.7",
    title="Linux 4.7 to 5.3",
    releases="4.7",
    trust=Trust((_SECONDARY,)),
    notes=(*V4_3.notes, FORCED),
)

V5_4 = replace(
    V4_7,
    id="5.4",
    title="Linux 5.4 to 5.12",
    releases="5.4",
    replies=_REPLIES_54,
    source="kernel/module.c and kernel/module_signature.c of 5.4, read",
    unsigned="ENODATA",
    switches=(SIG_ENFORCE, RUN_TIME, LOCK_DOWN),
    notes=(
        FORCED,
        "an enforcing kernel answers EKEYREJECTED for four different reasons; only its log tells them apart",
        "the prefix with the module's name in the log was dropped in one of the next releases",
    ),
    names_module=True,
)

V5_13 = replace(
    V5_4,
    id="5.13",
    title="Linux 5.13 to 5.16",
    releases="5.13",
    replies=REPLIES_TODAY,
    crypto=Crypto(_CMS_HASHES | {"sm3"}, _RSA | {"ecdsa"}, _CURVES),
    trust=Trust((_SECONDARY,), revoked_keys=True),
    source="kernel/module.c, certs/blacklist.c and pkcs7_parser.c, read; some releases recalled",
    notes=V5_4.notes[:2],
)

V5_17 = replace(
    V5_13,
    id="5.17",
    title="Linux 5.17",
    releases="5.17",
    compressed="kernel",
    source="kernel/module/signing.c at 14e77332, read",
)

V5_18 = replace(
    V5_17,
    id="5.18",
    title="Linux 5.18 to 6.6",
    releases="5.18",
    trust=Trust((MACHINE,), revoked_keys=True),
    source="kernel/module/signing.c at 14e77332 and pkcs7_*.c, read; Debian's 6.1 was booted (debian-6.1)",
)

V6_7 = replace(
    V5_18,
    id="6.7",
    title="Linux 6.7 and 6.8",
    releases="6.7",
    crypto=replace(V5_18.crypto, hashes=V5_18.crypto.hashes - {"md4", "md5", "sha1"} | _SHA3),
    source="pkcs7_parser.c after 16ab7cb5825f, read",
    notes=(*V5_18.notes, "SHA-1 was gone, and came back in 6.9 and in stable releases of 6.7 and 6.8"),
)  # fmt: skip

V6_9 = replace(
    V6_7,
    id="6.9",
    title="Linux 6.9",
    releases="6.9",
    crypto=replace(V6_7.crypto, hashes=V6_7.crypto.hashes | {"sha1"}),
    source="pkcs7_parser.c after 203a6763ab69, read",
    notes=V5_18.notes,
)

V6_10 = replace(
    V6_9,
    id="6.10",
    title="Linux 6.10 and 6.11",
    releases="6.10",
    crypto=replace(V6_9.crypto, curves=_CURVES | {"secp521r1"}),
    basis=Basis.RECALLED,
    source="as 6.9; the curve P-521 in the certificate parser is recalled for 6.10",
)

V6_12 = replace(
    V6_10,
    id="6.12",
    title="Linux 6.12 to 6.19",
    releases="6.12",
    basis=Basis.SOURCE,
    source="as 6.9; Debian's 6.12 was booted (debian-6.12), P-521 among its cases",
)

V7_0 = replace(
    V6_12,
    id="7.0",
    title="Linux 7.0 and later",
    releases="7.0",
    crypto=replace(V6_12.crypto, algorithms=_RSA | {"ecdsa"} | _ML_DSA),
    basis=Basis.BOOTED,
    source="kernels built from the source of 7.2 and Debian's 7.2 were booted",
    notes=(
        *V5_18.notes,
        "ML-DSA signatures with signed attributes, as OpenSSL makes them, pass only where the build has"
        " PKCS7_WAIVE_AUTHATTRS_REJECTION_FOR_MLDSA",
    ),
)

ROWS = (
    V3_7_RC1, V3_7, V3_13, V3_15, V3_17, V4_3, V4_7, V5_4, V5_13, V5_17, V5_18, V6_7, V6_9, V6_10, V6_12,
    V7_0,
)  # fmt: skip
