"""Room for copies of what must be read at any offset: one file without a name, used like a stack."""

from __future__ import annotations

import errno
import os
import tempfile
import weakref
from functools import lru_cache

from elfsig.cage.room import given
from elfsig.containers.readers import SeekReader, descriptor_reader
from elfsig.errors import ContainerError


class Scratch:
    """Copies in one file, which is a temporary one unless ``descriptor`` names an open file.

    The space of a copy is used again once its reader, and those of later copies, are gone. A process that may
    not open files for writing is given the descriptor by its parent.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        self._file = None if descriptor is not None else tempfile.TemporaryFile()  # noqa: SIM115
        self._descriptor = self._file.fileno() if self._file is not None else descriptor or 0
        if self._file is not None:
            weakref.finalize(self, self._file.close)
        self._copies: list[Copy] = []

    def copy(self) -> Copy:
        """A new, empty copy: the one before must be complete. It keeps this object."""
        start = self._copies[-1].end if self._copies else 0
        made = Copy(self, self._descriptor, start)
        self._copies.append(made)
        return made

    def release(self, copy: Copy) -> None:
        """The reader of ``copy`` is gone."""
        copy.released = True
        while self._copies and self._copies[-1].released:
            self._copies.pop()


def process_scratch() -> Scratch:
    """A new temporary file; in a cage, the one file that the process was given, for all alike."""
    descriptor = given()
    return Scratch() if descriptor is None else _shared(descriptor)


@lru_cache(maxsize=1)
def _shared(descriptor: int) -> Scratch:
    return Scratch(descriptor)


class Copy:
    """Bytes that are written once and then read. ``end`` is where they end in the file so far."""

    end: int

    def __init__(self, scratch: Scratch, descriptor: int, start: int) -> None:
        self._scratch, self._descriptor = scratch, descriptor
        self.start = self.end = start
        self.released = False

    def write(self, data: bytes) -> int:
        """Append ``data``. Raises ContainerError, over-budget, where there is no room."""
        view = memoryview(data)
        try:
            while view:
                written = os.pwrite(self._descriptor, view, self.end)
                self.end += written
                view = view[written:]
        except OSError as reason:
            if reason.errno not in (errno.EFBIG, errno.ENOSPC):
                raise
            text = "not read to the end: there is no room for a copy"
            raise ContainerError(text, code="over-budget") from None
        return len(data)

    def reader(self) -> SeekReader:
        """A reader of what was written. The room is released with it."""
        source = descriptor_reader(self._descriptor, self.end)
        found = source.window(self.start, self.end - self.start)
        weakref.finalize(found, self._scratch.release, self)
        return found
