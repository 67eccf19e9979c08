"""Recipes: a sample made of another one, by name. They share no code with elfsig, so that both can be
wrong only apart: signatures are put together here byte by byte from the layouts of the kernel's tools.

A recipe is a line of words: the name of a function in RECIPES and its arguments.
"""

from __future__ import annotations

import gzip
import hashlib
import lzma
import struct
from collections.abc import Callable
from typing import Final

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from corpus import recipes_2012, throwaway

MARKER: Final = b"~Module signature appended~\n"

HASHES: Final[dict[str, tuple[hashes.HashAlgorithm, str, int]]] = {
    "sha1": (hashes.SHA1(), "2b0e03021a", 2),
    "sha224": (hashes.SHA224(), "608648016503040204", 7),
    "sha256": (hashes.SHA256(), "608648016503040201", 4),
    "sha384": (hashes.SHA384(), "608648016503040202", 5),
    "sha512": (hashes.SHA512(), "608648016503040203", 6),
    "sha3_256": (hashes.SHA3_256(), "608648016503040208", 20),
}
"""Name -> (algorithm, OID content in hex, number in the kernel's enum hash_algo)."""

RSA: Final = "2a864886f70d010101"
ECDSA: Final = {"sha256": "2a8648ce3d040302", "sha384": "2a8648ce3d040303", "sha512": "2a8648ce3d040304"}
DATA: Final = "2a864886f70d010701"
SIGNED_DATA: Final = "2a864886f70d010702"


def tlv(tag: int, *parts: bytes) -> bytes:
    """One DER element."""
    body = b"".join(parts)
    if len(body) < 128:
        return bytes([tag, len(body)]) + body
    size = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(size)]) + size + body


def oid(hex_content: str) -> bytes:
    """An OBJECT IDENTIFIER from its content in hex."""
    return tlv(0x06, bytes.fromhex(hex_content))


def integer(value: int) -> bytes:
    """A non-negative INTEGER."""
    return tlv(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def raw_signature(key: str, data: bytes, hash_name: str) -> bytes:
    """PKCS#1 v1.5, or deterministic ECDSA in DER, so that a recipe always gives the same bytes."""
    private, algorithm = throwaway.key(key), HASHES[hash_name][0]
    digest = hashlib.new(hash_name, data).digest()
    if isinstance(private, rsa.RSAPrivateKey):
        return private.sign(digest, padding.PKCS1v15(), utils.Prehashed(algorithm))
    return private.sign(digest, ec.ECDSA(utils.Prehashed(algorithm), deterministic_signing=True))


def signer_info(key: str, data: bytes, hash_name: str, by_key_id: bool) -> bytes:
    """A SignerInfo as scripts/sign-file.c makes it: no attributes, digest algorithm without parameters."""
    certificate = throwaway.certificate(key)
    issuer = certificate.issuer.public_bytes(serialization.Encoding.DER)
    name = tlv(0x30, issuer, integer(certificate.serial_number))
    rsa_key = isinstance(throwaway.key(key), rsa.RSAPrivateKey)
    algorithm = oid(RSA) + b"\x05\0" if rsa_key else oid(ECDSA[hash_name])
    return tlv(
        0x30,
        integer(3 if by_key_id else 1),
        tlv(0x80, throwaway.subject_key_id(key)) if by_key_id else name,
        tlv(0x30, oid(HASHES[hash_name][1])),
        tlv(0x30, algorithm),
        tlv(0x04, raw_signature(key, data, hash_name)),
    )


def trailer(
    blob: bytes, algo: int = 0, hash_id: int = 0, id_type: int = 2, name: int = 0, key: int = 0
) -> bytes:
    """Blob, info block (include/linux/module_signature.h), marker; ``sig_len`` leaves out name and key id."""
    info = struct.pack(">5B3xI", algo, hash_id, id_type, name, key, len(blob) - name - key)
    return blob + info + MARKER


def sign_pkcs7(data: bytes, key: str, hash_name: str, sid: str = "issuer") -> bytes:
    """What ``sign-file`` of Linux 4.3 and later gives; ``sid`` "keyid" is its option ``-k``."""
    by_key_id = sid == "keyid"
    signed = tlv(
        0x30,
        integer(3 if by_key_id else 1),
        tlv(0x31, tlv(0x30, oid(HASHES[hash_name][1]))),
        tlv(0x30, oid(DATA)),
        tlv(0x31, signer_info(key, data, hash_name, by_key_id)),
    )
    return data + trailer(tlv(0x30, oid(SIGNED_DATA), tlv(0xA0, signed)))


def sign_twice(data: bytes, key: str, second: str) -> bytes:
    """Two SignerInfos in one CMS: two keys passed to ``openssl cms``, attached with ``sign-file -s``."""
    signers = sorted(signer_info(name, data, "sha256", False) for name in (key, second))
    algorithm = tlv(0x30, oid(HASHES["sha256"][1]))
    signed = tlv(0x30, integer(1), tlv(0x31, algorithm), tlv(0x30, oid(DATA)), tlv(0x31, *signers))
    return data + trailer(tlv(0x30, oid(SIGNED_DATA), tlv(0xA0, signed)))


def sign_x509(data: bytes, key: str, hash_name: str, hex_name: str = "") -> bytes:
    """What the script ``sign-file`` of Linux 3.7 to 4.2 gives: name, key id, length, RSA value.

    ``hex_name`` replaces the signer's name, which no signature covers.
    """
    subject = {a.rfc4514_attribute_name: str(a.value) for a in throwaway.certificate(key).subject}
    name = bytes.fromhex(hex_name) or f"{subject['O']}: {subject['CN']}".encode()
    key_id, value = throwaway.subject_key_id(key), raw_signature(key, data, hash_name)
    blob = name + key_id + struct.pack(">H", len(value)) + value
    return data + trailer(blob, 1, HASHES[hash_name][2], 1, len(name), len(key_id))


def sign_x509_rc1(data: bytes, key: str, hash_name: str) -> bytes:
    """What the first shell script ``sign-file``, of 3.7-rc1, gives: the marker comes first."""
    signed = sign_x509(data, key, hash_name)
    return data + MARKER + signed[len(data) : -len(MARKER)]


def set_info(data: bytes, field: str, value: str) -> bytes:
    """One field of the info block in front of the marker overwritten."""
    at = len(data) - len(MARKER) - 12
    place = {"algo": 0, "hash": 1, "id_type": 2, "signer_len": 3, "key_id_len": 4, "pad": 6, "sig_len": 8}[
        field
    ]
    raw = int(value, 0).to_bytes(4 if field == "sig_len" else 1, "big")
    return data[: at + place] + raw + data[at + place + len(raw) :]


def sign_garbage(data: bytes, size: str, id_type: str = "2") -> bytes:
    """A trailer around bytes that are nothing."""
    return data + trailer((b"\x8d\x51" * int(size))[: int(size)], id_type=int(id_type))


def sign_merkle(data: bytes, position: str, *siblings: str) -> bytes:
    """A trailer around a Merkle proof."""
    return data + trailer(recipes_2012.merkle(position, *siblings), id_type=3)


def sign_whole(data: bytes, key: str, hash_name: str, hex_content: str) -> bytes:
    """The trailer on something that is no module."""
    return sign_pkcs7(bytes.fromhex(hex_content), key, hash_name)


def compress(data: bytes, method: str) -> bytes:
    """The whole sample compressed, with settings that kernels read."""
    if method == "gzip":
        return gzip.compress(data, mtime=0)
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 20}]
    return lzma.compress(data, lzma.FORMAT_XZ, lzma.CHECK_CRC32, filters=filters)


