"""Small relocatable ELF files for tests: made from a list of sections, and existing ones with a new
layout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from struct import pack

from elfsig.elf.relayout import align_up
from elfsig.elf.table import (
    LAYOUTS,
    SHT_GROUP,
    SHT_NOBITS,
    SHT_NOTE,
    SHT_PROGBITS,
    SHT_RELA,
    SHT_STRTAB,
    SHT_SYMTAB,
    SHT_SYMTAB_SHNDX,
    ElfTable,
    Layout,
    Row,
)

ROOT = Path(__file__).resolve().parents[2] / "corpus"
SIGNATURE = bytes(range(256)) * 2
SHN_ABS = 0xFFF1


@dataclass(frozen=True, slots=True)
class Sec:
    """A section to be made; the fields are those of its header, ``body`` its bytes."""

    name: str
    body: bytes = b""
    type: int = SHT_PROGBITS
    flags: int = 0
    link: int = 0
    info: int = 0
    align: int = 1
    entsize: int = 0
    size: int | None = None


def samples() -> list[Path]:
    """Every sample and every unsigned input of the vectors that is in the corpus."""
    return sorted(ROOT.glob("samples/*.ko")) + sorted(ROOT.glob("vectors/unsigned/*.ko"))


def header(layout: Layout, *, shoff: int, shnum: int, shstrndx: int, machine: int = 62) -> bytes:
    """e_ident and the ELF header of a relocatable file."""
    ident = b"\x7fELF" + bytes([layout.bits // 32, 1 if layout.order == "<" else 2, 1]) + bytes(9)
    size = 16 + layout.header.size
    row = layout.row.size
    return ident + layout.header.pack(1, machine, 1, 0, 0, shoff, 0, size, 0, 0, row, shnum, shstrndx)


def build(sections: Sequence[Sec], *, bits: int = 64, order: str = "<", machine: int = 62) -> bytes:
    """An ELF file of today's layout: the sections in order, ``.shstrtab``, the table. Section 0 is added.

    Counts of 0xff00 and more go into section 0.
    """
    layout = next(known for known in LAYOUTS.values() if (known.bits, known.order) == (bits, order))
    names = b"\0" + b"".join(sec.name.encode() + b"\0" for sec in (*sections, Sec(".shstrtab")))
    everything = [*sections, Sec(".shstrtab", names, SHT_STRTAB)]
    at, body, rows = 16 + layout.header.size, b"", [Row(*[0] * 10)]
    name = 1
    for sec in everything:
        body += bytes(-(at + len(body)) % (sec.align or 1))
        size = len(sec.body) if sec.size is None else sec.size
        offset = at + len(body)
        rows.append(
            Row(name, sec.type, sec.flags, 0, offset, size, sec.link, sec.info, sec.align, sec.entsize)
        )
        body += sec.body
        name += len(sec.name) + 1
    body += bytes(-(at + len(body)) % layout.word)
    count, last = len(rows), len(rows) - 1
    if count >= 0xFF00:
        rows[0] = rows[0]._replace(size=count)
    if last >= 0xFF00:
        rows[0] = rows[0]._replace(link=last)
    head = header(
        layout,
        shoff=at + len(body),
        shnum=count if count < 0xFF00 else 0,
        shstrndx=last if last < 0xFF00 else 0xFFFF,
        machine=machine,
    )
    return head + body + b"".join(layout.row.pack(*row) for row in rows)


def symbol(name: int, info: int, shndx: int, *, bits: int = 64, order: str = "<") -> bytes:
    """One symbol with value and size 0."""
    if bits == 64:
        return pack(order + "IBBHQQ", name, info, 0, shndx, 0, 0)
    return pack(order + "IIIBBH", name, 0, 0, info, 0, shndx)


def toy(*, order: str = "<", extra: Sequence[Sec] = (), after: Sequence[Sec] = ()) -> bytes:
    """A 64-bit file with text, data, NOBITS, a group, relocations and symbols.

    1 .group, 2 .text, 3 .data, 4 .bss, then ``extra``, .symtab, .strtab, .rela.text, ``after``.
    Symbols: 1 section symbol of .text, 2 of .data, then one of each ``extra``, then ABS, undefined, global.
    """
    symtab = 5 + len(extra)
    section = [2, 3, *range(5, 5 + len(extra))]
    symbols = symbol(0, 0, 0, order=order)
    symbols += b"".join(symbol(0, 3, at, order=order) for at in section)
    local = 1 + len(section)
    symbols += symbol(1, 0x10, SHN_ABS, order=order) + symbol(5, 0x10, 0, order=order)
    symbols += symbol(9, 0x12, 2, order=order)
    relocations = b"".join(
        pack(order + "QQq", 8 * k, (nr << 32) | 1, -k) for k, nr in enumerate((1, local, local + 2, 2))
    )
    entry = 24
    return build(
        [
            Sec(".group", pack(order + "II", 1, 3), SHT_GROUP, 0, symtab, local, 4, 4),
            Sec(".text", b"T" * 40, SHT_PROGBITS, 6, align=16),
            Sec(".data", b"D" * 5, SHT_PROGBITS, 3, align=4),
            Sec(".bss", b"", SHT_NOBITS, 3, align=32, size=100),
            *extra,
            Sec(".symtab", symbols, SHT_SYMTAB, 0, symtab + 1, local, 8, entry),
            Sec(".strtab", b"\0abs\0und\0glob\0", SHT_STRTAB),
            Sec(".rela.text", relocations, SHT_RELA, 0x40, symtab, 2, 8, entry),
            *after,
        ],
        order=order,
    )


def many(count: int, *, symbol_in: int, info: int = 0x10) -> bytes:
    """``count`` sections and more, with one symbol (``info`` is its st_info) in section ``symbol_in``."""
    far = symbol_in >= 0xFF00
    symbols = symbol(0, 0, 0) + symbol(1, info, 0xFFFF if far else symbol_in)
    local = 1 if info >> 4 else 2
    plain = [Sec(".d", b"d")] * count
    tables = [
        Sec(".symtab", symbols, SHT_SYMTAB, 0, count + 2, local, 8, 24),
        Sec(".strtab", b"\0here\0", SHT_STRTAB),
    ]
    if far:
        indices = pack("<II", 0, symbol_in)
        tables.append(Sec(".symtab_shndx", indices, SHT_SYMTAB_SHNDX, 0, count + 1, 0, 4, 4))
    return build([*plain, *tables])


def with_shared_names(content: bytes) -> bytes:
    """``content`` with its section names in the symbols' string table, as LLVM writes them."""
    table = ElfTable(content)
    rows, layout = list(table.rows), table.layout
    strtab = next(row.link for row in rows if row.type == SHT_SYMTAB)
    strings = table.content(strtab)
    names = strings + table.names
    start = align_up(table.end, layout.word)
    shoff = align_up(start + len(names), layout.word)
    rows = [row._replace(name=row.name + len(strings)) if i else row for i, row in enumerate(rows)]
    rows[strtab] = rows[strtab]._replace(offset=start, size=len(names))
    body = content[: table.end].ljust(start, b"\0") + names
    head = table.header
    left = [(old.offset, old.size) for old in (table.rows[strtab], table.rows[head.shstrndx])]
    for at, size in (*left, (head.shoff, len(rows) * head.shentsize)):
        if at < len(body):
            body = body[:at] + bytes(min(size, len(body) - at)) + body[at + size :]
    out = body.ljust(shoff, b"\0") + b"".join(layout.row.pack(*row) for row in rows)
    moved = head._replace(shoff=shoff, shstrndx=strtab)
    return out[:16] + layout.header.pack(*moved) + out[16 + layout.header.size :]


