"""The contents of files on Btrfs: their extents, compressed or not (fs/btrfs/file-item.c and compression.c).

Linux gives zeros where a file has no extent, or one that is only reserved; and behind a compressed extent up
to the end of its block, where the file ended when it was written.
"""

from __future__ import annotations

import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterable
from struct import Struct
from typing import NamedTuple

import zstandard
from lzallright import LZOCompressor

from elfsig.containers.contract import damaged
from elfsig.errors import ContainerError

EXTENT_DATA = 108
"""Key type of an extent of a file; the offset of the key is its place in the file."""

_HEAD, _PLACE = Struct("<8xQBBHB"), Struct("<QQQQ")
_INLINE, _RESERVED = 0, 2
_COMPRESSED_LIMIT = 1 << 17
"""Bytes of a compressed extent, stored and unpacked, at most (fs/btrfs/compression.h)."""


class Store(NamedTuple):
    """Where extents are: ``read`` gives the bytes at an address of the file system, all that are asked for;
    ``at`` is the offset in the image that was read last. ``sector`` is the size of a block of a file."""

    read: Callable[[int, int], bytes]
    at: Callable[[], int]
    sector: int


class _Extent(NamedTuple):
    """``size`` bytes of a file from ``first`` on: those after ``skip`` of what is stored, which has ``ram``
    bytes when it is unpacked. ``start`` is where it is stored; ``data`` is set for one in the tree itself."""

    first: int
    size: int
    compression: int
    ram: int
    start: int = 0
    stored: int = 0
    skip: int = 0
    data: bytes | None = None


class Extents:
    """The extents of ``what``, one file: (offset, item) of each, in order. Raises ContainerError."""

    def __init__(self, items: Iterable[tuple[int, bytes]], store: Store, what: str) -> None:
        self._store, self._what = store, what
        self._extents: list[_Extent] = []
        self._unpacked: tuple[_Extent, bytes] | None = None
        end = 0
        for first, item in items:
            extent = self._extent(first, item)
            if first < end or not extent.size:
                raise self._fault(first, "is empty, or inside another one")
            end = first + extent.size
            self._extents.append(extent)
        self._firsts = [each.first for each in self._extents]

    def _fault(self, first: int, why: str) -> ContainerError:
        return damaged(f"{self._what}: the extent at {first:#x} {why}", self._store.at())

    def _extent(self, first: int, item: bytes) -> _Extent:
        if len(item) < _HEAD.size:
            raise self._fault(first, "is cut off")
        ram, compression, encryption, other, kind = _HEAD.unpack_from(item)
        if encryption or other or compression > len(_UNPACK):
            text = f"{self._what}: the extent at {first:#x} has an unknown encoding"
            raise ContainerError(text, code="unsupported", offset=self._store.at())
        if compression and ram > _COMPRESSED_LIMIT:
            raise self._fault(first, f"is compressed and has {ram} bytes")
        if kind == _INLINE:
            if not compression and len(item) - _HEAD.size < ram:
                raise self._fault(first, "is cut off")
            return _Extent(first, ram, compression, ram, data=item[_HEAD.size :])
        if len(item) < _HEAD.size + _PLACE.size:
            raise self._fault(first, "is cut off")
        start, stored, skip, size = _PLACE.unpack_from(item, _HEAD.size)
        if kind == _RESERVED:
            return _Extent(first, size, 0, size)
        if compression and (stored > _COMPRESSED_LIMIT or skip + size > ram):
            raise self._fault(first, f"is compressed to {stored} bytes, {ram} unpacked")
        return _Extent(first, size, compression, ram, start, stored, skip)

    def read(self, at: int, wanted: int) -> bytes:
        """``wanted`` bytes from ``at`` on. Raises ContainerError."""
        out, end = bytearray(), at + wanted
        index = max(0, bisect_right(self._firsts, at) - 1)
        for extent in self._extents[index : bisect_right(self._firsts, end)]:
            first, last = max(at, extent.first), min(end, extent.first + extent.size)
            if first < last:
                out += bytes(first - at - len(out))
                out += self._part(extent, first - extent.first, last - first)
        return bytes(out.ljust(wanted, b"\0"))

    def _part(self, extent: _Extent, at: int, wanted: int) -> bytes:
        if extent.data is None and not extent.start:
            return bytes(wanted)
        at += extent.skip
        if extent.data is None and not extent.compression:
            return self._store.read(extent.start + at, wanted)
        if self._unpacked is None or self._unpacked[0] is not extent:
            self._unpacked = (extent, self._unpack(extent))
        return self._unpacked[1][at : at + wanted]

    def _unpack(self, extent: _Extent) -> bytes:
        """The ``ram`` bytes of an extent."""
        data = self._store.read(extent.start, extent.stored) if extent.data is None else extent.data
        if extent.compression:
            data = _UNPACK[extent.compression - 1](data, extent.ram, self._store.sector)
        if extent.ram - len(data) >= self._store.sector:
            raise self._fault(extent.first, f"gives {len(data)} of {extent.ram} bytes")
        return data.ljust(extent.ram, b"\0")


def _zlib(data: bytes, most: int, sector: int) -> bytes:
    return zlib.decompressobj().decompress(data, most)


def _zstd(data: bytes, most: int, sector: int) -> bytes:
    reader = zstandard.ZstdDecompressor(max_window_size=_COMPRESSED_LIMIT).stream_reader(data)
    return bytes(reader.read(most))


def _lzo(data: bytes, most: int, sector: int) -> bytes:
    """Segments of one block each, after the size of all (fs/btrfs/lzo.c). The size of a segment does not
    cross the end of a block."""
    out, at, end = bytearray(), 4, min(len(data), int.from_bytes(data[:4], "little"))
    while at + 4 < end and len(out) < most:
        size = int.from_bytes(data[at : at + 4], "little")
        out += LZOCompressor.decompress(data[at + 4 : at + 4 + size], output_size_hint=sector)
        at += 4 + size
        left = -at % sector
        at += left if left < 4 else 0
    return bytes(out[:most])


_UNPACK = (_zlib, _lzo, _zstd)
"""By the number of the method, less one: each gives at most ``most`` bytes, from blocks of ``sector``."""
