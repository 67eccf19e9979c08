"""Checksums in images, made right again after a change: what is behind them would not be read otherwise."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from struct import iter_unpack

from elfsig.containers.images.checksum import crc32c

Read = Callable[[int, int], bytes]
"""The bytes at an offset, with all changes so far."""
Patch = tuple[int, bytes]
Repair = Callable[[Read, int, Sequence[int]], Iterator[Patch]]
"""From a reader, the size of the image and the offsets that were changed to further changes, each of which is
made before the next one is asked for."""

_NODE, _SUPER = 16384, 65536
_MOST = 1 << 20


def _little(read: Read, at: int, size: int = 4) -> int:
    return int.from_bytes(read(at, size), "little")


def btrfs(read: Read, size: int, changed: Sequence[int]) -> Iterator[Patch]:
    """The superblock, and nodes of trees."""
    own = read(_SUPER + 32, 16)
    for start in sorted({at // _NODE * _NODE for at in changed}):
        whole = 4096 if start == _SUPER else _NODE
        block = read(start, whole)
        if start == _SUPER or block[32:48] == own:
            yield start, crc32c(block[32:]).to_bytes(4, "little")


def _lvm_sum(data: bytes) -> bytes:
    return (zlib.crc32(data, 0xF597A6CF ^ 0xFFFFFFFF) ^ 0xFFFFFFFF).to_bytes(4, "little")


def lvm(read: Read, size: int, changed: Sequence[int], start: int = 0) -> Iterator[Patch]:
    """The text of the group, the header of its area, and the label of a physical volume."""
    area = start + 4096
    offset, length = _little(read, area + 40, 8), _little(read, area + 48, 8)
    if offset < _MOST and length < _MOST:
        yield area + 56, _lvm_sum(read(area + offset, length))
    yield area, _lvm_sum(read(area + 4, 508))
    yield start + 528, _lvm_sum(read(start + 532, 492))


def group(read: Read, size: int, changed: Sequence[int]) -> Iterator[Patch]:
    """Two physical volumes."""
    for start in (0, size // 2):
        yield from lvm(read, size, changed, start)


def md(read: Read, size: int, changed: Sequence[int], count: int = 1) -> Iterator[Patch]:
    """The superblocks of ``count`` members."""
    for start in range(4096, count * (size // count), size // count):
        devices = min(_little(read, start + 220), 4096)
        block = read(start, 256 + 2 * devices)
        block = block[:216] + bytes(4) + block[220:] + bytes(-len(block) % 4)
        total = sum(word for (word,) in iter_unpack("<I", block))
        yield start + 216, ((total & 0xFFFFFFFF) + (total >> 32) & 0xFFFFFFFF).to_bytes(4, "little")


def array(read: Read, size: int, changed: Sequence[int]) -> Iterator[Patch]:
    """Three members."""
    yield from md(read, size, changed, 3)


def gpt(read: Read, size: int, changed: Sequence[int]) -> Iterator[Patch]:
    """Both copies of a table."""
    for at in (512, size - 512):
        start, count, width = _little(read, at + 72, 8), _little(read, at + 80), _little(read, at + 84)
        if count * width <= _MOST and start < size:
            yield at + 88, zlib.crc32(read(start * 512, count * width)).to_bytes(4, "little")
        length = _little(read, at + 12)
        header = read(at, min(length, 512))
        if len(header) > 20:
            yield at + 16, zlib.crc32(header[:16] + bytes(4) + header[20:]).to_bytes(4, "little")


def sevenzip(read: Read, size: int, changed: Sequence[int]) -> Iterator[Patch]:
    """The header at the end, and the one at the start that says where it is."""
    offset, length = _little(read, 12, 8), _little(read, 20, 8)
    if offset < size and length < size:
        yield 28, zlib.crc32(read(32 + offset, length)).to_bytes(4, "little")
    yield 8, zlib.crc32(read(12, 20)).to_bytes(4, "little")


def ewf(read: Read, size: int, changed: Sequence[int]) -> Iterator[Patch]:
    """Sections, the volume's data, and tables."""
    at = 13
    for _ in range(64):
        head = read(at, 76)
        kind, following = head[:16].rstrip(b"\0"), int.from_bytes(head[16:24], "little")
        yield at + 72, zlib.adler32(head[:72]).to_bytes(4, "little")
        if kind in (b"volume", b"disk"):
            yield at + 76 + 1048, zlib.adler32(read(at + 76, 1048)).to_bytes(4, "little")
        if kind in (b"table", b"table2"):
            count = _little(read, at + 76)
            yield at + 76 + 20, zlib.adler32(read(at + 76, 20)).to_bytes(4, "little")
            if 4 * count < _MOST:
                entries = read(at + 100, 4 * count)
                yield at + 100 + 4 * count, zlib.adler32(entries).to_bytes(4, "little")
        if not at < following < size:
            return
        at = following


def vhd(read: Read, size: int, changed: Sequence[int]) -> Iterator[Patch]:
    """Footer, its copy, and the header of a dynamic disk."""
    for at, length, field in ((0, 512, 64), (512, 1024, 36), (size - 512, 512, 64)):
        block = read(at, length)
        total = sum(block[:field]) + sum(block[field + 4 :])
        yield at + field, (~total & 0xFFFFFFFF).to_bytes(4)


REPAIRS: dict[str, Repair] = {
    "btrfs": btrfs,
    "lvm": lvm,
    "lvm-group": group,
    "md": md,
    "md-raid5": array,
    "gpt": gpt,
    "7z": sevenzip,
    "ewf": ewf,
    "vhd": vhd,
}
"""By kind of image."""
