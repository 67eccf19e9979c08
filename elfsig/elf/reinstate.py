"""Finding the section header table that was in use before a section was appended.

If the table is in the middle of the file (GNU tools before binutils 2.27 wrote name table, table,
symbols, strings in this order), the editor leaves it in place and appends a new one. Removing the section
reinstates the old one.
"""

from __future__ import annotations

from collections.abc import Iterator

from elfsig.elf.relayout import Numbering, align_up, pack_header
from elfsig.elf.table import SHN_LORESERVE, SHN_XINDEX, ElfTable, Row

_MOST_CANDIDATES = 16


def reinstated(content: bytes, table: ElfTable, gone: int) -> bytes | None:
    """The file as it was before section ``gone`` was appended; None if no unused table proves it.

    The proof: a table before the section that has every other section header exactly as it is now,
    with a name table that is the present one without its last name; and only padding between their
    end and the section.
    """
    if gone != len(table.rows) - 1:
        return None
    if table.rows[gone].name + len(table.name(gone)) + 1 != len(table.names):
        return None
    for shoff in _candidates(content, table, gone):
        numbers = _matches(content, table, gone, shoff)
        if numbers is not None:
            end = _end(content, table, gone, shoff)
            head = pack_header(content, table, shoff, numbers)
            return head + content[len(head) : end] + content[table.end :]
    return None


def _candidates(content: bytes, table: ElfTable, gone: int) -> Iterator[int]:
    """Offsets before the section at which most of the other section headers occur unchanged."""
    names, size = table.shstrndx, table.layout.row.size
    first, last = max(((1, names), (names + 1, gone)), key=lambda run: run[1] - run[0])
    key = _packed(table, list(table.rows[first:last]))
    at = table.header.ehsize - 1
    for _ in range(_MOST_CANDIDATES if key else 0):
        at = content.find(key, at + 1, table.rows[gone].offset)
        if at < 0:
            return
        if at >= table.header.ehsize + first * size:
            yield at - first * size


def _packed(table: ElfTable, rows: list[Row]) -> bytes:
    return b"".join([table.layout.row.pack(*row) for row in rows])


def _row_at(content: bytes, table: ElfTable, shoff: int, index: int) -> Row:
    row = table.layout.row
    return Row._make(row.unpack_from(content, shoff + index * row.size))


def _matches(content: bytes, table: ElfTable, gone: int, shoff: int) -> Numbering | None:
    """How the header described the table at ``shoff`` when it was in use, None if it cannot have been."""
    section, layout = table.rows[gone], table.layout
    if shoff + gone * layout.row.size > section.offset:
        return None
    zero = _row_at(content, table, shoff, 0)
    names = _row_at(content, table, shoff, table.shstrndx)
    rows = [zero._replace(size=0, link=0), *table.rows[1:gone]]
    rows[0] = table.rows[0]._replace(size=zero.size, link=zero.link)
    rows[table.shstrndx] = rows[table.shstrndx]._replace(offset=names.offset, size=section.name)
    if content[shoff : shoff + gone * layout.row.size] != _packed(table, rows):
        return None
    if content[names.offset : names.offset + section.name] != table.names[: section.name]:
        return None
    end = _end(content, table, gone, shoff)
    if section.offset != align_up(end, section.align) or any(content[end : section.offset]):
        return None
    return _numbers(table, gone, zero)


def _end(content: bytes, table: ElfTable, gone: int, shoff: int) -> int:
    """Where the image ended when the table at ``shoff`` was in use."""
    names = _row_at(content, table, shoff, table.shstrndx)
    others = [row.end for i, row in enumerate(table.rows) if row.in_file and i not in (gone, table.shstrndx)]
    return max([*others, names.end, shoff + gone * table.layout.row.size])


def _numbers(table: ElfTable, count: int, zero: Row) -> Numbering | None:
    if zero.size not in (0, count) or zero.link not in (0, table.shstrndx):
        return None
    if (not zero.size and count >= SHN_LORESERVE) or (not zero.link and table.shstrndx >= SHN_LORESERVE):
        return None
    return Numbering(
        0 if zero.size else count, zero.size, SHN_XINDEX if zero.link else table.shstrndx, zero.link
    )
