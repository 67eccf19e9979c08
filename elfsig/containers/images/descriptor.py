"""The descriptor of a VMDK (Virtual Disk Format 5.0, VMware): a text that names the extents of a disk."""

from __future__ import annotations

import re
from typing import NamedTuple

MARK = b"# Disk DescriptorFile"
LIMIT = 1 << 20
"""Bytes of a descriptor that are read."""

_EXTENT = re.compile(
    rb'^(?:RW|RDONLY|NOACCESS)[ \t]+([0-9]{1,16})[ \t]+([A-Z]{1,16})(?:[ \t]+"([^"\r\n]{1,4096})")?'
    rb"(?:[ \t]+([0-9]{1,16}))?",
    re.MULTILINE,
)


class Extent(NamedTuple):
    """A line of a descriptor.

    Its size and where it starts in its file are in sectors of 512 bytes; ``name`` is b"" without a file."""

    sectors: int
    kind: bytes
    name: bytes
    first: int


def extents(text: bytes) -> list[Extent]:
    """The extents in the order in which they make up the disk."""
    return [
        Extent(int(sectors), kind, name, int(first or 0))
        for sectors, kind, name, first in _EXTENT.findall(text)
    ]
