"""Which bytes of a module differ from a copy of it whose signature is good."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

MAX_RANGES = 50
"""Ranges that are listed; the bytes of further ones are counted."""

_BLOCK = 1 << 16


class Changes(NamedTuple):
    """The module in ``folder`` beside that in ``good``, which has the same name and was built for the same
    kernel.

    ``sizes`` are those of both, in bytes; ``bytes`` differ, as far as both go; ``ranges`` are the first runs
    of these, as (start, end) offsets.
    """

    folder: str
    good: str
    sizes: tuple[int, int]
    bytes: int
    ranges: tuple[tuple[int, int], ...]

    def to_json(self) -> dict[str, Any]:
        """A line of ``changes.jsonl``."""
        return {
            "bundle": self.folder,
            "good": self.good,
            "sizes": list(self.sizes),
            "bytes": self.bytes,
            "ranges": [list(each) for each in self.ranges],
        }


def changes(folder: str, content: Iterable[bytes], good: str, original: Iterable[bytes]) -> Changes:
    """Compare two contents, given in pieces."""
    ones, twos = _Blocks(content), _Blocks(original)
    ranges: list[tuple[int, int]] = []
    count = at = 0
    start: int | None = None
    for one, two in zip(ones, twos, strict=False):
        if one == two and start is None:
            at += len(one)
            continue
        for a, b in zip(one, two, strict=False):
            if a != b:
                count += 1
                start = at if start is None else start
            elif start is not None:
                ranges += [(start, at)] if len(ranges) < MAX_RANGES else []
                start = None
            at += 1
    if start is not None and len(ranges) < MAX_RANGES:
        ranges.append((start, at))
    sizes = ones.rest(), twos.rest()
    return Changes(folder, good, sizes, count, tuple(ranges))


class _Blocks:
    """Pieces of any size as blocks of one size; ``size`` counts their bytes."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces, self._rest, self.size = iter(pieces), b"", 0

    def __iter__(self) -> Iterator[bytes]:
        while True:
            while len(self._rest) < _BLOCK and (piece := next(self._pieces, b"")):
                self._rest += piece
            if not self._rest:
                return
            block, self._rest = self._rest[:_BLOCK], self._rest[_BLOCK:]
            self.size += len(block)
            yield block

    def rest(self) -> int:
        """The size of everything, what was not looked at included."""
        for _ in self:
            pass
        return self.size
