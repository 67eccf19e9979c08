"""The ELF checks that kernels of the section eras ran before the signature check; all return ELIBBAD.

Two sets of rules. ``redhat`` and ``redhat-note``: kernel/module-verify.c of RHEL 5, module-verify-elf.c of
RHEL 6 and Oracle's 2.6.39; the latter do not check the entry point, and check all notes. ``series-2012``:
module_verify_elf() of Howells' series. Each rule gives the first thing that it finds wrong, or None.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from struct import Struct

from elfsig.elf.records import relocation_columns, symbol_columns
from elfsig.elf.table import (
    SHN_LORESERVE,
    SHT_NOBITS,
    SHT_NOTE,
    SHT_REL,
    SHT_RELA,
    SHT_STRTAB,
    SHT_SYMTAB,
    ElfTable,
    Row,
)
from elfsig.errors import ParseError

Rule = Callable[[ElfTable, bytes], str | None]
_REL_TYPES = (SHT_REL, SHT_RELA)


def fault(content: bytes, rules: str) -> str | None:
    """What the checks called ``rules`` refuse in the ELF image at the start of ``content``, or None.

    ``content`` is the whole file, trailers included: these kernels knew nothing of them.
    """
    try:
        table = ElfTable(content)
    except ParseError as reason:
        return reason.text
    for rule in RULES[rules]:
        try:
            found = rule(table, content)
        except ParseError as reason:
            found = reason.text
        if found:
            return found
    return None


# --------------------------------------------------------------------------- headers


def _header(table: ElfTable, content: bytes) -> str | None:
    head, size = table.header, len(content)
    checks = {
        "e_ehsize is not smaller than the file": head.ehsize < size,
        "e_shnum is zero or reserved": 0 < head.shnum < SHN_LORESERVE,
        "e_shoff is outside of the file": head.shoff < size,
        "e_shoff is inside the ELF header": head.shoff >= head.ehsize,
        "the section header table is not in the file": len(table.rows) >= head.shnum,
        "e_shoff is not aligned to the machine's word": head.shoff % table.layout.word == 0,
        "e_shstrndx names no section": head.shstrndx < head.shnum,
        "e_shentsize is wrong": head.shentsize == table.layout.row.size,
    }
    return next((text for text, holds in checks.items() if not holds), None)


def _relocatable(table: ElfTable, content: bytes) -> str | None:
    head = table.header
    if head.phoff or head.phnum:
        return "it has program headers"
    return None if head.shstrndx else "e_shstrndx is 0"


def _entry(table: ElfTable, content: bytes) -> str | None:
    return f"e_entry is {table.header.entry:#x}, not 0" if table.header.entry else None


# --------------------------------------------------------------------------- sections


def _names(table: ElfTable) -> Row:
    return table.rows[table.header.shstrndx]


def _wrong(nr: int, text: str) -> str:
    return f"section [{nr}]: {text}"


def _section_zero(table: ElfTable, content: bytes) -> str | None:
    zero = table.rows[0]
    return _wrong(0, "is not empty") if zero.type or zero.size or zero.offset else None


def _in_file_sizes(table: ElfTable, size: int) -> list[int]:
    """Room of each section: up to the next section's start, the section table, or the end of the file."""
    starts = sorted({row.offset for row in table.rows[1:]})
    rooms = [0]
    for row in table.rows[1:]:
        room = (table.header.shoff if row.offset < table.header.shoff else size) - row.offset
        later = bisect_right(starts, row.offset)
        rooms.append(min(room, starts[later] - row.offset) if later < len(starts) else room)
    return rooms


def _sections(table: ElfTable, content: bytes) -> str | None:
    rooms, names = _in_file_sizes(table, len(content)), _names(table)
    for nr, row in enumerate(table.rows[1:], 1):
        text = _section(table, row, names.size, len(content), rooms[nr])
        if text:
            return _wrong(nr, text)
    return None


