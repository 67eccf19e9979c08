"""Extended headers of pax, and sparse members of GNU tar in their four forms.

Old GNU (type ``S``): offsets and lengths in the header and in blocks after it. pax 0.0 and 0.1: in the
extended header. pax 1.0: in decimal at the start of the content (GNU tar manual, "Storing Sparse Files").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from elfsig.containers.contract import Context, damaged
from elfsig.containers.readers import PIECE, Reader, reader_of
from elfsig.errors import ContainerError

BLOCK = 512
_MAP_LIMIT = 1 << 20
"""Maximum number of pieces of a sparse member."""
_XATTR = "SCHILY.xattr."
_KEPT = ("security.ima", "security.evm", "security.capability", "security.selinux")
_PIECE_KEYS = ("GNU.sparse.offset", "GNU.sparse.numbytes")

Piece = tuple[int, int]
"""(offset in the file, length), in bytes."""


class Pax(NamedTuple):
    """Values of extended headers by keyword; ``pieces`` are the repeated ones of sparse 0.0, in order."""

    values: Mapping[str, bytes] = MappingProxyType({})
    pieces: tuple[bytes, ...] = ()

    def updated(self, more: Pax) -> Pax:
        """These and ``more``, which takes precedence."""
        if not more.values:
            return self
        return Pax({**self.values, **more.values}, more.pieces or self.pieces)

    def text(self, key: str) -> bytes:
        """The value; b"" where it is missing or empty."""
        return self.values.get(key, b"")

    def number(self, key: str, at: int) -> int | None:
        """The value as a decimal number, None where it is missing. Raises ContainerError."""
        value = self.values.get(key)
        if not value:
            return None
        if not value.isdigit() or len(value) > 20:
            raise damaged(f"{key} in an extended header is not a number", at)
        return int(value)

    @property
    def attributes(self) -> dict[str, bytes]:
        """Extended attributes of the security namespace."""
        found = ((key.removeprefix(_XATTR), value) for key, value in self.values.items())
        return {key: value for key, value in found if key in _KEPT}


def parse_pax(content: bytes, at: int) -> Pax:
    """Records "LENGTH KEY=VALUE\\n"; ``at`` is where they are. Raises ContainerError."""
    values: dict[str, bytes] = {}
    pieces: list[bytes] = []
    start = 0
    while start < len(content):
        space = content.find(b" ", start, start + 21)
        digits = content[start:space] if space > 0 else b""
        end = start + int(digits) if digits.isdigit() else 0
        key, equals, value = content[space + 1 : end - 1].partition(b"=")
        if not space < end <= len(content) or content[end - 1 : end] != b"\n" or not equals:
            raise damaged("a record of an extended header is malformed", at + start)
        name = key.decode("utf-8", "surrogateescape")
        if name in _PIECE_KEYS:
            pieces.append(value)
        values[name] = value
        start = end
    return Pax(values, tuple(pieces))


# --------------------------------------------------------------------------- sparse members


class Sparse(NamedTuple):
    """Where the stored pieces belong in the file, the file's size, and its name where the map gives it."""

    pieces: Sequence[Piece]
    real: int
    name: bytes = b""

    def content(self, part: Reader, context: Context, at: int) -> Reader:
        """The file with zeros in its holes, from what is stored. Raises ContainerError."""
        return reader_of(_with_holes(part, self, context, at))


def in_pax(part: Reader, pax: Pax, at: int) -> Sparse | None:
    """The map of a sparse member in the extended header, or at the start of the content ``part``.

    None for a member that is not sparse. Raises ContainerError.
    """
    name = pax.text("GNU.sparse.name")
    if pax.number("GNU.sparse.major", at) == 1:
        pieces = _map_in_content(part, at)
        real = pax.number("GNU.sparse.realsize", at)
    elif "GNU.sparse.map" in pax.values or pax.pieces:
        pieces = _pairs(pax.pieces or pax.text("GNU.sparse.map").split(b","), at)
        real = pax.number("GNU.sparse.size", at)
    else:
        return None
    if real is None:
        raise damaged("a sparse member has no size", at)
    return Sparse(pieces, real, name)


def old_gnu(reader: Reader, block: bytes, at: int) -> Sparse:
    """The map in the header ``block`` of type ``S`` and in the blocks after it, which are read.

    Raises ContainerError.
    """
    real = number(block[483:495], at)
    fields, more = [block[386 + 12 * n : 398 + 12 * n] for n in range(8)], block[482]
    while more:
        if len(fields) > 2 * _MAP_LIMIT:
            raise _too_many(at)
        block = reader.exactly(BLOCK, "the map of a sparse member")
        fields += [block[12 * n : 12 + 12 * n] for n in range(42)]
        more = block[504]
    used = [field for field in fields if field.strip(b"\0 ")]
    return Sparse(_pairs([b"%d" % number(field, at) for field in used], at), real)


def number(field: bytes, at: int) -> int:
    """An octal number, or GNU's: a byte 0x80, then big-endian. Raises ContainerError."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    text = field.split(b"\0")[0].strip(b" ")
    if text.strip(b"01234567") or field[0] > 0x80:
        raise damaged("a number in a header is not one", at)
    return int(text or b"0", 8)


def _map_in_content(part: Reader, at: int) -> list[Piece]:
    """Lines of decimal numbers: how many pieces, then offset and length of each; padded to a block."""
    start = part.tell()
    count = _line(part, at)
    if count > _MAP_LIMIT:
        raise _too_many(at)
    pieces = [(_line(part, at), _line(part, at)) for _ in range(count)]
    part.skip(-(part.tell() - start) % BLOCK)
    return pieces


def _line(part: Reader, at: int) -> int:
    head = part.peek(24)
    digits, newline, _ = head.partition(b"\n")
    if not newline or not digits.isdigit():
        raise damaged("the map of a sparse member is malformed", at)
    part.skip(len(digits) + 1)
    return int(digits)


def _pairs(numbers: Sequence[bytes], at: int) -> list[Piece]:
    if len(numbers) % 2 or not all(each.isdigit() and len(each) < 21 for each in numbers):
        raise damaged("the map of a sparse member is malformed", at)
    if len(numbers) > 2 * _MAP_LIMIT:
        raise _too_many(at)
    values = [int(each) for each in numbers]
    return list(zip(values[::2], values[1::2], strict=True))


def _too_many(at: int) -> ContainerError:
    text = f"a sparse member of more than {_MAP_LIMIT} pieces"
    return ContainerError(text, code="over-budget", offset=at)


def _with_holes(part: Reader, sparse: Sparse, context: Context, at: int) -> Iterator[bytes]:
    position = 0
    for offset, length in [*sparse.pieces, (sparse.real, 0)]:
        if offset < position or offset + length > sparse.real:
            raise damaged("the map of a sparse member is out of order", at)
        yield from context.counted(_zeros(offset - position))
        left = length
        while left:
            data = part.take(min(left, PIECE))
            if not data:
                raise damaged("a sparse member has less content than its map", at)
            left -= len(data)
            yield data
        position = offset + length


def _zeros(size: int) -> Iterator[bytes]:
    whole = bytes(min(size, PIECE))
    while size:
        yield whole[:size]
        size -= min(size, PIECE)
