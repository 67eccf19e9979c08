"""side: one of two ELF files that are compared, read as far as needed, in words rather than in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from itertools import chain

from elfsig.elf.changes import SymbolIndex
from elfsig.elf.image import Image
from elfsig.elf.symbols import (
    FACTOR,
    SLACK,
    Relocation,
    Symbol,
    SymbolNames,
    SymbolRecord,
    labels,
    relocations,
    symbol_tables,
    symbols,
)
from elfsig.elf.table import (
    SHF_ALLOC,
    SHT_GROUP,
    SHT_NULL,
    SHT_REL,
    SHT_RELA,
    SHT_STRTAB,
    SHT_SYMTAB,
    SHT_SYMTAB_SHNDX,
    ElfTable,
    Section,
)
from elfsig.errors import ParseError

TABLES = frozenset({SHT_REL, SHT_RELA, SHT_SYMTAB, SHT_STRTAB, SHT_SYMTAB_SHNDX, SHT_GROUP})
"""Sections whose bytes are numbers of other tables' entries, or names: compared by what they mean."""


class Side:
    """One of the two files, read as far as needed. Raises ParseError if its ELF structure is damaged, or its
    sections overlap again and again."""

    image: Image
    table: ElfTable

    def __init__(self, image: Image, table: ElfTable) -> None:
        self.image, self.table, self._indices = image, table, dict[str, SymbolIndex]()
        self.names: list[str] = labels(table)
        self.sections: Mapping[str, Section] = {
            self.names[s.nr]: s for s in table.sections[1:] if s.row.type != SHT_NULL
        }
        if sum(row.file_size for row in table.rows) > len(image.data) * FACTOR + SLACK:
            text = f"sections overlap: together they are more than {FACTOR} times as long as the file"
            raise ParseError(text, offset=table.header.shoff, code="elf-overlap")

    @cached_property
    def tables(self) -> Mapping[int, list[Symbol]]:
        """The symbols of every symbol table."""
        names = SymbolNames(self.table, len(self.image.data))
        return {nr: symbols(self.table, nr, self.names, names) for nr in symbol_tables(self.table)}

    @cached_property
    def symbols(self) -> Counter[Symbol]:
        """All symbols but the null symbols."""
        return Counter(chain.from_iterable(found[1:] for found in self.tables.values()))

    @cached_property
    def _by_place(self) -> Mapping[str, list[Symbol]]:
        found: dict[str, list[Symbol]] = {}
        for each in self.symbols:
            found.setdefault(each.place, []).append(each)
        return found

    def relocations(self, name: str) -> list[Relocation]:
        """The relocations of a section; none if it has no symbol table."""
        section = self.sections[name]
        known = self.tables.get(section.row.link)
        return relocations(self.table, section, known) if known is not None else []

    def has_meaning(self, name: str) -> bool:
        """Whether a section is compared by what its entries say, and not byte by byte."""
        row = self.sections[name].row
        if row.type in (SHT_REL, SHT_RELA):
            return row.link in self.tables
        return row.type in TABLES and not row.flags & SHF_ALLOC

    def is_loaded(self, name: str) -> bool:
        """Whether a section is, or relocates, something that is loaded."""
        row = self.sections[name].row
        if row.type in (SHT_REL, SHT_RELA):
            rows = self.table.rows
            return row.info < len(rows) and bool(rows[row.info].flags & SHF_ALLOC)
        return bool(row.flags & SHF_ALLOC)

    def index(self, name: str) -> SymbolIndex:
        """The symbols of a section; empty if there is no such section."""
        if name not in self._indices:
            section = self.sections.get(name)
            here = self._by_place.get(name, ()) if section is not None else ()
            self._indices[name] = SymbolIndex(here, section.row.addr if section is not None else 0)
        return self._indices[name]

    def target(self, name: str) -> str | None:
        """The name of the section that a section of relocations relocates."""
        info = self.sections[name].row.info
        return self.names[info] if info < len(self.names) else None

    @cached_property
    def needed(self) -> frozenset[SymbolRecord]:
        """The records of the symbols that relocations of loaded sections name."""
        wanted = (n for n, s in self.sections.items() if s.row.type in (SHT_REL, SHT_RELA))
        return frozenset(r.symbol.record for n in wanted if self.is_loaded(n) for r in self.relocations(n))
