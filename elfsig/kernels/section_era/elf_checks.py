"""The ELF checks that kernels of the section eras ran before the signature check; all return ELIBBAD.

Three sets of rules. ``redhat`` and ``redhat-note`` are in :mod:`.elf_checks_redhat`; ``series-2012`` is
module_verify_elf() of Howells' series, whose rules give the first thing that they find wrong, or None.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from elfsig.elf.records import symbol_columns
from elfsig.elf.table import (
    LAYOUTS,
    SHN_LORESERVE,
    SHT_NOBITS,
    SHT_NOTE,
    SHT_REL,
    SHT_RELA,
    SHT_STRTAB,
    SHT_SYMTAB,
    ElfTable,
    Header,
    Row,
)
from elfsig.errors import ParseError
from elfsig.kernels.section_era.elf_checks_redhat import REL_TYPES, Finding, RedHatChecks, header_finding

Rule = Callable[[ElfTable, bytes], str | None]


def finding(content: bytes, rules: str) -> Finding | None:
    """What the checks called ``rules`` refuse in the ELF image at the start of ``content``, or None.

    ``content`` is the whole file, trailers included: these kernels knew nothing of them.
    """
    try:
        return _series_2012(content) if rules == "series-2012" else _redhat(content, rules)
    except ParseError as reason:
        return Finding(reason.text)


def fault(content: bytes, rules: str) -> str | None:
    """The text of :func:`finding`."""
    found = finding(content, rules)
    return None if found is None else found.text


def _redhat(content: bytes, rules: str) -> Finding | None:
    layout = LAYOUTS.get((content[4], content[5])) if len(content) >= 64 else None
    if layout is None:
        ElfTable(content)  # says what is wrong with the header
        return Finding("the ELF header is cut off")
    head = Header._make(layout.header.unpack_from(content, 16))
    found = header_finding(head, layout, len(content), entry=rules == "redhat")
    if found is None and not head.shoff:
        return Finding("the section header table is where the ELF header is", "sec 0", 92)
    return found or RedHatChecks(ElfTable(content), content, notes=rules == "redhat-note").find()


def _series_2012(content: bytes) -> Finding | None:
    table = ElfTable(content)
    for rule in SERIES_2012:
        text = rule(table, content)
        if text:
            return Finding(text)
    return None


# --------------------------------------------------------------------------- the series of 2012


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


def _names(table: ElfTable) -> Row:
    return table.rows[table.header.shstrndx]


def _wrong(nr: int, text: str) -> str:
    return f"section [{nr}]: {text}"


def _entry_sizes(table: ElfTable) -> Mapping[int, int]:
    layout = table.layout
    return {SHT_REL: layout.rel.size, SHT_RELA: layout.rela.size, SHT_SYMTAB: layout.symbol.size}


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
    if row.type in REL_TYPES:
        if table.rows[row.link].type != SHT_SYMTAB:
            yield _wrong(nr, "its sh_link names no symbol table")
        if not 0 < row.info < len(table.rows):
            yield _wrong(nr, f"sh_info {row.info} names no section to relocate")
    if row.type == SHT_SYMTAB:
        if table.rows[row.link].type != SHT_STRTAB:
            yield _wrong(nr, "its sh_link names no string table")
        elif row.size and (text := _symbol_table(table, nr, table.content(row.link), len(table.rows))):
            yield _wrong(nr, text)


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


SERIES_2012: tuple[Rule, ...] = (_header, _sections_2012, _kinds_2012)
