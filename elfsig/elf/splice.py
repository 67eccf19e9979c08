"""The exact editor: put one section into a relocatable ELF file, or take one out, and change nothing else.

:func:`insert` moves nothing: every section keeps its offset and its index; the new section, the grown name
table and the grown section header table follow. :func:`remove` returns, byte for byte, what
:func:`insert` was given; for a section that objcopy or ``ld -r`` put in the middle it returns what the linker
would have written without it. Bytes after the ELF image (an appended signature) are kept.
"""

from __future__ import annotations

from elfsig.elf.check import sound_relocatable
from elfsig.elf.records import symbol_columns
from elfsig.elf.reinstate import reinstated
from elfsig.elf.relayout import align_up, numbering, pack_header, pack_rows, parts, place, written
from elfsig.elf.renumber import Removal
from elfsig.elf.table import SHT_SYMTAB, ElfTable, Row
from elfsig.errors import EditRefused

LARGEST_ALIGN = 4096


def insert(content: bytes, name: bytes, payload: bytes, section_type: int, flags: int, align: int) -> bytes:
    """``content`` with a new section, which gets the last index.

    ``name`` without NUL; ``flags`` and ``align`` are sh_flags and sh_addralign. The old name table and
    section header table are dropped where they are the file's tail and :func:`remove` can restore them
    exactly; else they stay where they are, unused, until :func:`remove` reinstates them.

    Raises ParseError and EditRefused (see elfsig.elf.check), EditRefused for values that do not fit.
    """
    table = sound_relocatable(content)
    _check_wish(table, name, section_type, flags, align)
    row = Row(len(table.names), section_type, flags, 0, 0, len(payload), 0, 0, align, 0)
    compact = _tail_start(table)
    for start in (compact, table.end):
        if start is not None:
            edited = _appended(content, table, start, name, payload, row)
            if _removed(edited, ElfTable(edited), len(table.rows)) == content:
                return edited
    raise EditRefused("the edit could not be undone exactly", code="not-reversible")


def _check_wish(table: ElfTable, name: bytes, section_type: int, flags: int, align: int) -> None:
    if not name or b"\0" in name:
        raise EditRefused(f"{name!r} is not a section name", code="bad-section")
    if not 0 < align <= LARGEST_ALIGN or align & (align - 1):
        raise EditRefused(
            f"alignment {align} is not a power of two up to {LARGEST_ALIGN}", code="bad-section"
        )
    if not 0 < section_type < 1 << 32 or not 0 <= flags < 1 << table.layout.bits:
        raise EditRefused(
            f"section type {section_type:#x} or flags {flags:#x} do not fit", code="bad-section"
        )


def _tail_start(table: ElfTable) -> int | None:
    """Where used data ends if name table and section header table are all that follows; else None."""
    *rest, names, headers = parts(table)
    if headers.nr is not None or names.nr != table.shstrndx:
        return None
    return max((p.start + p.size for p in rest), default=table.header.ehsize)


def _appended(content: bytes, table: ElfTable, start: int, name: bytes, payload: bytes, row: Row) -> bytes:
    """Everything up to ``start``, the new section, the grown tables, and the bytes after the image."""
    names = table.names + name + b"\0"
    offset = align_up(start, row.align)
    names_at = offset + len(payload)
    shoff = align_up(names_at + len(names), table.layout.word)
    rows = [*table.rows, row._replace(offset=offset)]
    rows[table.shstrndx] = rows[table.shstrndx]._replace(offset=names_at, size=len(names))
    if shoff + len(rows) * table.layout.row.size >= 1 << table.layout.bits:
        raise EditRefused("the file would grow beyond what its class can address", code="too-large")
    numbers = numbering(table, len(rows), table.shstrndx)
    head = pack_header(content, table, shoff, numbers)
    body = [head, content[len(head) : start], bytes(offset - start), payload, names]
    body += [bytes(shoff - names_at - len(names)), pack_rows(table, rows, numbers), content[table.end :]]
    return b"".join(body)


def remove(content: bytes, index: int) -> bytes:
    """``content`` without section ``index``.

    An unused earlier section header table in the file that describes it exactly as it was
    without the section is reinstated; else the parts after the section move up, and every section
    index, the section's own section symbol and its name are taken out of the tables.

    Raises ParseError and EditRefused, the latter with code ``section-in-use`` when something else in the
    file depends on the section.
    """
    table = sound_relocatable(content)
    if not 0 < index < len(table.rows):
        raise EditRefused(f"there is no section [{index}] to remove", code="no-section")
    return _removed(content, table, index)


def _removed(content: bytes, table: ElfTable, index: int) -> bytes:
    return reinstated(content, table, index) or _closed_up(content, table, index)


def _closed_up(content: bytes, table: ElfTable, gone: int) -> bytes:
    removal = Removal(table, gone)
    new = removal.contents
    rows = removal.rows
    names, cut = _names_without(table, gone)
    new[table.shstrndx] = names
    if cut is not None:
        size = len(table.names) - len(names)
        rows = [r._replace(name=r.name - size) if r.name > cut else r for r in rows]
    for changed, blob in new.items():
        if changed is not None:
            rows[changed] = rows[changed]._replace(size=len(blob))
    count = len(rows) - 1
    numbers = numbering(table, count, removal.index(table.shstrndx))
    sizes = {index: len(blob) for index, blob in new.items()}
    sizes[None] = count * table.layout.row.size
    placed = place(content, table, sizes, dropped=gone)
    shoff = table.header.shoff
    for part, _, start in placed:
        if part.nr is None:
            shoff = start
        else:
            rows[part.nr] = rows[part.nr]._replace(offset=start)
    del rows[gone]
    new[None] = pack_rows(table, rows, numbers)
    head = pack_header(content, table, shoff, numbers)
    return b"".join([head, *written(content, placed, new), content[table.end :]])


def _names_without(table: ElfTable, gone: int) -> tuple[bytes, int | None]:
    """The name table without the name of a section, and where it was cut (None: unchanged).

    It is kept when others use it or a part of it, when it is the end of a longer name, and, in a table
    that holds the symbols' names too, when it is not the last string.
    """
    names, start = table.names, table.rows[gone].name
    end = start + len(table.name(gone)) + 1
    others = [r.name for i, r in enumerate(table.rows) if i not in (0, gone)]
    if start == 0 or names[start - 1] or any(start <= name < end for name in others):
        return names, None
    shared = any(row.link == table.shstrndx for row in table.rows[1:])
    if shared and (end != len(names) or _last_symbol_name(table) >= start):
        return names, None
    return names[:start] + names[end:], start


def _last_symbol_name(table: ElfTable) -> int:
    """The highest st_name of the symbol tables that keep their names in the section name table."""
    column = symbol_columns(table).name
    linked = (i for i, r in enumerate(table.rows) if r.link == table.shstrndx and i)
    tables = [column.read(table.content(i)) for i in linked if table.rows[i].type == SHT_SYMTAB]
    return max((max(values, default=0) for values in tables), default=0)
