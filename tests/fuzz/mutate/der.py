"""DER as a tree: elements are cut, copied, swapped, retagged; the lengths around them are made to fit."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from random import Random

from tests.fuzz.mutate.plain import plain

TAGS = (
    0x01,
    0x02,
    0x03,
    0x04,
    0x05,
    0x06,
    0x0A,
    0x0C,
    0x13,
    0x17,
    0x18,
    0x30,
    0x31,
    0x80,
    0x81,
    0xA0,
    0xA1,
    0xA3,
)
DEEPEST = 24


class _Full(Exception):
    """The encoding is larger than there is room for."""


class Room:
    """How many bytes an encoding may still have."""

    def __init__(self, size: int) -> None:
        self.left = size

    def take(self, size: int) -> None:
        """Raises _Full."""
        self.left -= size + 1
        if self.left < 0:
            raise _Full


@dataclass
class Node:
    """One element: its content, or its children where the content is elements throughout."""

    tag: int
    content: bytes = b""
    children: list[Node] = field(default_factory=list)
    style: str = "der"

    def encoded(self, room: Room) -> bytes:
        """The element; ``style`` may be an encoding that BER has and DER forbids, or a wrong length."""
        room.take(len(self.content))
        body = b"".join(each.encoded(room) for each in self.children) if self.children else self.content
        if self.style == "indefinite":
            return bytes([self.tag, 0x80]) + body + b"\0\0"
        if self.style == "long":
            return bytes([self.tag, 0x84]) + len(body).to_bytes(4) + body
        size = max(0, len(body) + {"more": 1, "less": -1, "huge": 1 << 30}.get(self.style, 0))
        if size < 128:
            return bytes([self.tag, size]) + body
        length = size.to_bytes((size.bit_length() + 7) // 8)
        return bytes([self.tag, 0x80 | len(length)]) + length + body


def parse(data: bytes, depth: int = 0) -> list[Node] | None:
    """The elements that ``data`` is throughout, None if it is not."""
    found, at = [], 0
    while at < len(data):
        if len(data) - at < 2:
            return None
        tag, size, start = data[at], data[at + 1], at + 2
        if size & 0x80:
            count = size & 0x7F
            if not 1 <= count <= 4:
                return None
            size, start = int.from_bytes(data[start : start + count]), start + count
        if start + size > len(data):
            return None
        node = Node(tag, data[start : start + size])
        if tag & 0x20 and depth < DEEPEST:
            node.children = parse(node.content, depth + 1) or []
        found.append(node)
        at = start + size
    return found


def every(nodes: list[Node]) -> list[tuple[list[Node], int]]:
    """Each element as the list that it is in and its index there."""
    found = []
    for index, node in enumerate(nodes):
        found.append((nodes, index))
        found += every(node.children)
    return found


def change(roots: list[Node], size: int, chance: Random) -> None:
    """One change somewhere in the tree."""
    places = every(roots)
    if not places:
        return
    home, index = chance.choice(places)
    node = home[index]
    kind = chance.randrange(9)
    if kind == 0:
        del home[index]
    elif kind == 1:
        home.insert(index, deepcopy(node))
    elif kind == 2:
        node.tag = chance.choice(TAGS) if chance.random() < 0.7 else chance.randrange(256)
    elif kind == 3:
        node.style = chance.choice(("indefinite", "indefinite", "long", "more", "less", "huge"))
    elif kind == 4:
        other_home, other = chance.choice(places)
        home[index], other_home[other] = deepcopy(other_home[other]), deepcopy(node)
    elif kind == 5 and not node.children:
        node.content = plain(node.content, 1 << 10, chance)
    elif kind == 6:
        node.content, node.children = chance.choice((b"", b"\0", b"\xff", bytes(64))), []
    elif kind == 7:
        other_home, other = chance.choice(places)
        home.insert(index, deepcopy(other_home[other]))
    else:
        many = min(200, max(1, size // 4 // (len(node.content) + 4)))
        home[index:index] = [node] * chance.randint(1, many)


def encode(roots: list[Node], size: int) -> bytes:
    """The encoding, b"" where it would be much larger than ``size``."""
    room = Room(16 * size)
    try:
        return b"".join(each.encoded(room) for each in roots)[:size]
    except _Full:
        return b""


def der(data: bytes, size: int, chance: Random) -> bytes:
    """Change elements of ``data``; bytes that are not DER are changed as bytes."""
    roots = parse(data)
    if not roots or chance.random() < 0.1:
        return plain(data, size, chance)
    for _ in range(chance.choice((1, 1, 2, 3))):
        change(roots, size, chance)
    return encode(roots, size) or plain(data, size, chance)