def append(data: bytes, hex_bytes: str) -> bytes:
    """Bytes behind the end."""
    return data + bytes.fromhex(hex_bytes)


def truncate(data: bytes, count: str) -> bytes:
    """The last ``count`` bytes cut off."""
    return data[: -int(count)]


def flip(data: bytes, position: str) -> bytes:
    """One bit changed in the byte at ``position`` (negative: from the end)."""
    changed = bytearray(data)
    changed[int(position, 0)] ^= 1
    return bytes(changed)


def poke(data: bytes, position: str, hex_bytes: str) -> bytes:
    """Bytes at ``position`` (negative: from the end) overwritten."""
    at, new = int(position, 0) % len(data), bytes.fromhex(hex_bytes)
    return data[:at] + new + data[at + len(new) :]


def move_marker(data: bytes) -> bytes:
    """The trailer of a signed sample behind a compressed module: signed after compression."""
    at = data.rindex(MARKER) - 12
    size = int.from_bytes(data[at + 8 : at + 12], "big")
    return compress(data[: at - size], "xz") + data[at - size :]


RECIPES: Final[dict[str, Callable[..., bytes]]] = {
    "sign-pkcs7": sign_pkcs7,
    "sign-twice": sign_twice,
    "sign-x509": sign_x509,
    "sign-x509-rc1": sign_x509_rc1,
    "sign-crypto-pgp": recipes_2012.sign_crypto_pgp,
    "sign-crypto-digsig": recipes_2012.sign_crypto_digsig,
    "sign-merkle": sign_merkle,
    "sign-garbage": sign_garbage,
    "sign-other-content": sign_whole,
    "csm": recipes_2012.csm,
    "set-info": set_info,
    "compress": compress,
    "append": append,
    "truncate": truncate,
    "flip": flip,
    "poke": poke,
    "sign-after-compression": move_marker,
}


VERSION_DEPENDENT: Final = frozenset({"compress", "sign-after-compression"})
"""Recipes whose bytes depend on the version of a compressor; the manifest has no hash for these."""


def make(recipe: str, data: bytes) -> bytes:
    """Apply a recipe line to the bytes of its base."""
    name, *arguments = recipe.split()
    return RECIPES[name](data, *arguments)
