"""What the section coverages share: the sections of an image, positions of their header fields, the pieces.

Field offsets are those of the section header in the System V ABI, "Sections".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, lru_cache
from itertools import pairwise
from struct import Struct
from typing import Any, TypeAlias, overload

from elfsig.elf.image import Image
from elfsig.elf.table import ElfTable, Header, Layout, Row, Section
from elfsig.errors import ParseError
from elfsig.lazy_tuple import NamedTuple
from elfsig.model import ByteRange, Derived, FileRange, Message, Piece, Place, Remark

# A stream is rarely longer than its file; overlapping sections and one long symbol name that is
# referenced again and again could make it endless.
STREAM_FACTOR = 16
STREAM_SLACK = 1 << 20


class Column(NamedTuple):
    """A field of the rows of a table: ``start:end`` in the first of them, which are ``step`` bytes apart."""

    start: int
    end: int
    step: int
    rows: int

    def ranges(self) -> Iterator[ByteRange]:
        """The field in each row."""
        size = self.end - self.start
        for start in range(self.start, self.start + self.rows * self.step, self.step):
            yield ByteRange(start, start + size)


Span: TypeAlias = tuple[int, int] | Column
"""A byte range, or a column of them."""

Spans: TypeAlias = Iterable[Span]
"""Byte ranges in any order; they may overlap."""


class LazyRanges(Sequence[ByteRange]):
    """Byte ranges, sorted and joined, that are computed on first use.

    Those that steer a message may have ``everything``: a function that quickly gives these bytes and what all
    computed pieces of the message depend on.
    """

    def __init__(self, make: Callable[[], Spans], everything: Callable[[], Spans] | None = None) -> None:
        self._make = make
        self.everything: Callable[[], Spans] | None = everything

    @cached_property
    def _ranges(self) -> tuple[ByteRange, ...]:
        return joined(_each(self._make()))

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


def _each(spans: Spans) -> Iterator[tuple[int, int]]:
    for span in spans:
        if isinstance(span, Column):
            yield from span.ranges()
        else:
            yield span


def joined(ranges: Iterable[tuple[int, int]]) -> tuple[ByteRange, ...]:
    """The same bytes as disjoint ranges in ascending order; empty ranges are dropped."""
    out: list[ByteRange] = []
    for start, end in sorted(r for r in ranges if r[1] > r[0]):
        if out and start <= out[-1].end:
            out[-1] = ByteRange(out[-1].start, max(end, out[-1].end))
        else:
            out.append(ByteRange(start, end))
    return tuple(out)


def _fields(names: Iterable[str], codes: str, base: int = 0) -> dict[str, ByteRange]:
    """Where the fields of a structure are, by their names; ``codes`` are those of struct, one a field."""
    ends = [base + Struct("<" + codes[:i]).size for i in range(len(codes) + 1)]
    return {name: ByteRange(*span) for name, span in zip(names, pairwise(ends), strict=True)}


@lru_cache(maxsize=8)
def _header_fields(layout: Layout) -> dict[str, ByteRange]:
    return _fields(Header._fields, layout.header.format[1:], 16)


@lru_cache(maxsize=8)
def row_fields(layout: Layout) -> dict[str, ByteRange]:
    """Where the fields of a section header are, counted from its start, by their names in Row."""
    return _fields(Row._fields, layout.row.format[1:])


def header_field(layout: Layout, name: str) -> ByteRange:
    """File range of a field of the ELF header."""
    return _header_fields(layout)[name]


class SectionView:
    """The sections 1.. of ``image`` without the section of ``place``; everything is inside ``image``.

    Raises ParseError for what is not an ELF file, has a damaged table or no sections, and for a table
    after the image's end.
    """

    data: bytes
    end: int
    fields: dict[str, ByteRange]

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
        self.fields = row_fields(table.layout)
        self._names_start = table.rows[table.shstrndx].offset

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
        row, (start, end) = self.table.row_offset(nr), self.fields[name]
        return ByteRange(row + start, row + end)

    def column(self, start: int, end: int, first: int = 0, last: int | None = None) -> Column:
        """Bytes ``start:end`` of the section headers ``first`` up to, and without, ``last``."""
        row, count = self.row_offset(first), (len(self.table.rows) if last is None else last) - first
        return Column(row + start, row + end, self.layout.row.size, max(0, count))

    def name_range(self, section: Section) -> ByteRange:
        """File range of the name of a section, including its NUL."""
        start = self._names_start + section.row.name
        return ByteRange(start, start + len(section.name) + 1)

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

    def finding_ranges(self) -> Iterator[Span]:
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
        yield self.column(*self.fields["name"])
        if self.left_out is not None:
            yield self.name_range(table.sections[self.left_out])
            yield self.field(self.left_out, "type")


class Stream:
    """Collects the pieces of a message and keeps its length within reason."""

    def __init__(self, view: SectionView) -> None:
        self.view = view
        self.pieces: list[Piece] = []
        self.remarks: list[Remark] = []
        self._steering: list[Callable[[], Spans]] = [view.finding_ranges]
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

    def steer(self, make: Callable[[], Spans]) -> None:
        """Add bytes that determine what is in the stream; ``make`` is called on demand."""
        self._steering.append(make)

    def message(self, coverage: str, everything: Callable[[], Spans] | None = None) -> Message:
        """The finished message. ``everything`` gives all bytes that it depends on, or that steer it."""
        sources = tuple(self._steering)
        steering = LazyRanges(lambda: (each for make in sources for each in make()), everything)
        return Message(coverage, self.view.data, tuple(self.pieces), tuple(self.remarks), steering)
