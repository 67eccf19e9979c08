"""Recipes for the trailers of 2012 and the proposal of 2026: byte by byte, without elfsig's code."""

from __future__ import annotations

import hashlib
import struct
from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa

from corpus import throwaway

MAGIC: Final = b"This Is A Crypto Signed Module"
WHEN: Final = 1344470400
"""9 August 2012, when evmctl learned to sign modules."""
OPENPGP_HASHES: Final = {
    "sha1": (2, "3021300906052b0e03021a05000414"),
    "sha256": (8, "3031300d060960864801650304020105000420"),
}
"""Name -> (number of RFC 4880 9.4, DigestInfo up to the digest in hex)."""
IMA_HASHES: Final = {"sha1": 0, "sha256": 1}


def _numbers(key: str) -> rsa.RSAPrivateNumbers:
    private = throwaway.key(key)
    if not isinstance(private, rsa.RSAPrivateKey):
        raise TypeError(f"{key} is no RSA key")
    return private.private_numbers()


def _mpi(value: int) -> bytes:
    return struct.pack(">H", value.bit_length()) + value.to_bytes((value.bit_length() + 7) // 8, "big")


def _rsa(key: str, content: bytes) -> int:
    """``content`` in PKCS#1 type 1 padding, to the private exponent."""
    numbers = _numbers(key)
    modulus = numbers.public_numbers.n
    size = (modulus.bit_length() + 7) // 8
    block = b"\0\1" + b"\xff" * (size - 3 - len(content)) + b"\0" + content
    return pow(int.from_bytes(block, "big"), numbers.d, modulus)


def _openpgp_key_id(key: str) -> bytes:
    """Of a version 4 key packet that says it was made in 1970 (RFC 4880 12.2)."""
    public = _numbers(key).public_numbers
    body = b"\4\0\0\0\0\1" + _mpi(public.n) + _mpi(public.e)
    return hashlib.sha1(b"\x99" + struct.pack(">H", len(body)) + body).digest()[-8:]


def openpgp(data: bytes, key: str, hash_name: str) -> bytes:
    """A detached version 4 signature of class 0 (RFC 4880 5.2.3)."""
    number, prefix = OPENPGP_HASHES[hash_name]
    hashed = b"\4\0\1" + bytes([number]) + b"\0\6\5\2" + struct.pack(">I", WHEN)
    digest = hashlib.new(hash_name, data + hashed + b"\4\xff" + struct.pack(">I", len(hashed))).digest()
    value = _mpi(_rsa(key, bytes.fromhex(prefix) + digest))
    body = hashed + b"\0\x0a\x09\x10" + _openpgp_key_id(key) + digest[:2] + value
    return b"\x89" + struct.pack(">H", len(body)) + body


def sign_crypto_pgp(data: bytes, key: str, hash_name: str) -> bytes:
    """What the build rules of Howells' tree of mid 2012 gave."""
    packet = openpgp(data, key, hash_name)
    return data + packet + b"%-5d" % len(packet) + MAGIC


def sign_crypto_digsig(data: bytes, key: str, hash_name: str, order: str = "little") -> bytes:
    """What ``evmctl --modsig`` of August 2012 gave, on a machine of this byte order."""
    public = _numbers(key).public_numbers
    blob = b"\1\0\0\0\0\0\2" + _mpi(public.n) + _mpi(public.e)
    header = (
        b"\1" + WHEN.to_bytes(4, "big" if order == "big" else "little") + bytes([0, IMA_HASHES[hash_name]])
    )
    header += hashlib.sha1(blob).digest()[12:20] + b"\1"
    value = _rsa(key, hashlib.sha1(hashlib.new(hash_name, data).digest() + header).digest())
    size = (public.n.bit_length() + 7) // 8
    signature = header + struct.pack(">H", 8 * size) + value.to_bytes(size, "big")
    return data + signature + struct.pack(">H", len(signature)) + MAGIC


def csm(data: bytes, hex_field: str, size: str = "0") -> bytes:
    """``size`` bytes of nothing, a length field, the magic: what no tool made."""
    return data + b"x" * int(size) + bytes.fromhex(hex_field) + MAGIC


def merkle(position: str, *siblings: str) -> bytes:
    """A proof (proposal v5): u32 position, and a sibling for each level, here the hashes of words."""
    return struct.pack(">I", int(position)) + b"".join(hashlib.sha256(s.encode()).digest() for s in siblings)
