"""The table of sections of a PE file (Microsoft's "PE Format", "Section Table"), in little-endian numbers."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from elfsig.lazy_tuple import NamedTuple

SIZE = 40
"""Bytes of an entry: name, size in memory, address, size and place in the file, and what is not read here."""
MOST = 96
"""Maximum number of sections, as in Windows' loader."""


class Section(NamedTuple):
    """A section: ``size`` bytes at ``offset`` in the file, padding not counted; ``stored`` with it."""

    name: bytes
    size: int
    stored: int
    offset: int


def sections(data: bytes, table: int, count: int) -> Iterator[Section]:
    """The ``count`` entries of the table at offset ``table``; what is cut off is zeros."""
    for at in range(table, table + SIZE * count, SIZE):
        name, used, _, stored, offset = struct.unpack_from("<8sIIII", data[at : at + SIZE].ljust(SIZE, b"\0"))
        yield Section(name.rstrip(b"\0"), min(used or stored, stored), stored, offset)
