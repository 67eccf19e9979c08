"""File systems, images and archives that are recognised and not read: each is a container with an error.

Without them they would be files like any other, and what is in them would be passed over in silence. Swap
areas and boot loaders have places of their own on disks and hold no files: they are complete without members.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from struct import unpack_from

from elfsig.containers.contract import PARTITION, Container, Context, Member
from elfsig.containers.readers import Reader
from elfsig.errors import ContainerError
from elfsig.recognition.magics import MAGICS, marks

_ENCRYPTED = ("luks", "bitlocker")
_UNSUPPORTED = (
    "vhdx", "qed", "parallels", "wim", "l01", "ex01", "aff", "rar", "xar", "cab", "lha",
    "lzip", "lrzip", "compress", "android-super", "android-payload",
    "android-sparse", "squashfs-big-endian", "erofs", "f2fs", "ntfs", "exfat", "udf", "hfsplus", "apfs",
    "jfs", "reiserfs", "reiser4", "nilfs2", "ocfs2", "gfs2", "zfs", "hibernation",
    "bcache", "bcachefs", "stratis", "vdo", "jffs2", "romfs", "cramfs", "ubi", "ubifs",
)  # fmt: skip


def _refused(name: str, code: str, reader: Reader, context: Context) -> Iterator[Member]:
    text = f"{name}, which is not opened" if code == "encrypted" else f"{name}, which elfsig does not read"
    raise ContainerError(text, code=code, offset=0)
    yield


def _declared(kind: str, code: str) -> Container:
    name = next(each.kind.name for each in MAGICS if each.kind.code == kind)
    return Container(kind, marks(kind), partial(_refused, name, code), place="mark")


def _nothing(reader: Reader, context: Context) -> Iterator[Member]:
    """No members."""
    return iter(())


_SWAP_AT, _SWAP_BAD, _SWAP_VERSION = 1024, 1536, 1


def _is_swap(head: bytes) -> bool:
    """Whether there is a header before the mark: version 1, of either byte order, with a last page and no
    more bad pages than there is room for (union swap_header in include/linux/swap.h, read_swap_header in
    mm/swapfile.c); or, in version 0, a map of pages without the first, which is the map (Linux 2.2)."""
    fields = [unpack_from(order + "III", head, _SWAP_AT) for order in "<>"]

    def is_header(at: int, mark: bytes) -> bool:
        if mark == b"SWAP-SPACE":
            return not head[0] & 1 and any(head[:at])
        most = (at - _SWAP_BAD) // 4
        return any(version == _SWAP_VERSION and last and bad <= most for version, last, bad in fields)

    return any(is_header(at, mark) for at, mark in marks("swap") if head.startswith(mark, at))


def _is_grub(head: bytes) -> bool:
    """Whether a partition starts with GRUB: the messages of its first sector (boot/i386/pc/diskboot.S)."""
    return head[:512].find(b"Geom\0Read\0 Error\0") > 0


def _is_fit(head: bytes) -> bool:
    """Whether a device tree has a node ``images`` (doc/usage/fit/source_file_format.rst in U-Boot)."""
    return b"\0\0\0\1images\0\0" in head


_GRUB = ((0, b"\x52\xe8"), (0, b"\x52\xbf"), (0, b"\x52\x56"))

WITHOUT_FILES: tuple[Container, ...] = (
    Container("swap", marks("swap"), _nothing, "seek", probe=_is_swap, place="mark"),
    Container("grub", _GRUB, _nothing, "seek", probe=_is_grub, within=PARTITION),
)
"""What has a place of its own on a disk, and no files."""

UNREAD: tuple[Container, ...] = (
    *(_declared(kind, "encrypted") for kind in _ENCRYPTED),
    *(_declared(kind, "unsupported") for kind in _UNSUPPORTED),
    Container("fit", marks("device-tree"), partial(_refused, "a FIT image", "unsupported"), probe=_is_fit),
)
"""After most formats that are read: old marks stay on a disk that was used again."""
