"""Files that are compressed block by block on a disc (zisofs: fs/isofs/compress.c in Linux, mkzftree).

A header of 16 bytes: magic, size of the content (u32), size of the header in words of four bytes (u8), size
of a block as a power of two (u8). After it a pointer (u32) to the start of each block, and to the end of the
last one; a block of no bytes is zeros, others are zlib streams. Numbers are little-endian.
"""

from __future__ import annotations

import zlib
from functools import partial
from struct import Struct

from elfsig.containers.contract import Budget, damaged
from elfsig.containers.readers import SeekReader
from elfsig.errors import ContainerError

FIELD = b"ZF\x10\1pz"
"""The start of the system use field of a compressed file."""
_MAGIC = bytes.fromhex("37e45396c9dbd607")
_HEADER, _POINTERS = Struct("<8sIBB2x"), Struct("<II")
_BLOCKS = (15, 16, 17)
"""Sizes of blocks that Linux reads (fs/isofs/rock.c)."""


def content(stored: SeekReader, budget: Budget, at: int) -> SeekReader:
    """A reader of what a file holds that is stored at offset ``at``. Raises ContainerError."""
    head = stored.read_at(0, _HEADER.size)
    if len(head) < _HEADER.size or not head.startswith(_MAGIC):
        text = "a file is compressed in an unknown way"
        raise ContainerError(text, code="unsupported", offset=at)
    _, size, words, block = _HEADER.unpack(head)
    if words * 4 < _HEADER.size or block not in _BLOCKS:
        raise damaged("the header of a compressed file", at)
    return SeekReader(partial(_fetch, stored, budget, at, (words * 4, size, 1 << block)), size)


def _fetch(
    stored: SeekReader, budget: Budget, at: int, form: tuple[int, int, int], offset: int, wanted: int
) -> bytes:
    """The bytes at ``offset``, up to the end of a block; ``form``: where pointers start, sizes of content and
    block."""
    first, size, block = form
    number = offset // block
    length = min(block, size - number * block)
    if length <= 0:
        return b""
    place = first + number * 4
    pointers = stored.read_at(place, _POINTERS.size)
    if len(pointers) < _POINTERS.size:
        raise damaged("a compressed file ends before its pointers", at + place)
    start, end = _POINTERS.unpack(pointers)
    if not start <= end <= min(stored.size, start + 2 * block):
        raise damaged("a block of a compressed file lies outside it", at + place)
    budget.spend(length)
    data = (
        bytes(length) if start == end else _inflated(stored.read_at(start, end - start), length, at + start)
    )
    return data[offset - number * block :][:wanted]


def _inflated(packed: bytes, length: int, at: int) -> bytes:
    decoder = zlib.decompressobj()
    try:
        data = decoder.decompress(packed, length + 1)
    except zlib.error as why:
        raise damaged(f"a block of a compressed file: {why}", at) from None
    if len(data) != length or not decoder.eof:
        raise damaged("a block of a compressed file has another size than it must", at)
    return data