def patched(content: bytes, index: int, **fields: int) -> bytes:
    """``content`` with fields of one section header changed."""
    table = ElfTable(content)
    at, row = table.row_offset(index), table.rows[index]._replace(**fields)
    return content[:at] + table.layout.row.pack(*row) + content[at + table.layout.row.size :]


def repatched(content: bytes, **fields: int) -> bytes:
    """``content`` with fields of the ELF header changed."""
    table = ElfTable(content)
    head = table.header._replace(**fields)
    return content[:16] + table.layout.header.pack(*head) + content[16 + table.layout.header.size :]


def index_of(content: bytes, name: str) -> int:
    """Index of the first section of this name."""
    return ElfTable(content).named(name.encode())[0].nr


def note(owner: bytes, note_type: int, desc: bytes, order: str = "<") -> bytes:
    """One ELF note, ``owner`` with its NUL."""
    head = pack(order + "III", len(owner), len(desc), note_type)
    return head + owner + bytes(-len(owner) % 4) + desc + bytes(-len(desc) % 4)


def note_section(desc: bytes, order: str = "<") -> Sec:
    """The section that RHEL 6 links into a module."""
    return replace(
        Sec(".note.module.sig"), body=note(b"module.sig\0", 100, desc, order), type=SHT_NOTE, align=4
    )
