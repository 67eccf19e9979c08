"""module_verify_elf() of Red Hat's kernels: kernel/module-verify.c of RHEL 4 and 5, module-verify-elf.c of
Fedora Core 6, RHEL 6 and Oracle's 2.6.39.

The later ones do not check the entry point, and check all notes. The order is that of the source: the first
check that fails is in the kernel's log, with its line number. ``line`` is that of 2.6.32-el6.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from struct import Struct
from typing import NamedTuple

from elfsig.elf.records import relocation_columns, symbol_columns
from elfsig.elf.table import (
    SHN_LORESERVE,
    SHT_NOBITS,
    SHT_NOTE,
    SHT_REL,
    SHT_RELA,
    SHT_STRTAB,
    SHT_SYMTAB,
    ElfTable,
    Header,
    Layout,
    Row,
)

REL_TYPES = (SHT_REL, SHT_RELA)


class Finding(NamedTuple):
    """What a check refuses. ``where`` is the place as the kernel logs it ("sec 3"), ``line`` that of the
    source; for the two checks that log a line of their own, that is ``own``."""

    text: str
    where: str = ""
    line: int = 0
    own: str | None = None

    def log(self, shift: int) -> str:
        """The line in the log of a kernel whose source has ``shift`` more lines before the checks."""
        if self.own is not None:
            return self.own
        where = f" [{self.where}]" if self.where else ""
        return f"Verify ELF error{where} (assertion {self.line + shift})"


Check = tuple[bool, int, str]


def _failed(checks: Iterable[Check], where: str = "") -> Finding | None:
    """The first check that does not hold."""
    return next((Finding(text, where, line) for holds, line, text in checks if not holds), None)


def _section(checks: Iterable[Check], nr: int) -> Finding | None:
    found = _failed(checks, f"sec {nr}")
    return None if found is None else found._replace(text=f"section [{nr}]: {found.text}")


def header_finding(head: Header, layout: Layout, size: int, *, entry: bool) -> Finding | None:
    """The checks of the ELF header. ``entry``: e_entry must be 0. ``size`` is that of the file."""
    table = head.shentsize * head.shnum
    return _failed((
        (head.ehsize < size, 63, "e_ehsize is not smaller than the file"),
        (not entry or head.entry == 0, 64, f"e_entry is {head.entry:#x}, not 0"),
        (head.phoff == 0, 65, "it has program headers"),
        (head.phnum == 0, 66, "it has program headers"),
        (head.shnum < SHN_LORESERVE, 68, "e_shnum is reserved"),
        (head.shoff < size, 69, "e_shoff is outside of the file"),
        (head.shoff >= head.ehsize, 70, "e_shoff is inside the ELF header"),
        (head.shoff % layout.word == 0, 71, "e_shoff is not aligned to the machine's word"),
        (head.shstrndx > 0, 72, "e_shstrndx is 0"),
        (head.shstrndx < head.shnum, 73, "e_shstrndx names no section"),
        (head.shentsize == layout.row.size, 74, "e_shentsize is wrong"),
        (table <= size - head.shoff, 77, "the section header table is not in the file"),
    ))  # fmt: skip


class RedHatChecks:
    """The checks after the header's. ``notes``: all notes are checked too."""

    table: ElfTable
    content: bytes
    notes: bool
    rows: list[Row]
    names: Row

    def __init__(self, table: ElfTable, content: bytes, *, notes: bool) -> None:
        self.table, self.content, self.notes = table, content, notes
        self.rows = table.rows
        self.names = self.rows[table.header.shstrndx]
        self._symtab: Row | None = None
        self._strtab: Row | None = None

    def find(self) -> Finding | None:
        """The first thing that is wrong."""
        steps: tuple[Callable[[], Finding | None], ...] = (
            self._section_zero, self._headers, self._name_table, self._last_name, self._look, self._symbols,
            self._tables,
        )  # fmt: skip
        return next((found for step in steps if (found := step()) is not None), None)

    # ------------------------------------------------------------------ section headers

    def _section_zero(self) -> Finding | None:
        if not self.names.size:
            return Finding("the section name table is empty", "", 89)
        zero, text = self.rows[0], "is not empty"
        return _section(
            ((zero.type == 0, 92, text), (zero.size == 0, 93, text), (zero.offset == 0, 94, text)), 0
        )

    def _rooms(self) -> Iterator[int]:
        """Room of each section: up to the next section's start, the section table, or the end of the file."""
        shoff, size = self.table.header.shoff, len(self.content)
        starts = sorted({row.offset for row in self.rows[1:]})
        for row in self.rows[1:]:
            room = (shoff if row.offset < shoff else size) - row.offset
            later = bisect_right(starts, row.offset)
            yield min(room, starts[later] - row.offset) if later < len(starts) else room

    def _headers(self) -> Finding | None:
        numbered = zip(count(1), self.rows[1:], self._rooms(), strict=False)
        found = (_section(self._row(row, room), nr) for nr, row, room in numbered)
        return next((each for each in found if each is not None), None)

    def _row(self, row: Row, room: int) -> Iterator[Check]:
        total, size = len(self.rows), len(self.content)
        outside = f"sh_offset {row.offset:#x} is in the ELF header or outside of the file"
        yield row.name < self.names.size, 98, "its name is outside of the name table"
        yield row.link < total, 99, f"sh_link {row.link} names no section"
        odd = row.entsize and row.size % row.entsize
        yield not odd, 102, f"{row.size} bytes are not a multiple of sh_entsize {row.entsize}"
        yield row.offset >= self.table.header.ehsize, 104, outside
        yield row.offset < size, 105, outside
        if row.type == SHT_NOBITS:
            return
        entry = self._entry_size(row.type)
        if entry is not None:
            line = {SHT_REL: 135, SHT_RELA: 139}.get(row.type, 146)
            yield row.entsize == entry, line, f"sh_entsize is {row.entsize}, not {entry}"
        if row.type in REL_TYPES:
            text = f"sh_info {row.info} names no section to relocate"
            yield row.info > 0, 141, text
            yield row.info < total, 142, text
        yield row.size <= room, 153, f"its {row.size} bytes reach into what follows"

    def _entry_size(self, kind: int) -> int | None:
        layout = self.table.layout
        return {
            SHT_REL: layout.rel.size,
            SHT_RELA: layout.rela.size,
            SHT_SYMTAB: layout.symbol.size,
        }.get(kind)

    # ------------------------------------------------------------------ names

    def _name_table(self) -> Finding | None:
        """Names are read at sh_offset of the name table, whatever its type."""
        nr, start = self.table.header.shstrndx, self.names.offset
        if start == self.table.header.shoff:
            return _section(((False, 161, "the name table is where the section headers are"),), nr)
        blank = (
            nr
            for nr, row in enumerate(self.rows[1:], 1)
            if not self.content[start + row.name : start + row.name + 1].strip(b"\0")
        )
        first = next(blank, None)
        return None if first is None else _section(((False, 170, "has an empty name"),), first)

    def _last_name(self) -> Finding | None:
        last = max((row.name for row in self.rows[1:]), default=-1)
        if last < 0 or self._terminated(self.names, last):
            return None
        return Finding("the last section name does not end in NUL", "", 177)

    def _terminated(self, strings: Row, at: int) -> bool:
        return self.content.find(0, strings.offset + at, strings.offset + strings.size) >= 0

    def _named(self, row: Row, name: bytes) -> bool:
        return self.content.startswith(name + b"\0", self.names.offset + row.name)

    def _look(self) -> Finding | None:
        """The symbol table and its strings, by name and type."""
        for nr, row in enumerate(self.rows[1:], 1):
            if row.type == SHT_SYMTAB and self._named(row, b".symtab"):
                found = self._only(nr, row, self._symtab, 187, ".symtab")
                self._symtab = row
            elif row.type == SHT_STRTAB and self._named(row, b".strtab"):
                found = self._only(nr, row, self._strtab, 200, ".strtab")
                self._strtab = row
            else:
                continue
            if found is not None:
                return found
        if self._symtab is None:
            text = "there is no symbol table named .symtab, exactly one must be"
            return Finding(text, own="Couldn't locate module symbol table")
        if self._strtab is None:
            text = "there is no string table named .strtab, exactly one must be"
            return Finding(text, own="Couldn't locate module strings table")
        return None

    @staticmethod
    def _only(nr: int, row: Row, earlier: Row | None, line: int, name: str) -> Finding | None:
        second = f"there are two tables named {name}, exactly one must be"
        empty = line + 5 if line == 187 else line + 4
        return _section(((earlier is None, line, second), (row.size > 0, empty, f"{name} is empty")), nr)

    # ------------------------------------------------------------------ symbols, relocations, notes

    def _content(self, row: Row) -> bytes:
        return self.content[row.offset : row.offset + row.size]

    def _symbols(self) -> Finding | None:
        assert self._symtab is not None and self._strtab is not None
        data, columns, total = self._content(self._symtab), symbol_columns(self.table), len(self.rows)
        if (found := self._symbol_zero(data)) is not None:
            return found
        names, places = columns.name.read(data)[1:], columns.shndx.read(data)[1:]
        if not names:
            return None
        size, last = self._strtab.size, max(names)
        if last >= size or any(total <= place < SHN_LORESERVE for place in places):
            for nr, name, place in zip(count(1), names, places, strict=False):
                found = _failed(
                    (
                        (name < size, 231, f"a symbol's name at {name:#x} is outside of the string table"),
                        (
                            not total <= place < SHN_LORESERVE,
                            235,
                            f"a symbol is in section {place}, of {total}",
                        ),
                    ),
                    f"sym {nr}",
                )
                if found is not None:
                    return found
        if self._terminated(self._strtab, last):
            return None
        return Finding("the last symbol's name does not end in NUL", "", 240)

    def _symbol_zero(self, data: bytes) -> Finding | None:
        first = self.table.layout.symbol.unpack_from(data)
        fields = ("name", "info", "other", "shndx", "value", "size")
        if self.table.layout.bits == 32:
            fields = ("name", "value", "size", "info", "other", "shndx")
        zero, text = dict(zip(fields, first, strict=True)), "symbol 0 is not null"
        checks = (
            (not zero["info"] & 15, 224, text), (not zero["shndx"], 225, text),
            (not zero["value"], 226, text), (not zero["size"], 227, text),
        )  # fmt: skip
        return _failed(checks, "sym 0")

    def _tables(self) -> Finding | None:
        for nr, row in enumerate(self.rows[1:], 1):
            found = None
            if row.type in REL_TYPES and row.size:
                found = self._relocations(nr, row)
            elif row.type == SHT_NOTE and self.notes:
                found = _note_section(nr, self._content(row), self.table.layout.order)
            if found is not None:
                return found
        return None

    def _relocations(self, nr: int, row: Row) -> Finding | None:
        assert self._symtab is not None
        layout, columns = self.table.layout, relocation_columns(self.table, row.type)
        total, room = self._symtab.size // layout.symbol.size, self.rows[row.info].size
        data = self._content(row)
        symbols = columns.symbol.read(data)
        entry = layout.rel if row.type == SHT_REL else layout.rela
        offsets = [each[0] for each in entry.iter_unpack(data)]
        if max(offsets) < room and max(symbols) >> columns.shift < total:
            return None
        kind, lines = ("rel", (255, 257)) if row.type == SHT_REL else ("rela", (267, 269))
        for at, offset, symbol in zip(count(), offsets, symbols, strict=False):
            if offset >= room:
                text = f"section [{nr}]: a relocation outside of section [{row.info}]"
                return Finding(text, f"sec {nr} {kind} {at}", lines[0])
            if symbol >> columns.shift >= total:
                text = f"section [{nr}]: a relocation against a symbol that is none of the {total}"
                return Finding(text, f"sec {nr} {kind} {at}", lines[1])
        return None


def _note_section(nr: int, data: bytes, order: str) -> Finding | None:
    """Notes one after the other must fill the section exactly; owners end in their only NUL."""
    head, at = Struct(order + "III"), 0

    def wrong(text: str, line: int) -> Finding:
        return Finding(f"section [{nr}]: {text}", f"sec {nr} note {at}", line)

    beyond = "a note reaches beyond its section"
    while at < len(data):
        if len(data) - at < head.size:
            return wrong("the section ends inside a note's header", 278)
        namesz, descsz, _ = head.unpack_from(data, at)
        at += head.size
        if namesz:
            if len(data) - at < namesz:
                return wrong(beyond, 282)
            owner, text = data[at : at + namesz], "a note's owner does not end in its first NUL"
            if owner[-1]:
                return wrong(text, 284)
            if owner.find(0) != namesz - 1:
                return wrong(text, 286)
            if len(data) - at < _padded(namesz):
                return wrong(beyond, 288)
            at += _padded(namesz)
        if len(data) - at < descsz:
            return wrong(beyond, 293)
        if len(data) - at < _padded(descsz):
            return wrong(beyond, 295)
        at += _padded(descsz)
    return None


def _padded(size: int) -> int:
    return (size + 3) & ~3
