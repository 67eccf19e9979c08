"""The formats of the extras ``images`` and ``archives``. Their readers are loaded when they are needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from typing import Literal

from elfsig.containers.contract import Container, Context, Member
from elfsig.containers.images import extents
from elfsig.containers.readers import Reader
from elfsig.errors import ContainerError
from elfsig.recognition.magics import marks


def _open(kind: str, module: str, extra: str, reader: Reader, context: Context) -> Iterator[Member]:
    try:
        adapter = import_module(f"elfsig.containers.{extra}.{module}")
    except ModuleNotFoundError as reason:
        if (reason.name or "").startswith("elfsig"):
            raise
        text = f"{kind} is read with the extra {extra}: install elfsig[{extra}] ({reason.name} is missing)"
        raise ContainerError(text, code="needs-extra", offset=0, hint=extra) from None
    yield from adapter.read(reader, context)


def _image(
    kind: str,
    module: str,
    *magics: tuple[int, bytes],
    extra: str = "images",
    probe: Callable[[bytes], bool] | None = None,
    spans: bool = False,
    place: Literal["device"] | None = None,
    extent: Callable[[bytes], int] | None = None,
) -> Container:
    opened = partial(_open, kind, module, extra)
    return Container(kind, magics, opened, "seek", extra, probe, spans, place, extent=extent)


def _is_ext(head: bytes) -> bool:
    """A superblock with inodes and blocks, blocks of 1 to 64 KiB, and a revision that exists."""
    inodes, blocks = head[1024:1028], head[1028:1032]
    return any(inodes) and any(blocks) and int.from_bytes(head[1048:1052], "little") <= 6 and head[1100] <= 1


EXT = _image("ext", "ext", *marks("ext"), probe=_is_ext, place="device", extent=extents.ext)

XFS = _image("xfs", "xfs", *marks("xfs"), place="device", extent=extents.xfs)
BTRFS = _image("btrfs", "btrfs", *marks("btrfs"), place="device", extent=extents.btrfs)
SQUASHFS = _image("squashfs", "squashfs", *marks("squashfs"), extent=extents.squashfs)


def _is_fat(head: bytes) -> bool:
    """A boot sector with the fields that Linux looks at (fat_read_bpb in fs/fat/inode.c), and a jump. It has
    sectors of 512 to 4096 bytes, clusters, copies of a table that has a size. It need not name its type."""
    sector, cluster = int.from_bytes(head[11:13], "little"), head[13]
    media, tables = head[21], head[16]
    jump = head[0] == 0xE9 or (head[0] == 0xEB and head[2] == 0x90)
    sound = sector in (512, 1024, 2048, 4096) and cluster and not cluster & (cluster - 1)
    there = any(head[14:16]) and tables and (any(head[22:24]) or any(head[36:40]))
    return bool(jump and sound and there and (media == 0xF0 or media >= 0xF8))


FAT = _image("fat", "fat", (510, b"\x55\xaa"), probe=_is_fat, place="device", extent=extents.fat)

QCOW2 = _image("qcow2", "virtual", *marks("qcow2"), spans=True)
VMDK = _image("vmdk", "virtual", *marks("vmdk"), spans=True)
VDI = _image("vdi", "virtual", *marks("vdi"), spans=True)
VHD = _image("vhd", "virtual", *marks("vhd"), spans=True)
EWF = _image("ewf", "ewf", *marks("e01"), spans=True)
LVM = _image("lvm", "lvm", *marks("lvm"), spans=True, place="device")
MD = _image("md", "md", *marks("md"), spans=True, place="device")

IMAGES: tuple[Container, ...] = (
    QCOW2, VMDK, VDI, VHD, EWF, LVM, MD, XFS, BTRFS, SQUASHFS, EXT,
)  # fmt: skip
"""In probing order: those with the longest marks first. FAT comes after all others: some of them have boot
sectors of the same form."""

SEVENZIP = _image("7z", "sevenzip", *marks("7z"), extra="archives")
ISO = _image("iso", "iso", *marks("iso9660"), extra="archives")

ARCHIVES: tuple[Container, ...] = (SEVENZIP, ISO)
"""Before partition tables: discs that boot from a memory stick have one, too."""
