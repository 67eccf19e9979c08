"""Relocation records written a whole section at a time, for modules with many relocations.

The bytes are those of records.PlainRecords. Fields that are only copied are moved as native integers of
their width, whatever the file's byte order. Importing this module imports numpy.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from elfsig.coverages.records import (
    Job,
    Numbering,
    SymbolTable,
    index_fault,
    name_fault,
    record_size,
    refused_fault,
    room_fault,
)
from elfsig.coverages.sections import SectionView
from elfsig.elf.table import SHN_UNDEF, Layout

Array = npt.NDArray[Any]

AT_ONCE = 1 << 15
"""Entries that are written at once: what is computed for them stays in a processor's cache."""

ROUND = 16
"""Names are copied in multiples of so many bytes, which are fewer sizes; the shortest record is longer."""


class _Columns(NamedTuple):
    """One entry per symbol. ``name_start`` is a file offset; ``name_size`` counts the NUL and is 0 for
    defined symbols and for names that reach beyond the string table."""

    value: Array
    size: Array
    number: Array
    kind: Array
    section: Array
    undefined: Array
    refused: Array
    unnumbered: Array
    name_start: Array
    name_size: Array


class _Names(NamedTuple):
    """Names to write: after which records, their file offsets, and their sizes with the NUL."""

    at: Array
    start: Array
    size: Array


@lru_cache(maxsize=8)
def _entry_type(layout: Layout, rela: bool) -> np.dtype[Any]:
    order, word = layout.order, f"u{layout.word}"
    fields: dict[str, tuple[Any, int]] = {"offset": (word, 0)}
    if layout.bits == 64:
        high, low = (12, 8) if order == "<" else (8, 12)
        fields |= {"symbol": (f"{order}u4", high), "type": ("u4", low)}
    else:
        fields |= {"symbol": (f"{order}u4", 4), "type": ("u1", 4 if order == "<" else 7)}
    if rela:
        fields["addend"] = (word, 2 * layout.word)
    return _packed(fields, (3 if rela else 2) * layout.word)


@lru_cache(maxsize=8)
def _symbol_type(layout: Layout) -> np.dtype[Any]:
    order = layout.order
    if layout.bits == 64:
        places = {"name": (f"{order}u4", 0), "kind": ("u2", 4), "section": (f"{order}u2", 6)}
        places |= {"value": ("u8", 8), "size": ("u8", 16)}
    else:
        places = {"name": (f"{order}u4", 0), "value": ("u4", 4), "size": ("u4", 8)}
        places |= {"kind": ("u2", 12), "section": (f"{order}u2", 14)}
    return _packed(places, layout.symbol.size)


@lru_cache(maxsize=8)
def _record_type(layout: Layout, rela: bool) -> np.dtype[Any]:
    word, number, kind = f"u{layout.word}", ("number", f"{layout.order}u2"), ("kind", "u2")
    head = [("offset", word), *([("addend", word)] if rela else []), ("value", word), ("size", word)]
    tail = [("type", "u4"), number, kind] if layout.bits == 64 else [number, ("type", "u1"), kind]
    return np.dtype([*head, *tail])


def _packed(fields: dict[str, tuple[Any, int]], size: int) -> np.dtype[Any]:
    return np.dtype(
        {
            "names": list(fields),
            "formats": [kind for kind, _ in fields.values()],
            "offsets": [at for _, at in fields.values()],
            "itemsize": size,
        }
    )


