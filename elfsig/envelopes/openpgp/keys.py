"""OpenPGP public-key packets, key ids and fingerprints (RFC 4880 5.5.2, 12.2), and ASCII armour (6)."""

from __future__ import annotations

import binascii
import hashlib
import re
from functools import lru_cache
from typing import Any, Final

from elfsig.envelopes.openpgp.packets import (
    ALGORITHM_NAMES,
    ALGORITHMS,
    PUBLIC_SUBKEY,
    Packet,
    byte_at,
    mpi,
    read_mpis,
    take,
)
from elfsig.errors import ParseError
from elfsig.lazy_dataclass import dataclass

_KEY_NUMBERS: Final = {"rsa": 2, "dsa": 4}
"""RSA: n, e. DSA: p, q, g, y."""


@dataclass(frozen=True, slots=True)
class PublicKeyPacket:
    """A public key or subkey. ``algorithm`` is elfsig's name, None for kinds that sign no modules."""

    version: int
    created: int
    algorithm_id: int
    algorithm: str | None
    numbers: tuple[int, ...]
    fingerprint: bytes
    key_id: bytes
    subkey: bool

    @property
    def algorithm_text(self) -> str:
        return ALGORITHM_NAMES.get(self.algorithm_id, f"algorithm {self.algorithm_id}")


def read_public_key(packet: Packet) -> PublicKeyPacket:
    """A public-key or public-subkey packet of version 2, 3 or 4. Offsets count from the packet's body."""
    body = packet.body
    version = byte_at(body, 0, "version of the key")
    if version not in (2, 3, 4):
        raise ParseError(f"public key of version {version}: only 2, 3 and 4 are known", offset=0)
    created = int.from_bytes(take(body, 1, 4, "creation time of the key"))
    at = 5 if version == 4 else 7  # v2 and v3 have two bytes of validity in days
    number = byte_at(body, at, "algorithm of the key")
    name = ALGORITHMS.get(number)
    numbers: tuple[int, ...] = ()
    if name in _KEY_NUMBERS:
        numbers, end = read_mpis(body, at + 1, _KEY_NUMBERS[name])
        if end != len(body):
            raise ParseError(f"{len(body) - end} bytes after the numbers of a key", offset=end)
    else:
        name = None
    fingerprint = v4_fingerprint(body)
    key_id = fingerprint[-8:]
    if version < 4:
        if name != "rsa":
            raise ParseError(f"key of version {version} that is not RSA", offset=at)
        fingerprint, key_id = _v3_names(*numbers)
    subkey = packet.tag == PUBLIC_SUBKEY
    return PublicKeyPacket(version, created, number, name, numbers, fingerprint, key_id, subkey)


def v4_fingerprint(body: bytes) -> bytes:
    """SHA-1 over 0x99, two bytes of length, and the key packet's body (RFC 4880 12.2)."""
    head = b"\x99" + (len(body) & 0xFFFF).to_bytes(2)
    return hashlib.sha1(head + body, usedforsecurity=False).digest()


