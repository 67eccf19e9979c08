"""Members of Linux software RAID with metadata 1.1 or 1.2: read by dissect.volume as one part, the array.

A member of RAID1, or of an array of one device, is read alone; a spare device is empty. Of other arrays
(linear, RAID0, 4, 5, 6 and RAID10 with near copies) all members must have been given; the array is a part of
the first of them, and its other members are empty. With metadata 0.90 and 1.0, which stand at the end, a
member of RAID1 is recognised by what is in it. Verified: the checksums of superblocks, and that all members
were written last at the same time. Parity is not compared with the data.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import iter_unpack
from typing import Any

from dissect.volume.md import MD
from dissect.volume.md.md import MDPhysicalDisk

from elfsig.containers.contract import ARRAY, Context, Member, damaged
from elfsig.containers.given import missing
from elfsig.containers.images.devices import devices
from elfsig.containers.images.source import Source, content, mapped
from elfsig.containers.readers import Reader, SeekReader
from elfsig.errors import ContainerError

MAGIC = b"\xfc\x4e\x2b\xa9"
_LINEAR, _RAID0, _RAID1, _RAID10 = -1, 0, 1, 10
_PARITY = {4: 1, 5: 1, 6: 2}
"""By level: how many devices' worth of parity an array has."""
_PARTIAL = 2 | 4 | 8 | 16 | 64 | 512
"""Features of a member whose data are not all in their places (include/uapi/linux/raid/md_p.h): recovery and
reshape under way, bad blocks, a replacement, a new place of the data, and a journal of writes."""
_DEVICES_LIMIT, _SIZE_LIMIT = 1 << 12, 1 << 60


def read(reader: Reader, context: Context) -> Iterator[Member]:
    """The content of an array. Raises ContainerError."""
    source = Source(context.seekable(reader))
    with mapped(source, "the array"):
        own = _disk(source)
        if own.raid_disk is None:
            return  # a spare device
        alone = own.level == _RAID1 or own.raid_disks == 1
        members, first = ([own], True) if alone else _members(own, context)
        if not first:
            return
        array: Any = MD(members).configurations[0].virtual_disks[0]
        if not alone:
            array.size = _size(array, members)
        if not 0 < array.size <= _SIZE_LIMIT:
            raise damaged(f"an array of {array.size} bytes", source.at)
        stream = array.open()
        span = None if own.level in (_LINEAR, _RAID1) else own.chunk_size
    # The library reads too much where a read crosses chunks.
    part = content(source, array.size, lambda: stream, "the array", span=span)
    yield Member(b"", "part", part, array.size, expected=ARRAY)
    if part.failure is not None:
        raise part.origin or part.failure


def _members(own: Any, context: Context) -> tuple[list[Any], bool]:
    """All members of an array, and whether ``own`` is in the first of the files that were given.

    Raises ContainerError where one is missing, or is older than the others.
    """
    found: dict[int, Any] = {own.raid_disk: own}
    first = True
    wanted = set(range(own.raid_disks))
    for reader, position in devices(context, "md"):
        other = _member(Source(reader), own)
        if other is not None and other.raid_disk in wanted and other.raid_disk not in found:
            found[other.raid_disk] = other
            first = first and context.given is not None and context.given.position < position
    if absent := sorted(wanted - found.keys()):
        numbers = ", ".join(map(str, absent[:16]))
        raise missing(f"the members {numbers} of an array of {own.raid_disks} devices (level {own.level})")
    for number, each in found.items():
        if each.events != own.events:
            text = f"member {number} of the array was written at another time than member {own.raid_disk}"
            raise ContainerError(text, code="unsupported", offset=0)
    return [found[number] for number in sorted(found)], first


def _member(source: Source, own: Any) -> Any | None:
    """The member of the array of ``own`` that a device is; None for another, or for a damaged one."""
    try:
        with mapped(source, "the array"):
            found = _disk(source)
    except ContainerError:
        return None
    return found if found.set_uuid == own.set_uuid else None


class _Front(Source):
    """A device whose superblock is looked for at its start only. The library looks at the end first, by the
    size: there data of the array may look like one, or one of an earlier array may be left."""

    def __init__(self, reader: SeekReader) -> None:
        super().__init__(reader)
        self.size = 0

    def read(self, size: int | None = -1) -> bytes:
        """The next bytes. Raises ContainerError."""
        self.size = self.whole.size
        try:
            return super().read(size)
        finally:
            self.size = 0


def _disk(source: Source) -> Any:
    """The library's member of an array. Raises ContainerError."""
    _verify(source)
    found = MDPhysicalDisk(_Front(source.whole))
    if (state := int(found.sb.feature_map) & _PARTIAL) and found.raid_disk is not None:
        text = f"a member of an array without all of its data, as in recovery (features {state:#x})"
        raise ContainerError(text, code="unsupported", offset=source.at)
    return found


def _size(array: Any, members: list[Any]) -> int:
    """The size of an array in bytes; the library gives that of one device. Raises ContainerError."""
    if array.level == _LINEAR:
        return int(array.size)
    chunk, count = int(array.stripe_size), len(members)
    if chunk < 512 or chunk & (chunk - 1):
        raise damaged(f"an array with chunks of {chunk} bytes", 0)
    if array.level == _RAID0:
        if len({each.size // chunk for each in members}) != 1:
            text = "a RAID0 of devices of different sizes"
            raise ContainerError(text, code="unsupported", offset=0)
        return int(members[0].size) // chunk * chunk * count
    each_size = int(array.size) // chunk * chunk
    if array.level in _PARITY and count > _PARITY[array.level] + 1:
        return each_size * (count - _PARITY[array.level])
    near, far = int(array.layout) & 0xFF, int(array.layout) >> 8
    if array.level == _RAID10 and far == 1 and 0 < near <= count:
        return each_size // chunk * count // int(near) * chunk
    text = f"an array of level {array.level} and layout {array.layout:#x}"
    raise ContainerError(text, code="unsupported", offset=0)


def _verify(source: Source) -> None:
    for start in (0, 4096):
        source.seek(start)
        block = source.read(256 + 2 * _DEVICES_LIMIT)
        if block.startswith(MAGIC):
            break
    else:
        raise damaged("no superblock of an array", 0)
    count = int.from_bytes(block[220:224], "little")
    if count > _DEVICES_LIMIT or len(block) < 256 + 2 * count:
        raise damaged(f"a superblock of {count} devices", start)
    raw = block[:216] + bytes(4) + block[220 : 256 + 2 * count]
    total = sum(word for (word,) in iter_unpack("<I", raw[: len(raw) // 4 * 4]))
    if len(raw) % 4:
        total += int.from_bytes(raw[-2:], "little")
    if (total & 0xFFFFFFFF) + (total >> 32) & 0xFFFFFFFF != int.from_bytes(block[216:220], "little"):
        raise damaged("the checksum of the superblock does not match", start)
    if not 0 < int.from_bytes(block[92:96], "little") <= _DEVICES_LIMIT:
        raise damaged("an array of an impossible number of devices", start)
