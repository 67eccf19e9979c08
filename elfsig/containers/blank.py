"""Whether there is anything but zeros in what is not recognised."""

from __future__ import annotations

from elfsig.containers.contract import Budget
from elfsig.containers.readers import PIECE, Reader, SeekReader
from elfsig.errors import ContainerError

BLANK = "empty"
"""The kind of what holds nothing but zeros, all of which were read."""

_ZEROS = bytes(PIECE)
_SHOWN = 8


def unrecognised(reader: Reader, expected: str, budget: Budget) -> ContainerError | None:
    """Why ``reader``, which must be ``expected`` and is of no known kind, is incomplete; None for zeros only.

    It is read up to the first byte that is not zero, however far that is: nothing is sampled.
    """
    try:
        at, start = _first(reader, budget)
    except ContainerError as reason:
        return reason
    if not start and at:
        return None
    content = f"which starts with {start.hex(' ')}" if start else "which is empty"
    text = f"no known format is recognised in {expected}, {content}"
    return ContainerError(text, code="unrecognised", offset=at)


def nothing_follows(reader: SeekReader, end: int, budget: Budget) -> None:
    """Raises ContainerError: trailing-data for more than zeros after ``end``, or why that is not known."""
    if end < reader.size:
        at, start = _first(reader.window(end, reader.size), budget)
        if start:
            raise ContainerError("something follows the end", code="trailing-data", offset=end + at)


def _first(reader: Reader, budget: Budget) -> tuple[int, bytes]:
    """(offset of the first byte that is not zero, some bytes from there); without one the size, and b""."""
    at = 0
    while True:
        piece = reader.read_at(at, PIECE) if isinstance(reader, SeekReader) else reader.take(PIECE)
        if not piece:
            return at, b""
        budget.scan(len(piece))
        if piece != _ZEROS[: len(piece)]:
            start = piece.lstrip(b"\0")
            return at + len(piece) - len(start), start[:_SHOWN]
        at += len(piece)
