"""Relocation records of the canonical streams: their fields, and a plain implementation that writes them.

A record joins a relocation with its symbol and contains no table indices. It is packed, bytes as in
the file unless said otherwise (``scripts/mod/mod-extract.c`` and ``kernel/module-verify-sig.c``
of Red Hat's kernels):

=====  ==========================================================================================
ELF32  r_offset 4, RELA: r_addend 4, st_value 4, st_size 4, number 2, r_type 1, st_info 1, st_other 1
ELF64  r_offset 8, RELA: r_addend 8, st_value 8, st_size 8, r_type 4, number 2, st_info 1, st_other 1
=====  ==========================================================================================

``number`` is the canonical number of the symbol's section, in the file's byte order. The record of
an undefined symbol (and of symbol 0) is followed by its name with the NUL.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from struct import Struct
from typing import NamedTuple, Protocol

from elfsig.coverages.sections import SectionView
from elfsig.elf.table import SHN_UNDEF, Layout, Section
from elfsig.errors import ParseError


class SymbolTable(NamedTuple):
    """A symbol table and its strings as file ranges; ``nr`` and ``strings_nr`` are their sections."""

    nr: int
    start: int
    total: int
    strings_nr: int
    strings: int
    strings_end: int


class Job(NamedTuple):
    """One relocation section to be written: ``total`` entries of ``entry`` bytes at ``start``."""

    section: Section
    start: int
    total: int
    entry: int
    rela: bool
    symbols: SymbolTable


@dataclass(frozen=True, slots=True)
class Numbering:
    """Canonical section numbers: ``numbers`` has one for every section, 0 for section 0.

    ``zero_outside``: RELA records write 0 for SHN_ABS, SHN_COMMON and the like instead of keeping them.
    ``refused``: sections that a relocation's symbol must not be in. ``linked``: symbols come from the
    table that ``sh_link`` names, not from ``.symtab``.
    """

    numbers: Sequence[int]
    zero_outside: bool = False
    refused: frozenset[int] = frozenset()
    linked: bool = False

    def number(self, shndx: int, rela: bool) -> int:
        """The number that represents ``st_shndx`` in a record."""
        if shndx < len(self.numbers):
            return self.numbers[shndx]
        return 0 if rela and self.zero_outside else shndx

    def is_distinct(self, shndx: int, rela: bool) -> bool:
        """No other section index is written as the same number."""
        return not shndx or self.number(shndx, rela) not in (0, 0xFFFF)

    def unnumbered(self) -> frozenset[int]:
        """The sections, section 0 aside, whose number is 0."""
        return frozenset(nr for nr, number in enumerate(self.numbers) if nr and not number)


class RecordWriter(Protocol):
    """Writes all records of a relocation section."""

    @property
    def unnumbered(self) -> Set[int]:
        """The sections numbered 0 of the symbols in the records written so far."""
        ...

    def records(self, job: Job, room: int) -> Iterable[bytes | memoryview]:
        """The records in order, in parts. ``room`` is how many bytes the undefined symbols' names may take.

        Raises ParseError naming section and offset: a symbol index or name out of range, no room.
        """
        ...


@lru_cache(maxsize=8)
def _entry_struct(layout: Layout, rela: bool) -> Struct:
    """A relocation in three or four fields: r_offset, two halves of r_info, the addend, b"" for REL.

    32 bit: r_info whole, as a number. 64 bit: the symbol as a number and r_type as raw bytes, in file
    order. Offsets and addends are raw bytes.
    """
    addend = layout.word if rela else 0
    if layout.bits == 32:
        return Struct(f"{layout.order}4sI{addend}s")
    return Struct(f"{layout.order}8s{'4sI' if layout.order == '<' else 'I4s'}{addend}s")


@lru_cache(maxsize=8)
def _symbol_struct(layout: Layout, rela: bool) -> Struct:
    """The word of a relocation that holds the symbol's index: r_info itself in 32 bit."""
    first = layout.word + (4 if layout.bits == 64 and layout.order == "<" else 0)
    size = (layout.rela if rela else layout.rel).size
    return Struct(f"{layout.order}{first}xI{size - first - 4}x")


_TYPES = tuple(bytes((number,)) for number in range(256))


def entries(layout: Layout, data: bytes, job: Job) -> Iterator[tuple[bytes, int, bytes, bytes]]:
    """(r_offset, symbol index, r_type as in the record, addend) of every entry."""
    fields = _entry_struct(layout, job.rela).iter_unpack(_region(data, job))
    if layout.bits == 32:
        return ((at, info >> 8, _TYPES[info & 255], addend) for at, info, addend in fields)
    if layout.order == "<":
        return ((at, symbol, type_, addend) for at, type_, symbol, addend in fields)
    return fields


def symbols_of(layout: Layout, data: bytes, job: Job) -> set[int]:
    """The indices of the symbols that the entries name."""
    fields = _symbol_struct(layout, job.rela).iter_unpack(_region(data, job))
    found: set[int] = set(chain.from_iterable(fields))
    return found if layout.bits == 64 else {info >> 8 for info in found}


