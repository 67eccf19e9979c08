"""The kernel in a unified kernel image: what else is in it, as an initramfs, has no keys of the kernel.

Sections: the UAPI group's "Unified Kernel Image". The kernel is mostly the last one, so that a search from
the start would find lists in the initramfs first.
"""

from __future__ import annotations

from elfsig.recognition.pe_sections import MOST, sections

KERNEL = b".linux"


def kernel_in(data: bytes) -> bytes:
    """The section with the kernel, where ``data`` is a unified kernel image, else ``data``."""
    at = int.from_bytes(data[0x3C:0x40], "little")
    if data[:2] != b"MZ" or data[at : at + 4] != b"PE\0\0":
        return data
    count, optional = (int.from_bytes(data[n : n + 2], "little") for n in (at + 6, at + 20))
    for each in sections(data, at + 24 + optional, min(count, MOST)):
        if each.name == KERNEL:
            return data[each.offset : each.offset + each.size]
    return data
