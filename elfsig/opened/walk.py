"""Which files the paths select: files as given, directories walked in sorted order."""

from __future__ import annotations

import os
import stat as modes
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from io import BytesIO
from typing import IO

from elfsig.compression.whole import detect, first_bytes
from elfsig.elf.table import MAGIC
from elfsig.errors import ReadError
from elfsig.lazy_tuple import NamedTuple
from elfsig.opened.evidence import FLAGS, INSIDE, LIMIT, MODULE_SUFFIXES, read_error
from elfsig.opened.inputs import Inputs
from elfsig.opened.links import IGNORED, Links, LinkTarget
from elfsig.opened.module import Module, open_module
from elfsig.opened.source import impossible
from elfsig.registry import Registry, load

Marks = Sequence[bytes] | None
"""Markers of files to select, whatever they are called; None: modules only, by their names."""


class _Named(BytesIO):
    """A bytes stream with a name."""

    name = ""


class WalkedFile(NamedTuple):
    """One file to examine, or why it cannot be.

    ``root`` is the directory from the command line that led here, None for a file named there itself.
    ``data`` are the bytes to examine where they are not in a file of this name, such as standard input.
    ``link`` says where ``path`` leads, if it is a symbolic link that a walk followed.
    """

    path: str
    root: str | None = None
    error: ReadError | None = None
    data: bytes | None = None
    link: LinkTarget | None = None

    @property
    def is_plain(self) -> bool:
        """Whether ``path`` is the very file to examine."""
        return self.data is None and self.link is None

    @property
    def source(self) -> str | IO[bytes]:
        """What to open: the path, what it leads to, or a stream of the bytes with the path as its name."""
        if self.data is None:
            return self.path if self.link is None else self.link.path
        stream = _Named(self.data)
        stream.name = self.path
        return stream

    def open(self, registry: Registry | None = None, *, limit: int = LIMIT) -> Module:
        """The file, opened, under the name ``path``. Raises ReadError, with ``error`` if there is one."""
        if self.error is not None:
            raise self.error
        try:
            module = open_module(self.source, registry, limit=limit)
        except ReadError as fault:
            fault.path = self.path
            raise
        return module if self.link is None else module.renamed(self.path)


def walk(
    paths: Iterable[str | os.PathLike[str]],
    all_files: bool = False,
    registry: Registry | None = None,
    links: Links | None = None,
) -> Iterator[WalkedFile]:
    """The files selected by ``paths``, one by one: files as given, directories walked in sorted order.

    In directories, files with the names of modules (``.ko``, ``.ko.gz``, ``.ko.xz``, ``.ko.zst``) are
    selected; with ``all_files`` every file that is ELF (compressed or not) or holds the marker of a trailer
    of ``registry`` (None: the built-in formats). What is missing or unreadable becomes an entry with its
    error, and so does a directory that holds nothing (nothing-found).

    ``links`` says what to do about symbolic links below a directory, and keeps account of them: those that
    lead to a file are followed, each file once, whatever else leads to it; those that lead to a directory
    are not. None: they are ignored.

    What is named twice, or lies in a directory that is named as well, comes once, where it is named itself.
    """
    marks = (registry or load(plugins=False)).trailer_texts if all_files else None
    every = _places([os.fspath(each) for each in paths])
    if links is not None:
        links.expect([path for path in every.values() if impossible(path) is None])
    for place, path in every.items():
        if (why := impossible(path)) is not None:
            yield WalkedFile(path, error=ReadError(why, code="not-found"))
            continue
        try:
            is_directory = modes.S_ISDIR(os.stat(path).st_mode)
        except OSError as reason:
            # What may be in a container is left to the reader, which says what is missing.
            yield WalkedFile(path, error=None if INSIDE in path else read_error(reason))
        else:
            others = every.keys() - {place}
            yield from _walk_tree(path, marks, links, others) if is_directory else (WalkedFile(path),)


def _places(paths: Sequence[str]) -> Mapping[str, str]:
    """Place -> path, in the order of ``paths``. A place is the real path of a directory, or the own name of
    anything else in the real path of its directory."""
    if len(paths) == 1:
        return {paths[0]: paths[0]}
    place = Inputs().place
    every: dict[str, str] = {}
    for path in paths:
        where = path
        if impossible(path) is None:
            where = os.path.realpath(path) if os.path.isdir(path) else place(path)
        every.setdefault(where, path)
    return every


