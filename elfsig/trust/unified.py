"""The kernel in a unified kernel image: what else is in it, as an initramfs, has no keys of the kernel.

Layout: Microsoft's "PE Format"; sections: the UAPI group's "Unified Kernel Image". The kernel is mostly the
last section, so that a search from the start would find lists in the initramfs first.
"""

from __future__ import annotations

import struct

SECTION, MAX_SECTIONS = 40, 96
KERNEL = b".linux"


def kernel_in(data: bytes) -> bytes:
    """The section with the kernel, where ``data`` is a unified kernel image, else ``data``."""
    at = int.from_bytes(data[0x3C:0x40], "little")
    if data[:2] != b"MZ" or data[at : at + 4] != b"PE\0\0":
        return data
    count, optional = (int.from_bytes(data[n : n + 2], "little") for n in (at + 6, at + 20))
    table = at + 24 + optional
    for row in range(table, table + SECTION * min(count, MAX_SECTIONS), SECTION):
        if data[row : row + 8].rstrip(b"\0") == KERNEL:
            used, _, stored, start = struct.unpack("<IIII", data[row + 8 : row + 24].ljust(16, b"\0"))
            return data[start : start + min(used or stored, stored)]
    return data
