"""Unified kernel images: PE files whose sections are a kernel, an initramfs and what belongs to them.

Layout: Microsoft's "PE Format"; sections: the UAPI group's "Unified Kernel Image". A kernel that is itself a
PE file has no such sections, and is not a container.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from elfsig.containers.contract import Container, Context, Member, damaged
from elfsig.containers.readers import PIECE, Reader, SeekReader
from elfsig.errors import ContainerError
from elfsig.recognition.pe_sections import MOST, SIZE, Section, sections

_UNIFIED = (b".linux", b".initrd")
_ARCHIVES = (b".initrd", b".ucode")
_HEADER, _SYMBOL = 24, 18
_HEAD = 1 << 16
"""The headers are looked for in so many first bytes: the DOS stub before them may be of any size."""
_SECURITY = 4
"""The number of the data directory that leads to signatures (Authenticode)."""
_DIRECTORIES = {0x10B: 96, 0x20B: 112}
"""Offset of the data directories in the optional header, by its magic (PE32, PE32+)."""


class _Layout(NamedTuple):
    sections: list[Section]
    others: list[tuple[int, int]]
    """(offset, size) of what is not in a section: headers, symbols, signatures."""
    symbols: int | None
    """Where the symbols end."""


def _layout(head: bytes) -> _Layout | None:
    """None where ``head`` does not hold the headers of a PE file."""
    if len(head) < 64:
        return None
    start = int.from_bytes(head[60:64], "little")
    if head[start : start + 4] != b"PE\0\0" or len(head) < start + _HEADER:
        return None
    count, _, symbols, symbol_count, optional = struct.unpack_from("<HIIIH", head, start + 6)
    table = start + _HEADER + optional
    end = table + SIZE * count
    if count > MOST or len(head) < end:
        return None
    others = [(0, end)]
    if symbols:
        others.append((symbols, _SYMBOL * symbol_count))
    others += _signatures(head[start + _HEADER : table])
    return _Layout(
        list(sections(head, table, count)), others, symbols + _SYMBOL * symbol_count if symbols else None
    )


def _signatures(optional: bytes) -> list[tuple[int, int]]:
    at = _DIRECTORIES.get(int.from_bytes(optional[:2], "little"), len(optional)) + 8 * _SECURITY
    if len(optional) < at + 8:
        return []
    offset, size = struct.unpack_from("<II", optional, at)
    return [(offset, size)] if size else []


def _is_unified(head: bytes) -> bool:
    layout = _layout(head[:_HEAD])
    return layout is not None and any(section.name in _UNIFIED for section in layout.sections)


def _open(reader: Reader, context: Context) -> Iterator[Member]:
    assert isinstance(reader, SeekReader), "declared to need seek"
    layout = _layout(reader.read_at(0, _HEAD))
    if layout is None:
        raise damaged("the headers of the image are malformed", 0)
    for section in layout.sections:
        if section.offset + section.stored > reader.size:
            name = section.name.decode("ascii", "backslashreplace")
            text = f"section {name} is cut off: it ends at {section.offset + section.stored:#x}"
            raise ContainerError(text, code="truncated", offset=reader.size)
        context.budget.spend(section.size)
        content = reader.window(section.offset, section.size)
        expected = "a cpio archive" if section.name in _ARCHIVES else None
        yield Member(section.name, "part", content, section.size, section.offset, expected=expected)
    _check_rest(reader, layout)


def _check_rest(reader: SeekReader, layout: _Layout) -> None:
    """Raises ContainerError: trailing-data for more than zeros that belong to nothing, truncated where
    signatures or symbols are cut off."""
    others = [*layout.others]
    if layout.symbols is not None:  # the table of their names follows, with its size
        end = layout.symbols
        others.append((end, max(4, int.from_bytes(reader.read_at(end, 4), "little"))))
    if any(offset + size > reader.size for offset, size in others):
        raise ContainerError("the end of the image is cut off", code="truncated", offset=reader.size)
    at = 0
    stored = ((each.offset, each.size) for each in layout.sections)
    for offset, size in [*sorted([*others, *stored]), (reader.size, 0)]:
        while at < offset:
            piece = reader.read_at(at, min(PIECE, offset - at))
            if piece.strip(b"\0"):
                at += len(piece) - len(piece.lstrip(b"\0"))
                raise ContainerError("bytes that belong to no section", code="trailing-data", offset=at)
            at += len(piece)
        at = max(at, offset + size)


PE: Container = Container("uki", ((0, b"MZ"),), _open, needs="seek", probe=_is_unified)
