"""Physical volumes of LVM2 (lib/format_text in its sources): read by dissect.volume, a part for each volume.

The checksums of the label, the metadata header and the metadata are verified; contents have none. A volume
on several physical ones is read if all of them were given, and is a part of the first of these. Without one
of them, or where the library does not read its kind, it is an error, and the other volumes are given. So is a
snapshot that is not thin.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

from dissect.volume.lvm import LVM2
from dissect.volume.lvm.physical import LVM2Device

from elfsig.containers.contract import VOLUME, Context, Member, damaged
from elfsig.containers.given import missing
from elfsig.containers.images import lvm_segments
from elfsig.containers.images.devices import devices
from elfsig.containers.images.source import Source, content, mapped
from elfsig.containers.readers import Reader, anew
from elfsig.errors import ContainerError

_SEED = 0xF597A6CF
_SECTOR, _LABEL = 512, b"LABELONE"
_POOL = "thin-pool"
"""What thin volumes are in; it is none itself."""
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
        group = _Group(source, device, context)
        found = [each for each in group.group.lv if "VISIBLE" in each.status and each.type != _POOL]
    fault: ContainerError | None = None
    for volume in found:
        try:
            member = group.volume(volume)
        except ContainerError as reason:
            fault = fault or anew(reason)
            continue
        if member is None:
            continue
        yield member
        if member.reader is not None and member.reader.failure is not None:
            fault = fault or member.reader.origin or member.reader.failure
    if fault is not None:
        raise fault


class _Group:
    """A volume group: its physical volumes, those in other files included where one of them is needed."""

    def __init__(self, source: Source, device: Any, context: Context) -> None:
        self.source = source
        known = {device.id: device}
        self.positions: dict[str, int] = {}
        self.own = 0 if context.given is None else context.given.position
        self.group: Any = LVM2(device).volume_group
        wanted = {_plain_id(each) for each in self.group.pv} - {device.id}
        for reader, position in devices(context, "lvm") if wanted else ():
            other = _device(Source(reader))
            if other is not None and other.id in wanted and other.id not in known:
                known[other.id] = other
                self.positions[other.id] = position
            if wanted <= known.keys():
                break
        self.group.attach(known)
        lvm_segments.mend(self.group)
        self.stores = lvm_segments.stores(self.group)

    def volume(self, volume: Any) -> Member | None:
        """A logical volume; None for one that is a part of an earlier file. Raises ContainerError."""
        source, name = self.source, str(volume.name)
        if name in self.stores:
            text = f"the volume {name} is a snapshot, which elfsig does not read"
            raise ContainerError(text, code="unsupported", offset=source.at)
        with mapped(source, f"the volume {name}"):
            extent = self.group.extent_size
            size = sum(each.extent_count for each in volume.segments) * extent * _SECTOR
            used = self._used(volume, set())
            if absent := sorted(str(each.name) for each in used if each.dev is None):
                raise missing(f"of the volume {name} the physical volumes {', '.join(absent)}")
            if not 0 < size <= _VOLUMES_LIMIT:
                raise damaged(f"the volume {name} has {size} bytes", source.at)
            if min(map(self._position, used), default=self.own) != self.own:
                return None
            stream = volume.open()
        part = content(source, size, lambda: stream, f"the volume {name}")
        stored = name.encode("utf-8", "surrogateescape")
        return Member(stored, "part", part, size, expected=VOLUME)

    def _position(self, physical: Any) -> int:
        return self.positions.get(_plain_id(physical), self.own)

    def _used(self, volume: Any, seen: set[str]) -> list[Any]:
        """The physical volumes that a volume is on, those of the volumes that it is made of included."""
        seen.add(str(volume.name))
        found: dict[str, Any] = {}
        for place in (place for each in volume.segments for place in _places(each)):
            if place in self.group.physical_volumes:
                found[place] = self.group.physical_volumes[place]
            elif place in self.group.logical_volumes and place not in seen:
                inner = self._used(self.group.logical_volumes[place], seen)
                found.update((str(each.name), each) for each in inner)
        return list(found.values())


def _plain_id(physical: Any) -> str:
    return str(physical.id).replace("-", "")


def _device(source: Source) -> Any | None:
    """The physical volume that a device is; None for a damaged one, which has a record of its own."""
    try:
        with mapped(source, "the physical volume"):
            _verify(source)
            return LVM2Device(source)
    except ContainerError:
        return None


def _places(segment: Any) -> Iterator[str]:
    """The names of the volumes that a segment is on: of physical or of logical ones."""
    for word in ("stripes", "mirrors", "raids"):
        for place in getattr(segment, word, None) or ():
            yield str(place[0] if isinstance(place, (list, tuple)) else place)
    for word in ("thin_pool", "metadata", "pool", "origin", "cache_pool", "data"):
        if isinstance(name := getattr(segment, word, None), str):
            yield name


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
