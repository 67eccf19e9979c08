"""Disk images of virtual machines, read by dissect.hypervisor as one part, the disk: qcow2, VMDK, VDI, VHD.

Backing files of qcow2, and parents and extents of VMDK, are read if they were given; else the error names
what is missing. External data files of qcow2, and differencing disks of VDI and VHD, are refused. Verified:
the structures are in the file, and reads give all bytes that they should; qcow2: no cluster is used twice or
has no reference count; VHD: the checksums of footer and header. Contents have no checksums in any of these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from dissect.hypervisor.disk.qcow2 import QCow2, QCow2Snapshot
from dissect.hypervisor.disk.vdi import VDI, VDIStream
from dissect.hypervisor.disk.vhd import VHD

from elfsig.containers.contract import Context, Member, damaged
from elfsig.containers.given import Given, Named, missing
from elfsig.containers.images.source import Source, content, mapped
from elfsig.containers.images.vmdk import Vmdk, vmdk
from elfsig.containers.readers import Reader, SeekReader
from elfsig.errors import ContainerError

_DISK_LIMIT = 1 << 50
_L1_LIMIT, _DIRTY, _CORRUPT, _DATA_FILE, _KNOWN = 1 << 22, 1, 2, 4, 0xF
"""Features of qcow2. Extended L2 entries (0x10) are refused: the library misreads them."""
_COMPRESSED, _ZERO, _OFFSET = 1 << 62, 1, 0x00FFFFFFFFFFFE00
_DIFFERENCING = 4
_DIFFERENCE = "a differencing disk, which needs its parent: convert it to an image that stands alone"
_SNAPSHOTS_LIMIT, _EXTRA_LIMIT = 1 << 16, 1 << 10
"""How many snapshots there are, and how much more each may say, at most (qemu's block/qcow2.h)."""
_COUNT_ORDER = 6
"""The binary logarithm of the bits of a reference count, at most."""
_CHAIN_LIMIT = 32
"""Images that need each other."""


def read(reader: Reader, context: Context) -> Iterator[Member]:
    """The disk in an image, by its magic. Raises ContainerError."""
    whole = context.seekable(reader)
    source = Source(whole)
    head = whole.read_at(0, 512)
    make = next(make for magic, at, make in _FORMATS if head[at : at + len(magic)] == magic)
    with mapped(source, "the image"):
        disk, size, span = make(source, Files(context.given))
    if size > _DISK_LIMIT:
        raise damaged(f"a disk of {size} bytes", 0)
    part = content(source, size, lambda: disk, "the disk", span=span)
    yield Member(b"", "part", part, size, expected="the disk of the image")
    if part.failure is not None:
        raise part.origin or part.failure
    if head[:4] == b"QFI\xfb":
        yield from _snapshots(source, disk.qcow2)
    for fault in _faults(head, source, disk):
        raise fault


def _snapshots(source: Source, image: Any) -> Iterator[Member]:
    """The internal snapshots of a qcow2, each the disk as it was."""
    if image.header.nb_snapshots > _SNAPSHOTS_LIMIT:
        raise damaged(f"a table of {image.header.nb_snapshots} snapshots", 60)
    with mapped(source, "the snapshots"):
        snapshots = list(_listed(image))
    for number, each in enumerate(snapshots, 1):
        with mapped(source, f"snapshot {number}"):
            size = int(each.extra.disk_size) or image.size
            if size > _DISK_LIMIT or each.header.l1_size > _L1_LIMIT:
                raise damaged(f"a snapshot of {size} bytes, a table of {each.header.l1_size} entries", 0)
            stream = each.open()
            stream.size = size  # the disk may have another size now
        notes = {"snapshot": str(each.name)}
        part = content(source, size, lambda stream=stream: stream, f"snapshot {number}")  # type: ignore[misc]
        yield Member(b"@%d" % number, "part", part, size, notes=notes, expected="a snapshot")
        if part.failure is not None:
            raise part.origin or part.failure


def _listed(image: Any) -> Iterator[QCow2Snapshot]:
    """The snapshots in the table; the library reads whatever sizes they claim."""
    at = image.header.snapshots_offset
    for _ in range(image.header.nb_snapshots):
        image.fh.seek(at)
        head = image.fh.read(40)
        if int.from_bytes(head[36:40]) > _EXTRA_LIMIT:
            raise damaged("a snapshot with too large fields", at)
        yield (found := QCow2Snapshot(image, at))
        at += found.entry_size + 7 & ~7


class Files(NamedTuple):
    """Where to look for the files that an image names.

    ``path`` is that of the image, None for the file that is read; ``above`` are the paths of the images that
    led to it."""

    given: Given | None
    path: str | None = None
    above: frozenset[str] = frozenset()

    def _found(self, name: bytes, said: str) -> Named:
        found = self.given.named(name, self.path) if self.given is not None else None
        if found is None:
            raise missing(said)
        return found

    def file(self, name: bytes, what: str) -> SeekReader:
        """The file called ``name``, which is ``what``. Raises ContainerError where it was not given."""
        return self._found(name, f"{what} {_readable(name)}").reader

    def disk(self, name: bytes, what: str, *, raw: bool = False) -> SeekReader:
        """The disk in the image called ``name``, which is ``what``; ``raw``: the file is the disk.

        Raises ContainerError, for one that was not given too.
        """
        said = f"{what} {_readable(name)}"
        found = self._found(name, said)
        if found.path in self.above or len(self.above) >= _CHAIN_LIMIT:
            raise damaged(f"images that need each other, {said} included", 0)
        head = found.reader.read_at(0, 512)
        make = next((make for magic, at, make in _FORMATS if head[at : at + len(magic)] == magic), None)
        if make is None or raw:
            return found.reader
        source = Source(found.reader)
        with mapped(source, said):
            below = Files(self.given, found.path, self.above | {found.path})
            disk, size, span = make(source, below)
        if size > _DISK_LIMIT:
            raise damaged(f"a disk of {size} bytes", 0)
        for fault in _faults(head, source, disk):
            raise ContainerError(f"{said}: {fault.text}", code=fault.code, offset=0)
        return content(source, size, lambda: disk, said, span=span)


def _readable(name: bytes) -> str:
    """A name in an image, for people."""
    return name[:255].decode("utf-8", "backslashreplace")


def _qcow2(source: Source, files: Files) -> tuple[Any, int, int | None]:
    source.seek(0)
    head = source.read(112)
    backing, name = int.from_bytes(head[8:16]), int.from_bytes(head[16:20])
    features = int.from_bytes(head[72:80]) if int.from_bytes(head[4:8]) >= 3 else 0
    if features & _DATA_FILE:
        text = "a qcow2 with an external data file: convert it to an image that stands alone"
        raise ContainerError(text, code="unsupported", offset=72)
    if int.from_bytes(head[32:36]):
        raise ContainerError("the image is encrypted", code="encrypted", offset=32)
    if features & ~_KNOWN:
        raise ContainerError(f"a qcow2 with features {features:#x}", code="unsupported", offset=72)
    if int.from_bytes(head[36:40]) > _L1_LIMIT:
        raise damaged(f"a table of {int.from_bytes(head[36:40])} entries", 36)
    if int.from_bytes(head[4:8]) >= 3 and int.from_bytes(head[96:100]) > _COUNT_ORDER:
        raise damaged(f"reference counts of 1 << {int.from_bytes(head[96:100])} bits", 96)
    image = QCow2(source, allow_no_backing_file=True)
    if backing:
        source.seek(backing)
        raw = image.backing_format == "RAW"
        image.backing_file = _Padded(files.disk(source.read(min(name, 1023)), "the backing file", raw=raw))
    entries = -(-image.size // (image.cluster_size << image.l2_bits))
    if len(image.l1_table) < entries:
        raise damaged(f"a table of {len(image.l1_table)} entries, {entries} are needed", 36)
    return image.open(), image.size, None


def _vdi(source: Source, files: Files) -> tuple[Any, int, int | None]:
    image = VDI(source)
    if int(image.header.u32Type) == _DIFFERENCING:
        raise ContainerError(_DIFFERENCE, code="unsupported", offset=0)
    if not 4096 <= image.block_size <= 1 << 28 or image.number_of_blocks * image.block_size < image.size:
        raise damaged("the sizes of an image do not fit each other", 0)
    stream = image.open()
    if len(stream.map) < image.number_of_blocks:
        raise ContainerError("the table of blocks is cut off", code="truncated", offset=source.size)
    # The library reads what crosses blocks from where the first one is.
    return stream, image.size, image.block_size


def _vhd(source: Source, files: Files) -> tuple[Any, int, int | None]:
    source.seek(-512, 2)
    footer = source.read(512)
    if _vhd_sum(footer, 64) != int.from_bytes(footer[64:68]):
        raise damaged("the checksum of the footer does not match", source.size - 512)
    if int.from_bytes(footer[60:64]) == _DIFFERENCING:
        raise ContainerError(_DIFFERENCE, code="unsupported", offset=0)
    offset = int.from_bytes(footer[16:24])
    if offset != 0xFFFFFFFFFFFFFFFF:
        source.seek(offset)
        header = source.read(1024)
        if header[:8] != b"cxsparse" or _vhd_sum(header, 36) != int.from_bytes(header[36:40]):
            raise damaged("the header of a dynamic disk is damaged", offset)
    image = VHD(source)
    return image, image.size, None


def _vhd_sum(data: bytes, field: int) -> int:
    return ~(sum(data) - sum(data[field : field + 4])) & 0xFFFFFFFF


class _Padded:
    """A disk as a file object whose end is followed by zeros: a backing file may be smaller."""

    def __init__(self, disk: SeekReader) -> None:
        self._disk, self._at = disk, 0

    def seek(self, offset: int) -> None:
        """Set the position."""
        self._at = offset

    def read(self, size: int) -> bytes:
        """The next bytes."""
        return self._disk.read_at(self._at, size).ljust(size, b"\0")


_Make = Callable[[Source, Files], tuple[Any, int, int | None]]
_FORMATS: tuple[tuple[bytes, int, _Make], ...] = (
    (b"QFI\xfb", 0, _qcow2),
    (b"KDMV", 0, vmdk),
    (b"COWD", 0, vmdk),
    (b"\xbe\xba\xfe\xca\0\0\0\0", 0, vmdk),
    (b"# Di", 0, vmdk),
    (b"\x7f\x10\xda\xbe", 64, _vdi),
    (b"conectix", 0, _vhd),
)


# --------------------------------------------------------------------------- what libraries do not check


def _faults(head: bytes, source: Source, disk: Any) -> Iterator[ContainerError]:
    """What is wrong with the image although its disk could be read."""
    if head[:4] != b"QFI\xfb":
        if isinstance(disk, Vmdk):
            with mapped(source, "the image"):
                yield from disk.faults()
            return
        end = _end_of_vdi(disk) if isinstance(disk, VDIStream) else 0
        if end > source.size:
            text = f"the image is cut off: {source.size} of {end} bytes or more"
            yield ContainerError(text, code="truncated", offset=source.size)
        return
    features = int.from_bytes(head[72:80]) if int.from_bytes(head[4:8]) >= 3 else 0
    if features & _CORRUPT:
        yield damaged("the image is marked as corrupt", 72)
    yield from _clusters(source, disk.qcow2, lazy=bool(features & _DIRTY))


def _end_of_vdi(disk: Any) -> int:
    """Where the last block of a VDI ends; 0 without one."""
    last = max((block for block in disk.map if block >= 0), default=-1)
    return int(disk.vdi.data_offset + (last + 1) * disk.block_size) if last >= 0 else 0


def _clusters(source: Source, image: Any, *, lazy: bool) -> Iterator[ContainerError]:
    """Clusters beyond the file, used twice, or without a reference count, as ``qemu-img check`` reports."""
    counts = None if lazy else _Counts(source, image)
    seen: set[int] = set()
    for index, entry in enumerate(image.l1_table):
        table = entry & _OFFSET
        if not table:
            continue
        data = SeekReader(_fetch(source), source.size).read_at(table, image.cluster_size)
        if len(data) < image.cluster_size or table in seen:
            yield damaged(f"the table of entry {index} is damaged", table)
            return
        seen.add(table)
        for at in range(0, len(data), image._l2_entry_size):
            cluster = int.from_bytes(data[at : at + 8])
            start = cluster & _OFFSET
            if cluster & _COMPRESSED:
                # The size is stored in units of 512 bytes, of which the last need not be full.
                first = cluster & image.cluster_offset_mask
                most = ((cluster >> image.csize_shift & image.csize_mask) + 1) * 512 - first % 512
                if first + most - 512 > source.size:
                    text = f"the image is cut off: {source.size} of {first + most - 512} bytes or more"
                    yield ContainerError(text, code="truncated", offset=source.size)
                    return
            if cluster & _COMPRESSED or not start:
                continue
            if start in seen or start >= source.size or (counts is not None and not counts.of(start)):
                yield damaged(f"the cluster of entry {at} in a table is damaged", table + at)
                return
            seen.add(start)


def _fetch(source: Source) -> Callable[[int, int], bytes]:
    def fetch(offset: int, wanted: int) -> bytes:
        source.seek(offset)
        return source.read(wanted)

    return fetch


class _Counts:
    """The reference counts of a qcow2."""

    def __init__(self, source: Source, image: Any) -> None:
        self.source, self.image = source, image
        self.bits = 1 << image.header.refcount_order if image.header.version >= 3 else 16
        self.block = image.cluster_size * 8 // self.bits
        self.tables: dict[int, bytes] = {}
        source.seek(image.header.refcount_table_offset)
        self.table = source.read(image.header.refcount_table_clusters * image.cluster_size)

    def of(self, start: int) -> int:
        """The count of the cluster at ``start``."""
        number = start // self.image.cluster_size
        index, at = divmod(number, self.block)
        if index not in self.tables:
            offset = int.from_bytes(self.table[8 * index : 8 * index + 8]) & ~511
            self.source.seek(offset)
            self.tables[index] = self.source.read(self.image.cluster_size) if offset else b""
        first = at * self.bits // 8
        width = max(1, self.bits // 8)
        value = int.from_bytes(self.tables[index][first : first + width])
        return value if self.bits >= 8 else value >> at * self.bits % 8 & (1 << self.bits) - 1
