"""Directory trees of file systems as members: every file once, what cannot be read reported, loops ended."""

from __future__ import annotations

import stat as modes
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import NamedTuple, TypeVar

from elfsig.containers.contract import NAME_LIMIT, Member, MemberKind, damaged
from elfsig.containers.images.source import Source, mapped
from elfsig.containers.readers import SeekReader, anew
from elfsig.errors import ContainerError

T = TypeVar("T")

_DEPTH = 256
"""Maximum number of directories in each other."""


_KINDS: dict[int, MemberKind | None] = {
    modes.S_IFREG: "file", modes.S_IFDIR: "directory", modes.S_IFLNK: "link",
    modes.S_IFBLK: None, modes.S_IFCHR: None, modes.S_IFIFO: None, modes.S_IFSOCK: None,
}  # fmt: skip


def kind_of(mode: int, what: str, at: int) -> MemberKind | None:
    """The kind of an inode with this mode, None for devices, FIFOs and sockets. Raises ContainerError for a
    type that does not exist: a file with it would be passed over."""
    try:
        return _KINDS[modes.S_IFMT(mode)]
    except KeyError:
        raise damaged(f"{what} has the mode {mode:#o}", at) from None


class Node(NamedTuple):
    """An entry of a directory. ``inode`` identifies it, ``children`` lists a directory."""

    name: bytes
    kind: MemberKind | None
    inode: Hashable
    children: Callable[[], Iterator[Node]] | None = None
    reader: Callable[[], SeekReader] | None = None
    target: Callable[[], bytes] | None = None
    notes: Callable[[], Mapping[str, object]] | None = None


def nodes(entries: Iterable[T | ContainerError], make: Callable[[T], Node]) -> Iterator[Node]:
    """A node for each entry of a directory. The first error among them, or of ``make``, is raised at the
    end; what ``entries`` itself raises at once."""
    fault: ContainerError | None = None
    for entry in entries:
        try:
            if isinstance(entry, ContainerError):
                raise entry
            yield make(entry)
        except ContainerError as reason:
            fault = fault or anew(reason)
    if fault is not None:
        raise fault


def listed(entries: Iterator[T], source: Source, what: str) -> Iterator[T]:
    """What a library lists; whatever it raises is a ContainerError about ``what``."""
    while True:
        with mapped(source, what):
            entry = next(entries, None)
        if entry is None:
            return
        yield entry


def members(root: Node, source: Source) -> Iterator[Member]:
    """Everything below ``root``, depth first. After that the first error of all is raised, if there was one.

    Entries of another kind (devices, sockets) have ``kind`` None and are left out.
    """
    walk = _Walk(source, [])
    yield from walk.below(root, b"", (root.inode,))
    if walk.faults:
        raise walk.faults[0]


class _Walk(NamedTuple):
    """A walk over a tree in ``source``, and the errors so far."""

    source: Source
    faults: list[ContainerError]

    def attempt(self, act: Callable[[], T] | None, what: str, otherwise: T) -> T:
        """What ``act`` gives; ``otherwise`` if it fails, which is noted, or is None."""
        if act is None:
            return otherwise
        try:
            with mapped(self.source, what):
                return act()
        except ContainerError as reason:
            self.faults.append(anew(reason))
            return otherwise

    def below(self, directory: Node, path: bytes, above: tuple[Hashable, ...]) -> Iterator[Member]:
        """The members in a directory. ``above`` are the directories that it is in, and itself."""
        listing = directory.children() if directory.children is not None else iter(())
        what = f"the directory {path or b'/'!r}"
        while (node := self.attempt(lambda: next(listing, None), what, None)) is not None:
            name = path + b"/" + node.name
            if len(name) > NAME_LIMIT or not node.name or node.name in (b".", b".."):
                self.faults.append(damaged(f"{what} has an entry without a usable name", self.source.at))
            elif node.kind == "directory":
                yield Member(name, "directory")
                if node.inode in above or len(above) > _DEPTH:
                    why = "is inside itself" if node.inode in above else "is in too many others"
                    self.faults.append(damaged(f"the directory {name!r} {why}", self.source.at))
                else:
                    yield from self.below(node, name, (*above, node.inode))
            elif node.kind is not None:
                yield from self.file(node, name, node.kind)

    def file(self, node: Node, name: bytes, kind: MemberKind) -> Iterator[Member]:
        """One file or link, if it can be opened."""
        failed = len(self.faults)
        target = self.attempt(node.target, f"the link {name!r}", None)
        reader = self.attempt(node.reader, f"the file {name!r}", None)
        if len(self.faults) > failed:
            return
        none: Mapping[str, object] = {}
        notes = self.attempt(node.notes, f"the attributes of {name!r}", none)
        size = reader.size if reader is not None else None
        yield Member(name, kind, reader, size, target=target, notes=notes)
        if reader is not None and reader.failure is not None:
            self.faults.append(reader.origin or reader.failure)
