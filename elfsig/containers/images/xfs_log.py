"""Whether the log of an XFS was replayed: it ends with an unmount record (fs/xfs/xfs_log_recover.c).

The log is a ring of blocks of 512 bytes. Records follow each other; a header has a magic in front. The first
word of every other block, and the second of a header, is the number of the round in which it was written, so
that the head is where the numbers change.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct

BLOCK = 512
_MAGIC = b"\xfe\xed\xba\xbe"
_HEADER = Struct(">8xII24xI")
"""Of a record, from its start: version, bytes of data, and number of operations."""
_ROUND_SIZE, _RECORD_SIZE = 32 << 10, 320
"""Bytes of data that a block of a header has room for, and where the header says how many it is made for."""
_VERSION_2, _UNMOUNT = 2, 0x20
_FLAGS = 9
"""Where the flags are in an operation, which the data of an unmount record begins with."""
_WINDOW = 4096
"""Blocks in which the last records, all that may be under way at once, are (XLOG_TOTAL_REC_SHIFT)."""


def is_clean(read: Callable[[int, int], bytes], size: int) -> bool:
    """Whether nothing is left to be replayed. ``read`` gives so many blocks of the log from a number on, all
    of them; ``size`` is how many the log has."""
    head = _head(read, size)
    if head is None:
        return True
    before = _before(read, head, size)
    start = before.rfind(_MAGIC)
    while start % BLOCK and start >= 0:
        start = before.rfind(_MAGIC, 0, start + 3)
    return start >= 0 and _unmounts(before[start:])


def _head(read: Callable[[int, int], bytes], size: int) -> int | None:
    """The block behind the last record; None if nothing was ever written."""
    first, last = _round(read(0, 1)), _round(read(size - 1, 1))
    if not first:
        return None
    if first == last:
        return size
    low, high = 0, size - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _round(read(middle, 1)) == last else (middle, high)
    return high


def _round(block: bytes) -> int:
    at = 4 if block[:4] == _MAGIC else 0
    return int.from_bytes(block[at : at + 4], "big")


def _before(read: Callable[[int, int], bytes], head: int, size: int) -> bytes:
    """The last blocks before the head, in the order in which they were written."""
    count = min(_WINDOW, size)
    wrapped = max(0, count - head)
    older = read(size - wrapped, wrapped) if wrapped else b""
    return older + read(head - (count - wrapped), count - wrapped)


def _unmounts(record: bytes) -> bool:
    """Whether the record, the last one, is one of an unmount, and nothing follows it."""
    version, length, operations = _HEADER.unpack_from(record)
    made_for = int.from_bytes(record[_RECORD_SIZE : _RECORD_SIZE + 4], "big")
    headers = -(-made_for // _ROUND_SIZE) if version & _VERSION_2 and made_for > _ROUND_SIZE else 1
    blocks = headers + -(-length // BLOCK)
    flags = record[headers * BLOCK + _FLAGS : headers * BLOCK + _FLAGS + 1]
    return operations == 1 and len(record) == blocks * BLOCK and bool(flags and flags[0] & _UNMOUNT)
