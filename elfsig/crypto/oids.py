"""Object identifiers of signature and hash algorithms in CMS and X.509, by their proper names.

``algorithm`` is elfsig's word (model.Signer.algorithm) if such signatures can be checked here, else
None; then ``name`` is displayed. ``hash`` is the hash that a combined identifier fixes.
"""

from __future__ import annotations

from collections.abc import Mapping

from elfsig.crypto.hashes import HASH_BY_OID
from elfsig.lazy_tuple import NamedTuple


class SignatureAlgorithm(NamedTuple):
    """One signature algorithm identifier; see the module docstring."""

    oid: str
    name: str
    algorithm: str | None
    hash: str | None = None


_RSA, _NIST = "1.2.840.113549.1.1", "2.16.840.1.101.3.4.3"
_GOST, _SM = "1.2.643.7.1.1", "1.2.156.10197.1"

_ROWS = (
    SignatureAlgorithm(f"{_RSA}.1", "rsaEncryption", "rsa"),
    SignatureAlgorithm(f"{_RSA}.2", "md2WithRSAEncryption", "rsa", "md2"),
    SignatureAlgorithm(f"{_RSA}.3", "md4WithRSAEncryption", "rsa", "md4"),
    SignatureAlgorithm(f"{_RSA}.4", "md5WithRSAEncryption", "rsa", "md5"),
    SignatureAlgorithm(f"{_RSA}.5", "sha1WithRSAEncryption", "rsa", "sha1"),
    SignatureAlgorithm("1.3.14.3.2.29", "sha1WithRSASignature", "rsa", "sha1"),
    SignatureAlgorithm("1.3.36.3.3.1.2", "ripemd160WithRSA", "rsa", "rmd160"),
    SignatureAlgorithm(f"{_RSA}.10", "RSASSA-PSS", "rsa-pss"),
    SignatureAlgorithm(f"{_RSA}.11", "sha256WithRSAEncryption", "rsa", "sha256"),
    SignatureAlgorithm(f"{_RSA}.12", "sha384WithRSAEncryption", "rsa", "sha384"),
    SignatureAlgorithm(f"{_RSA}.13", "sha512WithRSAEncryption", "rsa", "sha512"),
    SignatureAlgorithm(f"{_RSA}.14", "sha224WithRSAEncryption", "rsa", "sha224"),
    SignatureAlgorithm(f"{_RSA}.15", "sha512-224WithRSAEncryption", "rsa", "sha512-224"),
    SignatureAlgorithm(f"{_RSA}.16", "sha512-256WithRSAEncryption", "rsa", "sha512-256"),
    SignatureAlgorithm(f"{_NIST}.13", "id-rsassa-pkcs1-v1_5-with-sha3-224", "rsa", "sha3-224"),
    SignatureAlgorithm(f"{_NIST}.14", "id-rsassa-pkcs1-v1_5-with-sha3-256", "rsa", "sha3-256"),
    SignatureAlgorithm(f"{_NIST}.15", "id-rsassa-pkcs1-v1_5-with-sha3-384", "rsa", "sha3-384"),
    SignatureAlgorithm(f"{_NIST}.16", "id-rsassa-pkcs1-v1_5-with-sha3-512", "rsa", "sha3-512"),
    SignatureAlgorithm("1.2.840.10040.4.1", "id-dsa", "dsa"),
    SignatureAlgorithm("1.2.840.10040.4.3", "dsa-with-sha1", "dsa", "sha1"),
    SignatureAlgorithm(f"{_NIST}.1", "dsa-with-sha224", "dsa", "sha224"),
    SignatureAlgorithm(f"{_NIST}.2", "dsa-with-sha256", "dsa", "sha256"),
    SignatureAlgorithm(f"{_NIST}.3", "dsa-with-sha384", "dsa", "sha384"),
    SignatureAlgorithm(f"{_NIST}.4", "dsa-with-sha512", "dsa", "sha512"),
    SignatureAlgorithm("1.2.840.10045.2.1", "id-ecPublicKey", "ecdsa"),
    SignatureAlgorithm("1.2.840.10045.4.1", "ecdsa-with-SHA1", "ecdsa", "sha1"),
    SignatureAlgorithm("1.2.840.10045.4.3.1", "ecdsa-with-SHA224", "ecdsa", "sha224"),
    SignatureAlgorithm("1.2.840.10045.4.3.2", "ecdsa-with-SHA256", "ecdsa", "sha256"),
    SignatureAlgorithm("1.2.840.10045.4.3.3", "ecdsa-with-SHA384", "ecdsa", "sha384"),
    SignatureAlgorithm("1.2.840.10045.4.3.4", "ecdsa-with-SHA512", "ecdsa", "sha512"),
    SignatureAlgorithm(f"{_NIST}.9", "ecdsa-with-SHA3-224", "ecdsa", "sha3-224"),
    SignatureAlgorithm(f"{_NIST}.10", "ecdsa-with-SHA3-256", "ecdsa", "sha3-256"),
    SignatureAlgorithm(f"{_NIST}.11", "ecdsa-with-SHA3-384", "ecdsa", "sha3-384"),
    SignatureAlgorithm(f"{_NIST}.12", "ecdsa-with-SHA3-512", "ecdsa", "sha3-512"),
    SignatureAlgorithm("1.3.101.112", "Ed25519", "ed25519"),
    SignatureAlgorithm("1.3.101.113", "Ed448", "ed448"),
    SignatureAlgorithm(f"{_NIST}.17", "ML-DSA-44", "mldsa44"),
    SignatureAlgorithm(f"{_NIST}.18", "ML-DSA-65", "mldsa65"),
    SignatureAlgorithm(f"{_NIST}.19", "ML-DSA-87", "mldsa87"),
    SignatureAlgorithm(f"{_NIST}.32", "HashML-DSA-44 with SHA-512", None, "sha512"),
    SignatureAlgorithm(f"{_NIST}.33", "HashML-DSA-65 with SHA-512", None, "sha512"),
    SignatureAlgorithm(f"{_NIST}.34", "HashML-DSA-87 with SHA-512", None, "sha512"),
    SignatureAlgorithm(f"{_NIST}.20", "SLH-DSA-SHA2-128s", None),
    SignatureAlgorithm(f"{_NIST}.21", "SLH-DSA-SHA2-128f", None),
    SignatureAlgorithm(f"{_NIST}.22", "SLH-DSA-SHA2-192s", None),
    SignatureAlgorithm(f"{_NIST}.23", "SLH-DSA-SHA2-192f", None),
    SignatureAlgorithm(f"{_NIST}.24", "SLH-DSA-SHA2-256s", None),
    SignatureAlgorithm(f"{_NIST}.25", "SLH-DSA-SHA2-256f", None),
    SignatureAlgorithm(f"{_NIST}.26", "SLH-DSA-SHAKE-128s", None),
    SignatureAlgorithm(f"{_NIST}.27", "SLH-DSA-SHAKE-128f", None),
    SignatureAlgorithm(f"{_NIST}.28", "SLH-DSA-SHAKE-192s", None),
    SignatureAlgorithm(f"{_NIST}.29", "SLH-DSA-SHAKE-192f", None),
    SignatureAlgorithm(f"{_NIST}.30", "SLH-DSA-SHAKE-256s", None),
    SignatureAlgorithm(f"{_NIST}.31", "SLH-DSA-SHAKE-256f", None),
    SignatureAlgorithm(f"{_SM}.301", "SM2", None),
    SignatureAlgorithm(f"{_SM}.301.1", "SM2", None),
    SignatureAlgorithm(f"{_SM}.501", "SM2 with SM3", None, "sm3"),
    SignatureAlgorithm(f"{_SM}.504", "RSA with SM3", "rsa", "sm3"),
    SignatureAlgorithm("1.2.643.2.2.3", "GOST R 34.10-2001", None),
    SignatureAlgorithm("1.2.643.2.2.19", "GOST R 34.10-2001", None),
    SignatureAlgorithm(f"{_GOST}.1.1", "EC-RDSA (GOST R 34.10-2012, 256 bit)", None),
    SignatureAlgorithm(f"{_GOST}.1.2", "EC-RDSA (GOST R 34.10-2012, 512 bit)", None),
    SignatureAlgorithm(f"{_GOST}.3.2", "EC-RDSA with Streebog-256", None, "streebog256"),
    SignatureAlgorithm(f"{_GOST}.3.3", "EC-RDSA with Streebog-512", None, "streebog512"),
)  # fmt: skip

