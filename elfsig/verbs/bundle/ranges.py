"""A signed stream as ranges of the file that it was taken from, and bytes that were made from it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from elfsig.model import ByteRange, Derived, FileRange, Message

MAX_SOURCES = 16
"""A computed piece is looked for in the file if it depends on at most this many ranges, as the fields of a
section header do, and the records of a relocation section do not."""

MAX_PIECE = 1 << 12
"""Size in bytes of the largest computed piece that is looked for in the file."""

_LINE = 32
"""Bytes in one line of the listing."""


class Made(NamedTuple):
    """Bytes of a stream that are not in the file as they stand; ``label`` says what they are."""

    data: bytes
    label: str


class Ranges(NamedTuple):
    """``text`` is the list, as ``recheck.sh`` reads it; ``made`` are the bytes that it refers to.

    ``copied`` and ``computed`` count bytes of the stream.
    """

    text: bytes
    made: bytes
    copied: int
    computed: int


def ranges(message: Message) -> Ranges:
    """The pieces of a message, neighbours joined.

    Lines of the list: ``copy START SIZE`` in the file, ``made START SIZE`` in the made bytes, and comments
    after ``#``: for made bytes what they are, in quotes, and their values in hex.
    """
    lines: list[str] = []
    made = bytearray()
    copied = 0
    for piece in _joined(message):
        if isinstance(piece, ByteRange):
            copied += piece.end - piece.start
            lines.append(f"copy {piece.start} {piece.end - piece.start}")
            continue
        lines.append(f"made {len(made)} {len(piece.data)}")
        lines.append(f"# {json.dumps(piece.label)}")
        lines += (f"#  {piece.data[at : at + _LINE].hex()}" for at in range(0, len(piece.data), _LINE))
        made += piece.data
    return Ranges("".join(f"{line}\n" for line in lines).encode("ascii"), bytes(made), copied, len(made))


def _joined(message: Message) -> Iterator[ByteRange | Made]:
    """All pieces that are not empty; ranges that follow each other in the file are one."""
    last: ByteRange | None = None
    for piece in _pieces(message):
        if isinstance(piece, ByteRange) and last is not None and last.end == piece.start:
            last = ByteRange(last.start, piece.end)
            continue
        if last is not None:
            yield last
        last = piece if isinstance(piece, ByteRange) else None
        if isinstance(piece, Made):
            yield piece
    if last is not None:
        yield last


def _pieces(message: Message) -> Iterator[ByteRange | Made]:
    for piece in message.pieces:
        if isinstance(piece, FileRange):
            if piece.end > piece.start:
                yield ByteRange(piece.start, piece.end)
            continue
        if piece.data:
            found = _found(piece, message.data)
            yield from found
            if not found:
                yield Made(piece.data, piece.label)


def _found(piece: Derived, data: bytes) -> Sequence[ByteRange]:
    """The ranges of the file, among those that a computed piece depends on, that it consists of; none where
    it is more than that."""
    if len(piece.data) > MAX_PIECE:
        return []
    sources = [each for each in islice(piece.depends, MAX_SOURCES + 1) if each[1] > each[0]]
    if len(sources) > MAX_SOURCES:
        return []
    found: list[ByteRange] = []
    at = 0
    while at < len(piece.data):
        fits = (each for each in sources if piece.data.startswith(data[each[0] : each[1]], at))
        best = max(fits, key=lambda each: each[1] - each[0], default=None)
        if best is None:
            return []
        found.append(ByteRange(best[0], best[1]))
        at += best[1] - best[0]
    return found
