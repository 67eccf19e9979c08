"""Expert Witness (EnCase) images, E01: read by dissect.evidence as one part, the disk.

Verified here: the checksums of sections and tables, and of every chunk that is read (compressed ones have
theirs inside). The hash of the whole disk is not compared. An image may go on in further files, E02 and so
on: those that were given are read, and all are needed.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from functools import lru_cache, partial
from struct import Struct
from typing import Any

from dissect.evidence.ewf.ewf import EWF

from elfsig.containers.contract import Context, Member, damaged
from elfsig.containers.images.source import Source, content, mapped
from elfsig.containers.readers import Reader
from elfsig.errors import ContainerError

_HEADER, _SECTION, _TABLE = 13, Struct("<16sQQ40sI"), Struct("<I4sQ4sI")
_SECTIONS_LIMIT, _CHUNK_LIMIT, _DISK_LIMIT = 1 << 16, 16 << 20, 1 << 50
_CACHED = 64


def read(reader: Reader, context: Context) -> Iterator[Member]:
    """The disk in an image. Raises ContainerError."""
    files = _files(Source(context.seekable(reader)), context)
    with mapped(files[0], "the image"):
        image = _Image(files)
        if not 0 < image.chunk_size <= _CHUNK_LIMIT or not 0 < image.size <= _DISK_LIMIT:
            raise damaged("the sizes of an image are impossible", 0)
        there = sum(image.segment(number).chunk_count for number in range(len(files)))
    part = content(files[0], image.size, image.open, "the disk")
    yield Member(b"", "part", part, image.size, expected="the disk of the image")
    if part.failure is not None:
        raise part.origin or part.failure
    if there < image.volume.chunk_count:
        text = f"{there} of {image.volume.chunk_count} chunks are there"
        raise ContainerError(text, code="truncated", offset=files[0].size)


def _files(first: Source, context: Context) -> list[Source]:
    """The files of one image, in order, the checksums of their sections and tables verified."""
    files = [first, *map(Source, context.further)]
    for number, source in enumerate(files, 1):
        if (found := _number(source)) != number:
            raise ContainerError(f"file {found} of an image, not {number}", code="unsupported", offset=9)
        last, tables = _sections(source)
        for at in tables:
            _verify_table(source, at)
        if last != b"next":
            return files[:number]
    text = f"the image goes on in further files, of which number {len(files) + 1} was not given"
    raise ContainerError(text, code="unsupported", offset=files[-1].size)


def _number(source: Source) -> int:
    """The number of a file in its image, from 1: two bytes, little-endian, after the mark and a byte."""
    source.seek(9)
    return int.from_bytes(source.read(2), "little")


class _Image(EWF):  # type: ignore[misc]
    """An image whose chunks are read by :func:`_chunk`, those of every file."""

    def segment(self, idx: int) -> Any:
        """The file number ``idx``, from 0."""
        found = super().segment(idx)
        volume = self.volume or found.volume
        size = volume.sector_count * volume.sector_size if volume else _CHUNK_LIMIT
        for table in found.tables:
            if not hasattr(table, "verified"):  # files are opened again when there are many
                table.verified = True
                most = min(size, _CHUNK_LIMIT)
                table.read_chunk = lru_cache(_CACHED)(partial(_chunk, self.fh[idx], table, most))
        return found


def _sections(source: Source) -> tuple[bytes, list[int]]:
    """(the kind of the last section, where tables start). The library would follow a loop for ever."""
    at, tables = _HEADER, []
    for _ in range(_SECTIONS_LIMIT):
        source.seek(at)
        raw = source.read(_SECTION.size)
        if len(raw) < _SECTION.size:
            raise ContainerError("the image ends between sections", code="truncated", offset=source.size)
        kind, following, size, _, checksum = _SECTION.unpack(raw)
        kind = kind.rstrip(b"\0")
        if zlib.adler32(raw[:-4]) != checksum:
            raise damaged("the checksum of a section does not match", at)
        if kind in (b"table", b"table2"):
            tables.append(at + _SECTION.size)
        if kind in (b"done", b"next"):
            return kind, tables
        if following <= at or size > following - at:
            raise damaged("a section does not lead to a later one", at)
        at = following
    raise damaged(f"more than {_SECTIONS_LIMIT} sections", at)


def _verify_table(source: Source, at: int) -> None:
    source.seek(at)
    raw = source.read(_TABLE.size)
    if len(raw) < _TABLE.size or zlib.adler32(raw[:-4]) != int.from_bytes(raw[-4:], "little"):
        raise damaged("the checksum of a table does not match", at)
    size = 4 * int.from_bytes(raw[:4], "little")
    entries = source.read(size + 4)
    if len(entries) < size + 4 or zlib.adler32(entries[:-4]) != int.from_bytes(entries[-4:], "little"):
        raise damaged("the checksum of the entries of a table does not match", at)


def _chunk(source: Source, table: Any, most: int, number: int) -> bytes:
    """One chunk, its checksum verified. The library drops those of chunks that are not compressed."""
    entry = table.entries[number]
    start = table.base_offset + (entry & 0x7FFFFFFF)
    section = table.section
    if number + 1 < table.num_entries:
        end = table.base_offset + (table.entries[number + 1] & 0x7FFFFFFF)
    else:
        end = section.offset if start < section.offset else section.offset + section.size
    if not 0 < end - start <= 2 * most:
        raise damaged(f"chunk {number} of a table has {end - start} bytes", start)
    source.seek(start)
    data = source.read(end - start)
    if entry >> 31:
        decoder = zlib.decompressobj()
        found = decoder.decompress(data, most + 1)
        if not decoder.eof or len(found) > most:
            raise damaged(f"chunk {number} of a table is damaged", start)
        return found
    if zlib.adler32(data[:-4]) != int.from_bytes(data[-4:], "little"):
        raise damaged(f"the checksum of chunk {number} of a table does not match", start)
    return data[:-4]
