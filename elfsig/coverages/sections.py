"""What the section coverages share: the sections of an image, positions of their header fields, the pieces.

Field offsets are those of the section header in the System V ABI, "Sections".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from struct import Struct
from typing import Any, overload

from elfsig.elf.image import Image
from elfsig.elf.table import ElfTable, Header, Layout, Row, Section
from elfsig.errors import ParseError
from elfsig.model import ByteRange, Derived, FileRange, Message, Piece, Place, Remark

# A stream is rarely longer than its file; overlapping sections and one long symbol name that is
# referenced again and again could make it endless.
STREAM_FACTOR = 16
STREAM_SLACK = 1 << 20


class LazyRanges(Sequence[ByteRange]):
    """Byte ranges, sorted and joined, that are computed on first use."""

    def __init__(self, make: Callable[[], Iterable[ByteRange]]) -> None:
        self._make = make

    @cached_property
    def _ranges(self) -> tuple[ByteRange, ...]:
        return joined(self._make())

    @overload
    def __getitem__(self, at: int) -> ByteRange: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[ByteRange]: ...
    def __getitem__(self, at: int | slice) -> ByteRange | Sequence[ByteRange]:
        return self._ranges[at]

    def __iter__(self) -> Iterator[ByteRange]:
        return iter(self._ranges)

    def __len__(self) -> int:
        return len(self._ranges)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, (LazyRanges, tuple)):
            return self._ranges == tuple(other)
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self._ranges)

    def __reduce__(self) -> tuple[Any, ...]:
        """For pickle and copy: the ranges, without the function that computes them."""
        return tuple, (self._ranges,)


def joined(ranges: Iterable[ByteRange]) -> tuple[ByteRange, ...]:
    """The same bytes as disjoint ranges in ascending order; empty ranges are dropped."""
    out: list[ByteRange] = []
    for start, end in sorted(r for r in ranges if r.end > r.start):
        if out and start <= out[-1].end:
            out[-1] = ByteRange(out[-1].start, max(end, out[-1].end))
        else:
            out.append(ByteRange(start, end))
    return tuple(out)


def _field_offsets(codes: str) -> tuple[int, ...]:
    return tuple(Struct("<" + codes[:i]).size for i in range(len(codes) + 1))


def header_field(layout: Layout, name: str) -> ByteRange:
    """File range of a field of the ELF header."""
    offsets, at = _field_offsets(layout.header.format[1:]), Header._fields.index(name)
    return ByteRange(16 + offsets[at], 16 + offsets[at + 1])


class SectionView:
    """The sections 1.. of ``image`` without the section of ``place``; everything is inside ``image``.

    Raises ParseError for what is not an ELF file, has a damaged table or no sections, and for a table
    after the image's end.
    """

    data: bytes
    end: int

    def __init__(self, image: Image, place: Place | None) -> None:
        table = image.elf
        if table is None:
            raise image.elf_fault or ParseError(
                "not an ELF file: it has no sections", offset=0, code="not-elf"
            )
        self.table: ElfTable = table
        self.layout: Layout = table.layout
        self.data, self.end = image.data, image.end
        self.left_out: int | None = place.index if place else None
        self._check_table()
        self.sections: tuple[Section, ...] = tuple(s for s in table.sections[1:] if s.nr != self.left_out)
        self._offsets = _field_offsets(table.layout.row.format[1:])

    def _check_table(self) -> None:
        table = self.table
        if len(table.rows) < 2:
            raise ParseError("the ELF file has no sections", offset=0, code="elf-no-sections")
        end = table.header.shoff + len(table.rows) * table.layout.row.size
        if max(end, table.rows[table.shstrndx].end) > self.end:
            raise ParseError(
                f"section header table or name table reaches beyond the end of the content ({self.end:#x})",
                offset=table.header.shoff,
                code="elf-truncated",
            )

    def row_offset(self, nr: int) -> int:
        """File offset of a section header."""
        return self.table.row_offset(nr)

    def field(self, nr: int, name: str) -> ByteRange:
        """File range of a field of section header ``nr``."""
        row, (start, end) = self.row_offset(nr), self.field_in_row(name)
        return ByteRange(row + start, row + end)

    def field_in_row(self, name: str) -> ByteRange:
        """Where a field is in every section header, counted from the header's start."""
        at = Row._fields.index(name)
        return ByteRange(self._offsets[at], self._offsets[at + 1])

    def name_range(self, nr: int) -> ByteRange:
        """File range of the name of a section, including its NUL."""
        start = self.table.rows[self.table.shstrndx].offset + self.table.rows[nr].name
        return ByteRange(start, start + len(self.table.name(nr)) + 1)

    def bounds(self, section: Section) -> FileRange:
        """``sh_size`` bytes at ``sh_offset``, whatever the type. Raises ParseError outside the content."""
        row = section.row
        if row.offset + row.size > self.end:
            raise ParseError(
                f"section [{section.nr}] {section.text} ({row.size} bytes at {row.offset:#x}) reaches beyond"
                f" the end of the content ({self.end} bytes)",
                offset=self.row_offset(section.nr),
                code="elf-section-bounds",
            )
        return FileRange(row.offset, row.offset + row.size, section.nr)

    def finding_ranges(self) -> Iterator[ByteRange]:
        """The bytes that determine where section headers and their names are, and which one is left out."""
        table = self.table
        yield ByteRange(0, 6)
        for name in ("shoff", "shentsize", "shnum", "shstrndx"):
            yield header_field(self.layout, name)
        if not table.header.shnum or table.shstrndx != table.header.shstrndx:
            yield ByteRange(self.row_offset(0), self.row_offset(1))
        for name in ("type", "offset", "size"):
            yield self.field(table.shstrndx, name)
        if table.names:
            yield ByteRange(table.rows[table.shstrndx].end - 1, table.rows[table.shstrndx].end)
        for nr in range(len(table.rows)):
            yield self.field(nr, "name")
        if self.left_out is not None:
            yield self.name_range(self.left_out)
            yield self.field(self.left_out, "type")


class Stream:
    """Collects the pieces of a message and keeps its length within reason."""

    def __init__(self, view: SectionView) -> None:
        self.view = view
        self.pieces: list[Piece] = []
        self.remarks: list[Remark] = []
        self._steering: list[Callable[[], Iterable[ByteRange]]] = [view.finding_ranges]
        self.room: int = view.end * STREAM_FACTOR + STREAM_SLACK

    def spend(self, size: int, section: Section) -> None:
        """Account for ``size`` bytes of the stream. Raises ParseError when it outgrows the file."""
        self.room -= size
        if self.room < 0:
            raise ParseError(
                f"stream of section [{section.nr}] {section.text} makes the message more than"
                f" {STREAM_FACTOR} times as long as the file",
                offset=self.view.row_offset(section.nr),
                code="stream-too-long",
            )

    def content(self, section: Section) -> None:
        """Append the section's bytes unchanged. Raises ParseError when they are outside the content."""
        if section.row.size:
            self.pieces.append(self.view.bounds(section))
            self.spend(section.row.size, section)

    def derived(self, piece: Derived) -> None:
        """Append a computed piece, already accounted for."""
        self.pieces.append(piece)

    def steer(self, make: Callable[[], Iterable[ByteRange]]) -> None:
        """Add bytes that determine what is in the stream; ``make`` is called on demand."""
        self._steering.append(make)

    def message(self, coverage: str) -> Message:
        """The finished message."""
        sources = tuple(self._steering)
        steering = LazyRanges(lambda: (each for make in sources for each in make()))
        return Message(coverage, self.view.data, tuple(self.pieces), tuple(self.remarks), steering)
