"""How the canonical streams are put together; see :mod:`elfsig.coverages.canonical` for what they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from elfsig.coverages.records import Numbering
from elfsig.coverages.relocations import RELOCATION_TYPES, Relocations
from elfsig.coverages.sections import LazyRanges, SectionView, Span, Stream, joined, row_fields
from elfsig.elf.image import Image
from elfsig.elf.table import SHF_ALLOC, SHN_LORESERVE, SHT_NOBITS, SHT_STRTAB, SHT_SYMTAB, Layout, Section
from elfsig.errors import ParseError
from elfsig.model import ByteRange, Derived, Message, Place, Remark

BUILD_ID = b".note.gnu.build-id"
DIGESTED_FIELDS = ("type", "flags", "size", "align")
"""In the order of the section header, and of the stream."""


def _is_relocation(section: Section) -> bool:
    return section.row.type in RELOCATION_TYPES


def _is_allocated(section: Section) -> bool:
    return bool(section.row.flags & SHF_ALLOC)


def _checked_view(image: Image, place: Place | None) -> SectionView:
    """The sections, refusing what no extractor of these formats could have processed."""
    view = SectionView(image, place)
    count = view.table.header.shnum
    if not 0 < count < SHN_LORESERVE:
        raise ParseError(
            f"e_shnum is {count:#x}: these formats have no extended section numbering",
            offset=view.field(0, "size").start,
            code="elf-shnum",
        )
    if not view.table.shstrndx:
        raise ParseError(
            "e_shstrndx is 0: these formats need the names of sections",
            offset=view.table.field_offset("shstrndx"),
            code="elf-shstrndx",
        )
    for section in view.sections:
        if _is_relocation(section) and section.row.info >= count:
            raise ParseError(
                f"relocations of section [{section.nr}] {section.text} are for section {section.row.info},"
                f" there are {count}",
                offset=view.field(section.nr, "info").start,
                code="elf-relocation-target",
            )
    return view


def _numbers(
    view: SectionView, listed: Iterable[Section], missing: int = 0
) -> tuple[list[Section], list[int]]:
    """``listed`` sorted by name as strcmp does, equal names in file order; the 1-based position of each."""
    ordered = sorted(listed, key=lambda s: s.name)
    numbers = [0] + [missing] * (len(view.table.rows) - 1)
    for position, section in enumerate(ordered, 1):
        numbers[section.nr] = position
    return ordered, numbers


class _Writer:
    """Appends canonical sections to a stream."""

    def __init__(self, view: SectionView, numbering: Numbering, emitted: Sequence[Section]) -> None:
        self.view, self.emitted = view, emitted
        self.relocations = Relocations(view, numbering, [s for s in emitted if _is_relocation(s)])
        self._fields = _digested(view.layout)
        self.stream = Stream(view)
        self.stream.steer(self._steering)

    def write(self) -> Stream:
        """All of ``emitted``."""
        for section in self.emitted:
            self._header(section)
            if _is_relocation(section):
                self._relocations(section)
            elif section.row.type != SHT_NOBITS:
                self.stream.content(section)
        return self.stream

    def _header(self, section: Section) -> None:
        data, row = self.view.data, self.view.row_offset(section.nr)
        parts = [data[row + start : row + end] for start, end in self._fields]
        block = b"".join((section.name, *parts))
        self.stream.spend(len(block), section)
        depends = LazyRanges(lambda: self._header_ranges(section))
        self.stream.derived(Derived(block, depends, section.nr, f"header of {section.text}"))

    def _header_ranges(self, section: Section) -> Iterator[ByteRange]:
        """The file bytes that a header's block consists of."""
        row = self.view.row_offset(section.nr)
        for start, end in self._fields:
            yield ByteRange(row + start, row + end)
        if section.name:
            start, end = self.view.name_range(section)
            yield ByteRange(start, end - 1)

    def _relocations(self, section: Section) -> None:
        stream, relocations = self.stream, self.relocations
        size = relocations.size(section)
        stream.spend(size, section)
        block = relocations.block(section, stream.room)
        stream.spend(len(block) - size, section)
        depends = LazyRanges(lambda: relocations.depends(section))
        stream.derived(Derived(block, depends, section.nr, f"relocations of {section.text}"))

    def message(self, coverage: str) -> Message:
        """The finished message."""
        return self.stream.message(coverage, self._everything)

    def _steering(self) -> Iterator[Span]:
        """Types, alloc flags and targets of all sections determine which are in the stream; names
        and offsets of those in the stream determine order and position."""
        yield from self._choice()
        for section in self.emitted:
            if section.row.size and section.row.type != SHT_NOBITS:
                yield self.view.field(section.nr, "offset")
        yield from self.relocations.steering()

    def _choice(self) -> Iterator[Span]:
        """What determines which sections are in the stream, and in which order."""
        view, named = self.view, {section.nr for section in self.emitted}
        yield view.column(*_alloc_byte(view.layout), first=1)
        yield view.column(*view.fields["type"], first=1, last=view.left_out)
        if view.left_out is not None:
            yield view.column(*view.fields["type"], first=view.left_out + 1)
        for section in view.sections:
            row = section.row
            if row.type in RELOCATION_TYPES:
                yield view.field(section.nr, "info")
            if section.nr in named or row.flags & SHF_ALLOC or row.type in (SHT_SYMTAB, SHT_STRTAB):
                yield view.name_range(section)

    def _everything(self) -> Iterator[Span]:
        """What steers the stream, and what its computed pieces depend on: see LazyRanges."""
        yield from self.view.finding_ranges()
        yield from self._choice()
        offset, fields = self.view.fields["offset"], self._fields
        for section in self.emitted:
            row = self.view.row_offset(section.nr)
            for start, end in fields:
                yield row + start, row + end
            if section.row.size and section.row.type != SHT_NOBITS:
                yield row + offset.start, row + offset.end
        yield from self.relocations.everything()


