"""How many bytes a file system takes, by its superblock: what follows them in a file is not part of it.

Layouts: struct ext4_super_block (fs/ext4/ext4.h), struct xfs_dsb (fs/xfs/libxfs/xfs_format.h), struct
btrfs_super_block (include/uapi/linux/btrfs_tree.h), struct squashfs_super_block (fs/squashfs/squashfs_fs.h),
and for FAT the boot sector (Microsoft, FAT specification 1.03).
"""

from __future__ import annotations

_EXT, _BTRFS = 0x400, 0x10000
_EXT_64BIT = 0x80
_EXT_SMALLEST = 10
"""The binary logarithm of the smallest block."""
_LOG_LIMIT = 16


def _little(head: bytes, at: int, size: int) -> int:
    return int.from_bytes(head[at : at + size], "little")


def ext(head: bytes) -> int:
    """s_blocks_count, of 64 bits with the feature for them, times 1024 << s_log_block_size."""
    wide = _little(head, _EXT + 0x60, 4) & _EXT_64BIT
    blocks = _little(head, _EXT + 4, 4) | (_little(head, _EXT + 0x150, 4) << 32 if wide else 0)
    return blocks << (_EXT_SMALLEST + min(_little(head, _EXT + 0x18, 4), _LOG_LIMIT))


def xfs(head: bytes) -> int:
    """sb_dblocks times sb_blocksize."""
    return int.from_bytes(head[8:16], "big") * int.from_bytes(head[4:8], "big")


def btrfs(head: bytes) -> int:
    """total_bytes of the device, in dev_item."""
    return _little(head, _BTRFS + 0xC9 + 8, 8)


def squashfs(head: bytes) -> int:
    """bytes_used."""
    return _little(head, 40, 8)


def fat(head: bytes) -> int:
    """BPB_TotSec16, or BPB_TotSec32, times BPB_BytsPerSec."""
    return (_little(head, 19, 2) or _little(head, 32, 4)) * _little(head, 11, 2)
