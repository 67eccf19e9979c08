"""OpenPGP packets: headers, numbers and signature packets (RFC 4880 sections 3.2, 4.2, 5.2).

Everything is big-endian. Functions take bytes and raise only ParseError, with the offset in those bytes.
Nothing is allocated that the input does not already hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from elfsig.errors import ParseError
from elfsig.lazy_dataclass import dataclass
from elfsig.lazy_tuple import NamedTuple

PKESK: Final = 1
SIGNATURE: Final = 2
SECRET_KEY: Final = 5
PUBLIC_KEY: Final = 6
SECRET_SUBKEY: Final = 7
COMPRESSED: Final = 8
SED: Final = 9
LITERAL: Final = 11
USER_ID: Final = 13
PUBLIC_SUBKEY: Final = 14
SEIPD: Final = 18

TAG_NAMES: Final[Mapping[int, str]] = {
    PKESK: "session key encrypted to a public key",
    SIGNATURE: "signature",
    3: "session key encrypted by passphrase",
    4: "one-pass signature",
    SECRET_KEY: "secret key",
    PUBLIC_KEY: "public key",
    SECRET_SUBKEY: "secret subkey",
    COMPRESSED: "compressed data",
    SED: "encrypted data",
    10: "marker",
    LITERAL: "literal data",
    12: "trust",
    USER_ID: "user id",
    PUBLIC_SUBKEY: "public subkey",
    17: "user attribute",
    SEIPD: "encrypted data with integrity protection",
    19: "modification detection code",
}
_DATA_TAGS: Final = frozenset({COMPRESSED, SED, LITERAL, SEIPD})
"""The only packets that may have partial lengths (RFC 4880 4.2.2.4)."""

ALGORITHMS: Final[Mapping[int, str]] = {1: "rsa", 2: "rsa", 3: "rsa", 17: "dsa", 19: "ecdsa", 22: "eddsa"}
ALGORITHM_NAMES: Final[Mapping[int, str]] = {
    1: "RSA",
    2: "RSA (encrypt only)",
    3: "RSA (sign only)",
    16: "Elgamal",
    17: "DSA",
    18: "ECDH",
    19: "ECDSA",
    20: "Elgamal (sign or encrypt)",
    22: "EdDSA",
}
ALGORITHM_IDS: Final[Mapping[str, int]] = {"rsa": 1, "dsa": 17}
"""What elfsig writes for its algorithm names (RFC 4880 9.1)."""

SIGNATURE_NUMBERS: Final[Mapping[int, int]] = {1: 1, 3: 1, 17: 2, 19: 2, 20: 2, 22: 2}
"""How many numbers a signature value has, by public-key algorithm."""

MAX_MPI_BITS: Final = 16384
"""GnuPG's and the kernels' own limit (MAX_EXTERN_MPI_BITS)."""

_NAMED_SUBPACKETS: Final = frozenset({2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 16, *range(20, 34)})
CREATED, EXPIRES, ISSUER, NOTATION, SIGNER_UID, ISSUER_FINGERPRINT = 2, 3, 16, 20, 28, 33


# --------------------------------------------------------------------------- headers


class Packet(NamedTuple):
    """One packet: ``start:end`` in the input, ``body`` from ``body_start``.

    ``cut`` is how many bytes the declared length runs past the end of the input (lenient reading only).
    """

    tag: int
    start: int
    body_start: int
    end: int
    body: bytes
    new_format: bool
    cut: int = 0

    @property
    def name(self) -> str:
        return TAG_NAMES.get(self.tag, f"packet of unknown type {self.tag}")


def read_packets(data: bytes, *, lenient: bool = False) -> Iterator[Packet]:
    """The packets of ``data`` in order.

    Lenient: a length past the end is cut to the end, as GnuPG does; kernels return EBADMSG. Raises
    ParseError at the packet that cannot be read, after yielding those before it.
    """
    at = 0
    while at < len(data):
        packet = read_packet(data, at, lenient=lenient)
        yield packet
        at = packet.end


def read_packet(data: bytes, at: int, *, lenient: bool = False) -> Packet:
    """The packet whose header is at ``at``."""
    first = byte_at(data, at, "packet header")
    if not first & 0x80:
        raise ParseError(f"not an OpenPGP packet: first byte {first:#04x} has bit 7 clear", offset=at)
    new = bool(first & 0x40)
    tag = first & 0x3F if new else first >> 2 & 0x0F
    if tag == 0:
        raise ParseError("OpenPGP packet type 0 is reserved", offset=at)
    start, size = _new_length(data, at + 1) if new else _old_length(data, at + 1, first & 3)
    if size is None:
        if tag not in _DATA_TAGS:
            kind = "partial" if new else "indeterminate"
            raise ParseError(f"{kind} length on a {_name(tag)} packet: only data may have one", offset=at)
        body, end = _open_body(data, at + 1) if new else (data[start:], len(data))
        return Packet(tag, at, start, end, body, new)
    cut = max(0, start + size - len(data))
    if cut and not lenient:
        text = f"{_name(tag)} packet says {size} bytes and {len(data) - start} are left"
        raise ParseError(text, offset=at, code="length-past-end")
    end = start + size - cut
    return Packet(tag, at, start, end, data[start:end], new, cut)


def _name(tag: int) -> str:
    return TAG_NAMES.get(tag, f"type {tag}")


def _old_length(data: bytes, at: int, kind: int) -> tuple[int, int | None]:
    """(where the body begins, its size; None: to the end of the input). RFC 4880 4.2.1."""
    if kind == 3:
        return at, None
    width = 1 << kind
    return at + width, int.from_bytes(take(data, at, width, "packet length"))


def _new_length(data: bytes, at: int) -> tuple[int, int | None]:
    """(where the body begins, its size; None: partial lengths). RFC 4880 4.2.2."""
    first = byte_at(data, at, "packet length")
    if first < 192:
        return at + 1, first
    if first < 224:
        return at + 2, (first - 192 << 8) + byte_at(data, at + 1, "packet length") + 192
    if first == 255:
        return at + 5, int.from_bytes(take(data, at + 1, 4, "packet length"))
    return at + 1, None


def _open_body(data: bytes, at: int) -> tuple[bytes, int]:
    """The body after a chain of partial lengths, and where it ends (RFC 4880 4.2.2.4)."""
    parts: list[bytes] = []
    while True:
        start, size = _new_length(data, at)
        if size is not None:
            return b"".join([*parts, take(data, start, size, "last part of a packet")]), start + size
        size = 1 << (data[at] & 0x1F)
        parts.append(take(data, start, size, "part of a packet"))
        at = start + size


def byte_at(data: bytes, at: int, what: str) -> int:
    """One byte. Raises ParseError past the end."""
    if at >= len(data):
        raise ParseError(f"{what} expected, the data ends", offset=at)
    return data[at]


def take(data: bytes, at: int, size: int, what: str) -> bytes:
    """``size`` bytes. Raises ParseError past the end."""
    if size > len(data) - at:
        raise ParseError(f"{what}: {size} bytes expected, {max(0, len(data) - at)} are left", offset=at)
    return data[at : at + size]


def write_packet(tag: int, body: bytes) -> bytes:
    """A packet with an old-format header and the shortest length that fits, as GnuPG 1.x writes it."""
    width, kind = (1, 0) if len(body) < 256 else (2, 1) if len(body) < 65536 else (4, 2)
    return bytes([0x80 | tag << 2 | kind]) + len(body).to_bytes(width) + body


# --------------------------------------------------------------------------- numbers


def read_mpi(data: bytes, at: int) -> tuple[int, int]:
    """(number, where the next field begins). A 16-bit count of bits, then the bytes (RFC 4880 3.2).

    Zero, and numbers above MAX_MPI_BITS, occur in no signature or key and raise ParseError.
    """
    bits = int.from_bytes(take(data, at, 2, "length of a number"))
    if bits > MAX_MPI_BITS:
        raise ParseError(f"number of {bits} bits: the limit is {MAX_MPI_BITS}", offset=at)
    value = int.from_bytes(take(data, at + 2, (bits + 7) // 8, "number"))
    if value == 0:
        raise ParseError("a number that is zero", offset=at)
    return value, at + 2 + (bits + 7) // 8


def read_mpis(data: bytes, at: int, count: int) -> tuple[tuple[int, ...], int]:
    """``count`` numbers in a row, and where they end."""
    numbers = []
    for _ in range(count):
        value, at = read_mpi(data, at)
        numbers.append(value)
    return tuple(numbers), at


def mpi(value: int) -> bytes:
    """A number as OpenPGP writes it."""
    return value.bit_length().to_bytes(2) + value.to_bytes((value.bit_length() + 7) // 8)


# --------------------------------------------------------------------------- signatures


class Subpacket(NamedTuple):
    """One subpacket of a v4 signature. ``offset`` counts from the start of the packet's body."""

    type: int
    critical: bool
    data: bytes
    hashed: bool
    offset: int


