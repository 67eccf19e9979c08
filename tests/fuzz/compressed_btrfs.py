"""Btrfs with compressed extents, by recipe: mkfs.btrfs compresses only since version 6.13."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import zstandard
from lzallright import LZOCompressor

from tests.fuzz.repair import btrfs as repaired
from tests.support import images

SECTOR = 4096
LINE = b"a line that compresses well\n"
TEXTS = {"zlib": 3000, "lzo": 2800, "zstd": 2300}
"""Names of files, in the order of the numbers of their compressions, and how many lines they have."""


def fill(folder: Path) -> None:
    """The files whose extents :func:`make` compresses."""
    for name, lines in TEXTS.items():
        (folder / name).write_bytes(LINE * lines)


def _lzo(data: bytes) -> bytes:
    """Each sector by itself, with its size before it; no size crosses the end of a sector."""
    out = bytearray(4)
    for at in range(0, len(data), SECTOR):
        packed = bytes(LZOCompressor().compress(data[at : at + SECTOR]))
        if len(out) % SECTOR > SECTOR - 4:
            out += bytes(-len(out) % SECTOR)
        out += struct.pack("<I", len(packed)) + packed
    return struct.pack("<I", len(out)) + out[4:]


_PACK: tuple[Callable[[bytes], bytes], ...] = (zlib.compress, _lzo, zstandard.compress)


def make(tree: Path, out: Path) -> None:
    """The image of mkfs.btrfs, with compressed extents in the places of plain ones."""
    images.btrfs(tree, out)
    image = bytearray(out.read_bytes())
    changed = []
    for kind, (name, lines) in enumerate(TEXTS.items(), 1):
        size = -(-len(LINE) * lines // SECTOR) * SECTOR
        content = (LINE * lines).ljust(size, b"\0")
        plain = struct.pack("<QBBHB", size, 0, 0, 0, 1)
        place, item = image.find(content), image.find(plain)
        assert place > 0 < item, name
        image[place : place + size] = _PACK[kind - 1](content).ljust(size, b"\0")
        while item >= 0:  # the tree is in the image more than once
            image[item + 8] = kind
            changed.append(item)
            item = image.find(plain, item + 1)

    def read(at: int, wanted: int) -> bytes:
        return bytes(image[at : at + wanted])

    for at, new in repaired(read, len(image), changed):
        image[at : at + len(new)] = new
    out.write_bytes(image)
