"""Just enough DER to walk certificates and public keys: tag, length, value, and nothing decoded.

ITU-T X.690: definite lengths of at most four bytes, single-byte tags. Every length is held against the
bytes that are there before it is used.
"""

from __future__ import annotations

from typing import NamedTuple

from elfsig.errors import ParseError

INTEGER, BIT_STRING, OCTET_STRING, OID = 0x02, 0x03, 0x04, 0x06
SEQUENCE, SET = 0x30, 0x31


class Tlv(NamedTuple):
    """One value: its tag byte, where its header starts, where its contents start and end."""

    tag: int
    at: int
    start: int
    end: int


def read(data: bytes, at: int, end: int | None = None) -> Tlv:
    """The value at offset ``at``; it must end at or before ``end`` (None: the end of ``data``).

    Raises ParseError.
    """
    stop = len(data) if end is None else end
    if at + 2 > stop:
        raise ParseError("DER value is cut off", offset=at, code="der-truncated")
    tag, length, start = data[at], data[at + 1], at + 2
    if tag & 0x1F == 0x1F:
        raise ParseError("DER tag of several bytes", offset=at, code="der-tag")
    if length & 0x80:
        width = length & 0x7F
        if not 1 <= width <= 4 or start + width > stop:
            raise ParseError(
                "DER length is indefinite, too long or cut off", offset=at + 1, code="der-length"
            )
        length, start = int.from_bytes(data[start : start + width]), start + width
    if start + length > stop:
        raise ParseError(
            f"DER value of {length} bytes reaches beyond its {stop - start}", offset=at, code="der-length"
        )
    return Tlv(tag, at, start, start + length)


def expect(data: bytes, at: int, end: int, tag: int, what: str) -> Tlv:
    """Like :func:`read`, for a value whose tag is known. Raises ParseError that names ``what``."""
    found = read(data, at, end)
    if found.tag != tag:
        raise ParseError(
            f"{what}: DER tag {tag:#04x} expected, {found.tag:#04x} found", offset=at, code="der-tag"
        )
    return found


def children(data: bytes, parent: Tlv) -> list[Tlv]:
    """The values inside a constructed value, which they must fill exactly. Raises ParseError."""
    found, at = [], parent.start
    while at < parent.end:
        found.append(read(data, at, parent.end))
        at = found[-1].end
    return found


def oid_text(contents: bytes) -> str:
    """An object identifier in dotted form, from its contents bytes. Raises ParseError."""
    if not contents or contents[-1] & 0x80:
        raise ParseError("object identifier is empty or cut off", code="der-oid")
    numbers, value = [], 0
    for byte in contents:
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(value)
            value = 0
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, (first, numbers[0] - 40 * first, *numbers[1:])))
