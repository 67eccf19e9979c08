"""Columns of fixed-size ELF records as arrays: one field of every symbol or relocation at a time.

Python loops over whole records are too slow for modules with 300 000 relocations; a column is cut out with
one strided copy per byte of its width. Field positions: System V ABI, "Symbol Table" and "Relocation".
"""

from __future__ import annotations

import sys
from array import array

from elfsig.elf.table import SHT_REL, SHT_RELA, ElfTable
from elfsig.lazy_tuple import NamedTuple

EM_MIPS = 8
STT_SECTION = 3

_NATIVE = "<" if sys.byteorder == "little" else ">"
_CODES = {1: "B", 2: "H", 4: "I"}


class Column(NamedTuple):
    """Position of one field: ``start`` in the record, ``width`` 1, 2 or 4 bytes, records ``stride`` apart."""

    start: int
    width: int
    stride: int
    order: str

    def read(self, content: bytes | bytearray) -> array[int]:
        """The field of every whole record in ``content``."""
        whole = len(content) // self.stride * self.stride
        raw = bytearray(whole // self.stride * self.width)
        for k in range(self.width):
            raw[k :: self.width] = content[self.start + k : whole : self.stride]
        values = array(_CODES[self.width], bytes(raw))
        if self.order != _NATIVE:
            values.byteswap()
        return values

    def write(self, content: bytearray, values: array[int]) -> None:
        """Put ``values``, one for each whole record, into ``content``."""
        whole = len(content) // self.stride * self.stride
        values = array(values.typecode, values)
        if self.order != _NATIVE:
            values.byteswap()
        raw = values.tobytes()
        for k in range(self.width):
            content[self.start + k : whole : self.stride] = raw[k :: self.width]


class SymbolColumns(NamedTuple):
    """The fields of a symbol table for names, kinds and sections."""

    name: Column
    info: Column
    shndx: Column


def symbol_columns(table: ElfTable) -> SymbolColumns:
    """st_name (4 bytes), st_info (1) and st_shndx (2) of this class."""
    layout = table.layout
    info, shndx = (4, 6) if layout.bits == 64 else (12, 14)
    places = ((0, 4), (info, 1), (shndx, 2))
    return SymbolColumns(*(Column(at, width, layout.symbol.size, layout.order) for at, width in places))


class RelocationColumns(NamedTuple):
    """``symbol``: the 4 bytes of r_info that hold the symbol index, above ``shift`` other bits."""

    symbol: Column
    shift: int


def relocation_columns(table: ElfTable, section_type: int) -> RelocationColumns:
    """Of SHT_REL or SHT_RELA. ELF32 has the index in the upper 24 bits of r_info, ELF64 in the upper 32.

    Little-endian MIPS64 is the exception: its r_info begins with the index, whatever the byte order.
    """
    layout = table.layout
    stride = {SHT_REL: layout.rel, SHT_RELA: layout.rela}[section_type].size
    if layout.bits == 32:
        return RelocationColumns(Column(4, 4, stride, layout.order), 8)
    upper_last = layout.order == "<" and table.header.machine != EM_MIPS
    return RelocationColumns(Column(12 if upper_last else 8, 4, stride, layout.order), 0)


def words(content: bytes, order: str) -> array[int]:
    """The whole 4-byte words of ``content``: group members, extended section indices."""
    return Column(0, 4, 4, order).read(content)


def pack_words(values: array[int], order: str) -> bytes:
    """The reverse of :func:`words`."""
    out = bytearray(4 * len(values))
    Column(0, 4, 4, order).write(out, values)
    return bytes(out)
