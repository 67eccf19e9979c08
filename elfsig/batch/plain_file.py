"""Files that have nothing to report except a trailer, recognised by their two ends."""

from __future__ import annotations

import os
from functools import lru_cache
from operator import add
from stat import S_ISREG
from struct import Struct

from elfsig.elf.modinfo import MOST, SECTION
from elfsig.elf.table import (
    ET_REL,
    LAYOUTS,
    MAGIC,
    SHN_LORESERVE,
    SHT_NOBITS,
    SHT_NULL,
    Header,
    Layout,
    summary_of,
)
from elfsig.elf.words import ElfSummary
from elfsig.lazy_tuple import NamedTuple
from elfsig.model import optional
from elfsig.opened.evidence import FLAGS
from elfsig.registry import Registry

HEAD = 64
"""Bytes of the ELF header, at most."""

USUAL = 128
"""Sections in a file, at most, whose headers are unpacked at once."""

TAIL = 16 << 10
"""Bytes read from the end: a signature, a section header table and its names take some 5 KiB."""


class Ends(NamedTuple):
    """The first bytes of a file, its last, and its size. ``tail`` may be the whole file."""

    head: bytes
    tail: bytes
    size: int


class Plain(NamedTuple):
    """A file with nothing to report except its trailer: its header, and where its .modinfo section is."""

    elf: ElfSummary
    modinfo: tuple[int, int] | None


def read_ends(path: str) -> Ends | None:
    """The two ends of a regular file; None for anything else, and for what cannot be read."""
    try:
        fd = os.open(path, FLAGS)
    except (OSError, ValueError):
        return None
    try:
        status = os.fstat(fd)
        size = status.st_size
        if not S_ISREG(status.st_mode) or size <= HEAD:
            return None
        head, tail = os.pread(fd, HEAD, 0), os.pread(fd, TAIL, max(0, size - TAIL))
        return Ends(head, tail, size) if len(tail) == min(size, TAIL) else None
    except OSError:
        return None
    finally:
        os.close(fd)


def plain_file(ends: Ends, end: int, registry: Registry) -> Plain | None:
    """What is known of a file that has nothing to report except its trailer, which starts at ``end``.

    None for all others. That is: a sound relocatable file that ends with its section header table, no section
    of which reaches further or has a name that marks a signature, with no sign of another trailer at its end.
    """
    head, tail, base = ends.head, ends.tail, ends.size - len(ends.tail)
    layout = LAYOUTS.get((head[4], head[5])) if ends.size > HEAD and head[:4] == MAGIC else None
    if layout is None or end - base < optional.ENOUGH:
        return None
    header = Header._make(layout.header.unpack_from(head, 16))
    table = header.shoff - base
    sound = (
        header.type == ET_REL
        and not header.phnum
        and header.shentsize == layout.row.size
        and header.shoff + header.shnum * layout.row.size == end
        and 0 < header.shstrndx < header.shnum < SHN_LORESERVE
        and table >= 0
    )
    if not sound:
        return None
    columns = _columns(layout, header.shnum, tail, table)
    if _reaches_beyond(columns, end):
        return None
    names = _names(columns, header.shstrndx, tail, base)
    if not names or registry.sections_among(names):
        return None
    inner = tail[end - base - optional.ENOUGH : end - base]
    for may_end in registry.may_end:
        if may_end(inner):
            return None
    return Plain(_summary_of(layout, header.machine), _modinfo(columns, names))


class Columns(NamedTuple):
    """A section header table by its columns."""

    names: tuple[int, ...]
    kinds: tuple[int, ...]
    offsets: tuple[int, ...]
    sizes: tuple[int, ...]


def _columns(layout: Layout, count: int, data: bytes, at: int) -> Columns:
    """The ``count`` section headers at offset ``at`` of ``data``."""
    if count > USUAL:
        rows = layout.span.iter_unpack(memoryview(data)[at : at + count * layout.span.size])
        return Columns._make(zip(*rows, strict=True))
    fields = _table(layout, count).unpack_from(data, at)
    return Columns(fields[::4], fields[1::4], fields[2::4], fields[3::4])


@lru_cache(maxsize=USUAL)
def _table(layout: Layout, count: int) -> Struct:
    """The fields of ``count`` section headers one after the other, four of each: unpacked at once."""
    return Struct(layout.order + layout.span.format[1:] * count)


@lru_cache(maxsize=32)
def _summary_of(layout: Layout, machine: int) -> ElfSummary:
    """The header of a relocatable file in words."""
    return summary_of(layout, ET_REL, machine)


def _reaches_beyond(columns: Columns, end: int) -> bool:
    """Whether a section has bytes after the section header table, which ends at ``end``."""
    _, kinds, offsets, sizes = columns
    if max(map(add, offsets, sizes)) <= end:
        return False
    rows = zip(kinds, offsets, sizes, strict=True)
    return any(kind not in (SHT_NULL, SHT_NOBITS) and offset + size > end for kind, offset, size in rows)


def _names(columns: Columns, index: int, tail: bytes, base: int) -> bytes:
    """The section name table; b"" where it is not sound, or not in ``tail``."""
    start, size = columns.offsets[index] - base, columns.sizes[index]
    names = tail[start : start + size] if start >= 0 else b""
    return b"" if columns.kinds[index] == SHT_NOBITS or len(names) != size or names[-1:] != b"\0" else names


def _modinfo(columns: Columns, names: bytes) -> tuple[int, int] | None:
    """Where the section of this name is; None where that is not plain to see."""
    at = names.find(_MODINFO) + 1
    if not at or names.count(_MODINFO[1:]) != 1 or columns.names.count(at) != 1:
        return None
    index = columns.names.index(at)
    if not index or columns.kinds[index] in (SHT_NULL, SHT_NOBITS) or columns.sizes[index] > MOST:
        return None
    return columns.offsets[index], columns.offsets[index] + columns.sizes[index]


_MODINFO = b"\0" + SECTION + b"\0"
