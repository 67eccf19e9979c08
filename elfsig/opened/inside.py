"""Containers on disk: opened as a whole, or one member by a nested path such as
``a.deb!/data.tar.xz!/lib/modules/x.ko``."""

from __future__ import annotations

import os
import stat as modes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from elfsig.containers.contract import Context
from elfsig.containers.nested import Name, Resolved, Step, candidates, names_of, resolve
from elfsig.containers.readers import PIECE, Reader, bytes_reader, descriptor_reader
from elfsig.errors import ReadError
from elfsig.opened.source import (
    FLAGS,
    INSIDE,
    Source,
    impossible,
    label,
    not_regular,
    read_error,
    read_piece,
    too_large,
)


class Outermost(NamedTuple):
    """Something to look into: a reader of its content, and the chain of what leads to it."""

    reader: Reader
    chain: tuple[Step, ...]


@contextmanager
def outermost(
    source: Source, context: Context | None = None, *, hashing: bool = False
) -> Iterator[Outermost]:
    """Open a path, a nested path, bytes or a binary stream, to be read as far as needed.

    ``hashing``: the reader's SHA-256 is known once everything was read; it then reads everything it passes
    over. Raises ReadError, ContainerError, UsageError.
    """
    path = label(source)
    if (why := impossible(path)) is not None and isinstance(source, (str, os.PathLike)):
        raise ReadError(why, code="not-found")
    first = Step("file", os.fsencode(path))
    if isinstance(source, (bytes, bytearray, memoryview)):
        yield Outermost(bytes_reader(bytes(source)), (first._replace(size=len(source)),))
    elif not isinstance(source, (str, os.PathLike)):
        yield Outermost(Reader(lambda: read_piece(source, PIECE), hashing=hashing), (first,))
    else:
        with _opened(path) as (descriptor, size, names, disk):
            first = Step("file", os.fsencode(disk), None, size)
            if not names:
                yield Outermost(descriptor_reader(descriptor, size, hashing=hashing), (first,))
                return
            found = _resolve(descriptor, size, names, context)
            assert found.member.reader is not None, "resolve() returns members with content"
            yield Outermost(found.member.reader, (first, *found.chain))


@contextmanager
def _opened(path: str) -> Iterator[tuple[int, int, tuple[Name, ...], str]]:
    """(descriptor, size, names inside, path on disk) of the file that ``path`` is or leads into."""
    disk = disk_path(path)
    names = () if disk == path else names_of(path[len(disk) + len(INSIDE) :])
    try:
        descriptor = os.open(disk, FLAGS)
    except OSError as reason:
        raise read_error(reason) from None
    try:
        yield descriptor, _size(descriptor), names, disk
    finally:
        os.close(descriptor)


def _size(descriptor: int) -> int:
    """The size of a regular file or a block device, in bytes. Raises ReadError for anything else."""
    about = os.fstat(descriptor)
    if modes.S_ISBLK(about.st_mode):
        return os.lseek(descriptor, 0, os.SEEK_END)
    if not modes.S_ISREG(about.st_mode):
        raise not_regular(about.st_mode)
    return about.st_size


def _resolve(descriptor: int, size: int, names: tuple[Name, ...], context: Context | None) -> Resolved:
    return resolve(lambda: descriptor_reader(descriptor, size), names, context)


def disk_path(path: str) -> str:
    """The file on disk that a path is, or leads into."""
    if INSIDE not in path or os.path.isfile(path):
        return path
    return next(filter(os.path.isfile, candidates(path)), path)


def read_inside(path: str, limit: int) -> bytes:
    """The content of the member that the nested path names, at most ``limit`` bytes.

    Raises ReadError: not-found, is-a-directory, symlink-loop, too-large; and ContainerError where a container
    could not be read as far as the end of the member.
    """
    with outermost(path) as (reader, chain):
        size = chain[-1].size
        if size is not None and size > limit:
            raise too_large(size, limit)
        data = reader.read(limit + 1)
    if len(data) > limit:
        raise too_large(len(data), limit)
    return data
