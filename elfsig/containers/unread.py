"""File systems, images and archives that are recognised and not read: each is a container with an error.

Without them they would be files like any other, and what is in them would be passed over in silence. Swap
areas and boot loaders have places of their own on disks and hold no files: they are complete without members.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from elfsig.containers.contract import Container, Context, Member
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
    return Container(kind, marks(kind), partial(_refused, name, code))


def _nothing(reader: Reader, context: Context) -> Iterator[Member]:
    """No members."""
    return iter(())


def _is_grub(head: bytes) -> bool:
    """Whether a partition starts with GRUB: the messages of its first sector (boot/i386/pc/diskboot.S)."""
    return head[:512].find(b"Geom\0Read\0 Error\0") > 0


def _is_fit(head: bytes) -> bool:
    """Whether a device tree has a node ``images`` (doc/usage/fit/source_file_format.rst in U-Boot)."""
    return b"\0\0\0\1images\0\0" in head


WITHOUT_FILES: tuple[Container, ...] = (
    Container("swap", marks("swap"), _nothing, "seek"),
    Container(
        "grub", ((0, b"\x52\xe8"), (0, b"\x52\xbf"), (0, b"\x52\x56")), _nothing, "seek", probe=_is_grub
    ),
)
"""What has a place of its own on a disk, and no files."""

UNREAD: tuple[Container, ...] = (
    *(_declared(kind, "encrypted") for kind in _ENCRYPTED),
    *(_declared(kind, "unsupported") for kind in _UNSUPPORTED),
    Container("fit", marks("device-tree"), partial(_refused, "a FIT image", "unsupported"), probe=_is_fit),
)
"""After most formats that are read: old marks stay on a disk that was used again."""
