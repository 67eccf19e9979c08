"""Hard links in archives that store a file once: each name of a module is a module, with the same content.

tar and cpio have the content under one name, and others as links to it: what is installed from them has all
names. Modules that were read are kept for the links that may follow, in the same temporary file as copies.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from elfsig.containers.names import plain
from elfsig.containers.readers import PIECE, Reader, SeekReader, bytes_reader
from elfsig.errors import ContainerError

if TYPE_CHECKING:
    from elfsig.containers.contract import Context, Member

_MOST = 1 << 16
"""Modules of one archive that are kept."""
_LARGEST = 64 << 20
"""Bytes of a module that is kept: some times the largest there are."""


class HardLinks:
    """The modules of one archive, by their names."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._kept: dict[bytes, SeekReader] = {}
        self._pieces: list[bytes] = []
        self._size = 0
        self._left_out = False

    def watched(self, member: Member) -> Member:
        """A module that is about to be read, with a reader of which :meth:`keep` keeps what is read."""
        reader = member.reader
        self._pieces, self._size = [], 0
        if reader is None:
            return member
        return member._replace(reader=Reader(lambda: self._pull(reader)))

    def _pull(self, reader: Reader) -> bytes:
        piece = reader.take(PIECE)
        self._size += len(piece)
        if self._size > _LARGEST:
            self._pieces.clear()
        else:
            self._pieces.append(piece)
        return piece

    def forget(self, member: Member) -> None:
        """A file that is not a module has taken this name."""
        if member.kind == "file" and self._kept:
            self._kept.pop(plain(member.name), None)

    def keep(self, member: Member) -> None:
        """Keep the content of a module, if it was read to its end."""
        pieces, self._pieces = self._pieces, []
        if not pieces or pieces[-1] or self._size > _LARGEST or len(self._kept) >= _MOST:
            self._left_out = True
            return
        try:
            copy = self._context.scratch.copy()
        except OSError:  # no temporary file, which matters only if a link follows
            self._left_out = True
            return
        try:
            for piece in pieces:
                copy.write(piece)
        except (ContainerError, OSError):  # likewise: no room
            self._left_out = True
        found = copy.reader()
        if found.size == self._size:
            self._kept[plain(member.name)] = found

    def followed(self, member: Member, decide: Callable[[Member], str | None]) -> Member:
        """A hard link with the content of what it leads to, where this is a module. One with the name of a
        module that leads to nothing that was kept gets a reader that fails; others are returned as they are.
        Raises ContainerError: over-budget."""
        target = plain(member.target or b"")
        found = self._kept.get(target)
        if found is not None:
            self._context.budget.spend(found.size)
            if len(self._kept) < _MOST:
                self._kept[plain(member.name)] = found
            return member._replace(reader=found.window(0, found.size), size=found.size)
        if decide(member._replace(reader=bytes_reader(b""))) is None:
            return member
        shown = os.fsdecode(target)
        text = f"a hard link to {shown}, which is not a module that was read before it in this archive"
        fault = ContainerError(text, code="not-found")
        if self._left_out:
            text = f"a hard link to {shown}: not all modules of this archive were kept for links to them"
            fault = ContainerError(text, code="over-budget")

        def fail() -> bytes:
            raise fault

        return member._replace(reader=Reader(fail))
