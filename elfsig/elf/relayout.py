"""Layout of an edited ELF image: parts in their old order, padding where the linker would have put it.

GNU ld, objcopy and as place the parts of a relocatable file one after the other, each at the next multiple
of its alignment (bfd/elf.c, _bfd_elf_assign_file_position_for_section). A part whose offset follows from
that rule is placed by the same rule; bytes between parts that the rule does not explain are kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from elfsig.elf.table import SHN_LORESERVE, SHN_XINDEX, SHT_NULL, ElfTable, Header, Row


class FileSpan(NamedTuple):
    """A section, or the section header table (``nr`` None), as it is in the file."""

    start: int
    size: int
    align: int
    nr: int | None


class Placed(NamedTuple):
    """Where a part goes: ``gap`` is what is written before it, ``start`` its new offset."""

    part: FileSpan
    gap: bytes
    start: int


def align_up(value: int, align: int) -> int:
    """The next multiple of ``align`` (0 counts as 1)."""
    return -(-value // (align or 1)) * (align or 1)


def parts(table: ElfTable) -> list[FileSpan]:
    """Every part of the image in file order. NOBITS and empty sections are parts of size 0."""
    end = table.end
    found = [
        FileSpan(row.offset, row.file_size, row.align or 1, index)
        for index, row in enumerate(table.rows)
        if row.type != SHT_NULL and row.offset <= end
    ]
    layout = table.layout
    found.append(FileSpan(table.header.shoff, len(table.rows) * layout.row.size, layout.word, None))
    found.sort(key=lambda p: (p.start, p.size > 0, len(table.rows) if p.nr is None else p.nr))
    return found


def place(
    content: bytes, table: ElfTable, sizes: Mapping[int | None, int], dropped: int | None = None
) -> list[Placed]:
    """New places for the parts, those in ``sizes`` with a new size and section ``dropped`` left out."""
    old = new = table.header.ehsize
    held = b""
    placed: list[Placed] = []
    for part in parts(table):
        if part.start < old:  # an empty section in the middle of another part goes where that one goes
            placed.append(Placed(part, b"", part.start + new - old))
            continue
        gap = content[old : part.start]
        ruled = part.start == align_up(old, part.align) and not any(gap)
        if not ruled:
            held += gap
        old = part.start + part.size
        if part.nr is not None and part.nr == dropped:
            continue
        start = new + len(held)
        start += (-start if ruled else part.start - start) % part.align
        placed.append(Placed(part, held + bytes(start - new - len(held)), start))
        new, held = start + sizes.get(part.nr, part.size), b""
    return placed


class Numbering(NamedTuple):
    """The four fields that hold the number of sections and the index of the name table."""

    shnum: int
    zero_size: int
    shstrndx: int
    zero_link: int


def numbering(table: ElfTable, count: int, shstrndx: int) -> Numbering:
    """For ``count`` sections; numbers of 0xff00 and more are kept in section 0 (gABI, e_shnum, e_shstrndx).

    Small numbers that were kept there unnecessarily stay there.
    """
    head, rows = table.header, table.rows
    wide = count >= SHN_LORESERVE or (not head.shnum and len(rows) < SHN_LORESERVE)
    far = shstrndx >= SHN_LORESERVE or (head.shstrndx == SHN_XINDEX and table.shstrndx < SHN_LORESERVE)
    return Numbering(
        0 if wide else count,
        count if wide else 0,
        SHN_XINDEX if far else shstrndx,
        shstrndx if far else 0,
    )


def pack_header(content: bytes, table: ElfTable, shoff: int, numbers: Numbering) -> bytes:
    """The ELF header, e_ident included, with its section fields set."""
    head: Header = table.header._replace(shoff=shoff, shnum=numbers.shnum, shstrndx=numbers.shstrndx)
    return content[:16] + table.layout.header.pack(*head)


def pack_rows(table: ElfTable, rows: list[Row], numbers: Numbering) -> bytes:
    """The section header table."""
    zero = rows[0]._replace(size=numbers.zero_size, link=numbers.zero_link)
    pack = table.layout.row.pack
    return b"".join([pack(*zero), *(pack(*row) for row in rows[1:])])


def written(content: bytes, placed: list[Placed], new: Mapping[int | None, bytes]) -> Iterator[bytes]:
    """The bytes of the parts and of the gaps between them; ``new`` are changed contents."""
    for part, gap, _ in placed:
        yield gap
        replaced = new.get(part.nr)
        yield content[part.start : part.start + part.size] if replaced is None else replaced
