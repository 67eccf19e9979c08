"""What else must change when a section is removed: every section and symbol number.

System V ABI: sh_link, sh_info, st_shndx, SHT_SYMTAB_SHNDX, SHT_GROUP members, and, where the section had a
section symbol of its own (old ``ld -r`` makes one for every section), r_info and sh_info as well.
Any other reference to the section makes the edit impossible: EditRefused, code ``section-in-use``.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator

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
        extended = self._linked(SHT_SYMTAB_SHNDX, symtab)
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
        for position in sorted(own, reverse=True):
            self._drop_symbol(symtab, extended, position)

    def _linked(self, section_type: int, target: int) -> int | None:
        rows = enumerate(self.table.rows)
        return next((i for i, r in rows if r.type == section_type and r.link == target), None)

    def _drop_symbol(self, symtab: int, extended: int | None, position: int) -> None:
        """Take the removed section's own symbol out of the table; refuse any other symbol."""
        size, content = self.table.layout.symbol.size, self.contents[symtab]
        kind = content[position * size + symbol_columns(self.table).info.start]
        row = self.rows[symtab]
        if kind != STT_SECTION or position >= row.info:
            raise self._in_use(f"symbol {position} of section [{symtab}] is in it", symtab)
        self.contents[symtab] = content[: position * size] + content[(position + 1) * size :]
        self.rows[symtab] = row._replace(size=row.size - size, info=row.info - 1)
        if extended is not None:
            indices = self.contents[extended]
            self.contents[extended] = indices[: position * 4] + indices[position * 4 + 4 :]
            self.rows[extended] = self.rows[extended]._replace(size=len(indices) - 4)
        for index in self._users(symtab, extended):
            self._renumber_symbol(index, position)

    def _users(self, symtab: int, extended: int | None) -> Iterator[int]:
        for index, row in enumerate(self.table.rows):
            if row.link == symtab and index not in (0, extended):
                yield index

    def _renumber_symbol(self, index: int, position: int) -> None:
        """Update one user of a symbol table from which the symbol at ``position`` was removed."""
        row = self.rows[index]
        if row.type == SHT_GROUP:
            if row.info == position:
                raise self._in_use(f"group [{index}] is named after its symbol", index)
            self.rows[index] = row._replace(info=row.info - (row.info > position))
            return
        if row.type not in _REL_TYPES:
            raise self._in_use(f"section [{index}] of type {row.type:#x} may refer to its symbol", index)
        columns = relocation_columns(self.table, row.type)
        out = bytearray(self.contents.get(index) or self.table.content(index))
        values, unit = columns.symbol.read(out), 1 << columns.shift
        limit = (position + 1) * unit
        if any(limit - unit <= v < limit for v in values):
            raise self._in_use(f"relocations in [{index}] use its symbol", index)
        columns.symbol.write(out, array("I", [v - unit if v >= limit else v for v in values]))
        self.contents[index] = bytes(out)


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