class NumpyRecords:
    """Writes records by columns. See records.RecordWriter."""

    def __init__(self, view: SectionView, numbering: Numbering) -> None:
        self._view, self._numbering = view, numbering
        self._columns: dict[tuple[int, bool], _Columns] = {}
        self.unnumbered: set[int] = set()

    def records(self, job: Job, room: int) -> Iterator[memoryview]:
        """See RecordWriter."""
        layout = self._view.layout
        rows = np.frombuffer(self._view.data, _entry_type(layout, job.rela), job.total, job.start)
        for first in range(0, job.total, AT_ONCE):
            part = self._part(job, rows[first : first + AT_ONCE], first, room)
            room -= len(part) - min(AT_ONCE, job.total - first) * record_size(layout, job.rela)
            yield part

    def _part(self, job: Job, rows: Array, first: int, room: int) -> memoryview:
        """The records of the entries ``rows``, the first of which is number ``first`` of its section."""
        symbol = rows["symbol"] >> (8 if self._view.layout.bits == 32 else 0)
        symbol = symbol.astype(np.intp)
        self._check_index(job, symbol, first)
        columns = self._symbols(job)
        self._check_section(job, symbol, columns, first)
        out = np.empty(len(rows), _record_type(self._view.layout, job.rela))
        for name in ("offset", "addend", "type") if job.rela else ("offset", "type"):
            out[name] = rows[name]
        for name in ("value", "size", "number", "kind"):
            out[name] = getattr(columns, name).take(symbol)
        undefined = np.flatnonzero(columns.undefined.take(symbol))
        if not undefined.size:
            return out.view(np.uint8).data
        names = _Names(undefined, columns.name_start[symbol[undefined]], columns.name_size[symbol[undefined]])
        self._check_names(job, symbol, names, first, room)
        return self._with_names(out, names)

    def _check_index(self, job: Job, symbol: Array, first: int) -> None:
        bad = symbol >= job.symbols.total
        if bad.any():
            at = int(np.argmax(bad))
            raise index_fault(job, first + at, int(symbol[at]))

    def _check_section(self, job: Job, symbol: Array, columns: _Columns, first: int) -> None:
        """Refuse symbols in refused sections, note those in sections without a number."""
        if columns.refused.any():
            bad = columns.refused.take(symbol)
            if bad.any():
                at = int(np.argmax(bad))
                raise refused_fault(job, first + at, int(symbol[at]), int(columns.section[symbol[at]]))
        if columns.unnumbered.any():
            found = columns.section[symbol[columns.unnumbered.take(symbol)]]
            self.unnumbered.update(np.unique(found).tolist())

    def _check_names(self, job: Job, symbol: Array, names: _Names, first: int, room: int) -> None:
        if not names.size.all():
            at = int(names.at[int(np.argmin(names.size))])
            raise name_fault(job, first + at, int(symbol[at]))
        if int(names.size.sum()) > room:
            raise room_fault(job, first + int(names.at[0]))

    def _symbols(self, job: Job) -> _Columns:
        key = (job.symbols.nr, job.rela)
        if key not in self._columns:
            self._columns[key] = self._read_symbols(job.symbols, job.rela)
        return self._columns[key]

    def _read_symbols(self, table: SymbolTable, rela: bool) -> _Columns:
        rows = np.frombuffer(self._view.data, _symbol_type(self._view.layout), table.total, table.start)
        numbers = np.arange(1 << 16, dtype=np.uint16)
        if rela and self._numbering.zero_outside:
            numbers[:] = 0
        numbers[: len(self._numbering.numbers)] = self._numbering.numbers
        section = rows["section"].astype(np.uint16)
        undefined = section == SHN_UNDEF
        start, size = self._names(table, rows["name"].astype(np.int64), undefined)
        copied = {name: np.ascontiguousarray(rows[name]) for name in ("value", "size", "kind")}
        return _Columns(
            number=numbers[section],
            section=section,
            undefined=undefined,
            refused=np.isin(section, sorted(self._numbering.refused)),
            unnumbered=np.isin(section, sorted(self._numbering.unnumbered())),
            name_start=start,
            name_size=size,
            **copied,
        )

    def _names(self, table: SymbolTable, name: Array, undefined: Array) -> tuple[Array, Array]:
        """File offset and size with NUL of the undefined symbols' names."""
        strings = np.frombuffer(self._view.data, np.uint8)[table.strings : table.strings_end]
        nuls = np.append(np.flatnonzero(strings == 0), -1)
        place = np.searchsorted(nuls[:-1], name[undefined])
        size = np.zeros(len(name), np.int64)
        size[undefined] = np.maximum(nuls[place] - name[undefined] + 1, 0)
        return name + table.strings, size

    def _with_names(self, out: Array, names: _Names) -> memoryview:
        """``out`` with the names of undefined symbols after their records."""
        record = out.itemsize
        ends = np.full(len(out), record, np.int64)
        ends[names.at] += names.size
        ends = np.cumsum(ends)
        starts = np.concatenate((np.zeros(1, np.int64), ends[:-1]))
        total, source = int(ends[-1]), np.frombuffer(self._view.data, np.uint8)
        result = np.empty(total + ROUND, np.uint8)
        # What is copied after a name is overwritten by the record that follows.
        sizes = (names.size + ROUND - 1) // ROUND * ROUND
        sizes = np.where(names.start + sizes > len(source), names.size, sizes)
        _copy_by_size(result, starts[names.at] + record, source, names.start, sizes)
        _windows(result, record)[starts] = out.view(f"V{record}")
        return result[:total].data


def _windows(buffer: Array, size: int) -> Array:
    """Every run of ``size`` bytes in ``buffer`` as one element, so that many are moved by one indexing."""
    return np.ndarray((max(len(buffer) - size + 1, 0),), f"V{size}", buffer.data, strides=(1,))


def _copy_by_size(target: Array, to: Array, source: Array, start: Array, sizes: Array) -> None:
    """Copy ``sizes[i]`` bytes from ``source[start[i]:]`` to ``target[to[i]:]`` for all i."""
    # numpy radix-sorts 16-bit numbers, ten times as fast
    narrow = sizes.astype(np.uint16) if int(sizes.max()) < 1 << 16 else sizes
    order = np.argsort(narrow, kind="stable")
    cuts = np.flatnonzero(np.diff(sizes[order])) + 1
    for group in np.split(order, cuts):
        size = int(sizes[group[0]])
        _windows(target, size)[to[group]] = _windows(source, size)[start[group]]
