"""Hash and key algorithm tables common to all formats: names, numbers, object identifiers, weaknesses.

elfsig's hash names are lower case with a dash before the SHA-3 size: md5, sha1, sha256, sha3-256.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from elfsig.errors import SigningError
from elfsig.lazy_tuple import NamedTuple


class Hash(NamedTuple):
    """One hash: ``size`` of the digest in bytes, hashlib's name, OID, and the numbers used by formats.

    ``digest_info`` is the DER in front of the digest in PKCS#1 v1.5 padding (RFC 8017, 9.2 note 1).
    ``openpgp`` RFC 4880 9.4; ``kernel`` enum hash_algo; None where a table has no number for it.
    ``weak`` says why it should not be trusted today.
    """

    name: str
    size: int
    hashlib: str
    oid: str
    openpgp: int | None
    kernel: int | None
    weak: str | None = None

    def new(self) -> Any:
        """A new hashlib object. Raises ValueError where this Python's OpenSSL lacks the hash."""
        import hashlib

        return hashlib.new(self.hashlib, usedforsecurity=False)


_BROKEN = "collisions are practical"
_ROWS = (
    Hash("md4", 16, "md4", "1.2.840.113549.2.4", None, 0, _BROKEN),
    Hash("md5", 16, "md5", "1.2.840.113549.2.5", 1, 1, _BROKEN),
    Hash("sha1", 20, "sha1", "1.3.14.3.2.26", 2, 2, _BROKEN),
    Hash("rmd160", 20, "ripemd160", "1.3.36.3.2.1", 3, 3, "160 bits, a contemporary of SHA-1"),
    Hash("sha256", 32, "sha256", "2.16.840.1.101.3.4.2.1", 8, 4),
    Hash("sha384", 48, "sha384", "2.16.840.1.101.3.4.2.2", 9, 5),
    Hash("sha512", 64, "sha512", "2.16.840.1.101.3.4.2.3", 10, 6),
    Hash("sha224", 28, "sha224", "2.16.840.1.101.3.4.2.4", 11, 7),
    Hash("sm3", 32, "sm3", "1.2.156.10197.1.401", None, 17),
    Hash("streebog256", 32, "md_gost12_256", "1.2.643.7.1.1.2.2", None, 18),
    Hash("streebog512", 64, "md_gost12_512", "1.2.643.7.1.1.2.3", None, 19),
    Hash("sha512-224", 28, "sha512_224", "2.16.840.1.101.3.4.2.5", None, None),
    Hash("sha512-256", 32, "sha512_256", "2.16.840.1.101.3.4.2.6", None, None),
    Hash("sha3-224", 28, "sha3_224", "2.16.840.1.101.3.4.2.7", None, None),
    Hash("sha3-256", 32, "sha3_256", "2.16.840.1.101.3.4.2.8", None, 20),
    Hash("sha3-384", 48, "sha3_384", "2.16.840.1.101.3.4.2.9", None, 21),
    Hash("sha3-512", 64, "sha3_512", "2.16.840.1.101.3.4.2.10", None, 22),
)

HASHES: Mapping[str, Hash] = {row.name: row for row in _ROWS}
HASH_BY_OID: Mapping[str, Hash] = {row.oid: row for row in _ROWS}
HASH_BY_OPENPGP: Mapping[int, Hash] = {row.openpgp: row for row in _ROWS if row.openpgp is not None}
HASH_BY_KERNEL: Mapping[int, Hash] = {row.kernel: row for row in _ROWS if row.kernel is not None}
"""``enum hash_algo`` (include/uapi/linux/hash_info.h); its first eight are the table of the x509 format."""

SMALL_RSA_BITS = 2048
"""RSA and DSA keys below this size are reported as weak."""


def shown_hash(name: str) -> str:
    """A hash's name as standards write it: SHA-256, SHA3-384, MD5."""
    upper = name.upper()
    return upper if upper.startswith("SHA3-") else upper.replace("SHA", "SHA-").replace("RMD", "RIPEMD-")


def hash_named(name: str) -> Hash:
    """The hash of this name, also in the spellings of sign-file and OpenSSL (SHA256, sha3_256).

    Raises SigningError naming the known ones.
    """
    plain = name.lower().replace("_", "-").replace("sha-", "sha")
    plain = {"ripemd160": "rmd160", "ripemd": "rmd160"}.get(plain, plain)
    found = HASHES.get(plain) or HASHES.get(plain.replace("-", ""))
    if found is None:
        raise SigningError(f"unknown hash {name!r}: choose from " + ", ".join(HASHES), code="unknown-hash")
    return found
