"""The kernel's own binary form of an RSA public key, as IMA's old tools loaded it.

Layout: include/linux/digsig.h, struct pubkey_hdr: version u8 = 1, timestamp u32, algorithm u8 = 0 (RSA),
number of MPIs u8 = 2; then modulus and exponent, each a big-endian u16 bit length and its bytes.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

from elfsig.errors import ParseError
from elfsig.trust.entries import Material, Origin, material
from elfsig.trust.make import key_from_public

HEADER = 7


def is_key(data: bytes) -> bool:
    """Whether this starts with the header of such a key."""
    return data[:1] == b"\1" and data[5:HEADER] == b"\0\2"


def read(data: bytes, origin: Origin) -> Material:
    """The key. Raises ParseError."""
    modulus, at = _mpi(data, HEADER)
    exponent, at = _mpi(data, at)
    if at != len(data):
        raise ParseError(f"{len(data) - at} bytes after the key", offset=at, code="not-key")
    try:
        return material([key_from_public(RSAPublicNumbers(exponent, modulus).public_key(), origin)])
    except ValueError as reason:
        raise ParseError(f"not a usable RSA key: {reason}", offset=HEADER, code="not-key") from None


def _mpi(data: bytes, at: int) -> tuple[int, int]:
    """The number at ``at``, and where it ends. Raises ParseError."""
    size = (int.from_bytes(data[at : at + 2]) + 7) // 8
    end = at + 2 + size
    if not size or end > len(data):
        raise ParseError(f"number of {size} bytes is empty or cut off", offset=at, code="not-key")
    return int.from_bytes(data[at + 2 : end]), end