def _region(data: bytes, job: Job) -> memoryview:
    return memoryview(data)[job.start : job.start + job.total * job.entry]


def record_size(layout: Layout, rela: bool) -> int:
    """Bytes of one record without an undefined symbol's name."""
    return (40 if rela else 32) if layout.bits == 64 else (21 if rela else 17)


def entry_fault(job: Job, at: int, why: str, code: str = "elf-relocation") -> ParseError:
    """The error for relocation number ``at`` of a section."""
    section = job.section
    return ParseError(
        f"relocation {at} of section [{section.nr}] {section.text}: {why}",
        offset=job.start + at * job.entry,
        code=code,
    )


def index_fault(job: Job, at: int, symbol: int) -> ParseError:
    """Relocation ``at`` names a symbol that does not exist."""
    return entry_fault(job, at, f"symbol {symbol} does not exist, there are {job.symbols.total}")


def name_fault(job: Job, at: int, symbol: int) -> ParseError:
    """The name of an undefined symbol is not inside the string table, or lacks its NUL."""
    return entry_fault(job, at, f"the name of symbol {symbol} reaches beyond its string table")


def room_fault(job: Job, at: int) -> ParseError:
    """The names of undefined symbols make the stream endless."""
    return entry_fault(
        job, at, "the names of undefined symbols are disproportionately long", "stream-too-long"
    )


def refused_fault(job: Job, at: int, symbol: int, shndx: int) -> ParseError:
    """The symbol is in a section that is not loaded."""
    return entry_fault(job, at, f"symbol {symbol} is in section [{shndx}], which is not allocated")


class PlainRecords:
    """Writes records with struct, one by one: for sections too small to justify numpy, or importing it."""

    def __init__(self, view: SectionView, numbering: Numbering) -> None:
        self._view, self._numbering = view, numbering
        self._known: dict[tuple[int, bool], dict[int, tuple[bytes, bytes]]] = {}
        self._zero = numbering.unnumbered()
        self._fixed = 4 if view.layout.bits == 64 else 2
        self._longest = 0
        self.unnumbered: set[int] = set()

    def records(self, job: Job, room: int) -> list[bytes]:
        """See RecordWriter."""
        layout, data = self._view.layout, self._view.data
        known = self._known.setdefault((job.symbols.nr, job.rela), {})
        if not self._learn(job, known, room) or self._longest * job.total > room:
            self._check_in_order(job, room)
        out: list[bytes] = []
        for offset, symbol, type_, addend in entries(layout, data, job):
            before, after = known[symbol]
            out += (offset, addend, before, type_, after)
        return out

    def _learn(self, job: Job, known: dict[int, tuple[bytes, bytes]], room: int) -> bool:
        """Read the symbols that are not known yet. False where one is at fault, or their names have no room:
        which entry is to blame is left to :meth:`_check_in_order`."""
        try:
            for symbol in symbols_of(self._view.layout, self._view.data, job) - known.keys():
                parts = known[symbol] = self._symbol(job, 0, symbol)
                size = len(parts[1]) - self._fixed
                self._longest = max(self._longest, size)
                room -= size
                if room < 0:
                    return False
        except ParseError:
            return False
        return True

    def _check_in_order(self, job: Job, room: int) -> None:
        """Raises ParseError for the first entry whose symbol is at fault, or whose name has no room."""
        sizes: dict[int, int] = {}
        for at, (_, symbol, _, _) in enumerate(entries(self._view.layout, self._view.data, job)):
            if symbol not in sizes:
                sizes[symbol] = len(self._symbol(job, at, symbol)[1]) - self._fixed
            room -= sizes[symbol]
            if room < 0:
                raise room_fault(job, at)

    def _symbol(self, job: Job, at: int, index: int) -> tuple[bytes, bytes]:
        """The bytes before and after r_type in the records of this symbol."""
        view, table = self._view, job.symbols
        if index >= table.total:
            raise index_fault(job, at, index)
        start = table.start + index * view.layout.symbol.size
        raw = view.data[start : start + view.layout.symbol.size]
        fields = view.layout.symbol.unpack(raw)
        shndx = fields[3 if view.layout.bits == 64 else 5]
        if shndx in self._numbering.refused:
            raise refused_fault(job, at, index, shndx)
        if shndx in self._zero:
            self.unnumbered.add(shndx)
        number = Struct(view.layout.order + "H").pack(self._numbering.number(shndx, job.rela))
        name = self._name(job, at, index, fields[0]) if shndx == SHN_UNDEF else b""
        if view.layout.bits == 64:
            return raw[8:], number + raw[4:6] + name
        return raw[4:12] + number, raw[12:14] + name

    def _name(self, job: Job, at: int, index: int, offset: int) -> bytes:
        table, start = job.symbols, job.symbols.strings + offset
        nul = self._view.data.find(0, start, table.strings_end) if start < table.strings_end else -1
        if nul < 0:
            raise name_fault(job, at, index)
        return self._view.data[start : nul + 1]