def _v3_names(n: int, e: int) -> tuple[bytes, bytes]:
    """Fingerprint and key id of a v3 key: MD5 over the numbers, and the low 64 bits of the modulus."""
    plain = b"".join(v.to_bytes((v.bit_length() + 7) // 8) for v in (n, e))
    return hashlib.md5(plain, usedforsecurity=False).digest(), (n & (1 << 64) - 1).to_bytes(8)


def key_numbers(public: Any) -> tuple[int, tuple[int, ...]]:
    """(algorithm id, numbers) of a cryptography RSA or DSA public key. Raises ParseError for others."""
    numbers: Any = public.public_numbers() if hasattr(public, "public_numbers") else None
    if hasattr(numbers, "n"):
        return 1, (numbers.n, numbers.e)
    if hasattr(numbers, "parameter_numbers"):
        group = numbers.parameter_numbers
        return 17, (group.p, group.q, group.g, numbers.y)
    raise ParseError("only RSA and DSA keys have an OpenPGP form here")


def key_body(public: Any, created: int) -> bytes:
    """The v4 public-key packet body of a cryptography RSA or DSA public key."""
    number, numbers = key_numbers(public)
    return b"\x04" + created.to_bytes(4) + bytes([number]) + b"".join(map(mpi, numbers))


def key_id_of(public: Any, created: int) -> bytes:
    """The 8-byte OpenPGP key id that a PEM key has when its creation time is ``created``."""
    return v4_fingerprint(key_body(public, created))[-8:]


# --------------------------------------------------------------------------- armour

_LINE: Final = re.compile(rb"[^\n]*\n?")
_BEGIN: Final = re.compile(rb"-----BEGIN PGP ([A-Z0-9 ,/]{1,64})-----")
_END: Final = re.compile(rb"-----END PGP ([A-Z0-9 ,/]{1,64})-----")


def is_armoured(data: bytes) -> bool:
    """Whether ``data`` holds the opening line of an OpenPGP armour."""
    return b"-----BEGIN PGP " in data


def dearmour(data: bytes) -> list[tuple[str, bytes]]:
    """Every armoured block as (kind, binary): kind is "PUBLIC KEY BLOCK", "SIGNATURE" ... Raises ParseError
    for the first one that is incomplete or damaged, and if there is none.

    A checksum, if present, must be right.
    """
    blocks, faults = armour_blocks(data)
    if faults:
        raise faults[0]
    if not blocks:
        raise ParseError("no complete OpenPGP armour", offset=0)
    return blocks


def armour_blocks(data: bytes) -> tuple[list[tuple[str, bytes]], list[ParseError]]:
    """Like :func:`dearmour`: the readable blocks, and what is wrong with the others.

    Each line is read once.
    """
    blocks: list[tuple[str, bytes]] = []
    faults: list[ParseError] = []
    kind, start = None, 0
    for line in _LINE.finditer(data):
        text = line[0].strip()
        if not text.startswith(b"-----"):
            continue
        begin, end = _BEGIN.fullmatch(text), _END.fullmatch(text)
        if kind is not None and (begin or end):
            if end and end[1] == kind:
                _add(blocks, faults, kind, data[start : line.start()], start)
            else:
                faults.append(ParseError("OpenPGP armour without its last line", offset=start))
        if begin or end:
            kind, start = (begin[1] if begin else None), line.end()
    if kind is not None:
        faults.append(ParseError("OpenPGP armour without its last line", offset=start))
    return blocks, faults


def _add(
    blocks: list[tuple[str, bytes]], faults: list[ParseError], kind: bytes, text: bytes, start: int
) -> None:
    try:
        blocks.append((kind.decode("ascii"), _unwrap(text, start)))
    except ParseError as fault:
        faults.append(fault)


def _unwrap(text: bytes, offset: int) -> bytes:
    lines = [line.strip() for line in text.split(b"\n")]
    # Header lines ("Version: ...") end with an empty line; old tools leave both out.
    if b"" in lines and all(b":" in line for line in lines[: lines.index(b"")]):
        lines = lines[lines.index(b"") + 1 :]
    lines = [line for line in lines if line]
    checksum = lines.pop()[1:] if lines and lines[-1][:1] == b"=" and len(lines[-1]) == 5 else None
    try:
        data = binascii.a2b_base64(b"".join(lines), strict_mode=True)
        wanted = None if checksum is None else binascii.a2b_base64(checksum, strict_mode=True)
    except binascii.Error as reason:
        raise ParseError(f"armour is not base64: {reason}", offset=offset) from None
    if wanted is not None and crc24(data).to_bytes(3) != wanted:
        raise ParseError("the armour's checksum is wrong", offset=offset)
    return data


@lru_cache(maxsize=1)
def _crc24_table() -> tuple[int, ...]:
    rows = []
    for crc in (byte << 16 for byte in range(256)):
        for _ in range(8):
            crc = crc << 1 ^ (0x1864CFB if crc & 0x800000 else 0)
        rows.append(crc & 0xFFFFFF)
    return tuple(rows)


def crc24(data: bytes) -> int:
    """The checksum of RFC 4880 6.1."""
    table, crc = _crc24_table(), 0xB704CE
    for byte in data:
        crc = (crc << 8 & 0xFFFFFF) ^ table[crc >> 16 ^ byte]
    return crc
