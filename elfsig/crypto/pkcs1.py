"""RSA signatures of PKCS#1 v1.5 (RFC 8017, 8.2 and 9.2): the padding, the DigestInfo, the value's length."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from elfsig.crypto.der import encode_oid
from elfsig.crypto.hashes import HASHES
from elfsig.lazy_tuple import NamedTuple
from elfsig.model import Key


@lru_cache(maxsize=1)
def padding_and_mismatch() -> tuple[Any, type[Exception]]:
    """cryptography's padding object, and the exception for a value that does not match.

    Cached, since looking up both for every file takes time.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

    return PKCS1v15(), InvalidSignature


def modulus_size(key: Key) -> int:
    """Size in bytes of an RSA key's modulus, which is also the size of its signatures (RFC 8017, 8.2.1)."""
    return (key.bits + 7) // 8


def from_number(key: Key, value: bytes) -> bytes:
    """An RSA value from a format that stores it as a number (OpenPGP's MPI, IMA's digsig version 1).

    Such formats drop leading zero bytes: they are restored, up to the size of the modulus. A number
    that is too long is returned unchanged.
    """
    return value.lstrip(b"\0").rjust(modulus_size(key), b"\0")


def digest_info(hash_name: str, digest: bytes) -> bytes:
    """The DER DigestInfo of RFC 8017 A.2.4, with NULL parameters."""
    return _digest_info(hash_name, digest, b"\x05\x00")


def _digest_info(hash_name: str, digest: bytes, parameters: bytes) -> bytes:
    oid = encode_oid(HASHES[hash_name].oid)
    algorithm = bytes([len(oid) + len(parameters)]) + oid + parameters
    inner = b"\x30" + algorithm + b"\x04" + bytes([len(digest)]) + digest
    return b"\x30" + bytes([len(inner)]) + inner


def pkcs1_block(content: bytes, size: int) -> bytes | None:
    """``content`` in type 1 padding (RFC 8017, 9.2), ``size`` bytes; None if it does not fit."""
    if len(content) + 11 > size:
        return None
    return b"\0\1" + b"\xff" * (size - len(content) - 3) + b"\0" + content


def open_padding(key: Key, value: bytes) -> bytes | None:
    """What the type 1 padding of ``value`` holds (normally a DigestInfo); None if it does not open."""
    padding, mismatch = padding_and_mismatch()
    try:
        return bytes(key.public.recover_data_from_signature(value, padding, None))
    except (mismatch, ValueError):
        return None


def public_operation(key: Key, value: bytes) -> bytes | None:
    """``value`` to the public exponent, as long as the modulus; None if it is not below the modulus."""
    numbers = key.public.public_numbers()
    number = int.from_bytes(value)
    if number >= numbers.n:
        return None
    opened: int = pow(number, numbers.e, numbers.n)
    return opened.to_bytes(modulus_size(key))


class DigestInfo(NamedTuple):
    """A parsed DigestInfo: elfsig's name of the hash, the digest, and whether it has the NULL."""

    hash: str
    digest: bytes
    with_null: bool


def read_digest_info(content: bytes) -> DigestInfo | None:
    """``content`` as a DigestInfo; None for anything else, and for an unknown hash."""
    for row in HASHES.values():
        digest = content[-row.size :]
        for parameters in (b"\x05\x00", b""):
            if content == _digest_info(row.name, digest, parameters):
                return DigestInfo(row.name, digest, bool(parameters))
    return None
