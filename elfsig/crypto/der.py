"""Tag, length, value (X.690): a minimal DER writer, and a reader that also takes BER's indefinite lengths.

The reader reports offsets, which the ASN.1 libraries do not: where an element starts, and where the
structure is damaged. It never recurses and never reads outside the bytes it is given.
"""

from __future__ import annotations

from collections.abc import Iterator

from elfsig.errors import ParseError
from elfsig.lazy_tuple import NamedTuple

_LONGEST_OID = 63

INTEGER, OCTETS, NULL, OID, SEQUENCE, SET = 0x02, 0x04, 0x05, 0x06, 0x30, 0x31


def encode(tag: int, *parts: bytes) -> bytes:
    """One element with a one-byte ``tag``, its length in DER, and the joined ``parts`` as content."""
    body = b"".join(parts)
    size = len(body)
    if size < 0x80:
        return bytes((tag, size)) + body
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + body


def encode_integer(value: int) -> bytes:
    """INTEGER in the fewest bytes, two's complement."""
    return encode(INTEGER, value.to_bytes((value + (value < 0)).bit_length() // 8 + 1, "big", signed=True))


def encode_oid(dotted: str) -> bytes:
    """DER of an object identifier, tag and length included (X.690 8.19)."""
    first, second, *rest = map(int, dotted.split("."))
    body = b""
    for arc in (first * 40 + second, *rest):
        group = bytes([arc & 0x7F])
        while arc := arc >> 7:
            group = bytes([arc & 0x7F | 0x80]) + group
        body += group
    return encode(OID, body)


def decode_oid(body: bytes) -> str:
    """Dotted form of an object identifier's content bytes. Raises ParseError."""
    if not body or body[-1] & 0x80 or len(body) > _LONGEST_OID:
        raise ParseError(f"not an object identifier: {body[:_LONGEST_OID].hex() or 'no bytes'}")
    arcs, arc = [], 0
    for byte in body:
        arc = arc << 7 | byte & 0x7F
        if not byte & 0x80:
            arcs.append(arc)
            arc = 0
    top = min(arcs[0] // 40, 2)
    return ".".join(map(str, (top, arcs[0] - top * 40, *arcs[1:])))


class Node(NamedTuple):
    """One element: its tag byte, where it starts, its content ``body:end``, and where the next one starts.

    ``next`` differs from ``end`` for an indefinite length, which is ended by two bytes.
    """

    tag: int
    start: int
    body: int
    end: int
    next: int

    @property
    def indefinite(self) -> bool:
        return self.next != self.end


def _header(data: bytes, at: int, limit: int) -> tuple[int, int, int | None]:
    """(tag, start of the content, its length or None for indefinite)."""
    if at + 2 > limit:
        raise ParseError("expected a tag and a length, found the end", offset=at)
    tag, length = data[at], data[at + 1]
    if tag & 0x1F == 0x1F:
        raise ParseError(f"tag {tag:#04x} has more than one byte, which no module signature uses", offset=at)
    if length < 0x80:
        return tag, at + 2, length
    count = length & 0x7F
    if not count:
        if not tag & 0x20:
            raise ParseError("an indefinite length on an element that is not constructed", offset=at)
        return tag, at + 2, None
    if at + 2 + count > limit:
        raise ParseError("the length field is cut off", offset=at + 1)
    return tag, at + 2 + count, int.from_bytes(data[at + 2 : at + 2 + count], "big")


def _find_close(data: bytes, at: int, limit: int) -> int:
    """Offset of the two zero bytes that end the indefinite length whose content starts at ``at``."""
    opened, depth = at, 1
    while at < limit:
        tag, size = data[at], data[at + 1] if at + 1 < limit else -1
        if 0 < size < 0x80 and tag & 0x1F != 0x1F:  # most elements: without a call for each
            at += 2 + size
        elif size == 0 and not tag:
            depth -= 1
            if not depth:
                return at
            at += 2
        elif size == 0x80 and tag & 0x20 and tag & 0x1F != 0x1F:
            depth += 1
            at += 2
        else:
            _, at, length = _header(data, at, limit)
            at += length or 0
    raise ParseError("an indefinite length without an end", offset=opened - 1)


def read(data: bytes, at: int, limit: int) -> Node:
    """The element at ``at``, which must end at ``limit`` or before. Raises ParseError with the offset."""
    tag, body, size = _header(data, at, limit)
    if size is None:
        end = _find_close(data, body, limit)
        return Node(tag, at, body, end, end + 2)
    if body + size > limit:
        raise ParseError(f"element of {size} bytes, {limit - body} are left", offset=at)
    return Node(tag, at, body, body + size, body + size)


def count(data: bytes, at: int, end: int, limit: int) -> int:
    """The number of elements from ``at`` to ``end``, nested ones included; counting stops at ``limit`` + 1.
    Raises ParseError with the offset.
    """
    number = 0
    while at < end and number <= limit:
        tag, body, size = _header(data, at, end)
        number += 1
        at = body if size is None or tag & 0x20 else body + size
    return number


def children(data: bytes, parent: Node) -> Iterator[Node]:
    """The elements inside a constructed element, in order. Raises ParseError with the offset."""
    at = parent.body
    while at < parent.end:
        node = read(data, at, parent.end)
        yield node
        at = node.next


def oid_text(data: bytes, node: Node) -> str:
    """Dotted form of the object identifier ``node``. Raises ParseError with its offset."""
    try:
        return decode_oid(data[node.body : node.end])
    except ParseError as fault:
        raise ParseError(fault.text, offset=node.start) from None


def descend(data: bytes, node: Node, *path: int) -> Node:
    """The element reached by child numbers from ``node``. Raises ParseError if one is missing."""
    for number in path:
        found = None
        for index, child in enumerate(children(data, node)):
            if index == number:
                found = child
                break
        if found is None:
            raise ParseError(f"element {number + 1} of this structure is missing", offset=node.start)
        node = found
    return node


class Component(NamedTuple):
    """One field of a structure: its name, the tags it may have, whether it is optional."""

    name: str
    tags: tuple[int, ...]
    optional: bool = False


def fields(data: bytes, parent: Node, parts: tuple[Component, ...]) -> dict[str, Node]:
    """The children of ``parent`` by field name. Raises ParseError with the offset of the first misfit."""
    found: dict[str, Node] = {}
    at = parent.body
    node = read(data, at, parent.end) if at < parent.end else None
    for part in parts:
        if node is not None and node.tag in part.tags:
            found[part.name], at = node, node.next
            node = read(data, at, parent.end) if at < parent.end else None
        elif not part.optional:
            what = f"tag {node.tag:#04x}" if node else "the end"
            raise ParseError(f"expected {part.name}, found {what}", offset=at)
    if node is not None:
        raise ParseError(f"nothing may follow {parts[-1].name} here", offset=at)
    return found
