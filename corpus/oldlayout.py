"""The file layout of modules before binutils 2.26: the section header table in mid-file.

The order in the file was: sections, ``.shstrtab``, section header table, ``.symtab``, ``.strtab``; in the
table the three come last, ``.shstrtab`` first. Today's order is ``.symtab``, ``.strtab``, relocations,
``.shstrtab``, table. This rewrites an object of today into that of then; it is a recipe for samples,
knows only what they hold, and shares no code with what it tests.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

SYMTAB, STRTAB, NOBITS, REL, RELA = 2, 3, 8, 9, 4


@dataclass(slots=True)
class Section:
    """A section header in the order of its fields, and the section's bytes."""

    fields: list[int]
    data: bytes


@dataclass(frozen=True, slots=True)
class Shape:
    """Where an ELF class keeps what: struct formats, and offsets in the ELF header."""

    order: str
    row: str
    shoff: int
    shoff_format: str
    shstrndx: int
    shnum: int
    header: int
    word: int


def shape(data: bytes) -> Shape:
    """The shape of the ELF file ``data``."""
    order = "<" if data[5] == 1 else ">"
    if data[4] == 2:
        return Shape(order, order + "IIQQQQIIQQ", 40, order + "Q", 62, 60, 64, 8)
    return Shape(order, order + "10I", 32, order + "I", 50, 48, 52, 4)


def sections(data: bytes, at: Shape) -> list[Section]:
    """Every section of ``data`` in table order."""
    (start,) = struct.unpack_from(at.shoff_format, data, at.shoff)
    (count,) = struct.unpack_from(at.order + "H", data, at.shnum)
    size, found = struct.calcsize(at.row), []
    for index in range(count):
        fields = list(struct.unpack_from(at.row, data, start + index * size))
        holds = fields[1] not in (0, NOBITS)
        found.append(Section(fields, data[fields[4] : fields[4] + fields[5]] if holds else b""))
    return found


def rewrite(data: bytes) -> bytes:
    """``data`` (a relocatable object as GNU ld writes it today) in the old layout."""
    at = shape(data)
    old = sections(data, at)
    (names,) = struct.unpack_from(at.order + "H", data, at.shstrndx)
    symbols = next(i for i, section in enumerate(old) if section.fields[1] == SYMTAB)
    last = [names, symbols, old[symbols].fields[6]]
    order = [i for i in range(len(old)) if i not in last] + last
    new = [Section(list(old[i].fields), old[i].data) for i in order]
    for section in new:
        section.fields[6] = order.index(section.fields[6])
    return _write(data[: at.header], at, new, order.index(names))


def _write(header: bytes, at: Shape, table: list[Section], names: int) -> bytes:
    out = bytearray(header)
    relocations = [s for s in table if s.fields[1] in (REL, RELA)]
    tail = table[-2:]
    first = [s for s in table[1:-3] if s not in relocations]
    for section in [*first, table[names]]:
        _place(out, section)
    out += bytes(-len(out) % at.word)
    shoff = len(out)
    out += bytes(len(table) * struct.calcsize(at.row))
    for section in [*tail, *relocations]:
        _place(out, section)
    rows = b"".join(struct.pack(at.row, *section.fields) for section in table)
    out[shoff : shoff + len(rows)] = rows
    struct.pack_into(at.shoff_format, out, at.shoff, shoff)
    struct.pack_into(at.order + "H", out, at.shstrndx, names)
    return bytes(out)


def _place(out: bytearray, section: Section) -> None:
    """Append a section at its alignment and note where it went."""
    out += bytes(-len(out) % max(section.fields[8], 1))
    section.fields[4] = len(out)
    out += section.data
