"""What mainline kernels can compute, from the release at which it changed. A build may leave some of it out.

Sources: crypto/asymmetric_keys (parsers), crypto/rsa.c (sizes), crypto/testmgr.c, crypto/api.c (FIPS mode).
"""

from __future__ import annotations

from elfsig.kernels.key_rules import Crypto
from elfsig.lazy_dataclass import replace

_CMS_HASHES = frozenset({"md4", "md5", "sha1", "sha224", "sha256", "sha384", "sha512"})
_SHA3 = frozenset({"sha3-256", "sha3-384", "sha3-512"})
_CURVES = frozenset({"secp192r1", "secp256r1", "secp384r1"})
_RSA = frozenset({"rsa"})
ML_DSA = frozenset({"mldsa44", "mldsa65", "mldsa87"})
_SIZES = frozenset({512, 1024, 1536, 2048, 3072, 4096})
_NOT_FIPS = frozenset({"md4", "md5", "rmd160", "sm3"})
"""Without fips_allowed in crypto/testmgr.c of 5.10, 6.1, 6.12 and 7.3."""

SINCE_3_7 = Crypto(_CMS_HASHES | {"rmd160"}, _RSA, fips_absent=_NOT_FIPS, fips_assumed=True)
SINCE_4_3 = replace(SINCE_3_7, hashes=_CMS_HASHES, unhashed=frozenset({"md4", "sm3"}), fips_errno="ELIBBAD")
SINCE_4_7 = replace(SINCE_4_3, sizes=_SIZES)
SINCE_5_6 = replace(SINCE_4_7, fips_assumed=False)
SINCE_5_11 = SINCE_4_7
SINCE_5_13 = replace(
    SINCE_5_11,
    hashes=_CMS_HASHES | {"sm3"},
    algorithms=_RSA | {"ecdsa"},
    curves=_CURVES,
    fips_bits=2048,
    fips_absent=_NOT_FIPS | {"ecdsa"},
)
SINCE_5_18 = replace(SINCE_5_13, fips_errno="ENOENT", fips_assumed=False, extensions="unknown")
SINCE_6_3 = replace(SINCE_5_18, fips_absent=_NOT_FIPS | {"secp192r1"})
"""c27b2d2012e1: FIPS mode allows ECDSA with P-256 and P-384."""
SINCE_6_6 = replace(SINCE_6_3, fips_exponent=True, extensions="either")
SINCE_6_7 = replace(SINCE_6_6, hashes=SINCE_6_6.hashes - {"md4", "md5", "sha1"} | _SHA3, extensions="read")
SINCE_6_9 = replace(SINCE_6_7, hashes=SINCE_6_7.hashes | {"sha1"})
SINCE_6_10 = replace(SINCE_6_9, curves=_CURVES | {"secp521r1"})
SINCE_6_12 = replace(SINCE_6_10, extensions="either")
SINCE_6_14 = replace(SINCE_6_12, fips_unhashed=frozenset({"sha1"}), fips_assumed=True)
SINCE_6_18 = replace(SINCE_6_14, extensions="strict")
SINCE_7_0 = replace(SINCE_6_18, algorithms=_RSA | {"ecdsa"} | ML_DSA)
SINCE_7_2 = replace(SINCE_7_0, fips_assumed=False)