@dataclass(frozen=True, slots=True)
class SignaturePacket:
    """A signature packet. For versions other than 2 to 4 only ``version`` is set.

    ``completion`` is what is hashed after the message. ``left16`` are the first two bytes of the digest.
    ``numbers`` is empty for an algorithm whose value is of unknown form; ``behind`` are bytes after them.
    """

    version: int
    sig_class: int = 0
    algorithm: int = 0
    hash: int = 0
    created: int | None = None
    key_id: bytes | None = None
    subpackets: tuple[Subpacket, ...] = ()
    left16: bytes = b""
    numbers: tuple[int, ...] = ()
    completion: bytes = b""
    behind: int = 0

    @property
    def unknown_critical(self) -> tuple[Subpacket, ...]:
        """Critical subpackets of a type that RFC 4880 does not name, and critical notations unknown to GnuPG.

        In the hashed area they make the signature unusable (RFC 4880 5.2.3.1).
        """
        return tuple(s for s in self.subpackets if s.critical and not _is_understood(s))

    def first(self, kind: int, size: int) -> Subpacket | None:
        """The first hashed subpacket of this type, at least ``size`` bytes long."""
        return next((s for s in self.subpackets if s.hashed and s.type == kind and len(s.data) >= size), None)

    @property
    def issuers(self) -> tuple[Subpacket, ...]:
        """Issuer subpackets, those of the hashed area first."""
        return tuple(s for s in self.subpackets if s.type == ISSUER and len(s.data) == 8)

    @property
    def fingerprints(self) -> tuple[Subpacket, ...]:
        """Issuer fingerprints of v4 keys: a version byte and 20 bytes (RFC 9580 5.2.3.35)."""
        return tuple(
            s
            for s in self.subpackets
            if s.type == ISSUER_FINGERPRINT and s.data[:1] == b"\4" and len(s.data) == 21
        )


