"""The blocks of an ext file system in which the extents or the block map of a file go on."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import TypeAlias

from elfsig.containers.contract import damaged

Table: TypeAlias = Callable[[int], bytes]
"""The block of this number. Raises ContainerError."""


class Tables:
    """Each block belongs to one place of one file: where many numbers lead to the same block, the way over
    all of them would not end, though the image is small. ``read`` gives the block of a number, of a file that
    is called ``what``."""

    def __init__(self, read: Callable[[int, str], bytes], block_size: int) -> None:
        self._read, self._block_size = read, block_size
        self._places: dict[int, tuple[int, int]] = {}

    def of(self, inode: int, what: str) -> Table:
        """What reads the blocks of a file, in order."""
        order = count()

        def table(number: int) -> bytes:
            place = inode, next(order)  # the same when the file is opened once more
            if self._places.setdefault(number, place) != place:
                raise damaged(f"{what}: its table in block {number} is used twice", number * self._block_size)
            return self._read(number, what)

        return table