def _section(table: ElfTable, row: Row, names: int, size: int, room: int) -> str | None:
    count = len(table.rows)
    if row.name >= names:
        return "its name is outside of the name table"
    if row.link >= count:
        return f"sh_link {row.link} names no section"
    if row.entsize and row.size % row.entsize:
        return f"{row.size} bytes are not a multiple of sh_entsize {row.entsize}"
    if not table.header.ehsize <= row.offset < size:
        return f"sh_offset {row.offset:#x} is in the ELF header or outside of the file"
    if row.type == SHT_NOBITS:
        return None
    entry = _entry_sizes(table).get(row.type)
    if entry is not None and row.entsize != entry:
        return f"sh_entsize is {row.entsize}, not {entry}"
    if row.type in _REL_TYPES and not 0 < row.info < count:
        return f"sh_info {row.info} names no section to relocate"
    return f"its {row.size} bytes reach into what follows" if row.size > room else None


def _entry_sizes(table: ElfTable) -> Mapping[int, int]:
    layout = table.layout
    return {SHT_REL: layout.rel.size, SHT_RELA: layout.rela.size, SHT_SYMTAB: layout.symbol.size}


def _section_names(table: ElfTable, content: bytes) -> str | None:
    if not _names(table).size:
        return "the section name table is empty"
    blank = next((nr for nr in range(1, len(table.rows)) if not table.name(nr)), None)
    return None if blank is None else _wrong(blank, "has an empty name")


# --------------------------------------------------------------------------- symbols, relocations, notes


def _only(table: ElfTable, name: bytes, kind: int) -> int | str:
    found = [s.nr for s in table.named(name) if s.row.type == kind]
    text = name.decode()
    if len(found) != 1:
        return f"there are {len(found)} symbol or string tables named {text}, exactly one must be"
    return found[0] if table.rows[found[0]].size else f"{text} is empty"


def _symbols(table: ElfTable, content: bytes) -> str | None:
    symtab, strtab = _only(table, b".symtab", SHT_SYMTAB), _only(table, b".strtab", SHT_STRTAB)
    for found in (symtab, strtab):
        if isinstance(found, str):
            return found
    assert isinstance(symtab, int) and isinstance(strtab, int)
    return _symbol_table(table, symtab, table.content(strtab), len(table.rows))


def _symbol_table(table: ElfTable, nr: int, strings: bytes, count: int) -> str | None:
    data, columns = table.content(nr), symbol_columns(table)
    first = table.layout.symbol.unpack_from(data)
    fields = dict(zip(("name", "info", "other", "shndx", "value", "size"), first, strict=True))
    if table.layout.bits == 32:
        fields = dict(zip(("name", "value", "size", "info", "other", "shndx"), first, strict=True))
    if fields["info"] & 15 or fields["shndx"] or fields["value"] or fields["size"]:
        return "symbol 0 is not null"
    last = max(columns.name.read(data))
    if last >= len(strings) or b"\0" not in strings[last:]:
        return f"a symbol's name at {last:#x} is outside of the string table"
    wrong = next((v for v in columns.shndx.read(data) if count <= v < SHN_LORESERVE), None)
    return None if wrong is None else f"a symbol is in section {wrong}, of {count}"


def _relocations(table: ElfTable, content: bytes) -> str | None:
    symtab = next(s for s in table.named(b".symtab") if s.row.type == SHT_SYMTAB)
    total = symtab.row.size // table.layout.symbol.size
    for nr, row in enumerate(table.rows[1:], 1):
        if row.type not in _REL_TYPES or not row.size:
            continue
        data, columns = table.content(nr), relocation_columns(table, row.type)
        if max(columns.symbol.read(data)) >> columns.shift >= total:
            return _wrong(nr, f"a relocation against a symbol that is none of the {total}")
        entry = table.layout.rel if row.type == SHT_REL else table.layout.rela
        if max(each[0] for each in entry.iter_unpack(data)) >= table.rows[row.info].size:
            return _wrong(nr, f"a relocation outside of section [{row.info}]")
    return None


