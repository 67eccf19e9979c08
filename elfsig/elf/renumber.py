"""What else must change when a section is removed: every section and symbol number.

System V ABI: sh_link, sh_info, st_shndx, SHT_SYMTAB_SHNDX, SHT_GROUP members, and, where the section had a
section symbol of its own (old ``ld -r`` makes one for every section), r_info and sh_info as well.
Any other reference to the section makes the edit impossible: EditRefused, code ``section-in-use``.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from functools import cached_property
from operator import sub

from elfsig.elf.check import SHF_INFO_LINK
from elfsig.elf.records import STT_SECTION, pack_words, relocation_columns, symbol_columns, words
from elfsig.elf.table import (
    SHN_LORESERVE,
    SHN_XINDEX,
    SHT_GROUP,
    SHT_REL,
    SHT_RELA,
    SHT_SYMTAB,
    SHT_SYMTAB_SHNDX,
    ElfTable,
    Row,
)
from elfsig.errors import EditRefused

_REL_TYPES = (SHT_REL, SHT_RELA)


class Removal:
    """The consequences of removing section ``gone`` of a sound table, apart from layout and names.

    ``contents`` are the sections whose bytes change, by old index; ``rows`` all rows, by old index.
    """

    def __init__(self, table: ElfTable, gone: int) -> None:
        self.table = table
        self.gone = gone
        self.contents: dict[int | None, bytes] = {}
        self.rows: list[Row] = list(table.rows)
        self._refuse_if_needed()
        for index, row in enumerate(table.rows):
            if row.type == SHT_SYMTAB:
                self._symbols(index)
            elif row.type == SHT_GROUP:
                self._group(index)
        for index in range(1, len(self.rows)):
            self.rows[index] = self._row(self.rows[index])

    def index(self, old: int) -> int:
        """The new index of a remaining section."""
        return old - (old > self.gone)

    def _in_use(self, text: str, index: int) -> EditRefused:
        name = self.table.sections[self.gone].text
        return EditRefused(
            f"section [{self.gone}] {name} is needed: {text}",
            offset=self.table.row_offset(index),
            code="section-in-use",
        )

    def _refuse_if_needed(self) -> None:
        if self.gone == self.table.shstrndx:
            raise self._in_use("it holds the section names", self.gone)
        for index, row in enumerate(self.table.rows[1:], 1):
            if index == self.gone:
                continue
            if row.link == self.gone:
                raise self._in_use(f"section [{index}] links to it", index)
            if _info_is_section(row) and row.info == self.gone:
                raise self._in_use(f"section [{index}] applies to it", index)

    def _row(self, row: Row) -> Row:
        info = self.index(row.info) if _info_is_section(row) else row.info
        return row._replace(link=self.index(row.link), info=info)

    def _group(self, index: int) -> None:
        order = self.table.layout.order
        members = words(self.table.content(index), order)
        if self.gone in members[1:]:
            raise self._in_use(f"it is a member of group [{index}]", index)
        if max(members[1:], default=0) > self.gone:
            moved = array("I", [members[0], *(self.index(m) for m in members[1:])])
            self.contents[index] = pack_words(moved, order)

    def _symbols(self, symtab: int) -> None:
        content = self.table.content(symtab)
        columns, order = symbol_columns(self.table), self.table.layout.order
        shndx = columns.shndx.read(content)
        extended = self._extended(symtab)
        indices = words(self.table.content(extended), order) if extended is not None else array("I")
        own = _positions(shndx, self.gone)
        own += [k for k in _positions(shndx, SHN_XINDEX) if indices[k] == self.gone]
        if max((v for v in set(shndx) if v < SHN_LORESERVE), default=0) > self.gone:
            shndx = array("H", [v - (self.gone < v < SHN_LORESERVE) for v in shndx])
        if max(indices, default=0) > self.gone:
            _renumber_extended(shndx, indices, self.gone)
        out = bytearray(content)
        columns.shndx.write(out, shndx)
        self.contents[symtab] = bytes(out)
        if extended is not None:
            self.contents[extended] = pack_words(indices, order)
        if own:
            self._drop_symbols(symtab, extended, sorted(own))

    @cached_property
    def _users(self) -> dict[int, list[int]]:
        """The sections that link to each section."""
        found: dict[int, list[int]] = {}
        for index, row in enumerate(self.table.rows):
            if index:
                found.setdefault(row.link, []).append(index)
        return found

    def _extended(self, symtab: int) -> int | None:
        """The section that holds the section numbers of this symbol table that do not fit into it."""
        rows = self.table.rows
        return next((i for i in self._users.get(symtab, ()) if rows[i].type == SHT_SYMTAB_SHNDX), None)

    def _drop_symbols(self, symtab: int, extended: int | None, own: list[int]) -> None:
        """Take the removed section's own symbols, at the positions ``own``, out of the table; refuse any
        other symbol."""
        size, content, row = self.table.layout.symbol.size, self.contents[symtab], self.rows[symtab]
        at = symbol_columns(self.table).info.start
        for position in reversed(own):
            if content[position * size + at] != STT_SECTION or position >= row.info:
                raise self._in_use(f"symbol {position} of section [{symtab}] is in it", symtab)
        self.contents[symtab] = _without(content, own, size)
        self.rows[symtab] = row._replace(size=row.size - len(own) * size, info=row.info - len(own))
        if extended is not None:
            self.contents[extended] = _without(self.contents[extended], own, 4)
            self.rows[extended] = self.rows[extended]._replace(size=len(self.contents[extended]))
        for index in self._users.get(symtab, ()):
            if index != extended:
                self._renumber_symbols(index, own)

    def _renumber_symbols(self, index: int, own: list[int]) -> None:
        """Update one user of a symbol table from which the symbols at the positions ``own`` were removed."""
        row, gone = self.rows[index], set(own)
        if row.type == SHT_GROUP:
            if row.info in gone:
                raise self._in_use(f"group [{index}] is named after its symbol", index)
            self.rows[index] = row._replace(info=row.info - bisect_left(own, row.info))
            return
        if row.type not in _REL_TYPES:
            raise self._in_use(f"section [{index}] of type {row.type:#x} may refer to its symbol", index)
        columns = relocation_columns(self.table, row.type)
        out = bytearray(self.contents.get(index) or self.table.content(index))
        values, shift = columns.symbol.read(out), columns.shift
        numbers = [value >> shift for value in values]
        if not gone.isdisjoint(numbers):
            raise self._in_use(f"relocations in [{index}] use its symbol", index)
        less = (bisect_left(own, number) << shift for number in numbers)
        columns.symbol.write(out, array("I", map(sub, values, less)))
        self.contents[index] = bytes(out)


def _without(content: bytes, gone: list[int], size: int) -> bytes:
    """``content`` without the entries of ``size`` bytes at the positions ``gone``, which ascend."""
    starts = [0, *((position + 1) * size for position in gone)]
    ends = [*(position * size for position in gone), len(content)]
    return b"".join(content[start:end] for start, end in zip(starts, ends, strict=True))


def _info_is_section(row: Row) -> bool:
    return row.type in _REL_TYPES or bool(row.flags & SHF_INFO_LINK)


def _positions(values: array[int], wanted: int) -> list[int]:
    return [k for k, value in enumerate(values) if value == wanted] if wanted in values else []


def _renumber_extended(shndx: array[int], indices: array[int], gone: int) -> None:
    """Decrement extended indices; one that then fits into st_shndx moves there."""
    for k in _positions(shndx, SHN_XINDEX):
        if indices[k] > gone:
            indices[k] -= 1
        if indices[k] < SHN_LORESERVE:
            shndx[k], indices[k] = indices[k], 0
