"""Which files the paths select: files as given, directories walked in sorted order."""

from __future__ import annotations

import os
import stat as modes
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from typing import IO, NamedTuple

from elfsig.compression.whole import detect, first_bytes
from elfsig.elf.table import MAGIC
from elfsig.errors import ReadError
from elfsig.opened.evidence import FLAGS, INSIDE, MODULE_SUFFIXES, read_error
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
    """

    path: str
    root: str | None = None
    error: ReadError | None = None
    data: bytes | None = None

    @property
    def source(self) -> str | IO[bytes]:
        """What to open: the path, or a stream of the bytes that has the path as its name."""
        if self.data is None:
            return self.path
        stream = _Named(self.data)
        stream.name = self.path
        return stream


def walk(
    paths: Iterable[str | os.PathLike[str]], all_files: bool = False, registry: Registry | None = None
) -> Iterator[WalkedFile]:
    """The files selected by ``paths``, one by one: files as given, directories walked in sorted order.

    In directories, files with the names of modules (``.ko``, ``.ko.gz``, ``.ko.xz``, ``.ko.zst``) are
    selected; with ``all_files`` every file that is ELF (compressed or not) or holds the marker of a trailer
    of ``registry`` (None: the built-in formats). Symbolic links below a directory are not followed: their
    targets within it are found anyway. What is missing or unreadable becomes an entry with its error, and so
    does a directory that holds nothing (nothing-found).
    """
    marks = (registry or load(plugins=False)).trailer_texts if all_files else None
    for given in paths:
        path = os.fspath(given)
        try:
            is_directory = modes.S_ISDIR(os.stat(path).st_mode)
        except ValueError:
            yield WalkedFile(path, error=ReadError("no such file: the name holds a NUL", code="not-found"))
        except OSError as reason:
            # What may be in a container is left to the reader, which says what is missing.
            yield WalkedFile(path, error=None if INSIDE in path else read_error(reason))
        else:
            yield from _walk_tree(path, marks) if is_directory else (WalkedFile(path),)


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


def _walk_tree(root: str, marks: Marks) -> Iterator[WalkedFile]:
    empty = True
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


def _is_wanted(item: os.DirEntry[str], marks: Marks) -> bool:
    if item.is_symlink():
        return False
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
    import mmap

    if not os.fstat(stream.fileno()).st_size:
        return False
    with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return any(data.find(mark) >= 0 for mark in marks)


_HEAD = 160 << 10
"""Enough for the first block of a zstd frame, which decompresses as a whole."""
