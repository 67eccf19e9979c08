"""Partition tables: GPT (UEFI specification, chapter 5) and MBR, with sectors of 512 or 4096 bytes.

Partitions are parts ``p1``, ``p2`` and so on, with the numbers that Linux gives them; space between them is
not looked at. Both copies of a GPT and their checksums are verified: if the first is damaged, the partitions
of the second are given, and the damage is reported after them. In an MBR, logical partitions start at ``p5``.
Partitions of an MBR beside a GPT that this does not have as well are parts ``mbr1`` to ``mbr4``: which of the
two tables is used depends on the system. Damage to an entry costs that partition.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Generator, Iterator
from struct import Struct
from typing import NamedTuple, TypeAlias
from uuid import UUID

from elfsig.containers.blank import nothing_follows
from elfsig.containers.contract import PARTITION, Container, Context, Member, damaged
from elfsig.containers.readers import Reader, SeekReader, anew
from elfsig.errors import ContainerError
from elfsig.recognition.magics import marks

GPT_MAGIC = b"EFI PART"
_HEADER = Struct("<8sIIIIQQQQ16sQIII")
_ENTRY = Struct("<16s16sQQQ72s")
_ENTRIES_LIMIT = 4 << 20
_SECTORS = (512, 4096)

_SLOT = Struct("<II")
_TABLE, _BOOT = 446, b"\x55\xaa"
_EXTENDED = frozenset({0x05, 0x0F, 0x85})
_PROTECTIVE = 0xEE
_LOGICAL_LIMIT = 1024
_SURE = 2
"""The slots of the table of a logical partition after the first two may hold garbage: they count where they
are in bounds, as in Linux (parse_extended in block/partitions/msdos.c)."""
_STARTS = (
    (0, b"XFSB"), (0, b"LUKS"), (0, b"hsqs"), (1080, b"\x53\xef"), (512, b"LABELONE"), (510, _BOOT),
    (0x10040, b"_BHRfS_M"),
)  # fmt: skip
"""What partitions commonly start with: tells whether an MBR counts sectors of 512 or of 4096 bytes."""


Wanted: TypeAlias = Callable[[int], bool]
"""Whether the partition that starts at this offset is to be given."""


class _Table(NamedTuple):
    """A GPT: sector size in bytes, the sector of its other copy, its entries and their size."""

    sector: int
    other: int
    entries: bytes
    size: int


def _gpt(disk: SeekReader, lba: int, sector: int) -> _Table:
    """The table whose header is in sector ``lba``. Raises ContainerError."""
    at = lba * sector
    header = disk.read_at(at, sector)
    if len(header) < sector:
        raise ContainerError("a GPT header is cut off", code="truncated", offset=at)
    magic, _, size, crc, _, own, other, _, _, _, start, count, width, entries_crc = _HEADER.unpack_from(
        header
    )
    if magic != GPT_MAGIC or not _HEADER.size <= size <= sector or own != lba:
        raise damaged("a GPT header is damaged", at)
    if zlib.crc32(header[:16] + bytes(4) + header[20:size]) != crc:
        raise damaged("the checksum of a GPT header does not match", at)
    if width < _ENTRY.size or width % 8 or count * width > _ENTRIES_LIMIT:
        raise damaged(f"a GPT of {count} entries of {width} bytes", at)
    entries = disk.read_at(start * sector, count * width)
    if len(entries) < count * width:
        raise ContainerError("the entries of a GPT are cut off", code="truncated", offset=disk.size)
    if zlib.crc32(entries) != entries_crc:
        raise damaged("the checksum of the entries of a GPT does not match", start * sector)
    return _Table(sector, other, entries, width)


def _open_gpt(reader: Reader, context: Context) -> Iterator[Member]:
    yield from _in_gpt(context.seekable(reader))


def _all(start: int) -> bool:
    """Every partition is wanted."""
    return True


def _in_gpt(disk: SeekReader, wanted: Wanted = _all) -> Iterator[Member]:
    """The partitions that are wanted. Raises ContainerError."""
    table, fault = _either_gpt(disk)
    known: set[tuple[int, int]] = set()
    for number, at in enumerate(range(0, len(table.entries), table.size), 1):
        kind, unique, first, last, _, label = _ENTRY.unpack_from(table.entries, at)
        if any(kind):
            name = label.decode("utf-16-le", "replace").split("\0")[0]
            notes = {"type": str(UUID(bytes_le=kind)), "uuid": str(UUID(bytes_le=unique)), "label": name}
            start, end = first * table.sector, (last + 1) * table.sector
            known.add((start, end))
            if wanted(start):
                cut = yield from _partition(disk, _Place(b"p%d" % number, start, end - start), notes)
                fault = fault or cut
    cut = yield from _hybrid(disk, table.sector, known, wanted)
    if (first_fault := fault or cut) is not None:
        raise first_fault


def _hybrid(
    disk: SeekReader, sector: int, known: set[tuple[int, int]], wanted: Wanted
) -> Generator[Member, None, ContainerError | None]:
    """The partitions of the MBR beside a GPT, but those at ``known`` places; the first fault."""
    head = disk.read_at(0, 512)
    if not _is_mbr(head):
        return None
    fault: ContainerError | None = None
    for number, slot in enumerate(_slots(head), 1):
        start, size = slot.first * sector, slot.sectors * sector
        there = slot.sectors and slot.kind != _PROTECTIVE and wanted(start)
        if there and (start, start + size) not in known:
            place = _Place(b"mbr%d" % number, start, size)
            cut = yield from _partition(disk, place, {"type": f"{slot.kind:#04x}"})
            fault = fault or cut
    return fault


def _either_gpt(disk: SeekReader) -> tuple[_Table, ContainerError | None]:
    """A good copy of the table, and what is wrong with the other one. Raises ContainerError without one."""
    fault: ContainerError | None = None
    for sector in _SECTORS:
        if disk.read_at(sector, 8) == GPT_MAGIC:
            try:
                table = _gpt(disk, 1, sector)
            except ContainerError as reason:
                fault = fault or anew(reason)
                continue
            try:
                _gpt(disk, table.other, sector)
            except ContainerError as reason:
                return table, reason
            return table, None
    for sector in _SECTORS:
        if disk.read_at(at := disk.size // sector * sector - sector, 8) == GPT_MAGIC:
            return _gpt(disk, at // sector, sector), fault or damaged(
                "the first GPT header is missing", sector
            )
    raise fault or damaged("a protective MBR, and no GPT", _TABLE)


class _Place(NamedTuple):
    """Where a partition is, in bytes, and what it is called."""

    name: bytes
    start: int
    size: int


def _partition(
    disk: SeekReader, place: _Place, notes: dict[str, object]
) -> Generator[Member, None, ContainerError | None]:
    """One partition; the error if it holds its own table, or the disk ends before it does."""
    name, start, size = place.name.decode(), place.start, place.size
    if size <= 0:
        return damaged(f"partition {name} ends before it starts", start)
    if not start:
        return damaged(f"partition {name} starts with the partition table itself", start)
    there = min(size, max(0, disk.size - start))
    if there:
        part = disk.window(start, there)
        yield Member(place.name, "part", part, size, start, notes=notes, expected=PARTITION)
        if part.failure is not None:
            return part.origin or part.failure
    if there == size:
        return None
    text = f"partition {name} is cut off: {there} of {size} bytes"
    return ContainerError(text, code="truncated", offset=disk.size)


def beside(disk: SeekReader, context: Context, end: int, wanted: Wanted) -> Iterator[Member]:
    """The partitions of a disk that begins with something else of ``end`` bytes, such as an ISO image: those
    whose start is ``wanted``. Those before ``end`` need not be recognised: tables describe the gaps, too.

    Raises ContainerError: trailing-data for more than zeros after ``end``, if there is no table.
    """
    head = disk.read_at(0, max(_SECTORS) + len(GPT_MAGIC))
    if _is_mbr(head) or any(head.startswith(GPT_MAGIC, sector) for sector in _SECTORS):
        for member in _in_mbr(disk, wanted) if _is_mbr(head) else _in_gpt(disk, wanted):
            yield member if (member.offset or 0) >= end else member._replace(expected=None)
    else:
        nothing_follows(disk, end, context.budget)


# --------------------------------------------------------------------------- MBR


class _Slot(NamedTuple):
    """One of four entries: type, first sector (relative in extended partitions) and number of sectors.

    It is in use if it has sectors, whatever its type (msdos_partition in block/partitions/msdos.c).
    """

    kind: int
    first: int
    sectors: int

    @property
    def extended(self) -> bool:
        """Whether it is in use for an extended partition."""
        return self.kind in _EXTENDED and self.sectors > 0

    @property
    def data(self) -> bool:
        """Whether it is in use for anything else."""
        return self.kind not in _EXTENDED and self.sectors > 0


def _slots(sector: bytes) -> list[_Slot]:
    return [_Slot(sector[at + 4], *_SLOT.unpack_from(sector, at + 8)) for at in range(_TABLE, 510, 16)]


def _is_mbr(head: bytes) -> bool:
    """Whether a boot sector holds a table: boot flags are 0 or 0x80, and an entry is in use."""
    if head[510:512] != _BOOT:
        return False
    flags = {head[at] for at in range(_TABLE, 510, 16)}
    return flags <= {0, 0x80} and any(slot.sectors and slot.first for slot in _slots(head[:512]))


def _open_mbr(reader: Reader, context: Context) -> Iterator[Member]:
    yield from _in_mbr(context.seekable(reader))


def _in_mbr(disk: SeekReader, wanted: Wanted = _all) -> Iterator[Member]:
    """The partitions that are wanted. Raises ContainerError."""
    slots = _slots(disk.read_at(0, 512))
    if any(slot.kind == _PROTECTIVE for slot in slots):
        yield from _in_gpt(disk, wanted)
        return
    sector = _sector_size(disk, slots)
    fault: ContainerError | None = None
    for number, kind, first, count in _numbered(disk, slots, sector):
        if isinstance(kind, ContainerError):
            cut: ContainerError | None = kind
        elif not wanted(first * sector):
            continue
        else:
            place = _Place(b"p%d" % number, first * sector, count * sector)
            cut = yield from _partition(disk, place, {"type": f"{kind:#04x}"})
        fault = fault or cut
    if fault is not None:
        raise fault


def _numbered(
    disk: SeekReader, slots: list[_Slot], sector: int
) -> Iterator[tuple[int, int | ContainerError, int, int]]:
    """(number, type, first sector, sectors) of all partitions; instead of the type the fault that ends an
    extended one early."""
    logical = 5
    for number, slot in enumerate(slots, 1):
        if slot.extended:
            try:
                for first, count, kind in _logical(disk, slot, sector):
                    yield logical, kind, first, count
                    logical += 1
            except ContainerError as fault:
                yield number, fault, 0, 0
        elif slot.data:
            yield number, slot.kind, slot.first, slot.sectors


def _sector_size(disk: SeekReader, slots: list[_Slot]) -> int:
    """512, unless the partitions start with what partitions start with only for sectors of 4096 bytes."""
    known = {
        size: sum(
            disk.read_at(slot.first * size + at, len(magic)) == magic
            for slot in slots
            if slot.data
            for at, magic in _STARTS
        )
        for size in _SECTORS
    }
    return 4096 if known[4096] and not known[512] else 512


def _logical(disk: SeekReader, whole: _Slot, sector: int) -> Iterator[tuple[int, int, int]]:
    """(first sector, sectors, type) of the logical partitions: a chain of tables with one each, or more."""
    at, size, seen = whole.first, whole.sectors, {whole.first}
    while True:
        table = disk.read_at(at * sector, 512)
        if len(table) < 512:
            raise ContainerError("an extended partition table is cut off", code="truncated", offset=disk.size)
        if table[510:] != _BOOT:
            raise damaged("an extended partition table is damaged", at * sector)
        slots = _slots(table)
        for number, slot in enumerate(slots):
            if slot.data and (number < _SURE or _is_inside(slot, at, size, whole)):
                yield at + slot.first, slot.sectors, slot.kind
        following = next((slot for slot in slots if slot.extended), None)
        if following is None:
            return
        at, size = whole.first + following.first, following.sectors
        if at in seen or len(seen) >= _LOGICAL_LIMIT:
            raise damaged("the extended partition tables form a loop", at * sector)
        seen.add(at)


def _is_inside(slot: _Slot, at: int, size: int, whole: _Slot) -> bool:
    """Whether a slot in the table at sector ``at`` is in its part of ``size`` sectors and in the whole of the
    extended partition."""
    start, end = at + slot.first, at + slot.first + slot.sectors
    inside = whole.first <= start and end <= whole.first + whole.sectors
    return slot.first + slot.sectors <= size and inside


GPT = Container("gpt", marks("gpt"), _open_gpt, needs="seek", spans=True, place="table")
MBR = Container("mbr", ((510, _BOOT),), _open_mbr, needs="seek", probe=_is_mbr, spans=True, place="table")
