"""Relocatable ELF objects put together from a description, in both classes and byte orders."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

NOBITS, REL, RELA, SYMTAB, STRTAB = 8, 9, 4, 2, 3


@dataclass(frozen=True)
class Relocation:
    offset: int
    symbol: int
    type: int
    addend: int = 0


@dataclass(frozen=True)
class Part:
    """One section; its relocations go into a separate section right after it (``late``: at the end)."""

    name: str
    content: bytes = b""
    type: int = 1
    flags: int = 2
    align: int = 1
    relocations: tuple[Relocation, ...] = ()
    rela: bool = True
    late: bool = False


@dataclass(frozen=True)
class Symbol:
    """``part`` counts the parts from 0; None is undefined; ``shndx`` overrides both."""

    name: str
    part: int | None = None
    value: int = 0
    size: int = 0
    info: int = 0x12
    other: int = 0
    shndx: int | None = None


@dataclass
class Row:
    """A section on its way into the file."""

    name: str
    type: int
    flags: int
    content: bytes
    align: int
    link: int = 0
    info: int = 0
    entsize: int = 0


@dataclass(frozen=True)
class Toy:
    """An object; symbol 0 is the null symbol and comes by itself."""

    parts: tuple[Part, ...]
    symbols: tuple[Symbol, ...] = ()
    machine: int = 62
    extra: tuple[Row, ...] = field(default=())


def relocation_bytes(part: Part, bits: int, order: str) -> bytes:
    """The entries of a part's relocation section."""
    word, out = ("Q" if bits == 64 else "I"), b""
    for each in part.relocations:
        info = each.symbol << 32 | each.type if bits == 64 else each.symbol << 8 | each.type & 255
        fields = (each.offset, info, *([each.addend % (1 << bits)] if part.rela else []))
        out += struct.pack(order + word * len(fields), *fields)
    return out


def symbol_bytes(symbol: Symbol, name: int, index: int, bits: int, order: str) -> bytes:
    """One entry of the symbol table."""
    if bits == 64:
        fields = (name, symbol.info, symbol.other, index, symbol.value, symbol.size)
        return struct.pack(order + "IBBHQQ", *fields)
    return struct.pack(order + "IIIBBH", name, symbol.value, symbol.size, symbol.info, symbol.other, index)


def strings(names: Sequence[str]) -> tuple[bytes, list[int]]:
    """A string table and where each name starts in it."""
    table, starts = b"\0", []
    for name in names:
        starts.append(len(table) if name else 0)
        table += name.encode() + b"\0" if name else b""
    return table, starts


def plan(toy: Toy, bits: int, order: str) -> tuple[list[Row], dict[int, int]]:
    """The rows but for symbols and strings, and the section of each part."""
    rows, places = [Row("", 0, 0, b"", 0)], {}
    late: list[tuple[int, Part]] = []
    for number, part in enumerate(toy.parts):
        places[number] = len(rows)
        rows.append(Row(part.name, part.type, part.flags, part.content, part.align))
        if part.relocations and part.late:
            late.append((places[number], part))
        elif part.relocations:
            rows.append(relocation_row(part, places[number], bits, order))
    rows += [relocation_row(part, target, bits, order) for target, part in late]
    return rows + list(toy.extra), places


def relocation_row(part: Part, target: int, bits: int, order: str) -> Row:
    kind, prefix = (RELA, ".rela") if part.rela else (REL, ".rel")
    return Row(prefix + part.name, kind, 64, relocation_bytes(part, bits, order), bits // 8, info=target)


def build(toy: Toy, bits: int = 64, order: str = "<") -> bytes:
    """The object's bytes: header, contents, section table."""
    rows, places = plan(toy, bits, order)
    table, starts = strings([s.name for s in toy.symbols])
    entries = bytes(24 if bits == 64 else 16)
    for symbol, start in zip(toy.symbols, starts, strict=True):
        index = 0 if symbol.part is None else places[symbol.part]
        index = index if symbol.shndx is None else symbol.shndx
        entries += symbol_bytes(symbol, start, index, bits, order)
    for row in rows:
        row.link = len(rows) if row.type in (REL, RELA) else 0
    rows.append(Row(".symtab", SYMTAB, 0, entries, 8, link=len(rows) + 1))
    rows.append(Row(".strtab", STRTAB, 0, table, 1))
    rows.append(Row(".shstrtab", STRTAB, 0, b"", 1))
    rows[-1].content, names = strings([row.name for row in rows])
    return assemble(rows, names, toy.machine, bits, order)


def assemble(rows: Sequence[Row], names: Sequence[int], machine: int, bits: int, order: str) -> bytes:
    """Lay out rows one after the other."""
    wide = bits == 64
    header, row_format = ("HHIQQQIHHHHHH", "IIQQQQIIQQ") if wide else ("HHIIIIIHHHHHH", "IIIIIIIIII")
    start = 64 if wide else 52
    body, table = bytearray(start), b""
    for row, name in zip(rows, names, strict=True):
        body += bytes(-len(body) % max(row.align, 1))
        fields = (
            name,
            row.type,
            row.flags,
            0,
            len(body),
            len(row.content),
            row.link,
            row.info,
            row.align,
            row.entsize,
        )
        table += struct.pack(order + row_format, *(fields if row.type else (0,) * 10))
        body += b"" if row.type == NOBITS else row.content
    body += bytes(-len(body) % 8)
    size = struct.calcsize(order + row_format)
    ident = b"\x7fELF" + bytes((2 if wide else 1, 1 if order == "<" else 2, 1)) + bytes(9)
    numbers = (1, machine, 1, 0, 0, len(body), 0, start, 0, 0, size, len(rows), len(rows) - 1)
    body[:start] = ident + struct.pack(order + header, *numbers)
    return bytes(body) + table
