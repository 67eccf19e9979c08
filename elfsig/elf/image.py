"""One decompressed file as carriers and coverages see it: bytes, a logical end, and its ELF table."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from elfsig.elf.table import MAGIC, ElfTable
from elfsig.errors import ParseError


class Image:
    """``data`` up to ``end``. Trailers peel from the outside in: each is a shorter view of the same
    bytes (:meth:`cut`), so nothing is copied and the section table is read once."""

    known_sound: bool = False
    """Whether the header and the section table of the whole were examined elsewhere, and found readable."""

    def __init__(self, data: bytes, end: int | None = None, *, whole: Image | None = None) -> None:
        self.data = data
        self.end: int = len(data) if end is None else end
        # None for the whole itself: a self-reference would delay freeing the object and its content.
        self._outer = whole

    def __repr__(self) -> str:
        return f"<Image, {self.end} bytes>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Image):
            return NotImplemented
        return self.end == other.end and self.data == other.data

    def __hash__(self) -> int:
        return hash((len(self.data), self.end))

    def __reduce__(self) -> tuple[Any, ...]:
        """For pickle and copy: the bytes, without anything computed from them."""
        return Image, (self.data, self.end)

    @property
    def _whole(self) -> Image:
        return self._outer or self

    def cut(self, end: int) -> Image:
        """The same content up to ``end``."""
        return Image(self.data, end, whole=self._whole)

    def bytes(self) -> bytes:
        """The content up to ``end``."""
        return self.data if self.end == len(self.data) else self.data[: self.end]

    @property
    def is_elf(self) -> bool:
        """Whether the content begins as an ELF file does; see elf_fault for whether it is a sound one."""
        return self.data[:4] == MAGIC

    @cached_property
    def _parsed(self) -> ElfTable | ParseError | None:
        if not self.is_elf:
            return None
        try:
            table = ElfTable(self.data)
            _ = table.names
        except ParseError as fault:
            return fault
        return table

    @property
    def elf(self) -> ElfTable | None:
        """The section table; None if this is not an ELF file or its table is damaged (see elf_fault)."""
        parsed = (self._outer or self)._parsed
        return parsed if isinstance(parsed, ElfTable) else None

    @property
    def elf_fault(self) -> ParseError | None:
        """Why the ELF structure could not be read, None if it could or if this is not an ELF file."""
        if self._whole.known_sound:
            return None
        parsed = self._whole._parsed
        return parsed if isinstance(parsed, ParseError) else None

    @cached_property
    def elf_end(self) -> int:
        """Offset of the end of the ELF image, 0 if there is none."""
        table = self.elf
        if table is None:
            return 0
        # In today's layout the section header table comes last, so sections need not be examined.
        return self.end if table.table_end >= self.end else min(table.end, self.end)
