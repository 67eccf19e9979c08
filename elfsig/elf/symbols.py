"""Symbols and relocations of an ELF file in words: without table indices, so that two files can be compared.

Layout: System V ABI, "Symbol Table" and "Relocation".
"""

from __future__ import annotations

from collections.abc import Sequence
from sys import intern
from typing import NamedTuple

from elfsig.elf.records import EM_MIPS, STT_SECTION
from elfsig.elf.table import (
    LONGEST_NAME,
    SHN_ABS,
    SHN_COMMON,
    SHN_UNDEF,
    SHT_RELA,
    SHT_SYMTAB,
    ElfTable,
    Section,
)
from elfsig.errors import ParseError

SymbolRecord = tuple[str, str, int, int, int, int]
"""Name (of undefined symbols), place, value, size, info, other."""
Record = tuple[int, int, int | None, SymbolRecord]
"""Offset, type, addend, symbol."""

STT_FILE = 4

PLACES = {SHN_UNDEF: "undefined", SHN_ABS: "absolute", SHN_COMMON: "common"}


class Symbol(NamedTuple):
    """A symbol. ``place`` is the name of its section, or undefined, absolute, common.

    ``info`` and ``other`` are st_info and st_other. A section's symbol has that section's name.
    """

    name: str
    place: str
    value: int
    size: int
    info: int
    other: int

    @property
    def is_section(self) -> bool:
        return self.info & 15 == STT_SECTION

    @property
    def is_bookkeeping(self) -> bool:
        """Of a section or a source file: linkers add and drop these freely."""
        return self.info & 15 in (STT_SECTION, STT_FILE)

    @property
    def record(self) -> SymbolRecord:
        """The part of it that affects a loaded module: the name only if it is looked up."""
        return self._replace(name=self.name if self.place == PLACES[SHN_UNDEF] else "")


class Relocation(NamedTuple):
    """A relocation: at ``offset`` of its target section, of ``type``. REL sections have an addend of None,
    since it is stored in the target."""

    offset: int
    type: int
    addend: int | None
    symbol: Symbol

    def __str__(self) -> str:
        addend = "" if not self.addend else f"{self.addend:+#x}"
        at = "" if self.symbol.is_section or not self.symbol.value else f" ({self.symbol.place})"
        return f"type {self.type} {self.symbol.name or '(no symbol)'}{addend}{at}"

    @property
    def record(self) -> Record:
        """What determines the loaded module."""
        return self.offset, self.type, self.addend, self.symbol.record


def labels(table: ElfTable) -> list[str]:
    """A unique name for each section: equal names are numbered."""
    seen: dict[str, int] = {}
    found = []
    for section in table.sections:
        count = seen[section.text] = seen.get(section.text, 0) + 1
        found.append(section.text if count == 1 else f"{section.text} #{count}")
    return found


FACTOR, SLACK = 16, 1 << 20
"""How often what overlaps in a file is read: names, or sections, may together have FACTOR times as many bytes
as the file, and SLACK more. In real files only the ends of names overlap."""


class SymbolNames:
    """The names in the string tables of a file, each read once. Equal names are one object, so that comparing
    them takes no time."""

    def __init__(self, table: ElfTable, size: int) -> None:
        self._table, self._known = table, dict[tuple[int, int], str]()
        self._tables: dict[int, bytes] = {}
        self._room = size * FACTOR + SLACK

    def name(self, link: int, start: int, symbol: str) -> str:
        """The string at ``start`` of section ``link``, "" if there is no such section.

        Raises ParseError, which names ``symbol``, where it is longer than LONGEST_NAME, or all names together
        are too long.
        """
        known = self._known.get((link, start))
        if known is None:
            known = self._known[link, start] = intern(self._read(link, start, symbol))
        return known

    def _read(self, link: int, start: int, symbol: str) -> str:
        if link not in self._tables:
            self._tables[link] = self._table.content(link) if link < len(self._table.rows) else b""
        strings = self._tables[link]
        end = strings.find(0, start, start + LONGEST_NAME + 1)
        if end < 0 and len(strings) - start > LONGEST_NAME:
            text = f"name of {symbol} is longer than {LONGEST_NAME} bytes"
            raise ParseError(text, offset=self._table.rows[link].offset + start, code="elf-name")
        raw = strings[start : end if end >= 0 else None]
        self._room -= len(raw)
        if self._room < 0:
            text = f"names of symbols overlap: together they are more than {FACTOR} times as long as the file"
            raise ParseError(text, offset=self._table.rows[link].offset + start, code="elf-name")
        return raw.decode("utf-8", "backslashreplace")


def symbols(table: ElfTable, nr: int, names: Sequence[str], strings: SymbolNames) -> list[Symbol]:
    """All symbols of symbol table ``nr``, the null symbol included; ``names`` from :func:`labels`.

    Raises ParseError for a table or string table outside the file, and for names that are too long.
    """
    content, link = table.content(nr), table.rows[nr].link
    entry, wide = table.layout.symbol, table.layout.bits == 64
    found: list[Symbol] = []
    for fields in entry.iter_unpack(memoryview(content)[: len(content) // entry.size * entry.size]):
        if wide:
            name, info, other, shndx, value, size = fields
        else:
            name, value, size, info, other, shndx = fields
        place = PLACES.get(shndx) or (names[shndx] if shndx < len(names) else f"section {shndx:#x}")
        text = place if info & 15 == STT_SECTION else strings.name(link, name, f"symbol {len(found)}")
        found.append(Symbol(text, place, value, size, info, other))
    return found


def relocations(table: ElfTable, section: Section, known: Sequence[Symbol]) -> list[Relocation]:
    """The relocations of a REL or RELA section against the symbols ``known``. Raises ParseError."""
    layout, rela = table.layout, section.row.type == SHT_RELA
    entry = layout.rela if rela else layout.rel
    content = table.content(section.nr)
    found = []
    for fields in entry.iter_unpack(memoryview(content)[: len(content) // entry.size * entry.size]):
        index, type_ = _split(table, fields[1])
        if index >= len(known):
            raise ParseError(
                f"relocation of section [{section.nr}] {section.text} names symbol {index} of {len(known)}",
                offset=section.row.offset,
                code="elf-relocation",
            )
        found.append(Relocation(fields[0], type_, fields[2] if rela else None, known[index]))
    return found


def _split(table: ElfTable, info: int) -> tuple[int, int]:
    """(symbol, type) of r_info; little-endian MIPS64 has them in reverse order."""
    if table.layout.bits == 32:
        return info >> 8, info & 0xFF
    if table.header.machine == EM_MIPS and table.layout.order == "<":
        return info & 0xFFFFFFFF, info >> 32
    return info >> 32, info & 0xFFFFFFFF


def symbol_tables(table: ElfTable) -> list[int]:
    """The sections of type SYMTAB."""
    return [nr for nr, row in enumerate(table.rows) if row.type == SHT_SYMTAB]