KNOWN_NOTATIONS: Final = frozenset({b"preferred-email-encoding@pgp.com"})
"""Notations that GnuPG accepts as critical (g10/parse-packet.c, can_handle_critical_notation())."""


def notation_name(subpacket: Subpacket) -> bytes | None:
    """The name in a notation subpacket (RFC 4880 5.2.3.16); None for other types."""
    if subpacket.type != NOTATION:
        return None
    return subpacket.data[8 : 8 + int.from_bytes(subpacket.data[4:6])]


def _is_understood(subpacket: Subpacket) -> bool:
    name = notation_name(subpacket)
    return subpacket.type in _NAMED_SUBPACKETS if name is None else name in KNOWN_NOTATIONS


def read_signature(body: bytes) -> SignaturePacket:
    """A signature packet's body. Raises ParseError with the offset in ``body``."""
    version = byte_at(body, 0, "version of the signature")
    if version in (2, 3):
        return _read_v3(body, version)
    return _read_v4(body) if version == 4 else SignaturePacket(version)


def _read_v3(body: bytes, version: int) -> SignaturePacket:
    """RFC 4880 5.2.2: length of the hashed part (5), class, time, key id, algorithms, left 16 bits."""
    head = take(body, 0, 19, f"signature of version {version}")
    if head[1] != 5:
        raise ParseError(f"hashed part of {head[1]} bytes: a v{version} signature has 5", offset=1)
    numbers, end = _numbers(body, 19, head[15])
    return SignaturePacket(
        version,
        head[2],
        head[15],
        head[16],
        created=int.from_bytes(head[3:7]),
        key_id=head[7:15],
        left16=head[17:19],
        numbers=numbers,
        completion=head[2:7],
        behind=len(body) - end,
    )


def _read_v4(body: bytes) -> SignaturePacket:
    """RFC 4880 5.2.3: class, algorithms, hashed and unhashed subpackets, left 16 bits."""
    head = take(body, 0, 6, "signature of version 4")
    split = 6 + int.from_bytes(head[4:6])
    hashed = take(body, 6, split - 6, "hashed subpackets")
    size = int.from_bytes(take(body, split, 2, "length of the unhashed subpackets"))
    unhashed = take(body, split + 2, size, "unhashed subpackets")
    at = split + 2 + size
    left16 = take(body, at, 2, "left 16 bits of the hash")
    numbers, end = _numbers(body, at + 2, head[2])
    found = (*_subpackets(hashed, 6, True), *_subpackets(unhashed, split + 2, False))
    created = next((s.data for s in found if s.hashed and s.type == CREATED and len(s.data) == 4), None)
    issuer = next((s.data for s in found if s.type == ISSUER and len(s.data) == 8), None)
    return SignaturePacket(
        4,
        head[1],
        head[2],
        head[3],
        created=None if created is None else int.from_bytes(created),
        key_id=issuer,
        subpackets=found,
        left16=left16,
        numbers=numbers,
        completion=v4_completion(body[:split]),
        behind=len(body) - end,
    )


def v4_completion(hashed_part: bytes) -> bytes:
    """What a v4 signature hashes after the message: its body up to the hashed area, then a trailer."""
    return hashed_part + b"\x04\xff" + len(hashed_part).to_bytes(4)


def _numbers(body: bytes, at: int, algorithm: int) -> tuple[tuple[int, ...], int]:
    count = SIGNATURE_NUMBERS.get(algorithm)
    return ((), len(body)) if count is None else read_mpis(body, at, count)


def _subpackets(area: bytes, base: int, hashed: bool) -> Iterator[Subpacket]:
    """RFC 4880 5.2.3.1: a length of one, two or five bytes that counts the type byte."""
    at = 0
    while at < len(area):
        start, size = at + 1, area[at]
        if size >= 192:
            width = 1 if size < 255 else 4
            more = take(area, at + 1, width, "length of a subpacket")
            size = (size - 192 << 8) + more[0] + 192 if width == 1 else int.from_bytes(more)
            start = at + 1 + width
        if size == 0 or size > len(area) - start:
            text = f"subpacket of {size} bytes where {len(area) - start} are left"
            raise ParseError(text, offset=base + at)
        kind = area[start]
        data = area[start + 1 : start + size]
        yield Subpacket(kind & 0x7F, bool(kind & 0x80), data, hashed, base + at)
        at = start + size


def subpacket(kind: int, data: bytes) -> bytes:
    """A subpacket shorter than 192 bytes."""
    return bytes([len(data) + 1, kind]) + data
