"""The strict pre-check: is this a sound relocatable file, so that an edit can be predicted?

The rules are those of the ELF checks that Red Hat's kernels ran before checking a signature
(kernel/module-verify-elf.c of 2.6.10 and later) as far as they concern an editor, and more: no overlaps, no
program headers, links of the right kind. What breaks a rule of the ELF format is a ParseError; sound
ELF that is not to be edited (an executable, for example) is EditRefused.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NoReturn

from elfsig.elf.records import relocation_columns, symbol_columns, words
from elfsig.elf.relayout import Numbering, numbering
from elfsig.elf.table import (
    ET_REL,
    SHN_LORESERVE,
    SHN_XINDEX,
    SHT_GROUP,
    SHT_NULL,
    SHT_REL,
    SHT_RELA,
    SHT_STRTAB,
    SHT_SYMTAB,
    SHT_SYMTAB_SHNDX,
    TYPES,
    ElfTable,
)
from elfsig.errors import EditRefused, ParseError

SHF_INFO_LINK = 0x40
_REL_TYPES = (SHT_REL, SHT_RELA)


def sound_relocatable(content: bytes) -> ElfTable:
    """The section table of ``content`` once every check has passed.

    Raises ParseError (damaged) or EditRefused (not a relocatable file), naming section and offset.
    """
    table = ElfTable(content)
    _check_header(table)
    _check_rows(table, len(content))
    _check_overlaps(table)
    _check_cycles(table)
    shndx_of = {r.link: i for i, r in enumerate(table.rows) if r.type == SHT_SYMTAB_SHNDX}
    for index, row in enumerate(table.rows):
        if row.type == SHT_SYMTAB:
            _check_symbols(table, index, shndx_of.get(index))
        elif row.type in _REL_TYPES:
            _check_relocations(table, index)
        elif row.type == SHT_GROUP:
            _check_group(table, index)
    return table


def _damaged(table: ElfTable, index: int, text: str, code: str) -> NoReturn:
    try:
        name = table.name(index).decode("utf-8", "backslashreplace")
    except ParseError:
        name = "?"
    raise ParseError(f"section [{index}] {name}: {text}", offset=table.row_offset(index), code=code)


def _check_header(table: ElfTable) -> None:
    head = table.header
    if head.type != ET_REL:
        kind = TYPES.get(head.type, str(head.type))
        raise EditRefused(f"not a relocatable file but ELF type {kind}", offset=16, code="not-relocatable")
    if head.phnum:
        raise EditRefused(
            f"relocatable file with {head.phnum} program headers",
            offset=table.field_offset("phnum"),
            code="program-headers",
        )
    if not table.rows:
        raise EditRefused(
            "no section header table", offset=table.field_offset("shnum"), code="no-section-table"
        )
    size = 16 + table.layout.header.size
    if head.ehsize != size:
        text = f"e_ehsize is {head.ehsize}, expected {size}"
        raise ParseError(text, offset=table.field_offset("ehsize"), code="elf-ehsize")
    if head.shnum >= SHN_LORESERVE:
        text = f"e_shnum {head.shnum:#x} is reserved; so many sections are counted in section 0"
        raise ParseError(text, offset=table.field_offset("shnum"), code="elf-shnum")
    names = table.rows[table.shstrndx]
    if names.type != SHT_STRTAB or not table.names:
        text = f"e_shstrndx {table.shstrndx} names no string table"
        raise ParseError(text, offset=table.field_offset("shstrndx"), code="elf-shstrndx")
    numbers = numbering(table, len(table.rows), table.shstrndx)
    if any(table.rows[0]._replace(size=0, link=0)) or numbers != _numbers(table):
        _damaged(table, 0, "section 0 holds more than extended section numbers", "elf-section-zero")


def _numbers(table: ElfTable) -> Numbering:
    head, zero = table.header, table.rows[0]
    return Numbering(head.shnum, zero.size, head.shstrndx, zero.link)


def _check_rows(table: ElfTable, file_size: int) -> None:
    count, ehsize = len(table.rows), table.header.ehsize
    for index, row in enumerate(table.rows[1:], 1):
        table.name(index)
        if row.align & (row.align - 1):
            _damaged(table, index, f"alignment {row.align} is not a power of two", "elf-align")
        if row.link >= count:
            _damaged(table, index, f"sh_link {row.link} names no section (of {count})", "elf-link")
        if (row.type in _REL_TYPES or row.flags & SHF_INFO_LINK) and row.info >= count:
            _damaged(table, index, f"sh_info {row.info} names no section (of {count})", "elf-info")
        if row.type == SHT_NULL:
            continue
        if row.end > file_size:
            text = f"{row.file_size} bytes at {row.offset:#x} reach beyond the end of the file ({file_size})"
            _damaged(table, index, text, "elf-section-bounds")
        if row.file_size and row.offset < ehsize:
            _damaged(table, index, f"offset {row.offset:#x} is inside the ELF header", "elf-section-bounds")
        _check_kind(table, index)


def _check_kind(table: ElfTable, index: int) -> None:
    """Entry size, and a link to a section of the right type."""
    row, layout = table.rows[index], table.layout
    kinds = {
        SHT_SYMTAB: (layout.symbol.size, SHT_STRTAB),
        SHT_REL: (layout.rel.size, SHT_SYMTAB),
        SHT_RELA: (layout.rela.size, SHT_SYMTAB),
        SHT_SYMTAB_SHNDX: (4, SHT_SYMTAB),
        SHT_GROUP: (4, SHT_SYMTAB),
    }
    if row.type not in kinds:
        return
    entry, link_type = kinds[row.type]
    if (row.entsize or entry) != entry or row.size % entry:
        text = f"{row.size} bytes in entries of {row.entsize}, expected entries of {entry}"
        _damaged(table, index, text, "elf-entsize")
    linked = table.rows[row.link].type
    if linked != link_type:
        text = f"sh_link {row.link} is of type {linked}, expected {link_type}"
        _damaged(table, index, text, "elf-link")


def _check_overlaps(table: ElfTable) -> None:
    """No two of: ELF header, section header table, sections with bytes in the file."""
    head, layout = table.header, table.layout
    spans = [(0, head.ehsize, "the ELF header"), (head.shoff, 0, "the section header table")]
    spans[1] = (head.shoff, head.shoff + len(table.rows) * layout.row.size, spans[1][2])
    for index, row in enumerate(table.rows):
        if row.file_size:
            spans.append((row.offset, row.end, f"section [{index}] {table.sections[index].text}"))
    spans.sort()
    for (_, end, first), (start, _, second) in pairwise(spans):
        if start < end:
            raise ParseError(f"{second} overlaps {first}", offset=start, code="elf-overlap")


def _check_cycles(table: ElfTable) -> None:
    """Links of sections end: no chain of sh_link forms a loop."""
    settled = {0}
    for start in range(1, len(table.rows)):
        path: dict[int, None] = {}
        at = start
        while at not in settled:
            if at in path:
                _damaged(table, at, "its chain of sh_link is a loop", "elf-link-cycle")
            path[at] = None
            at = table.rows[at].link
        settled.update(path)


def _check_symbols(table: ElfTable, index: int, extended: int | None) -> None:
    row, content = table.rows[index], table.content(index)
    columns, count = symbol_columns(table), len(table.rows)
    total = row.size // table.layout.symbol.size
    if row.info > total:
        _damaged(table, index, f"sh_info {row.info}, with {total} symbols", "elf-symbols")
    strings = table.rows[row.link]
    if strings.file_size and table.last_byte(row.link):
        _damaged(table, row.link, "string table does not end in NUL", "elf-strings")
    if total and max(columns.name.read(content)) >= max(1, strings.file_size):
        _damaged(table, index, f"a symbol's name is outside string table [{row.link}]", "elf-symbols")
    used = set(columns.shndx.read(content))
    if any(count <= value < SHN_LORESERVE for value in used):
        _damaged(table, index, f"a symbol's section does not exist (of {count})", "elf-symbols")
    if SHN_XINDEX in used and extended is None:
        _damaged(table, index, "extended section indices without their table", "elf-symbols")
    if extended is not None:
        indices = words(table.content(extended), table.layout.order)
        if len(indices) != total or max(indices, default=0) >= count:
            _damaged(table, extended, f"does not fit symbol table [{index}]", "elf-symbols")


def _check_relocations(table: ElfTable, index: int) -> None:
    row = table.rows[index]
    columns = relocation_columns(table, row.type)
    total = table.rows[row.link].size // table.layout.symbol.size
    last = max(columns.symbol.read(table.content(index)), default=0) >> columns.shift
    if row.size and last >= total:
        _damaged(table, index, f"relocation against symbol {last}, of {total}", "elf-relocations")


def _check_group(table: ElfTable, index: int) -> None:
    row, count = table.rows[index], len(table.rows)
    members = words(table.content(index), table.layout.order)
    if not members or max(members[1:], default=0) >= count:
        _damaged(
            table,
            index,
            f"group without flags, or with a member that is not a section (of {count})",
            "elf-group",
        )
    if row.info >= max(1, table.rows[row.link].size // table.layout.symbol.size):
        _damaged(table, index, f"signature symbol {row.info} does not exist", "elf-group")
