"""Paths to bytes: the reading half of elfsig's file I/O (``atomic`` is the writing half).

Nothing here ever blocks on, follows or changes what it reads. Names that are no UTF-8 travel as
surrogate escapes, as os.fsdecode makes them.
"""

from __future__ import annotations

import errno
import os
import stat as modes
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import IO, NamedTuple

from elfsig.carriers.magic_trailer import MAGIC as MAGIC_TEXT
from elfsig.carriers.trailer import MARKER
from elfsig.compression import LIMIT_OPTION, Compression, detect, first_bytes, pack, unpack
from elfsig.elf.table import MAGIC
from elfsig.errors import ReadError

LIMIT = 1 << 30
"""Bytes that a file may have, and that it may decompress to, unless the caller says otherwise."""

MODULE_SUFFIXES = (".ko", ".ko.gz", ".ko.xz", ".ko.zst")

Source = str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes]

_CODES = {
    errno.ENOENT: ("not-found", "no such file"),
    errno.ENOTDIR: ("not-found", "no such file: a part of the path is no directory"),
    errno.EACCES: ("permission-denied", "permission denied"),
    errno.EPERM: ("permission-denied", "permission denied"),
    errno.EISDIR: ("is-a-directory", "is a directory"),
    errno.ELOOP: ("symlink-loop", "symbolic links lead in a circle"),
    errno.ENXIO: ("not-a-regular-file", "is a socket or a device"),
    errno.ESTALE: ("changed-while-reading", "vanished while it was read"),
}
_KINDS = (
    (modes.S_ISDIR, "is-a-directory", "is a directory"),
    (modes.S_ISFIFO, "not-a-regular-file", "is a FIFO, not a regular file"),
    (modes.S_ISSOCK, "not-a-regular-file", "is a socket, not a regular file"),
    (lambda _: True, "not-a-regular-file", "is a device, not a regular file"),
)
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


@dataclass(frozen=True, eq=False)
class Evidence:
    """One file as it was read, once.

    ``raw`` are its bytes, ``content`` what they decompress to (the same object where ``compression`` is
    None). ``tail_offset`` is where, in ``raw``, something lies behind the compressed stream, else None.
    ``stat`` is None for bytes and streams.
    """

    path: str
    raw: bytes
    content: bytes
    compression: Compression | None = None
    tail_offset: int | None = None
    stat: os.stat_result | None = None

    @property
    def size(self) -> int:
        """Length of the file in bytes, as it lies there."""
        return len(self.raw)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file as it lies there, in hex."""
        from hashlib import sha256

        return sha256(self.raw).hexdigest()

    @property
    def holds_module(self) -> bool:
        """False for a compressed file that is signed as it stands: an initramfs, a kernel's ``Image.gz``."""
        return self.compression is None or self.content[:4] == MAGIC or self.path.endswith(MODULE_SUFFIXES)

    def packed(self, content: bytes) -> bytes:
        """``content`` in this file's compression, with settings that kernels can read."""
        return content if self.compression is None else pack(content, self.compression, self.raw)


def read(source: Source, *, limit: int = LIMIT) -> Evidence:
    """The whole of a file, a bytes-like object or a binary stream, decompressed by what its magic says.

    Raises ReadError, with a code: not-found, permission-denied, is-a-directory, not-a-regular-file,
    symlink-loop, too-large, changed-while-reading, decompression-limit, decompression-damaged (with the
    offset in the file), io-error.
    """
    path = _label(source)
    try:
        raw, status = _raw(source, limit)
        kind = detect(raw)
        if kind is None:
            return Evidence(path, raw, raw, stat=status)
        content, end = unpack(raw, kind, limit)
    except ReadError as fault:
        fault.path = path
        raise
    return Evidence(path, raw, content, kind, end if end < len(raw) else None, status)


def _label(source: Source) -> str:
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return "<bytes>"
    name = getattr(source, "name", None)
    return name if isinstance(name, str) else "<stream>"


def _raw(source: Source, limit: int) -> tuple[bytes, os.stat_result | None]:
    if isinstance(source, (str, os.PathLike)):
        return _read_path(os.fspath(source), limit)
    raw = bytes(source) if isinstance(source, (bytes, bytearray, memoryview)) else source.read(limit + 1)
    if len(raw) > limit:
        raise _too_large(len(raw), limit)
    return raw, None


def read_error(reason: OSError) -> ReadError:
    """An OSError in elfsig's words."""
    fallback = ("io-error", (reason.strerror or str(reason)).lower())
    code, text = _CODES.get(reason.errno or 0, fallback)
    return ReadError(text, code=code)


def _too_large(size: int, limit: int) -> ReadError:
    return ReadError(
        f"{size} bytes or more, over the limit of {limit}; {LIMIT_OPTION} raises it", code="too-large"
    )


def _read_path(path: str, limit: int) -> tuple[bytes, os.stat_result]:
    try:
        fd = os.open(path, _FLAGS)
    except ValueError:
        raise ReadError("no such file: the name holds a NUL", code="not-found") from None
    except OSError as reason:
        raise read_error(reason) from None
    try:
        return _read_descriptor(fd, limit)
    except OSError as reason:
        raise read_error(reason) from None
    finally:
        os.close(fd)


def _read_descriptor(fd: int, limit: int) -> tuple[bytes, os.stat_result]:
    before = os.fstat(fd)
    if not modes.S_ISREG(before.st_mode):
        code, text = next((code, text) for test, code, text in _KINDS if test(before.st_mode))
        raise ReadError(text, code=code)
    size = before.st_size
    if size > limit:
        raise _too_large(size, limit)
    data = os.read(fd, size + 1)
    if len(data) != size or not size:
        data = _read_rest(fd, data, limit)
    after = os.fstat(fd)
    # Files of /proc and /sys say any size; they have no blocks.
    moved = len(data) != after.st_size and (after.st_blocks or after.st_size > 4096)
    if moved or (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise ReadError("the file changed while it was read", code="changed-while-reading")
    return data, after


def _read_rest(fd: int, data: bytes, limit: int) -> bytes:
    """All that follows: the kernel hands out at most 2 GiB at once, and pseudo files tell no size."""
    parts, total = [data], len(data)
    while total <= limit and (part := os.read(fd, 1 << 20)):
        parts.append(part)
        total += len(part)
    if total > limit:
        raise _too_large(total, limit)
    return b"".join(parts)


# --------------------------------------------------------------------------- walking


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
        with open(path, "rb", buffering=0, opener=lambda p, _: os.open(p, _FLAGS)) as stream:
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