def _notes(table: ElfTable, content: bytes) -> str | None:
    for nr, row in enumerate(table.rows[1:], 1):
        if row.type == SHT_NOTE and (text := _note_section(table.content(nr), table.layout.order)):
            return _wrong(nr, text)
    return None


def _note_section(data: bytes, order: str) -> str | None:
    """Notes one after the other must fill the section exactly; owners end in their only NUL."""
    head, at = Struct(order + "III"), 0
    while at < len(data):
        if len(data) - at < head.size:
            return "the section ends inside a note's header"
        namesz, descsz, _ = head.unpack_from(data, at)
        at += head.size
        owner = data[at : at + namesz]
        if namesz and owner.find(0) != namesz - 1:
            return "a note's owner does not end in its first NUL"
        at += _padded(namesz) + _padded(descsz)
        if at > len(data):
            return "a note reaches beyond its section"
    return None


def _padded(size: int) -> int:
    return (size + 3) & ~3


# --------------------------------------------------------------------------- the series of 2012


def _sections_2012(table: ElfTable, content: bytes) -> str | None:
    if table.rows[0].type:
        return _wrong(0, "is not of type NULL")
    names = _names(table)
    if names.type != SHT_STRTAB or names.size < 2:
        return "the section name table is not a string table"
    texts = (
        _section_2012(table, nr, row, names.size, len(content)) for nr, row in enumerate(table.rows[1:], 1)
    )
    return next((text for text in texts if text), None)


def _section_2012(table: ElfTable, nr: int, row: Row, names: int, size: int) -> str | None:
    entry = _entry_sizes(table).get(row.type)
    checks = {
        "its name is outside of the name table": row.name < names,
        "sh_link names no section": row.link < len(table.rows),
        "it is in the ELF header or outside of the file": table.header.ehsize <= row.offset <= size,
        "sh_offset is not aligned as sh_addralign says": not row.offset & (row.align - 1 if row.align else 0),
        "its bytes reach beyond the file": row.type == SHT_NOBITS or row.size <= size - row.offset,
        "its size is not a multiple of sh_entsize": row.entsize < 2 or row.size % row.entsize == 0,
        "sh_entsize is wrong": entry is None or row.entsize == entry,
        "sh_addralign is not a multiple of the machine's word": entry is None
        or row.align % table.layout.word == 0,
        "notes are not aligned to 4": row.type != SHT_NOTE or row.align % 4 == 0,
    }
    return next((_wrong(nr, text) for text, holds in checks.items() if not holds), None)


def _kinds_2012(table: ElfTable, content: bytes) -> str | None:
    texts = (text for nr, row in enumerate(table.rows[1:], 1) for text in _kind_2012(table, nr, row))
    return next(texts, None)


def _kind_2012(table: ElfTable, nr: int, row: Row) -> Iterator[str]:
    if row.type == SHT_STRTAB and row.size and (row.size < 2 or table.content(nr)[-1]):
        yield _wrong(nr, "a string table that does not end in NUL")
    if row.type in _REL_TYPES:
        if table.rows[row.link].type != SHT_SYMTAB:
            yield _wrong(nr, "its sh_link names no symbol table")
        if not 0 < row.info < len(table.rows):
            yield _wrong(nr, f"sh_info {row.info} names no section to relocate")
    if row.type == SHT_SYMTAB:
        if table.rows[row.link].type != SHT_STRTAB:
            yield _wrong(nr, "its sh_link names no string table")
        elif row.size and (text := _symbol_table(table, nr, table.content(row.link), len(table.rows))):
            yield _wrong(nr, text)


_REDHAT: tuple[Rule, ...] = (
    _header, _relocatable, _section_zero, _sections, _section_names, _symbols, _relocations
)  # fmt: skip

RULES: Mapping[str, tuple[Rule, ...]] = {
    "redhat": (_header, _entry, *_REDHAT[1:]),
    "redhat-note": (*_REDHAT, _notes),
    "series-2012": (_header, _sections_2012, _kinds_2012),
}