def top_folders(paths: Sequence[str]) -> Mapping[str, str]:
    """The folder for the results of each tree among ``paths``: none for a single one, else its own name.

    Trees of the same name get a number: ``modules``, ``modules-2``.
    """
    trees = list(dict.fromkeys(path for path in paths if os.path.isdir(path)))
    if len(trees) < 2:
        return {}
    tops: dict[str, str] = {}
    for tree in trees:
        name = top = os.path.basename(os.path.realpath(tree)) or "root"
        number = 1
        while top in tops.values():
            number += 1
            top = f"{name}-{number}"
        tops[tree] = top
    return tops


def _walk_tree(root: str, marks: Marks, links: Links | None, others: Set[str]) -> Iterator[WalkedFile]:
    """What is selected in ``root``, except what is at the places of ``others``."""
    empty = True
    real = os.path.realpath(root) if others else ""
    pending: list[Iterator[os.DirEntry[str]]] = []
    listing = _listing(root)
    if isinstance(listing, ReadError):
        yield WalkedFile(root, root, listing)
        return
    pending.append(listing)
    while pending:
        item = next(pending[-1], None)
        if item is None:
            pending.pop()
        elif others and os.path.join(real, item.path[len(root) :].lstrip("/")) in others:
            empty = False
        elif item.is_symlink():
            entry = _followed(item, root, marks, links) if links is not None else None
            if entry is not None:
                empty = False
                yield entry
        elif item.is_dir(follow_symlinks=False):
            below = _listing(item.path)
            if isinstance(below, ReadError):
                empty = False
                yield WalkedFile(item.path, root, below)
            else:
                pending.append(below)
        elif _is_wanted(item, marks):
            empty = False
            yield WalkedFile(item.path, root)
    if empty:
        what = (
            "neither an ELF file nor a signature"
            if marks is not None
            else "no module (*.ko, *.ko.gz, .xz, .zst)"
        )
        yield WalkedFile(root, root, ReadError(f"{what} in this directory", code="nothing-found"))


def _listing(path: str) -> Iterator[os.DirEntry[str]] | ReadError:
    try:
        with os.scandir(path) as found:
            return iter(sorted(found, key=lambda item: item.name))
    except OSError as reason:
        return read_error(reason)


def _followed(item: os.DirEntry[str], root: str, marks: Marks, links: Links) -> WalkedFile | None:
    """The entry for a symbolic link; None where it is not followed, or its target is examined anyway."""
    named = item.name.endswith(MODULE_SUFFIXES)
    try:
        found = links.resolve(item.path, root)
    except OSError as reason:
        return WalkedFile(item.path, root, read_error(reason)) if named or marks is not None else None
    if not found.startswith("/"):
        if item.name not in IGNORED and (named or found == "directory" or marks is not None):
            links.ignore(item.path, found)
        return None
    if not (named or (marks is not None and _is_of_interest(found, marks))):
        return None
    if not links.follow:
        links.ignore(item.path, "off")
        return None
    is_found = found.endswith(MODULE_SUFFIXES) or marks is not None
    target = links.taken(item.path, found, is_found)
    return None if target is None else WalkedFile(item.path, root, link=target)


def _is_wanted(item: os.DirEntry[str], marks: Marks) -> bool:
    if item.name.endswith(MODULE_SUFFIXES):
        return True
    return marks is not None and item.is_file(follow_symlinks=False) and _is_of_interest(item.path, marks)


def _is_of_interest(path: str, marks: Sequence[bytes]) -> bool:
    """Whether this is ELF, compressed or not, or contains a marker. True for what cannot be opened: it is
    reported."""
    try:
        with open(path, "rb", buffering=0, opener=lambda p, _: os.open(p, FLAGS)) as stream:
            head = stream.read(_HEAD)
            kind = detect(head)
            start = head if kind is None else first_bytes(head, kind)
            return start.startswith(MAGIC) or _has_mark(stream, marks)
    except OSError:
        return True


def _has_mark(stream: IO[bytes], marks: Sequence[bytes]) -> bool:
    # Not mapped into memory: where the disk is broken, or the file was cut short, that ends the process.
    overlap = max(map(len, marks)) - 1
    stream.seek(0)
    data = b""
    while piece := stream.read(_PIECE):
        data = data[-overlap:] + piece
        if any(mark in data for mark in marks):
            return True
    return False


_HEAD = 160 << 10
"""Enough for the first block of a zstd frame, which decompresses as a whole."""

_PIECE = 1 << 20
