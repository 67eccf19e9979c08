"""The relocation sections of one canonical message: where their entries and symbols are."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence, Set
from struct import Struct

from elfsig.coverages.records import (
    Job,
    Numbering,
    PlainRecords,
    RecordWriter,
    SymbolTable,
    entries,
    record_size,
)
from elfsig.coverages.sections import SectionView, header_field
from elfsig.elf.table import SHN_UNDEF, SHT_REL, SHT_RELA, SHT_STRTAB, SHT_SYMTAB, Section
from elfsig.errors import ParseError
from elfsig.model import ByteRange

RELOCATION_TYPES = (SHT_REL, SHT_RELA)

LARGE, SMALL = 20_000, 500
"""Relocations in a module from which importing numpy pays off; if already imported, it is always used."""

_ODD_MACHINES = {(8, 64): "MIPS64", (43, 64): "SPARC64"}
"""(e_machine, bits) whose r_info has a layout of its own: more than one type, or additional data."""

NO_SYMBOLS = SymbolTable(0, 0, 0, 0, 0, 0)


def _writer(view: SectionView, numbering: Numbering, total: int) -> RecordWriter:
    if total >= LARGE or (total >= SMALL and "numpy" in sys.modules):
        from elfsig.coverages.records_numpy import NumpyRecords

        return NumpyRecords(view, numbering)
    return PlainRecords(view, numbering)


class Relocations:
    """The relocation sections ``listed``, in the order of the stream.

    Raises ParseError for machines whose relocations were never signed this way, for sections outside the
    content, and for relocations without symbol or string table.
    """

    def __init__(self, view: SectionView, numbering: Numbering, listed: Sequence[Section]) -> None:
        self._view, self._numbering = view, numbering
        self._check_machine(listed)
        self.jobs: dict[int, Job] = {section.nr: self._job(section) for section in listed}
        self._writer = _writer(view, numbering, sum(job.total for job in self.jobs.values()))

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
        return b"".join((head, self._writer.records(job, room))) if job.total else head

    @property
    def unnumbered(self) -> Set[int]:
        """Sections without a canonical number of symbols in the written blocks."""
        return self._writer.unnumbered

    # ------------------------------------------------------------------ symbol tables

    def _symbols(self, section: Section) -> SymbolTable:
        symtab, strtab = self._linked(section) if self._numbering.linked else self._named(section)
        start, end, _ = self._view.bounds(symtab)
        strings, strings_end, _ = self._view.bounds(strtab)
        count = (end - start) // self._view.layout.symbol.size
        return SymbolTable(symtab.nr, start, count, strtab.nr, strings, strings_end)

    def _named(self, section: Section) -> tuple[Section, Section]:
        """``.symtab`` and ``.strtab``, by name and type; where there are several, the last."""
        symtab, strtab = (
            next((s for s in reversed(self._view.sections) if s.name == name and s.row.type == type_), None)
            for name, type_ in ((b".symtab", SHT_SYMTAB), (b".strtab", SHT_STRTAB))
        )
        if symtab is None or strtab is None:
            raise self._no_table(section, "there is no .symtab" if symtab is None else "there is no .strtab")
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

    def _named_symbols(self, job: Job) -> Iterator[tuple[ByteRange, int, int]]:
        """The symbols that the relocations name, each once: (file range, st_name, st_shndx)."""
        view, symbol = self._view, self._view.layout.symbol
        pick = 3 if view.layout.bits == 64 else 5
        for index in sorted({entry[1] for entry in entries(view.layout, view.data, job)}):
            at = job.symbols.start + index * symbol.size
            fields = symbol.unpack_from(view.data, at)
            yield ByteRange(at, at + symbol.size), fields[0], fields[pick]

    def depends(self, section: Section) -> Iterator[ByteRange]:
        """The file bytes that determine a block: the entries, the target, the symbols that they name.

        Of a defined symbol all but the name, of an undefined one also its name with the NUL. Section
        indices that are written like many others are steering, see below.
        """
        view, job = self._view, self.jobs[section.nr]
        yield view.field(section.nr, "info")
        yield ByteRange(job.start, job.start + job.total * job.entry)
        for (start, end), name, shndx in self._named_symbols(job):
            at = _section_field(view, start)
            yield ByteRange(start + 4, at.start)
            yield ByteRange(at.end, end)
            if self._numbering.is_distinct(shndx, job.rela):
                yield at
            if shndx == SHN_UNDEF:
                yield ByteRange(start, start + 4)
                string = job.symbols.strings + name
                yield ByteRange(string, view.data.index(0, string) + 1)

    def steering(self) -> Iterator[ByteRange]:
        """The header fields that say where entries, symbols and names are, and the section indices of
        symbols whose number in the records does not tell their section."""
        view = self._view
        if self.jobs:
            yield header_field(view.layout, "machine")
        for nr, job in self.jobs.items():
            if not job.total:
                continue
            yield view.field(nr, "offset")
            if self._numbering.linked:
                yield view.field(nr, "link")
                yield view.field(job.symbols.nr, "link")
            for table in (job.symbols.nr, job.symbols.strings_nr):
                yield view.field(table, "offset")
                yield view.field(table, "size")
            for where, _, shndx in self._named_symbols(job):
                if not self._numbering.is_distinct(shndx, job.rela):
                    yield _section_field(view, where.start)


def _section_field(view: SectionView, symbol: int) -> ByteRange:
    """File range of ``st_shndx`` of the symbol at file offset ``symbol``."""
    start = symbol + (6 if view.layout.bits == 64 else 14)
    return ByteRange(start, start + 2)
