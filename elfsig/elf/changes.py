"""changes: which bytes of a section differ, and in which function or object they are.

Symbols are those of the System V ABI's symbol table: ``st_value`` is an offset in the section for relocatable
files, and an address else.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from elfsig.elf.symbols import Symbol
from elfsig.lazy_tuple import NamedTuple

MOST_CHANGES: Final = 100
"""Stretches of differing bytes that are listed for a section; all are counted."""

MOST_UNLOADED: Final = 5
"""The same for a section that is not loaded, such as debug data."""

MOST_BYTES: Final = 32
"""Bytes of a stretch that are kept."""

NEARBY: Final = 64
"""Symbols that start before an offset and are tried, for one that contains it."""

_DIFFERING = re.compile(rb"[^\0]+")
_WORD: Final = 1 << 16


class ByteChange(NamedTuple):
    """A stretch of bytes of a section that differs: at ``offset`` in it, ``old_size`` bytes were replaced by
    ``new_size``. ``old`` and ``new`` are the first of them. It starts at ``symbol_offset`` in ``symbol``.
    """

    offset: int
    old_size: int
    new_size: int
    old: bytes
    new: bytes
    symbol: str | None = None
    symbol_offset: int | None = None

    def to_json(self) -> dict[str, Any]:
        """The same as plain JSON values; bytes in hex."""
        return {**self._asdict(), "old": self.old.hex(), "new": self.new.hex()}


class Changes(NamedTuple):
    """The first stretches that differ, and how many there are."""

    first: tuple[ByteChange, ...]
    total: int


class SymbolIndex:
    """The named symbols of one section, by where they are. ``base`` is the section's address."""

    def __init__(self, symbols: Iterable[Symbol], base: int = 0) -> None:
        named = (each for each in symbols if each.name and not each.is_bookkeeping)
        self._symbols: Sequence[Symbol] = sorted(named, key=lambda each: (each.value, -each.size, each.name))
        self._starts = [each.value - base for each in self._symbols]

    def at(self, offset: int) -> tuple[str, int] | None:
        """The symbol that contains ``offset``, the innermost one, and the offset in it."""
        last = bisect_right(self._starts, offset)
        for index in range(last - 1, max(-1, last - 1 - NEARBY), -1):
            inside = offset - self._starts[index]
            if inside < self._symbols[index].size:
                return self._symbols[index].name, inside
        return None


def changes(
    one: bytes, other: bytes, old: SymbolIndex, new: SymbolIndex, most: int = MOST_CHANGES
) -> Changes:
    """What differs between two contents of a section, with the symbols of each; at most ``most`` stretches.

    Where their sizes differ, everything between the first and the last difference is one stretch.
    """
    stretches = _same_size(one, other) if len(one) == len(other) else _one_stretch(one, other)
    first: list[ByteChange] = []
    total = 0
    for start, old_size, new_size in stretches:
        total += 1
        if len(first) < most:
            before, after = (
                bytes(data[start : start + min(length, MOST_BYTES)])
                for data, length in ((one, old_size), (other, new_size))
            )
            where = old.at(start) or new.at(start) or (None, None)
            first.append(ByteChange(start, old_size, new_size, before, after, *where))
    return Changes(tuple(first), total)


def _same_size(one: bytes, other: bytes) -> Iterator[tuple[int, int, int]]:
    """Each stretch of differing bytes: (offset, size, size)."""
    begun = None
    for start in range(0, len(one), _WORD):
        a, b = one[start : start + _WORD], other[start : start + _WORD]
        if a == b:
            continue
        differing = (int.from_bytes(a, "little") ^ int.from_bytes(b, "little")).to_bytes(len(a), "little")
        for found in _DIFFERING.finditer(differing):
            low, high = start + found.start(), start + found.end()
            if begun is not None and begun[1] == low:  # across a boundary of what is compared at once
                begun = begun[0], high
                continue
            if begun is not None:
                yield begun[0], begun[1] - begun[0], begun[1] - begun[0]
            begun = low, high
    if begun is not None:
        yield begun[0], begun[1] - begun[0], begun[1] - begun[0]


def _one_stretch(one: bytes, other: bytes) -> Iterator[tuple[int, int, int]]:
    start = common_start(one, other)
    most = min(len(one), len(other)) - start
    end = common_start(one[len(one) - most :][::-1], other[len(other) - most :][::-1])
    yield start, len(one) - start - end, len(other) - start - end


def common_start(one: bytes, other: bytes) -> int:
    """How many bytes at the start of two byte strings are the same."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
