"""Which files are meant by paths: files as given, directories walked in sorted order."""

from __future__ import annotations

import os
import stat as modes
from collections.abc import Iterable, Iterator
from typing import IO, NamedTuple

from elfsig.carriers.magic_trailer import MAGIC as MAGIC_TEXT
from elfsig.carriers.trailer import MARKER
from elfsig.elf.table import MAGIC
from elfsig.errors import ReadError
from elfsig.opened.compression import detect, first_bytes
from elfsig.opened.evidence import FLAGS, MODULE_SUFFIXES, read_error


class Entry(NamedTuple):
    """One file to look at, or why there is none.

    ``root`` is the directory from the command line that led here, None for a file named there itself.
    """

    path: str
    root: str | None = None
    error: ReadError | None = None


def walk(paths: Iterable[str | os.PathLike[str]], all_files: bool = False) -> Iterator[Entry]:
    """The files meant by ``paths``, one by one: files as given, directories walked in sorted order.

    In directories, the names that modules have (``.ko``, ``.ko.gz``, ``.ko.xz``, ``.ko.zst``) are taken;
    with ``all_files`` every file that is ELF (compressed or not) or carries a marker. Symbolic links
    below a directory are not followed: what they lead to within it is found anyway. What is missing or
    unreadable becomes an entry with its error, and so does a directory that holds nothing (nothing-found).
    """
    for given in paths:
        path = os.fspath(given)
        try:
            is_directory = modes.S_ISDIR(os.stat(path).st_mode)
        except ValueError:
            yield Entry(path, error=ReadError("no such file: the name holds a NUL", code="not-found"))
        except OSError as reason:
            yield Entry(path, error=read_error(reason))
        else:
            yield from _walk_tree(path, all_files) if is_directory else (Entry(path),)


def _walk_tree(root: str, all_files: bool) -> Iterator[Entry]:
    empty = True
    pending: list[Iterator[os.DirEntry[str]]] = []
    listing = _listing(root)
    if isinstance(listing, ReadError):
        yield Entry(root, root, listing)
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
                yield Entry(item.path, root, below)
            else:
                pending.append(below)
        elif _is_wanted(item, all_files):
            empty = False
            yield Entry(item.path, root)
    if empty:
        what = "neither an ELF file nor a signature" if all_files else "no module (*.ko, *.ko.gz, .xz, .zst)"
        yield Entry(root, root, ReadError(f"{what} in this directory", code="nothing-found"))


def _listing(path: str) -> Iterator[os.DirEntry[str]] | ReadError:
    try:
        with os.scandir(path) as found:
            return iter(sorted(found, key=lambda item: item.name))
    except OSError as reason:
        return read_error(reason)


def _is_wanted(item: os.DirEntry[str], all_files: bool) -> bool:
    if item.is_symlink():
        return False
    if item.name.endswith(MODULE_SUFFIXES):
        return True
    return all_files and item.is_file(follow_symlinks=False) and _is_of_interest(item.path)


def _is_of_interest(path: str) -> bool:
    """Whether this is ELF, packed or not, or has a marker in it; so is what cannot be opened, to be told."""
    try:
        with open(path, "rb", buffering=0, opener=lambda p, _: os.open(p, FLAGS)) as stream:
            head = stream.read(_HEAD)
            kind = detect(head)
            start = head if kind is None else first_bytes(head, kind)
            return start.startswith(MAGIC) or _has_marker(stream)
    except OSError:
        return True


def _has_marker(stream: IO[bytes]) -> bool:
    import mmap

    if not os.fstat(stream.fileno()).st_size:
        return False
    with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return any(data.find(marker) >= 0 for marker in _MARKERS)


_HEAD = 160 << 10
"""Enough for the first block of a zstd frame, which decompresses as a whole."""

_MARKERS = (MARKER[:-1], MAGIC_TEXT)
