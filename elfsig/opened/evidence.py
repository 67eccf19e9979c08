"""Reading: the input half of elfsig's file I/O (``atomic`` is the output half).

Nothing here ever blocks on, follows or changes what it reads. Names that are not UTF-8 are represented with
surrogate escapes, as by os.fsdecode.
"""

from __future__ import annotations

import os
import stat as modes
from functools import cached_property

from elfsig.compression.whole import Compression, detect, pack, unpack
from elfsig.elf.table import MAGIC
from elfsig.errors import ReadError
from elfsig.lazy_dataclass import dataclass
from elfsig.model.brief import brief
from elfsig.opened.source import FLAGS as FLAGS
from elfsig.opened.source import INSIDE as INSIDE
from elfsig.opened.source import Source as Source
from elfsig.opened.source import impossible, label, not_regular, too_large
from elfsig.opened.source import read_error as read_error
from elfsig.opened.source import read_stream as read_stream
from elfsig.recognition.kinds import Family, hint_for
from elfsig.recognition.late import recognized

LIMIT = 1 << 30
"""Default maximum size of a file in bytes, before and after decompression."""

MODULE_SUFFIXES = (".ko", ".ko.gz", ".ko.xz", ".ko.zst")

HEAD = 1 << 17
"""Bytes from which a file over the limit is recognized: all marks are before it."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """One file as it was read, once.

    ``raw`` are its bytes, ``content`` what they decompress to (the same object where ``compression`` is
    None). ``tail_offset`` is where, in ``raw``, something follows the compressed stream, else None.
    ``stat`` is None for bytes and streams. ``location`` is where the file is, if that is not ``path``.
    """

    path: str
    raw: bytes
    content: bytes
    compression: Compression | None = None
    tail_offset: int | None = None
    stat: os.stat_result | None = None
    location: str | None = None

    def __repr__(self) -> str:
        return brief(self)

    @property
    def size(self) -> int:
        """Length of the file in bytes, as stored."""
        return len(self.raw)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file as stored, in hex."""
        from hashlib import sha256

        return sha256(self.raw).hexdigest()

    @property
    def holds_module(self) -> bool:
        """False for a compressed file that is signed as it is: an initramfs, a kernel's ``Image.gz``."""
        return self.compression is None or self.content[:4] == MAGIC or self.path.endswith(MODULE_SUFFIXES)

    def packed(self, content: bytes) -> bytes:
        """``content`` in this file's compression, with settings that kernels can read."""
        return content if self.compression is None else pack(content, self.compression, self.raw)


def read(source: Source, *, limit: int = LIMIT) -> Evidence:
    """Read the whole of a file, a bytes-like object or a binary stream, decompressed according to its magic.

    A path may lead into containers (:mod:`elfsig.containers.nested`); it then raises ContainerError as well.
    Raises ReadError, with a code: not-found, permission-denied, is-a-directory, not-a-regular-file,
    symlink-loop, too-large, changed-while-reading, decompression-limit, decompression-damaged (with the
    offset in the file), io-error. UsageError for a source of another type.
    """
    path = label(source)
    try:
        raw, status = _raw(source, limit)
    except ReadError as fault:
        fault.path = path
        raise
    return evidence_of(raw, path, limit, status)


def evidence_of(raw: bytes, path: str, limit: int = LIMIT, status: os.stat_result | None = None) -> Evidence:
    """The evidence of a file ``path`` whose bytes were read, decompressed according to their magic.

    Raises ReadError: decompression-limit, decompression-damaged.
    """
    kind = detect(raw)
    if kind is None:
        return Evidence(path, raw, raw, stat=status)
    try:
        content, end = unpack(raw, kind, limit)
    except ReadError as fault:
        fault.path = path
        raise
    return Evidence(path, raw, content, kind, end if end < len(raw) else None, status)


def _raw(source: Source, limit: int) -> tuple[bytes, os.stat_result | None]:
    if isinstance(source, (str, os.PathLike)):
        return read_path(os.fsdecode(source), limit)
    raw = bytes(source) if isinstance(source, (bytes, bytearray, memoryview)) else read_stream(source, limit)
    if len(raw) > limit:
        raise too_large(len(raw), limit)
    return raw, None


def read_inside(path: str, limit: int) -> bytes:
    """The bytes of a file inside a container, where ``path`` has INSIDE in it and is not a path on disk.

    Raises ReadError, with ContainerError among them; see :func:`elfsig.opened.inside.read_inside`.
    """
    from elfsig.opened import inside

    return inside.read_inside(path, limit)


def _large_container(fd: int, size: int) -> ReadError | None:
    """The error for a large file whose beginning shows that it is a disk image, an archive or the like."""
    kind = recognized(os.pread(fd, HEAD, 0))
    if kind is None or kind.family is not Family.CONTAINER:
        return None
    text = f"not a module: {kind.name} of {size} bytes"
    return ReadError(text, code="not-a-module", hint=hint_for("module", kind))


def read_path(path: str, limit: int) -> tuple[bytes, os.stat_result | None]:
    """The bytes of a regular file as they are, and its status; None for that of one inside a container.

    Raises ReadError, as :func:`read`.
    """
    if (why := impossible(path)) is not None:
        raise ReadError(why, code="not-found")
    try:
        fd = os.open(path, FLAGS)
    except OSError as reason:
        if INSIDE in path:
            return read_inside(path, limit), None
        raise read_error(reason) from None
    try:
        return _read_descriptor(fd, limit)
    except OSError as reason:
        raise read_error(reason, fd) from None
    finally:
        os.close(fd)


def _read_descriptor(fd: int, limit: int) -> tuple[bytes, os.stat_result]:
    before = os.fstat(fd)
    if not modes.S_ISREG(before.st_mode):
        raise not_regular(before.st_mode)
    size = before.st_size
    if size > limit:
        raise _large_container(fd, size) or too_large(size, limit)
    data = os.read(fd, size + 1)
    if len(data) != size or not size:
        data = _read_rest(fd, data, limit)
    after = os.fstat(fd)
    # Files of /proc and /sys report arbitrary sizes; they have no blocks.
    moved = len(data) != after.st_size and (after.st_blocks or after.st_size > 4096)
    if moved or (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise ReadError("the file changed while it was read", code="changed-while-reading")
    return data, after


def _read_rest(fd: int, data: bytes, limit: int) -> bytes:
    """All that follows: the kernel returns at most 2 GiB at once, and pseudo files do not report their
    size."""
    parts, total = [data], len(data)
    while total <= limit and (part := os.read(fd, 1 << 20)):
        parts.append(part)
        total += len(part)
    if total > limit:
        raise too_large(total, limit)
    return b"".join(parts)
