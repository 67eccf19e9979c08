"""Basic types for ELF files that all packages above use."""

from __future__ import annotations

from typing import Literal

from elfsig.lazy_tuple import NamedTuple


class ByteRange(NamedTuple):
    """Half-open range of bytes in the content."""

    start: int
    end: int

    @property
    def size(self) -> int:
        """Length of the range in bytes."""
        return self.end - self.start


class ElfSummary(NamedTuple):
    """The ELF header in words: class 32 or 64, data little or big, machine and type by name."""

    bits: int
    data: Literal["little", "big"]
    machine: str
    type: str


UNWITNESSED = "unwitnessed"
"""Name of the engine that edits like "exact" without proof: for results that are compared or hashed and
never written."""
