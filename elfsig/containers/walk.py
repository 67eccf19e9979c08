"""Everything in a file, container in container: what is found, and how far each container could be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Literal, NamedTuple, TypeAlias

from elfsig.compression.whole import detect, first_bytes
from elfsig.containers.blank import BLANK, unrecognised
from elfsig.containers.contract import ARRAY, PARTITION, VOLUME, Container, Context, Member
from elfsig.containers.hard_links import HardLinks
from elfsig.containers.names import Step, content_by_name, display, expected_by_name, plain
from elfsig.containers.oci import Layout
from elfsig.containers.readers import Reader, anew
from elfsig.containers.registry import Containers, load
from elfsig.elf.table import MAGIC
from elfsig.errors import ContainerError

Decide: TypeAlias = Callable[[Member], str | None]
"""What a member with a reader is, where that ends the descent: ``module``, ``kernel`` or another word; None
to go on into containers. It may look ahead (``member.reader.peek``) and must not read."""

_LARGER = frozenset({PARTITION, VOLUME, ARRAY})
_LOOK = 1 << 12
_ET_REL = 1
_SUFFIXES = (b".ko", b".ko.gz", b".ko.xz", b".ko.zst")


class Found(NamedTuple):
    """A member that is not a container, and the way to it. ``what`` is the word of ``Decide``, else None.

    ``member.reader`` is valid until the walk goes on. A failure of it belongs to the container, and is
    reported there as well.
    """

    member: Member
    chain: tuple[Step, ...]
    what: str | None

    @property
    def path(self) -> str:
        """The path for people, which is also accepted as a nested path."""
        return display(self.chain)


class ContainerRecord(NamedTuple):
    """One container, after its members. ``members`` are its own, ``modules`` also those of containers in it.

    ``kind`` is the container's id. What must be a container (see :attr:`Member.expected`) and is not
    recognised has a record, too: if it is all zeros, ``kind`` is ``empty`` and it is complete; else ``kind``
    is that of the member.

    ``complete`` is False where it could not be read to its end, with the reason in ``error``. ``sha256`` is
    that of a file in a container which was read as a stream, to its end, in hex; else None.
    """

    chain: tuple[Step, ...]
    kind: str
    members: int
    modules: int
    error: ContainerError | None
    sha256: str | None = None

    @property
    def complete(self) -> bool:
        """Whether the container was read to its end."""
        return self.error is None

    @property
    def path(self) -> str:
        """The path for people."""
        return display(self.chain)


def may_be_module(member: Member) -> str | None:
    """``module`` for what is named like one (``.ko``, ``.ko.gz``, ``.ko.xz``, ``.ko.zst``) or starts like
    one: as a relocatable ELF file, compressed as modules are or not. None for the rest."""
    head = member.reader.peek(_LOOK) if member.reader else b""
    kind = detect(head)
    start = head if kind is None else first_bytes(head, kind)
    order: Literal["big", "little"] = "big" if start[5:6] == b"\2" else "little"
    relocatable = start.startswith(MAGIC) and int.from_bytes(start[16:18], order) == _ET_REL
    return "module" if relocatable or member.name.endswith(_SUFFIXES) else None


def walk(
    reader: Reader,
    chain: tuple[Step, ...],
    context: Context | None = None,
    decide: Decide = may_be_module,
    containers: Containers | None = None,
    expected: str | None = None,
) -> Iterator[Found | ContainerRecord]:
    """What is in the file that ``reader`` is at the start of, depth first, in stored order.

    ``chain`` is what leads to the file: of a file on disk one step, its path. ``expected``: what it must be,
    as that of a member.

    A container's record comes after everything in it. Nothing is raised for damaged input: that is in the
    records. Other exceptions are their containers' errors, too: internal-error, plug-in-error.
    """
    walker = _Walker(context or Context(), decide, containers or load())
    outermost = Member(chain[-1].name, "file", reader, chain[-1].size, expected=expected)
    yield from walker.member(outermost, chain)


def _digest(reader: Reader, error: ContainerError | None) -> str | None:
    """SHA-256 of a container that was read to its end, where it was hashed."""
    if error is not None or not reader.hashing:
        return None
    with suppress(ContainerError):
        reader.finish()
    return reader.sha256


def _expected(member: Member) -> str | None:
    """What a member must be, by its container or by its name; an empty file may have any name."""
    if member.expected is not None or member.kind != "file" or member.reader is None:
        return member.expected
    return expected_by_name(member.name) if member.reader.peek(1) else None


class _Walker(NamedTuple):
    context: Context
    decide: Decide
    containers: Containers

    def member(
        self, member: Member, chain: tuple[Step, ...], links: HardLinks | None = None
    ) -> Iterator[Found | ContainerRecord]:
        """What a member is; ``links`` are the modules before it that hard links may lead to."""
        if links is not None and member.notes.get("hard-link"):
            member = links.followed(member, self.decide)
        what = self.decide(member) if member.reader is not None else None
        opened: tuple[Container, ...] = ()
        if member.reader is not None and what is None:
            opened = self.containers.every(member.reader, member.expected)
        if member.reader is not None and opened:
            yield from self.opened(member._replace(expected=_expected(member)), member.reader, opened, chain)
        elif member.reader is not None and what is None and (expected := _expected(member)) is not None:
            error = unrecognised(member.reader, expected, self.context.budget)
            if member.reader.failure is not None and not plain(member.name):
                yield Found(member, chain, what)  # the container says that its content cannot be read
                return
            kind = BLANK if error is None else member.kind
            yield ContainerRecord(chain, kind, 0, 0, error)
        elif what is not None and member.kind == "file" and links is not None:
            yield Found(links.watched(member), chain, what)
            links.keep(member)
        else:
            yield Found(member, chain, what)

    def opened(
        self, member: Member, reader: Reader, containers: tuple[Container, ...], chain: tuple[Step, ...]
    ) -> Iterator[Found | ContainerRecord]:
        """A member as each of the containers that are in the same place."""
        first = containers[0]
        if member.kind == "file" and first.needs == "stream" and len(chain) > 1:
            reader.start_hash()  # it is read to its end anyway
        if len(containers) > 1:
            try:
                reader = self.context.seekable(reader)
            except ContainerError as reason:
                yield ContainerRecord(chain, first.id, 0, 0, reason)
                return
        shared = member.expected in _LARGER or any(each.place == "table" for each in containers)
        for container in containers:
            expected = member.expected or content_by_name(member.name)
            yield from self.container(container, reader, chain, expected, alone=not shared)

    def container(
        self,
        container: Container,
        reader: Reader,
        chain: tuple[Step, ...],
        expected: str | None,
        *,
        alone: bool,
    ) -> Iterator[Found | ContainerRecord]:
        members = modules = 0
        error = None
        names: Counter[bytes] = Counter()
        layout = Layout(self.context.budget)
        links = HardLinks(self.context) if container.needs == "stream" else None
        try:
            self.context.budget.check_depth(len(chain) - 1)
            for member in self.containers.members(container, reader, self.context, alone=alone):
                members += 1
                names[key := plain(member.name)] += 1
                if not key and member.expected is None:  # the content of a stream is what the stream must be
                    member = member._replace(expected=expected)
                step = Step(container.id, member.name, member.offset, member.size, names[key])
                layout.begin(member)
                if links is not None:
                    links.forget(member)
                recognised = False
                for found in self.member(member, (*chain, step), links):
                    modules += isinstance(found, Found) and found.what == "module"
                    recognised = recognised or not isinstance(found, Found)
                    yield found
                layout.end(member, recognised=recognised)
            error = layout.missing()
        except ContainerError as reason:
            error = anew(reason)
        yield ContainerRecord(chain, container.id, members, modules, error, _digest(reader, error))
