"""bytemap: the role of every byte of a file in one message, and the named parts of the file.

Each byte gets exactly one kind, the strongest that applies, so that their counts add up to the file's size.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

from elfsig.elf.image import Image
from elfsig.elf.table import SHT_NULL, ElfTable
from elfsig.errors import ParseError
from elfsig.model import ByteRange, Derived, Message, Place


class Kind(StrEnum):
    """The role of a byte in one signature; stronger kinds first."""

    VERBATIM = "verbatim"
    """Hashed as it is: any change breaks the signature."""
    SIGNATURE = "signature"
    """The signature itself, with its wrapper."""
    DERIVED = "derived"
    """Affects a computed part of the message: a change that is visible there breaks the signature."""
    STEERING = "steering"
    """Not in the message, but decides what is in it: offsets, sizes, types, names, wrappers of outer
    signatures."""
    OPEN = "open"
    """The signature says nothing about it: any change goes unnoticed."""


KINDS = tuple(Kind)


class Run(NamedTuple):
    """Bytes ``start:end`` that are all of one kind."""

    start: int
    end: int
    kind: Kind


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


class Map:
    """The kinds of all bytes of a file: ``runs`` are ascending and adjacent."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self.runs: tuple[Run, ...] = tuple(runs)
        self._starts = [run.start for run in self.runs]

    def __repr__(self) -> str:
        return f"<Map of {self.size} bytes, {len(self.runs)} runs>"

    def __eq__(self, other: object) -> bool:
        return self.runs == other.runs if isinstance(other, Map) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.runs)

    @property
    def size(self) -> int:
        return self.runs[-1].end if self.runs else 0

    def kind(self, at: int) -> Kind:
        """The kind of the byte at ``at``."""
        return self.runs[bisect_right(self._starts, at) - 1].kind

    def within(self, start: int, end: int) -> Iterator[Run]:
        """The runs of ``start:end``, cut to it."""
        if start >= end:
            return
        for index in range(bisect_right(self._starts, start) - 1, len(self.runs)):
            run = self.runs[index]
            if run.start >= end:
                return
            yield Run(max(run.start, start), min(run.end, end), run.kind)

    def counts(self, start: int = 0, end: int | None = None) -> dict[Kind, int]:
        """Bytes by kind; kinds that do not occur are left out."""
        found: dict[Kind, int] = {}
        for run in self.within(start, self.size if end is None else end):
            found[run.kind] = found.get(run.kind, 0) + run.end - run.start
        return {kind: found[kind] for kind in KINDS if kind in found}


def draw(image: Image, message: Message | None, place: Place | None, outer: Iterable[Place]) -> Map:
    """The map of ``image``. ``outer`` are the trailers outside ``place``: what they sign does not matter to
    this message, but their lengths and magic decide where ``place`` is found."""
    layers: list[tuple[Kind, Iterable[ByteRange]]] = []
    layers.append((Kind.STEERING, [part for each in outer for part in _wrapper(each)]))
    if message is not None:
        layers.append((Kind.STEERING, message.steering))
        layers += [(Kind.DERIVED, p.depends) for p in message.pieces if isinstance(p, Derived)]
    if place is not None and place.kind != "detached" and place.where == "content":
        layers.append((Kind.SIGNATURE, _own(image, place)))
    if message is not None:
        plain = [ByteRange(p.start, p.end) for p in message.pieces if not isinstance(p, Derived)]
        layers.append((Kind.VERBATIM, plain))
    return Map(_runs(len(image.data), layers))


def _own(image: Image, place: Place) -> Iterator[ByteRange]:
    """The bytes of a signature, and what its section header says of where they are."""
    yield ByteRange(place.start, place.end)
    if place.index is not None and image.elf is not None:
        for name in ("offset", "size"):
            yield image.elf.row_field(place.index, name)


def _wrapper(place: Place) -> Iterator[ByteRange]:
    """What a carrier put around a signature's own bytes."""
    if place.where == "content" and place.kind == "trailer":
        yield ByteRange(place.start, place.blob_start)
        yield ByteRange(place.blob_start + len(place.blob), place.end)


def _runs(size: int, layers: Sequence[tuple[Kind, Iterable[ByteRange]]]) -> list[Run]:
    """Apply ``layers`` one over the other, then collect the runs of equal kind."""
    paper = bytearray([KINDS.index(Kind.OPEN)]) * size
    edges = {0, size}
    for kind, ranges in layers:
        ink = bytes([KINDS.index(kind)])
        for start, end in ranges:
            paper[start:end] = ink * (end - start)
            edges.update((start, end))
    runs: list[Run] = []
    ordered = sorted(edges)
    for start, end in pairwise(ordered):
        kind = KINDS[paper[start]]
        if runs and runs[-1].kind is kind:
            runs[-1] = Run(runs[-1].start, end, kind)
        else:
            runs.append(Run(start, end, kind))
    return runs


# --------------------------------------------------------------------------- parts


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
