"""What a container format declares, and what it yields: what third parties import.

A container is a function from a reader to members, applied again to whatever comes out. ``open`` gets bytes
of hostile origin. It yields what it finds, in order, and then raises ContainerError if it could not read to
the end: a damaged header, a missing end mark, data after the end. It never returns early in silence.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Literal, NamedTuple, TypeAlias

from elfsig.containers.given import Given
from elfsig.containers.readers import PIECE, Reader, SeekReader, bytes_reader, reader_of
from elfsig.containers.scratch import Scratch, process_scratch
from elfsig.errors import ContainerError
from elfsig.lazy_dataclass import dataclass

__all__ = [
    "Budget",
    "Container",
    "ContainerError",
    "Context",
    "Member",
    "MemberKind",
    "Reader",
    "SeekReader",
    "bytes_reader",
    "damaged",
    "reader_of",
    "trailing",
]

MemberKind: TypeAlias = Literal["file", "link", "directory", "special", "part"]
"""``special``: a device, FIFO or socket. ``part``: a piece of the container that is not a file in it, such as
a partition, a segment of an initramfs, or the content of a compressed stream."""

PARTITION, VOLUME, ARRAY = "a partition", "a logical volume", "the array"
"""What the members of partition tables, volume groups and arrays are expected to be: they may be larger than
what is on them."""

NAME_LIMIT = 1 << 16
"""Maximum length of a name or link target, in bytes."""


class Member(NamedTuple):
    """One thing in a container.

    ``name`` is what the container calls it, byte for byte; it is never used as a path on disk. A ``part``
    without a name adds nothing to the path: the content of a compressed stream. ``reader`` holds the content,
    and is None for links, directories and special files; it is valid until the next member is asked for.
    ``size`` in bytes and ``offset`` of the content in the container are None where they are not known.
    ``target`` is where a link leads to, as stored. ``expected`` says what it must be where it can only be a
    container, such as "a partition": if none is recognised in it, that is reported. ``notes`` are further
    facts by name: ``security.ima``,
    ``deleted``, ``whiteout``, ``hard-link`` (the target is the name in full of a member before it, in a
    container that is read as a stream) and others; values are bytes, text, numbers or True.
    """

    name: bytes
    kind: MemberKind = "file"
    reader: Reader | None = None
    size: int | None = None
    offset: int | None = None
    target: bytes | None = None
    notes: Mapping[str, object] = MappingProxyType({})
    expected: str | None = None


class Budget:
    """What reading one outermost file may cost, all layers together.

    ``output``: bytes that decompressors and other sources of more than was put in may give. ``members`` of
    all containers, ``depth`` of containers in each other, ``seconds`` of time. None: no limit.
    Each is named in the error when it is reached, and everything that is read afterwards fails too.
    """

    def __init__(
        self,
        output: int | None = 64 << 30,
        members: int | None = 4_000_000,
        depth: int | None = 16,
        seconds: float | None = None,
    ) -> None:
        self.output: int | None = output
        self.members: int | None = members
        self.depth: int | None = depth
        self.seconds: float | None = seconds
        self.spent: int = 0
        self.counted: int = 0
        self.scanned: int = 0
        self._end = None if seconds is None else time.monotonic() + seconds

    def spend(self, size: int) -> None:
        """Count ``size`` bytes of output. Raises ContainerError: over-budget."""
        self.spent += size
        if self.output is not None and self.spent > self.output:
            raise self._over(f"more than {self.output} bytes of content", hint="max-size")
        self.check_time()

    def scan(self, size: int) -> None:
        """Count ``size`` bytes that were only looked through, up to the limit of output. Nothing else fails
        when it is reached. Raises ContainerError: over-budget."""
        self.scanned += size
        if self.output is not None and self.scanned > self.output:
            raise self._over(f"more than {self.output} bytes looked through for a start", hint="max-size")
        self.check_time()

    def count_member(self) -> None:
        """Count one member. Raises ContainerError: over-budget."""
        self.counted += 1
        if self.members is not None and self.counted > self.members:
            raise self._over(f"more than {self.members} members", hint="max-members")
        self.check_time()

    def check_depth(self, depth: int) -> None:
        """Raises ContainerError, over-budget, for a container inside ``depth`` others that is too deep."""
        if self.depth is not None and depth >= self.depth:
            raise self._over(f"more than {self.depth} containers in each other", hint="max-depth")

    def check_time(self) -> None:
        """Raises ContainerError, over-budget, when the time is up."""
        if self._end is not None and time.monotonic() > self._end:
            raise self._over(f"took more than {self.seconds:g} seconds", hint="max-seconds")

    @staticmethod
    def _over(text: str, *, hint: str) -> ContainerError:
        return ContainerError(f"not read to the end: {text}", code="over-budget", hint=hint)


class Context:
    """What containers share while one outermost file is read: its budget, and room for copies.

    ``further`` are the files that were given with it, in which it goes on (E02 and so on), in order;
    ``given`` are all files among which those that it names are looked for.
    """

    def __init__(
        self,
        budget: Budget | None = None,
        scratch: Scratch | None = None,
        further: Sequence[SeekReader] = (),
        given: Given | None = None,
    ) -> None:
        self.budget: Budget = budget or Budget()
        self.further: tuple[SeekReader, ...] = tuple(further)
        self.given: Given | None = given
        self._scratch = scratch

    @property
    def scratch(self) -> Scratch:
        """Room for copies; without one given, that of the process, which in a cage its parent opened."""
        if self._scratch is None:
            self._scratch = process_scratch()
        return self._scratch

    def counted(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """``pieces``, each counted as output. Raises ContainerError: over-budget."""
        for piece in pieces:
            self.budget.spend(len(piece))
            yield piece

    def seekable(self, reader: Reader) -> SeekReader:
        """``reader`` with access at any offset: itself, or a copy of what is left of it in a temporary file
        that has no name. The copy counts as output. It ends where ``reader`` fails: see its ``failure``.
        Raises ContainerError: over-budget."""
        if isinstance(reader, SeekReader):
            return reader
        copy = self.scratch.copy()
        while True:
            piece = b""
            with suppress(ContainerError):  # the reader's own failure, which it keeps
                piece = reader.take(PIECE)
            if not piece:
                return copy.reader()
            copy.write(piece)
            self.budget.spend(len(piece))


@dataclass(frozen=True, slots=True)
class Container:
    """A container format.

    It is recognised by one of ``magics``, bytes at an offset, and then by ``probe``, which gets the first
    bytes of the file (4096 or more, if there are so many). ``needs`` seek: ``open`` gets a SeekReader.
    ``extra`` is the optional dependency of elfsig that it takes to read this format. ``spans``: it may need,
    or contain what needs, other files: it is a disk, or a part of a volume or array. ``place``: it is a table
    of partitions, or lies on a whole device and leaves room for such a table, or for the boot sector of a
    file system, before its mark: where there are several, nobody can tell which is in use, and all are
    opened. A mark is that of a device of which no file is read: it may be old, or ordinary data, and does not
    count beside another. ``within``: it is recognised only in members of which this is ``expected``.
    ``extent``: how many bytes the container takes, by the first bytes of the file: where ``open`` does not
    look at what follows them. ``open`` yields the members of the container that the reader is at the start
    of; it raises ContainerError.
    """

    id: str
    magics: tuple[tuple[int, bytes], ...]
    open: Callable[[Reader, Context], Iterator[Member]]
    needs: Literal["stream", "seek"] = "stream"
    extra: str | None = None
    probe: Callable[[bytes], bool] | None = None
    spans: bool = False
    place: Literal["table", "device", "mark"] | None = None
    within: str | None = None
    extent: Callable[[bytes], int] | None = None

    def members(
        self, reader: Reader, context: Context, after: Callable[[Reader], None] | None = None
    ) -> Iterator[Member]:
        """What ``open`` yields, with a reader of the kind that it needs, with which ``after`` is called at
        the end. Raises ContainerError."""
        if self.needs == "stream" or isinstance(reader, SeekReader):
            yield from self._opened(reader, context, after)
            return
        try:
            yield from self._opened(context.seekable(reader), context, after)
        finally:
            if reader.failure is not None:
                raise reader.failure

    def _opened(
        self, reader: Reader, context: Context, after: Callable[[Reader], None] | None
    ) -> Iterator[Member]:
        yield from self.open(reader, context)
        if after is not None:
            after(reader)


def damaged(text: str, offset: int) -> ContainerError:
    """Bytes at ``offset`` that are not what the format says."""
    return ContainerError(text, code="damaged", offset=offset)


def trailing(reader: Reader, what: str) -> None:
    """Raises ContainerError, trailing-data, if more than zero bytes are left of ``reader`` after ``what``."""
    while piece := reader.take(PIECE):
        rest = piece.lstrip(b"\0")
        if rest:
            at = reader.tell() - len(rest)
            raise ContainerError(f"something follows the end of {what}", code="trailing-data", offset=at)