BY_OID: Mapping[str, SignatureAlgorithm] = {row.oid: row for row in _ROWS}

RSA_PSS = f"{_RSA}.10"
"""A public key with this identifier may only be used for RSASSA-PSS (RFC 4055 1.2)."""

EC_PUBLIC_KEY = "1.2.840.10045.2.1"
_SECG, _BRAINPOOL = "1.3.132.0", "1.3.36.3.3.2.8.1.1"
CURVE_NAMES: Mapping[str, str] = {
    "1.2.840.10045.3.1.1": "secp192r1", "1.2.840.10045.3.1.2": "prime192v2",
    "1.2.840.10045.3.1.3": "prime192v3", "1.2.840.10045.3.1.4": "prime239v1",
    "1.2.840.10045.3.1.5": "prime239v2", "1.2.840.10045.3.1.6": "prime239v3",
    "1.2.840.10045.3.1.7": "secp256r1", f"{_SM}.301": "sm2p256v1",
    f"{_SECG}.6": "secp112r1", f"{_SECG}.7": "secp112r2", f"{_SECG}.28": "secp128r1",
    f"{_SECG}.29": "secp128r2", f"{_SECG}.9": "secp160k1", f"{_SECG}.8": "secp160r1",
    f"{_SECG}.30": "secp160r2", f"{_SECG}.31": "secp192k1", f"{_SECG}.32": "secp224k1",
    f"{_SECG}.33": "secp224r1", f"{_SECG}.10": "secp256k1", f"{_SECG}.34": "secp384r1",
    f"{_SECG}.35": "secp521r1",
    f"{_BRAINPOOL}.1": "brainpoolP160r1", f"{_BRAINPOOL}.3": "brainpoolP192r1",
    f"{_BRAINPOOL}.5": "brainpoolP224r1", f"{_BRAINPOOL}.7": "brainpoolP256r1",
    f"{_BRAINPOOL}.9": "brainpoolP320r1", f"{_BRAINPOOL}.11": "brainpoolP384r1",
    f"{_BRAINPOOL}.13": "brainpoolP512r1",
}  # fmt: skip
"""Curves over prime fields, by the identifier in an EC key's parameters (SEC 2 A.2, ANSI X9.62, RFC 5639)."""

FOR_SIGNING: Mapping[tuple[str, str | None], str] = {
    (row.algorithm, row.hash): row.oid for row in reversed(_ROWS) if row.algorithm
}
"""OID to write for (algorithm, hash); plain ``rsa`` and the message algorithms have the hash None."""

_OTHER_HASHES = {
    "1.2.840.113549.2.2": "md2",
    "1.2.643.2.2.9": "GOST R 34.11-94",
    "2.16.840.1.101.3.4.2.11": "shake128",
    "2.16.840.1.101.3.4.2.12": "shake256",
    "1.0.10118.3.0.55": "whirlpool",
    "1.3.36.3.2.2": "rmd128",
    "1.3.36.3.2.3": "rmd256",
}


def hash_name(oid: str) -> tuple[str | None, str]:
    """(elfsig's hash name or None, the name to show) of a digest algorithm's OID."""
    row = HASH_BY_OID.get(oid)
    return (row.name, row.name) if row else (None, _OTHER_HASHES.get(oid, oid))
