"""VMDK (Virtual Disk Format 5.0, VMware): sparse extents are read by dissect.hypervisor.

A descriptor, a text of its own or at the start of a sparse extent, names the extents of a disk (flat, sparse
or zero), and the parent of which it has the changes. Verified: the grains are in the file, compressed ones
give no more than a grain has, and flat extents are as long as the descriptor says.
"""

from __future__ import annotations

import re
import zlib
from bisect import bisect_right
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple, Protocol

from dissect.hypervisor.disk.vmdk import SparseDisk

from elfsig.containers.contract import damaged
from elfsig.containers.images.descriptor import LIMIT, MARK, extents
from elfsig.containers.images.source import Source, mapped
from elfsig.containers.readers import SeekReader
from elfsig.errors import ContainerError

SECTOR = 512
_COMPRESSED, _WITH_PLACE = 1 << 16, 1 << 17
_EXTENTS_LIMIT = 4096
_AT_END = slice(56, 64)
"""Where the place of the directory is; all bits set, if it is in another header at the end of the file."""
_ENTRIES_LIMIT, _DIRECTORY_LIMIT = 1 << 13, 1 << 22
"""Entries of a grain table and of the directory of such tables, at most: 512, 4096 and some thousands are
common."""
_GRAIN_LIMIT = 16 << 20
"""Bytes of a compressed grain, unpacked, at most: programs write grains of 64 KiB."""
_PARENT = re.compile(rb"^parentCID=([0-9a-fA-F]{1,8})", re.MULTILINE)
_PARENT_NAME = re.compile(rb'^parentFileNameHint="([^"\r\n]{1,4096})"', re.MULTILINE)


class Files(Protocol):
    """Where the files that an image names are found; both raise ContainerError."""

    def file(self, name: bytes, what: str) -> SeekReader:
        """A file by its name."""

    def disk(self, name: bytes, what: str) -> SeekReader:
        """The disk in the image of this name."""


class Vmdk(Source):
    """A disk, as a file object, and the sparse extents that it is made of, each with its file."""

    def __init__(self, reader: SeekReader, sparse: list[tuple[Source, Any]], part: bool = False) -> None:
        super().__init__(reader)
        self.sparse = sparse
        self.is_part: bool = part
        """Whether it is one extent without a descriptor, which others may belong to."""

    def faults(self) -> Iterator[ContainerError]:
        """What is wrong with its extents."""
        for source, disk in self.sparse:
            end = _end(source, disk)
            if end > source.size:
                text = f"the image is cut off: {source.size} of {end} bytes or more"
                yield ContainerError(text, code="truncated", offset=source.size)
        if self.is_part:
            text = "an extent of an image, whose descriptor was not given"
            yield ContainerError(text, code="unsupported", offset=0, hint="give-all-files")


def vmdk(source: Source, files: Files) -> tuple[Vmdk, int, int | None]:
    """The disk, its size, and no limit of what is read at once. Raises ContainerError."""
    source.seek(0)
    header = source.read(SECTOR)
    if header.startswith(MARK[:4]):
        source.seek(0)
        made = _described(source.read(LIMIT), files)
        return made, made.size, None
    text = b""
    if header.startswith(b"KDMV"):
        source.seek(SECTOR * int.from_bytes(header[28:36], "little"))
        text = source.read(min(SECTOR * int.from_bytes(header[36:44], "little"), LIMIT))
    if len(extents(text)) > 1:
        raise ContainerError("an image that names further extents", code="unsupported", offset=0)
    source.seek(0)
    disk = _sparse(source, _parent(text, files), 0)
    made = Vmdk(_reader(source, disk), [(source, disk)], header.startswith(b"KDMV") and not text)
    return made, made.size, None


class _Parent(NamedTuple):
    """What an extent that has only changes takes the rest from: the disk, and its own first sector there."""

    disk: SeekReader
    first: int

    def read_sectors(self, sector: int, count: int) -> bytes:
        """Sectors of the extent; zeros beyond the end of the parent."""
        return self.disk.read_at((self.first + sector) * SECTOR, count * SECTOR).ljust(count * SECTOR, b"\0")


def _parent(text: bytes, files: Files) -> SeekReader | None:
    """The disk that a descriptor names as its parent; None without one. Raises ContainerError."""
    named = _PARENT.search(text)
    if named is None or int(named[1], 16) == 0xFFFFFFFF:
        return None
    hint = _PARENT_NAME.search(text)
    return files.disk(hint[1] if hint is not None else b"", "its parent")


def _check_tables(source: Source) -> None:
    """Raises ContainerError for tables that no program writes: the library reads them whole, and keeps some.

    Fields: sectors of the disk and of a grain, and entries of a table of grains (KDMV); entries of the
    directory (COWD); sectors of the directory and of a table (SESparse).
    """
    source.seek(0)
    head = source.read(SECTOR)
    _check_header(head)
    if head.startswith((b"KDMV", b"COWD")) and head[_AT_END] == b"\xff" * 8:
        source.seek(-2 * SECTOR, 2)
        _check_header(source.read(SECTOR))


