"""bytemap: the named parts of a file, with the roles of their bytes in one message."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from elfsig.coverages.bytemap import Kind, Map
from elfsig.elf.image import Image
from elfsig.elf.table import SHT_NULL, ElfTable
from elfsig.errors import ParseError
from elfsig.lazy_tuple import NamedTuple
from elfsig.model import Place


class FilePart(NamedTuple):
    """A named part of the file. ``what``: header, section, table, trailer, padding, or rest (what is not
    an ELF file, or follows it). ``nr`` is a section's index; sections without bytes in the file are empty.

    ``counts`` are its bytes by kind, ``entry`` those of the section's entry in the section header table.
    """

    what: str
    name: str
    nr: int | None
    start: int
    end: int
    counts: Mapping[Kind, int]
    entry: Mapping[Kind, int]


class Stretch(NamedTuple):
    """A part before it is counted: see FilePart."""

    start: int
    end: int
    what: str
    name: str
    nr: int | None = None


def parts(image: Image, trailers: Iterable[tuple[str, Place]], kinds: Map) -> list[FilePart]:
    """What the file consists of, from its first to its last byte, in that order; then empty sections.

    ``trailers`` are (name, place). Where sections overlap, the later one begins after the earlier.
    """
    size = len(image.data)
    wanted = [Stretch(p.start, p.end, "trailer", name) for name, p in trailers]
    table = image.elf
    if table is not None:
        wanted += _elf_stretches(table, size)
    found = _disjoint(wanted, size, table is not None)
    return [_counted(each, kinds, table) for each in (*found, *_empty(found, table))]


def _elf_stretches(table: ElfTable, size: int) -> Iterator[Stretch]:
    yield Stretch(0, 16 + table.layout.header.size, "header", "ELF header")
    shoff = table.header.shoff
    if table.rows:
        end = shoff + len(table.rows) * table.layout.row.size
        yield Stretch(shoff, end, "table", "section headers")
    for nr, row in enumerate(table.rows):
        if row.file_size and row.offset < size:
            yield Stretch(row.offset, min(row.end, size), "section", _name(table, nr), nr)


def _name(table: ElfTable, nr: int) -> str:
    try:
        return table.name(nr).decode("utf-8", "backslashreplace")
    except ParseError:
        return f"section {nr}"


def _disjoint(wanted: Iterable[Stretch], size: int, is_elf: bool) -> list[Stretch]:
    """``wanted`` in order and cut so that none overlap; what is between them is padding, or rest."""
    found: list[Stretch] = []
    at = 0
    for each in sorted(wanted, key=lambda s: (s.start, s.end)):
        start = max(each.start, at)
        if start >= each.end:
            continue
        if start > at:
            found.append(Stretch(at, start, *(("padding", "padding") if is_elf else ("rest", "content"))))
        found.append(each._replace(start=start))
        at = each.end
    if at < size:
        name = "after the ELF image" if is_elf else "content"
        found.append(Stretch(at, size, "rest", name))
    return found


def _empty(found: Sequence[Stretch], table: ElfTable | None) -> Iterator[Stretch]:
    """Sections that have a header and no bytes of their own in ``found``."""
    there = {each.nr for each in found}
    for nr, row in enumerate(table.rows if table else ()):
        if nr and nr not in there and row.type != SHT_NULL:
            name = _name(table, nr) if table else ""
            yield Stretch(row.offset, row.offset, "section", name, nr)


def _counted(each: Stretch, kinds: Map, table: ElfTable | None) -> FilePart:
    entry: Mapping[Kind, int] = {}
    if table is not None and each.nr is not None:
        entry = kinds.counts(table.row_offset(each.nr), table.row_offset(each.nr + 1))
    counts = kinds.counts(each.start, each.end)
    return FilePart(each.what, each.name, each.nr, each.start, each.end, counts, entry)
