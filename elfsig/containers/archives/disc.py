"""What else is on a disc with ISO 9660: boot images (El Torito, version 1.0), and file systems of Apple.

A boot catalog says where an image starts and not how long it is: its count of sectors is what firmware loads
first, and 0, 1 or 65535 on many discs. An image is given up to the next file of the disc. Of an Apple
partition map (Inside Macintosh: Devices, "Partition Map Entry") the file systems are only recognised.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from struct import Struct
from typing import Any

from elfsig.containers.contract import Member
from elfsig.containers.readers import SeekReader
from elfsig.errors import ContainerError

_EFI = 0xEF
_ENTRY = Struct(">2s2xIII32s32s")
_MOST = 64
"""Entries of a partition map that are looked at."""
_SIZES = (512, 1024, 2048)
_HFS = (b"H+", b"HX", b"BD")
"""What a volume header has 1024 bytes after its start: HFS+, HFSX, HFS."""


def boot_images(disc: Any, whole: SeekReader, sector: int, used: Iterable[int]) -> Iterator[Member]:
    """The images of a boot catalog which are disks, and start at none of the offsets ``used``."""
    starts = sorted(used)
    images: dict[int, bool] = {}
    for platform, entry in _entries(disc.eltorito_boot_catalog):
        at = entry.get_rba() * sector
        if at not in starts and (entry.boot_media_type or platform == _EFI):
            images[at] = platform == _EFI or images.get(at, False)
    for number, (at, is_efi) in enumerate(sorted(images.items()), 1):
        end = next((start for start in sorted((*starts, *images)) if start > at), whole.size)
        window = whole.window(at, end - at)
        if at >= whole.size:
            raise ContainerError("an image to boot from is cut off", code="truncated", offset=whole.size)
        expected = "an image to boot from" if is_efi else None
        yield Member(b"boot%d" % number, "part", window, window.size, at, expected=expected)


def _entries(catalog: Any) -> Iterator[tuple[int, Any]]:
    """Each entry of a boot catalog, with its platform."""
    if catalog is None:
        return
    platform = catalog.validation_entry.platform_id
    yield platform, catalog.initial_entry
    for section in catalog.sections:
        yield from ((section.platform_id, entry) for entry in section.section_entries)
    yield from ((platform, entry) for entry in catalog.standalone_entries)


def apple(whole: SeekReader, used: Iterable[int]) -> ContainerError | None:
    """The error for a file system of Apple beside that of the disc, which starts at none of ``used``."""
    for at in (0, *_partitions(whole)):
        if at not in used and whole.read_at(at + 1024, 2) in _HFS:
            text = "the HFS+ file system on the same disc was not read"
            return ContainerError(text, code="unsupported", offset=at)
    return None


def _partitions(whole: SeekReader) -> Iterator[int]:
    """The offsets at which the partitions of an Apple partition map start, by whichever size of block it
    counts in: discs may have maps for several."""
    if whole.read_at(0, 2) != b"ER":
        return
    for size in _SIZES:
        for number in range(1, _MOST):
            entry = whole.read_at(number * size, _ENTRY.size)
            if len(entry) < _ENTRY.size or not entry.startswith(b"PM"):
                break
            start = _ENTRY.unpack(entry)[2]
            yield from {start * unit for unit in (size, 512)}
