"""Members of Linux software RAID with metadata 1.1 or 1.2: read by dissect.volume as one part.

Only what one member holds alone is read: RAID1, and arrays of one device. With metadata 0.90 and 1.0, which
stand at the end, a member of RAID1 is recognised by what is in it. The checksum of the superblock is
verified.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import iter_unpack
from typing import Any

from dissect.volume.md import MD

from elfsig.containers.contract import Context, Member, damaged
from elfsig.containers.images.source import Source, content, mapped
from elfsig.containers.readers import Reader
from elfsig.errors import ContainerError

MAGIC = b"\xfc\x4e\x2b\xa9"
_RAID1 = 1
_DEVICES_LIMIT = 1 << 12


def read(reader: Reader, context: Context) -> Iterator[Member]:
    """The content of an array. Raises ContainerError."""
    source = Source(context.seekable(reader))
    with mapped(source, "the array"):
        _verify(source)
        array: Any = MD(source).configurations[0].virtual_disks[0]
        if array.level != _RAID1 and array.num_disks != 1:
            text = f"one of {array.num_disks} members of an array of level {array.level}"
            raise ContainerError(text, code="unsupported", offset=source.at)
        stream = array.open()
    part = content(source, array.size, lambda: stream, "the array")
    yield Member(b"", "part", part, array.size)
    if part.failure is not None:
        raise part.origin or part.failure


def _verify(source: Source) -> None:
    for start in (0, 4096):
        source.seek(start)
        block = source.read(256 + 2 * _DEVICES_LIMIT)
        if block.startswith(MAGIC):
            break
    else:
        raise damaged("no superblock of an array", 0)
    devices = int.from_bytes(block[220:224], "little")
    if devices > _DEVICES_LIMIT or len(block) < 256 + 2 * devices:
        raise damaged(f"a superblock of {devices} devices", start)
    raw = block[:216] + bytes(4) + block[220 : 256 + 2 * devices]
    total = sum(word for (word,) in iter_unpack("<I", raw[: len(raw) // 4 * 4]))
    if len(raw) % 4:
        total += int.from_bytes(raw[-2:], "little")
    if (total & 0xFFFFFFFF) + (total >> 32) & 0xFFFFFFFF != int.from_bytes(block[216:220], "little"):
        raise damaged("the checksum of the superblock does not match", start)