def _check_header(head: bytes) -> None:
    if head.startswith(b"KDMV"):
        capacity, grain = (int.from_bytes(head[at : at + 8], "little") for at in (12, 20))
        entries = int.from_bytes(head[44:48], "little")
        directory = capacity // max(1, entries * grain)
    elif head.startswith(b"COWD"):
        entries, directory = 0, int.from_bytes(head[24:28], "little")
    else:
        directory, entries = (int.from_bytes(head[at : at + 8], "little") * (SECTOR // 8) for at in (136, 32))
    if int.from_bytes(head[36:44], "little") * SECTOR > LIMIT and head.startswith(b"KDMV"):
        raise damaged("a descriptor that is too large", 36)
    if entries > _ENTRIES_LIMIT or directory > _DIRECTORY_LIMIT:
        raise damaged(f"a directory of {directory} tables of {entries} grains", 0)


def _sparse(source: Source, parent: SeekReader | None, first: int) -> Any:
    _check_tables(source)
    disk: Any = SparseDisk(source, parent=None if parent is None else _Parent(parent, first))
    disk._read_compressed_grain = partial(_grain, source, disk.header)
    return disk


def _grain(source: Source, header: Any, sector: int) -> bytes:
    """A compressed grain; the library unpacks whatever there is. Raises ContainerError."""
    at, most = sector * SECTOR, int(header.grain_size) * SECTOR
    if most > _GRAIN_LIMIT:
        text = f"compressed grains of {most} bytes"
        raise ContainerError(text, code="unsupported", offset=at)
    source.seek(at + (8 if header.flags & _WITH_PLACE else 0))
    size = int.from_bytes(source.read(4), "little")
    if size > 2 * most:
        raise damaged(f"a grain of {most} bytes is compressed to {size}", at)
    decoder = zlib.decompressobj()
    data = decoder.decompress(source.read(size), most + 1)
    if not decoder.eof or len(data) > most:
        raise damaged("a compressed grain is cut off, or larger than it may be", at)
    return data


def _reader(source: Source, disk: Any) -> SeekReader:
    """A reader of a sparse extent."""

    def fetch(offset: int, wanted: int) -> bytes:
        first, skip = divmod(offset, SECTOR)
        with mapped(source, "the extent"):
            data: bytes = disk.read_sectors(first, -(-(skip + wanted) // SECTOR))
        return data[skip : skip + wanted]

    return SeekReader(fetch, int(disk.sector_count) * SECTOR)


def _described(text: bytes, files: Files) -> Vmdk:
    """The disk of a descriptor. Raises ContainerError."""
    named = extents(text)
    if not named:
        raise damaged("a descriptor without extents", 0)
    if len(named) > _EXTENTS_LIMIT:
        raise damaged(f"a descriptor of {len(named)} extents", 0)
    parent = _parent(text, files)
    parts: list[SeekReader] = []
    sparse: list[tuple[Source, Any]] = []
    first = 0
    for sectors, kind, name, start in named:
        size = sectors * SECTOR
        if kind in (b"SPARSE", b"VMFSSPARSE", b"SESPARSE"):
            source = Source(files.file(name, "the extent"))
            disk = _sparse(source, parent, first // SECTOR)
            part = _reader(source, disk)
            sparse.append((source, disk))
        elif kind in (b"FLAT", b"VMFS"):
            part = files.file(name, "the extent").window(start * SECTOR, size)
        elif kind == b"ZERO":
            part = SeekReader(lambda at, wanted: bytes(wanted), size)
        else:
            text_kind = kind.decode("ascii")
            raise ContainerError(f"an extent of kind {text_kind}", code="unsupported", offset=0)
        if part.size < size:
            text_size = f"an extent has {part.size} bytes, not {size}"
            raise ContainerError(text_size, code="truncated", offset=0)
        parts.append(part.window(0, size))
        first += size
    return Vmdk(_joined(parts), sparse)


def _joined(parts: list[SeekReader]) -> SeekReader:
    """Parts after each other."""
    starts, end = [], 0
    for each in parts:
        starts.append(end)
        end += each.size

    def fetch(offset: int, wanted: int) -> bytes:
        number = bisect_right(starts, offset) - 1
        return parts[number].read_at(offset - starts[number], wanted)

    return SeekReader(fetch, end)


def _end(source: Source, disk: Any) -> int:
    """Where the last grain of a sparse extent ends; 0 without one."""
    if disk.is_sesparse:
        return 0
    last = 1
    for index in range(disk._grain_directory_size):
        last = max(last, *(disk._lookup_grain_table(index) or (0,)))
    if last == 1:
        return 0
    if not disk.header.flags & _COMPRESSED:
        return int(last + disk.header.grain_size) * SECTOR
    source.seek(last * SECTOR)
    return last * SECTOR + 12 + int.from_bytes(source.read(12)[8:], "little")