@lru_cache(maxsize=8)
def _digested(layout: Layout) -> tuple[ByteRange, ...]:
    """The digested fields in every section header, counted from its start, in the order of the stream."""
    return joined(row_fields(layout)[name] for name in DIGESTED_FIELDS)


def _alloc_byte(layout: Layout) -> ByteRange:
    """The byte of sh_flags that holds SHF_ALLOC, counted from the start of a section header."""
    start, end = row_fields(layout)["flags"]
    return ByteRange(start, start + 1) if layout.order == "<" else ByteRange(end - 1, end)


def _left_out(view: SectionView, emitted: Sequence[Section]) -> Iterator[Remark]:
    """Remarks on relocation sections that ``fileorder`` skips."""
    taken = {section.nr for section in emitted}
    loaded: list[Section] = []
    debug: list[Section] = []
    for section in view.sections:
        if _is_relocation(section) and section.nr not in taken:
            target = view.table.rows[section.row.info]
            (loaded if target.flags & SHF_ALLOC else debug).append(section)
    if loaded:
        names = ", ".join(s.text for s in loaded)
        text = f"not covered, since their target does not come before them or has no contents: {names}"
        yield Remark("relocations-not-covered", text, view.row_offset(loaded[0].nr))
    if debug:
        which = debug[0].text if len(debug) == 1 else f"{debug[0].text} and {len(debug) - 1} more"
        text = (
            f"relocations of sections that are not loaded ({which}): kernels tested uninitialised memory for"
            " these, so that their answer depended on what the heap held"
        )
        yield Remark("heap-dependent-kernels", text, view.row_offset(debug[0].nr))


def _unnumbered(writer: _Writer) -> Iterator[Remark]:
    """Relocations against sections that have no number; the extractor wrote 0."""
    sections = sorted(writer.relocations.unnumbered)
    if sections:
        names = ", ".join(writer.view.table.sections[nr].text for nr in sections)
        text = (
            f"relocations name symbols in sections without a canonical number ({names}):"
            " the extractor wrote 0, the kernels whatever was in uninitialised memory"
        )
        yield Remark("heap-dependent-kernels", text, writer.view.row_offset(sections[0]))


def file_order(image: Image, place: Place | None, coverage: str, build_id: bool) -> Message:
    """The message of FileOrder; ``build_id`` as there."""
    view = _checked_view(image, place)
    emitted = list(_in_file_order(view, build_id))
    _, numbers = _numbers(view, filter(_is_allocated, view.sections))
    writer = _Writer(view, Numbering(numbers), emitted)
    stream = writer.write()
    stream.remarks += [*_left_out(view, emitted), *_unnumbered(writer)]
    if place is not None and place.kind == "note":
        stream.remarks += _either(view)
    return writer.message(coverage)


def _either(view: SectionView) -> Iterator[Remark]:
    """Notes are signed with and without the build id; without a build id the two cannot be distinguished."""
    if all(section.name != BUILD_ID for section in view.sections):
        text = "fileorder and fileorder-nobuildid are the same here: there is no build id"
        yield Remark("coverage-ambiguous", text)


def _in_file_order(view: SectionView, build_id: bool) -> Iterator[Section]:
    """Allocated sections with contents, and the relocations whose target precedes them."""
    seen: set[int] = set()
    for section in view.sections:
        if _is_relocation(section):
            if section.row.info in seen:
                yield section
            continue
        wanted = build_id or section.name != BUILD_ID
        if wanted and _is_allocated(section) and section.row.type != SHT_NOBITS:
            seen.add(section.nr)
            yield section


def sorted_by_name(image: Image, place: Place | None, coverage: str, series_2012: bool) -> Message:
    """The message of Sorted; ``series_2012`` as there."""
    view = _checked_view(image, place)
    rows = view.table.rows
    listed = (
        s
        for s in view.sections
        if _is_allocated(s) or (_is_relocation(s) and rows[s.row.info].flags & SHF_ALLOC)
    )
    emitted, numbers = _numbers(view, listed, 0xFFFF if series_2012 else 0)
    numbering = _numbering_2012(view, numbers) if series_2012 else Numbering(numbers)
    writer = _Writer(view, numbering, emitted)
    stream = writer.write()
    stream.remarks += _unnumbered(writer)
    return writer.message(coverage)


def _numbering_2012(view: SectionView, numbers: list[int]) -> Numbering:
    rows = view.table.rows
    refused = frozenset(nr for nr in range(1, len(rows)) if not rows[nr].flags & SHF_ALLOC)
    return Numbering(numbers, zero_outside=True, refused=refused, linked=True)
