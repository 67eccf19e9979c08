"""ELF files of any size by recipe, built in linear time."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

PROGBITS, SYMTAB, STRTAB, RELA, NOTE, NOBITS, REL, GROUP, SHNDX = 1, 2, 3, 4, 7, 8, 9, 17, 18
ROW = struct.Struct("<IIQQQQIIQQ")
SYMBOL = struct.Struct("<IBBHQQ")
RELOCATION = struct.Struct("<QQq")


class Part(NamedTuple):
    """One section. ``name`` may be an offset in the table of names; ``at`` and ``size`` replace what fits."""

    name: str | int
    body: bytes = b""
    type: int = PROGBITS
    flags: int = 2
    link: int = 0
    info: int = 0
    align: int = 1
    entsize: int = 0
    at: int | None = None
    size: int | None = None


def elf(parts: Sequence[Part], *, names: bytes = b"") -> bytes:
    """A relocatable 64-bit file: ``parts`` as sections 1.., then ``.shstrtab``; ``names`` begins that."""
    every = [*parts, Part(".shstrtab", type=STRTAB, flags=0)]
    table = bytearray(names or b"\0")
    starts: dict[str, int] = {}
    for part in every:
        if isinstance(part.name, str) and part.name not in starts:
            starts[part.name] = len(table)
            table += part.name.encode() + b"\0"
    every[-1] = every[-1]._replace(body=bytes(table))
    bodies, rows, at = [], [bytes(64)], 64
    for part in every:
        pad = -at % max(part.align, 1)
        bodies += [bytes(pad), part.body]
        at += pad
        name = starts[part.name] if isinstance(part.name, str) else part.name
        offset = at if part.at is None else part.at
        size = len(part.body) if part.size is None else part.size
        rows.append(
            ROW.pack(
                name, part.type, part.flags, 0, offset, size, part.link, part.info, part.align, part.entsize
            )
        )
        at += len(part.body)
    pad = -at % 8
    count, last = len(rows), len(rows) - 1
    if count >= 0xFF00:
        first = (0, 0, 0, 0, 0, count, last, 0, 0, 0)
        rows[0] = ROW.pack(*first)
        count, last = 0, 0xFFFF
    ident = b"\x7fELF\2\1\1" + bytes(9)
    head = ident + struct.pack("<HHIQQQIHHHHHH", 1, 62, 1, 0, 0, at + pad, 0, 64, 0, 0, 64, count, last)
    return b"".join([head, *bodies, bytes(pad), *rows])


def symbols(entries: Sequence[tuple[int, int, int, int]]) -> bytes:
    """A symbol table of (name, info, section, value), with the null symbol."""
    return bytes(24) + b"".join(SYMBOL.pack(name, info, 0, nr, value, 8) for name, info, nr, value in entries)


def relocations(entries: Sequence[tuple[int, int]]) -> bytes:
    """RELA entries of (offset, symbol)."""
    return b"".join(RELOCATION.pack(at, nr << 32 | 1, 0) for at, nr in entries)
