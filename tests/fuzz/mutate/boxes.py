"""Containers that check what they hold: U-Boot's images by checksums, images of containers by hashes."""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Iterator
from random import Random

from tests.fuzz.mutate import archives
from tests.fuzz.mutate.plain import number, plain

_UIMAGE = 64
_MULTI = 4
_BLOB = re.compile(rb"(?:.*/)?blobs/sha256/([0-9a-f]{64})\Z", re.DOTALL)
_JSON = (b'"layers"', b'"manifests"', b'"digest"', b'"mediaType"', b'"Layers"', b"[]", b"{}", b"7", b"null")
_DEPTH = 3
"""A layer is named in a manifest, and this in an index."""


def uimage(data: bytes, size: int, chance: Random) -> bytes:
    """Change fields or the data of a legacy image, and most often make both checksums right again."""
    if len(data) < _UIMAGE or chance.random() < 0.1:
        return plain(data, size, chance)
    head, rest = bytearray(data[:_UIMAGE]), data[_UIMAGE:]
    kind = chance.randrange(4)
    if kind == 0:
        head[28:32] = bytes(chance.choice((0, 1, 2, 3, 4, 5, 255)) for _ in range(4))
    elif kind == 1:
        at = 4 * chance.randrange(max(1, min(len(rest) // 4, 70)))
        value = number(chance, 32, (len(rest),)).to_bytes(4)
        rest, head[30] = rest[:at] + value + rest[at + 4 :], _MULTI
    else:
        rest = plain(rest, max(1, size - _UIMAGE), chance)
    if chance.random() < 0.9:
        head[12:16] = len(rest).to_bytes(4)
    stated = rest[: int.from_bytes(head[12:16])]
    if chance.random() < 0.95:
        head[24:28] = zlib.crc32(stated).to_bytes(4)
    if chance.random() < 0.95:
        head[4:8] = zlib.crc32(bytes(head[:4]) + bytes(4) + bytes(head[8:])).to_bytes(4)
    return (bytes(head) + rest)[:size]


def _members(data: bytes) -> Iterator[tuple[int, int]]:
    """(offset of the header, size of the content) of each member of a tar archive."""
    at = 0
    while data[at + 257 : at + 262] == b"ustar":
        digits = data[at + 124 : at + 135]
        size = int(digits, 8) if digits.isdigit() and b"8" not in digits and b"9" not in digits else 0
        yield at, size
        at += 512 + -(-size // 512) * 512


def _header(block: bytes, size: int) -> bytes:
    """A header for another size, with a right checksum."""
    block = block[:124] + b"%011o\0" % size + block[136:]
    total = sum(block[:148]) + 8 * ord(" ") + sum(block[156:])
    return block[:148] + b"%06o\0 " % total + block[156:]


def _renamed(data: bytes) -> bytes:
    """The archive with each blob's name, wherever it stands, after its content."""
    for at, size in list(_members(data)):
        name = _BLOB.match(data[at : at + 100].split(b"\0")[0])
        if name is not None:
            digest = hashlib.sha256(data[at + 512 : at + 512 + size]).hexdigest().encode()
            data = data.replace(name[1], digest)
    for at, size in list(_members(data)):
        data = data[:at] + _header(data[at : at + 512], size) + data[at + 512 :]
    return data


def _content(content: bytes, room: int, chance: Random) -> bytes:
    """Another content of a member: of a document with other words, or of anything."""
    places = [m.span() for m in re.finditer(rb'"[^"]*"|\d+|\[|\]', content)] if content[:1] in b"{[" else []
    if not places or chance.random() < 0.3:
        return plain(content, max(1, room), chance)
    start, end = chance.choice(places)
    other = content[slice(*chance.choice(places))] if chance.random() < 0.5 else chance.choice(_JSON)
    return (content[:start] + other + content[end:])[:room]


def layout(data: bytes, size: int, chance: Random) -> bytes:
    """Change the content of a member; most often name all blobs after their contents again."""
    members = list(_members(data))
    if not members or chance.random() < 0.2:
        return archives.tar(data, size, chance)
    at, old = chance.choice(members)
    start, end = at + 512, at + 512 + -(-old // 512) * 512
    new = _content(data[start : start + old], size // 2, chance)
    padded = new.ljust(-(-len(new) // 512) * 512, b"\0")
    changed = data[:at] + _header(data[at:start], len(new)) + padded + data[end:]
    if chance.random() < 0.8:
        for _ in range(_DEPTH):
            changed = _renamed(changed)
    return changed[:size]
