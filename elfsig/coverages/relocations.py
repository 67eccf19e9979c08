"""The relocation sections of one canonical message: where their entries and symbols are."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence, Set
from functools import cached_property
from struct import Struct

from elfsig.coverages.records import (
    Job,
    Numbering,
    PlainRecords,
    RecordWriter,
    SymbolTable,
    record_size,
    symbols_of,
)
from elfsig.coverages.sections import SectionView, header_field
from elfsig.elf.table import SHN_UNDEF, SHT_REL, SHT_RELA, SHT_STRTAB, SHT_SYMTAB, Section
from elfsig.errors import ParseError
from elfsig.lazy_tuple import NamedTuple
from elfsig.model import ByteRange

RELOCATION_TYPES = (SHT_REL, SHT_RELA)

LARGE, SMALL = 100_000, 500
"""Relocations in a module from which importing numpy pays off, and in a section from which using it does."""

_ODD_MACHINES = {(8, 64): "MIPS64", (43, 64): "SPARC64"}
"""(e_machine, bits) whose r_info has a layout of its own: more than one type, or additional data."""

NO_SYMBOLS = SymbolTable(0, 0, 0, 0, 0, 0)


class _SymbolRanges(NamedTuple):
    """The bytes of a symbol that are in the records, and those that are not and still decide them: a section
    index that is written like many others."""

    depends: tuple[ByteRange, ...]
    steering: tuple[ByteRange, ...] = ()


class Relocations:
    """The relocation sections ``listed``, in the order of the stream.

    Raises ParseError for machines whose relocations were never signed this way, for sections outside the
    content, and for relocations without symbol or string table.
    """

    def __init__(self, view: SectionView, numbering: Numbering, listed: Sequence[Section]) -> None:
        self._view, self._numbering = view, numbering
        self._check_machine(listed)
        self._tables: dict[int, SymbolTable] = {}
        self.jobs: dict[int, Job] = {section.nr: self._job(section) for section in listed}
        self._small: RecordWriter = PlainRecords(view, numbering)
        self._large = self._for_large()

    def _for_large(self) -> RecordWriter:
        """The writer of sections with many relocations."""
        if "numpy" not in sys.modules and sum(job.total for job in self.jobs.values()) < LARGE:
            return self._small
        from elfsig.coverages.records_numpy import NumpyRecords

        return NumpyRecords(self._view, self._numbering)

    def _check_machine(self, listed: Sequence[Section]) -> None:
        machine = _ODD_MACHINES.get((self._view.table.header.machine, self._view.layout.bits))
        if machine and listed:
            raise ParseError(
                f"relocations of section [{listed[0].nr}] {listed[0].text} are unsupported: no tool or"
                f" kernel of these formats knew the r_info of {machine}",
                offset=self._view.row_offset(listed[0].nr),
                code="unsupported-relocations",
            )

    def _job(self, section: Section) -> Job:
        layout, rela = self._view.layout, section.row.type == SHT_RELA
        entry = (layout.rela if rela else layout.rel).size
        total = section.row.size // entry
        start = self._view.bounds(section).start if total else section.row.offset
        return Job(section, start, total, entry, rela, self._symbols(section) if total else NO_SYMBOLS)

    def size(self, section: Section) -> int:
        """Bytes that the section's block takes, the names of undefined symbols not counted."""
        job = self.jobs[section.nr]
        return 4 + job.total * record_size(self._view.layout, job.rela)

    def block(self, section: Section, room: int) -> bytes:
        """The target's canonical number (4 bytes in the file's byte order), then all records.

        ``room`` is how many bytes the names may take. Raises ParseError as RecordWriter does.
        """
        job = self.jobs[section.nr]
        head = Struct(self._view.layout.order + "I").pack(self._numbering.numbers[section.row.info])
        if not job.total:
            return head
        writer = self._large if job.total >= SMALL else self._small
        return b"".join((head, *writer.records(job, room)))

    @property
    def unnumbered(self) -> Set[int]:
        """Sections without a canonical number of symbols in the written blocks."""
        return self._small.unnumbered | self._large.unnumbered

    # ------------------------------------------------------------------ symbol tables

    def _symbols(self, section: Section) -> SymbolTable:
        link = section.row.link if self._numbering.linked else 0
        if link not in self._tables:
            symtab, strtab = self._linked(section) if self._numbering.linked else self._named(section)
            start, end, _ = self._view.bounds(symtab)
            strings, strings_end, _ = self._view.bounds(strtab)
            count = (end - start) // self._view.layout.symbol.size
            self._tables[link] = SymbolTable(symtab.nr, start, count, strtab.nr, strings, strings_end)
        return self._tables[link]

    def _named(self, section: Section) -> tuple[Section, Section]:
        """``.symtab`` and ``.strtab``, by name and type; where there are several, the last."""
        symtab, strtab = self._last_named
        if symtab is None or strtab is None:
            raise self._no_table(section, "there is no .symtab" if symtab is None else "there is no .strtab")
        return symtab, strtab

    @cached_property
    def _last_named(self) -> tuple[Section | None, Section | None]:
        sections = self._view.sections
        symtab, strtab = (
            next((s for s in reversed(sections) if s.name == name and s.row.type == type_), None)
            for name, type_ in ((b".symtab", SHT_SYMTAB), (b".strtab", SHT_STRTAB))
        )
        return symtab, strtab

    def _linked(self, section: Section) -> tuple[Section, Section]:
        """The symbol table of ``sh_link``, and the string table of its ``sh_link``."""
        symtab = self._link(section, section, SHT_SYMTAB)
        return symtab, self._link(section, symtab, SHT_STRTAB)

    def _link(self, section: Section, link_of: Section, type_: int) -> Section:
        link, tables = link_of.row.link, self._view.table.sections
        if not link < len(tables) or tables[link].row.type != type_:
            raise self._no_table(section, f"sh_link {link} of section [{link_of.nr}] names no such table")
        return tables[link]

    def _no_table(self, section: Section, why: str) -> ParseError:
        return ParseError(
            f"relocations of section [{section.nr}] {section.text} have no symbols: {why}",
            offset=self._view.row_offset(section.nr),
            code="elf-symbols",
        )

    # ------------------------------------------------------------------ dependencies

    def _symbol_ranges(self, job: Job) -> Iterator[_SymbolRanges]:
        """Those of each symbol that the relocations name."""
        found = symbols_of(self._view.layout, self._view.data, job)
        return (self._ranges_of(index, job) for index in found)

    def _ranges_of(self, index: int, job: Job) -> _SymbolRanges:
        """Of a defined symbol all but the name, of an undefined one also its name with the NUL."""
        view, symbol = self._view, self._view.layout.symbol
        start = job.symbols.start + index * symbol.size
        end, fields = start + symbol.size, symbol.unpack_from(view.data, start)
        shndx = fields[3 if view.layout.bits == 64 else 5]
        if shndx == SHN_UNDEF:  # is distinct
            string = job.symbols.strings + fields[0]
            return _SymbolRanges((ByteRange(start, end), ByteRange(string, view.data.index(0, string) + 1)))
        if self._numbering.is_distinct(shndx, job.rela):
            return _SymbolRanges((ByteRange(start + 4, end),))
        at = start + (6 if view.layout.bits == 64 else 14)
        rest = ByteRange(start + 4, at), ByteRange(at + 2, end)
        return _SymbolRanges(rest, (ByteRange(at, at + 2),))

    def depends(self, section: Section) -> Iterator[ByteRange]:
        """The file bytes that determine a block: the entries, the target, the symbols that they name."""
        job = self.jobs[section.nr]
        yield self._view.field(section.nr, "info")
        yield ByteRange(job.start, job.start + job.total * job.entry)
        for each in self._symbol_ranges(job):
            yield from each.depends

    def steering(self) -> Iterator[ByteRange]:
        """The header fields that say where entries, symbols and names are, and the section indices of
        symbols whose number in the records does not tell their section."""
        view = self._view
        if self.jobs:
            yield header_field(view.layout, "machine")
        jobs = [job for job in self.jobs.values() if job.total]
        for job in jobs:
            yield view.field(job.section.nr, "offset")
            if self._numbering.linked:
                yield view.field(job.section.nr, "link")
            for each in self._symbol_ranges(job):
                yield from each.steering
        yield from self._tables_read()

    def _tables_read(self) -> Iterator[ByteRange]:
        """The header fields that say where symbols and their names are."""
        view = self._view
        jobs = [job for job in self.jobs.values() if job.total]
        for symbols, strings in {(job.symbols.nr, job.symbols.strings_nr) for job in jobs}:
            if self._numbering.linked:
                yield view.field(symbols, "link")
            for table in (symbols, strings):
                yield view.field(table, "offset")
                yield view.field(table, "size")

    def everything(self) -> Iterator[tuple[int, int]]:
        """What :meth:`depends` gives for all sections, and :meth:`steering`; but of the headers of relocation
        sections only the links."""
        view = self._view
        if self.jobs:
            yield header_field(view.layout, "machine")
        yield from self._tables_read()
        named: dict[SymbolTable, set[int]] = {}
        for job in self.jobs.values():
            if job.total:
                yield job.start, job.start + job.total * job.entry
                named.setdefault(job.symbols, set()).update(symbols_of(view.layout, view.data, job))
                if self._numbering.linked:
                    yield view.field(job.section.nr, "link")
        for table, indices in named.items():
            yield from self._whole_symbols(table, indices)

    def _whole_symbols(self, table: SymbolTable, indices: Iterable[int]) -> Iterator[tuple[int, int]]:
        """Those that records depend on or that steer them: symbols, with the names of undefined ones."""
        data, symbol = self._view.data, self._view.layout.symbol
        pick, size = 3 if self._view.layout.bits == 64 else 5, symbol.size
        for index in indices:
            start = table.start + index * size
            fields = symbol.unpack_from(data, start)
            if fields[pick] == SHN_UNDEF:
                string = table.strings + fields[0]
                yield start, start + size
                yield string, data.index(0, string) + 1
            else:
                yield start + 4, start + size
