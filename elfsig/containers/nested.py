"""From the path of something in a container to its content; see :mod:`elfsig.containers.names`."""

from __future__ import annotations

import os
import posixpath
import re
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from typing import NamedTuple

from elfsig.containers.contract import Container, Context, Member
from elfsig.containers.names import SEPARATOR, Step, display, plain
from elfsig.containers.readers import Reader
from elfsig.containers.registry import Containers, load
from elfsig.errors import ContainerError, ReadError

_ESCAPE = re.compile(rb"\\x([0-9a-fA-F]{2})")
_NUMBER = re.compile(rb"\\#([1-9][0-9]{0,8})\Z")
_PATH_MAX = 4096
"""Maximum length of a path for system calls, in bytes (PATH_MAX, include/uapi/linux/limits.h)."""

_LINKS = 40
"""Maximum number of links to follow, as in Linux (MAXSYMLINKS)."""


class Name(NamedTuple):
    """One layer of a nested path: a member's name, and which of several of this name."""

    name: bytes
    number: int = 1

    @classmethod
    def parse(cls, text: str) -> Name:
        """The name in one part of a path."""
        raw, number = os.fsencode(text), 1
        if found := _NUMBER.search(raw):
            raw, number = raw[: found.start()], int(found[1])
        return cls(plain(_ESCAPE.sub(lambda each: bytes([int(each[1], 16)]), raw)), number)


def candidates(path: str) -> Iterator[str]:
    """The paths on disk that a nested path may begin with, the shortest first: none that Linux would not take
    for its length. After a separator, names in containers follow: see :func:`names_of`."""
    at = path.find(SEPARATOR)
    while 0 <= at < _PATH_MAX:
        yield path[:at]
        at = path.find(SEPARATOR, at + len(SEPARATOR))


def names_of(text: str) -> tuple[Name, ...]:
    """The names in containers in the part of a nested path that they are in."""
    return tuple(map(Name.parse, text.split(SEPARATOR)))


class Resolved(NamedTuple):
    """The member that a nested path names, and the chain to it below the outermost file.

    ``member.reader`` is valid as long as this object exists.
    """

    member: Member
    chain: tuple[Step, ...]
    opened: tuple[Generator[Member] | Iterator[Member], ...]


class _Link(Exception):
    """The path leads over a link: the names to look for instead."""

    def __init__(self, names: tuple[Name, ...]) -> None:
        self.names = names


def resolve(
    start: Callable[[], Reader],
    names: tuple[Name, ...],
    context: Context | None = None,
    containers: Containers | None = None,
) -> Resolved:
    """The member ``names`` in the file that ``start`` gives a new reader of. Links are followed inside their
    container.

    Raises ReadError (not-found, symlink-loop), and ContainerError where a container could not be read far
    enough to know whether the member is in it.
    """
    seeker = _Seeker(context or Context(), containers or load())
    for _ in range(_LINKS):
        try:
            return seeker.find(start(), names, (), ())
        except _Link as link:
            names = link.names
    raise ReadError("links form a loop, or there are too many of them", code="symlink-loop")


class _Seeker(NamedTuple):
    context: Context
    containers: Containers

    def find(
        self, reader: Reader, names: tuple[Name, ...], chain: tuple[Step, ...], before: tuple[Name, ...]
    ) -> Resolved:
        containers = self.containers.every(reader)
        if not containers:
            where = os.fsdecode(before[-1].name) if before else "the file"
            raise ReadError(f"{where} is not a package, archive or image that is known", code="not-found")
        self.context.budget.check_depth(len(chain))
        if len(containers) > 1:
            reader = self.context.seekable(reader)
        missing: ReadError | None = None
        for container in containers:
            try:
                return self._inside(container, reader, names, chain, before)
            except ReadError as reason:
                missing = missing or reason
        assert missing is not None, "there is at least one container"
        raise missing

    def _inside(
        self,
        container: Container,
        reader: Reader,
        names: tuple[Name, ...],
        chain: tuple[Step, ...],
        before: tuple[Name, ...],
    ) -> Resolved:
        wanted, seen = names[0], Counter[bytes]()
        over: dict[bytes, bytes] = {}
        unnamed: ReadError | None = None
        members = self.containers.members(container, reader, self.context)
        for member in members:
            name = plain(member.name)
            seen[name] += 1
            step = Step(container.id, member.name, member.offset, member.size, seen[name])
            if not name and member.reader is not None:
                try:
                    found = self.find(member.reader, names, (*chain, step), before)
                    return found._replace(opened=(*found.opened, members))
                except ReadError as reason:
                    unnamed = reason
            elif name == wanted.name and seen[name] == wanted.number:
                return self._arrived(member, names, (*chain, step), before, members)
            elif member.kind == "link" and wanted.name.startswith(name + b"/"):
                over[name] = member.target or b""
        if (link := _over_link(wanted, over)) is not None:
            raise _Link((*before, link, *names[1:]))
        raise unnamed or ReadError(
            f"no member {os.fsdecode(wanted.name)} in this {container.id} container", code="not-found"
        )

    def _arrived(
        self,
        member: Member,
        names: tuple[Name, ...],
        chain: tuple[Step, ...],
        before: tuple[Name, ...],
        members: Iterator[Member],
    ) -> Resolved:
        if member.kind == "link":
            raise _Link((*before, _target(member), *names[1:]))
        if len(names) == 1:
            if member.reader is None:
                raise ReadError("is a directory", code="is-a-directory")
            return Resolved(member, chain, (members,))
        if member.reader is None:
            raise ReadError(f"{os.fsdecode(names[0].name)} is a directory", code="not-found")
        found = self.find(member.reader, names[1:], chain, (*before, names[0]))
        return found._replace(opened=(*found.opened, members))


def _target(member: Member) -> Name:
    """The member that a link leads to. A hard link names it in full, a symbolic link from its directory."""
    target = member.target or b""
    if not member.notes.get("hard-link"):
        target = posixpath.join(b"/" + posixpath.dirname(plain(member.name)), target)
    return Name(plain(posixpath.normpath(target)))


def _over_link(wanted: Name, links: dict[bytes, bytes]) -> Name | None:
    """``wanted`` with the longest of its directories that is a link replaced by what this leads to."""
    if not links:
        return None
    name = max(links, key=len)
    target = _target(Member(name, "link", target=links[name])).name
    return Name(plain(target + wanted.name[len(name) :]), wanted.number)


__all__ = [
    "ContainerError", "Name", "Resolved", "Step", "candidates", "display", "names_of", "plain", "resolve",
]  # fmt: skip
