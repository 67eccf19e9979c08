"""bytemap: the role of every byte of a file in one message.

Each byte gets exactly one kind, the strongest that applies, so that their counts add up to the file's size.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from itertools import pairwise

from elfsig.elf.image import Image
from elfsig.lazy_tuple import NamedTuple
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
    return Map(_runs(len(image.data), layers(image, message, place, outer)))


def layers(
    image: Image, message: Message | None, place: Place | None, outer: Iterable[Place]
) -> list[tuple[Kind, Iterable[ByteRange]]]:
    """What is drawn one over the other, with :func:`draw`'s arguments."""
    found: list[tuple[Kind, Iterable[ByteRange]]] = []
    found.append((Kind.STEERING, [part for each in outer for part in _wrapper(each)]))
    if message is not None:
        found.append((Kind.STEERING, message.steering))
        found += [(Kind.DERIVED, p.depends) for p in message.pieces if isinstance(p, Derived)]
    if place is not None and place.kind != "detached" and place.where == "content":
        found.append((Kind.SIGNATURE, _own(image, place)))
    if message is not None:
        plain = [ByteRange(p.start, p.end) for p in message.pieces if not isinstance(p, Derived)]
        found.append((Kind.VERBATIM, plain))
    return found


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


def percent(some: int, whole: int) -> str:
    """``some`` in percent: "100 %" for all and "-" for none, never for nearly all or nearly none."""
    if not some:
        return "-"
    if some == whole:
        return "100 %"
    return f"{min(max(100 * some / whole, 0.1), 99.9):.1f} %"
