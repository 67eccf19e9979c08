"""The extended attribute security.ima on squashfs (fs/squashfs/xattr.c and squashfs_fs.h).

A table has a row for each set of attributes: where in the metadata it begins, and how many there are. Their
names lack the prefix, for which there is a number. A value may be stored once for several sets.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct

from elfsig.containers.contract import damaged
from elfsig.containers.images.source import Source

NONE = 0xFFFFFFFF
"""The number of a file without attributes."""

_TABLE, _POINTER, _ROW = Struct("<QI4x"), Struct("<Q"), Struct("<QI4x")
_ENTRY, _SIZE = Struct("<HH"), Struct("<I")
_METADATA = 8192
"""Bytes of a block of metadata, unpacked."""
_SECURITY, _ELSEWHERE = 2, 0x100
_LIMIT = 1 << 20
"""Bytes of one set of attributes, at most."""
_ENTRIES_LIMIT = 65536 // 7
"""Attributes in a set, at most: of more, Linux cannot list the names (XATTR_LIST_MAX; the shortest one with
its prefix and a zero has seven bytes). Reading them takes time for every file that has the set."""

Block = Callable[[int], tuple[int, bytes]]
"""(offset of the next block of metadata, content) of the one at an offset."""


class _Walk:
    """Reads on from one place in the metadata."""

    def __init__(self, source: Source, block: Block, start: int, skip: int) -> None:
        self._source, self._block, self._next = source, block, start
        self._data, self._taken = b"", 0
        self.take(skip)

    def take(self, size: int) -> bytes:
        """The next bytes. Raises ContainerError."""
        self._taken += size
        if self._taken > _LIMIT:
            raise damaged(f"attributes of {self._taken} bytes", self._source.at)
        while len(self._data) < size:
            self._next, data = self._block(self._next)
            if not data:
                raise damaged("a block of attributes is empty", self._source.at)
            self._data += data
        found, self._data = self._data[:size], self._data[size:]
        return found


def security_ima(source: Source, block: Block, table: int, number: int) -> bytes | None:
    """The value for set ``number`` of the table at offset ``table``. Raises ContainerError."""

    def walk(start: int, reference: int) -> _Walk:
        return _Walk(source, block, start + (reference >> 16), reference & 0xFFFF)

    source.seek(table)
    start, count = _TABLE.unpack(source.read(_TABLE.size))
    if number >= count:
        raise damaged(f"there is no set {number} of attributes, but {count}", table)
    index, skip = divmod(number * _ROW.size, _METADATA)
    source.seek(table + _TABLE.size + index * _POINTER.size)
    (rows,) = _POINTER.unpack(source.read(_POINTER.size))
    reference, entries = _ROW.unpack(_Walk(source, block, rows, skip).take(_ROW.size))
    if entries > _ENTRIES_LIMIT:
        raise damaged(f"a set of {entries} attributes", table)
    there = walk(start, reference)
    for _ in range(entries):
        kind, size = _ENTRY.unpack(there.take(_ENTRY.size))
        name = there.take(size)
        value = there.take(*_SIZE.unpack(there.take(_SIZE.size)))
        if kind & ~_ELSEWHERE == _SECURITY and name == b"ima":
            if not kind & _ELSEWHERE:
                return value
            there = walk(start, *_POINTER.unpack(value))
            return there.take(*_SIZE.unpack(there.take(_SIZE.size)))
    return None
