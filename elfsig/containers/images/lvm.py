"""Physical volumes of LVM2 (lib/format_text in its sources): read by dissect.volume, a part for each volume.

The checksums of the label, the metadata header and the metadata are verified; contents have none. A volume
that lies on further physical volumes, or is of a kind that the library does not read, is an error; the
others are given.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

from dissect.volume.lvm import LVM2
from dissect.volume.lvm.physical import LVM2Device

from elfsig.containers.contract import Context, Member, damaged
from elfsig.containers.images.source import Source, content, mapped
from elfsig.containers.readers import Reader
from elfsig.errors import ContainerError

_SEED = 0xF597A6CF
_SECTOR, _LABEL = 512, b"LABELONE"
_METADATA_LIMIT, _VOLUMES_LIMIT = 64 << 20, 1 << 50


def read(reader: Reader, context: Context) -> Iterator[Member]:
    """The logical volumes of a physical one. Raises ContainerError."""
    source = Source(context.seekable(reader))
    with mapped(source, "the physical volume"):
        _verify(source)
        device: Any = LVM2Device(source)
        groups = [each for each in (device.metadata or {}).values() if isinstance(each, dict)]
        if len(groups) == 1 and "logical_volumes" not in groups[0]:
            return  # a group without volumes
        group = LVM2(device).volume_group
        missing = [each.name for each in group.pv if each.dev is None]
        found = [each for each in group.lv if "VISIBLE" in each.status]
    fault: ContainerError | None = None
    for volume in found:
        try:
            member = _volume(source, volume, group.extent_size, missing)
        except ContainerError as reason:
            fault = fault or reason
            continue
        yield member
        if member.reader is not None and member.reader.failure is not None:
            fault = fault or member.reader.origin or member.reader.failure
    if fault is not None:
        raise fault


def _volume(source: Source, volume: Any, extent: int, missing: list[str]) -> Member:
    name = str(volume.name)
    with mapped(source, f"the volume {name}"):
        size = sum(each.extent_count for each in volume.segments) * extent * _SECTOR
        used = {stripe for each in volume.segments for stripe in _places(each)}
        if absent := sorted(used & set(missing)):
            text = f"the volume {name} needs further physical volumes: {', '.join(absent)}"
            raise ContainerError(text, code="unsupported", offset=source.at)
        if not 0 < size <= _VOLUMES_LIMIT:
            raise damaged(f"the volume {name} has {size} bytes", source.at)
        stream = volume.open()
    part = content(source, size, lambda: stream, f"the volume {name}")
    return Member(name.encode("utf-8", "surrogateescape"), "part", part, size)


def _places(segment: Any) -> Iterator[str]:
    """The names of the volumes that a segment lies on."""
    for place in getattr(segment, "stripes", None) or ():
        yield str(place[0] if isinstance(place, (list, tuple)) else place)


def _checksum(data: bytes) -> int:
    """LVM's CRC: CRC-32 with its own start and without the inversions."""
    return zlib.crc32(data, _SEED ^ 0xFFFFFFFF) ^ 0xFFFFFFFF


def _verify(source: Source) -> None:
    for sector in range(4):
        source.seek(sector * _SECTOR)
        label = source.read(_SECTOR)
        if label.startswith(_LABEL):
            break
    else:
        raise damaged("no label of a physical volume", 0)
    if _checksum(label[20:]) != int.from_bytes(label[16:20], "little"):
        raise damaged("the checksum of the label does not match", sector * _SECTOR)
    for start in _metadata_areas(label):
        source.seek(start)
        header = source.read(_SECTOR)
        if _checksum(header[4:]) != int.from_bytes(header[:4], "little"):
            raise damaged("the checksum of the metadata header does not match", start)
        offset, size = (int.from_bytes(header[at : at + 8], "little") for at in (40, 48))
        area = int.from_bytes(header[32:40], "little")
        if size > _METADATA_LIMIT or offset + size > area:
            text = "metadata that goes on at the start of its area"
            raise ContainerError(text, code="unsupported", offset=start)
        source.seek(start + offset)
        text_data = source.read(size)
        if _checksum(text_data) != int.from_bytes(header[56:60], "little"):
            raise damaged("the checksum of the metadata does not match", start + offset)


def _metadata_areas(label: bytes) -> Iterator[int]:
    """Where metadata areas start: the second list of the label, each list ending in zeros."""
    at = int.from_bytes(label[20:24], "little") + 40
    lists = 0
    while at + 16 <= len(label) and lists < 2:
        start = int.from_bytes(label[at : at + 8], "little")
        if not start:
            lists += 1
        elif lists == 1:
            yield start
        at += 16
