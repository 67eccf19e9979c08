"""Extended attributes of XFS, in the inode or in leaf blocks (fs/xfs/libxfs/xfs_da_format.h)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from elfsig.containers.contract import damaged

_LOCAL, _SECURE = 1, 1 << 2
_LEAVES = {b"\x3b\xee": (56, 80), b"\xfb\xee": (12, 32)}
"""Magic of a leaf, version 5 and 4 -> where the number of its entries is, and where they begin."""


class Attribute(NamedTuple):
    """``value`` is None where it is in blocks of its own; ``secure``: its name begins with "security."."""

    name: bytes
    secure: bool
    value: bytes | None


def in_inode(fork: bytes, at: int, what: str) -> Iterator[Attribute]:
    """Those in the attribute fork of an inode. Raises ContainerError."""
    place, count = 4, fork[2] if len(fork) > 2 else 0
    for _ in range(count):
        if place + 3 > len(fork):
            raise damaged(f"the attributes of {what} are cut off", at)
        name_size, size, flags = fork[place : place + 3]
        value = place + 3 + name_size
        if value + size > len(fork):
            raise damaged(f"the attributes of {what} are cut off", at)
        yield Attribute(fork[place + 3 : value], bool(flags & _SECURE), fork[value : value + size])
        place = value + size


def in_leaf(block: bytes, at: int, what: str) -> Iterator[Attribute]:
    """Those in a block, if it is a leaf. Raises ContainerError."""
    if block[8:10] not in _LEAVES:
        return
    field, entries = _LEAVES[block[8:10]]
    for entry in range(entries, entries + 8 * int.from_bytes(block[field : field + 2], "big"), 8):
        place, flags = int.from_bytes(block[entry + 4 : entry + 6], "big"), block[entry + 6 : entry + 7]
        head = 3 if flags and flags[0] & _LOCAL else 9
        if not flags or place < entries or place + head > len(block):
            raise damaged(f"the attributes of {what} are damaged", at)
        name = place + head
        value = name + block[name - 1]
        size = int.from_bytes(block[place : place + 2], "big") if head == 3 else 0
        if value + size > len(block):
            raise damaged(f"the attributes of {what} are damaged", at)
        secure, kept = bool(flags[0] & _SECURE), block[value : value + size] if head == 3 else None
        yield Attribute(block[name:value], secure, kept)
