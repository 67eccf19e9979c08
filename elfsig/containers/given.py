"""The files that were given together with one: where it needs others, they are looked for among these only.

A disk image may name a backing file or extents, a volume group or an array may be on several disks. What a
file names is never opened because it is named: only what the user gave is.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from elfsig.containers.readers import SeekReader
from elfsig.errors import ContainerError, ReadError


class Named(NamedTuple):
    """A file that was given: its path, and a reader of it."""

    path: str
    reader: SeekReader


class Given:
    """``paths`` are the files that were given, in order; ``own`` is the one that is read.

    ``opened`` gives a reader of a file that stays valid as long as the one of ``own``; it raises ReadError.
    """

    def __init__(self, paths: Sequence[str], own: str, opened: Callable[[str], SeekReader]) -> None:
        self._paths = tuple(paths)
        self._own, self._opened = own, opened
        self.position: int = self._paths.index(own) if own in self._paths else len(self._paths)
        """Which of the files is read, from 0."""

    def named(self, name: bytes, beside: str | None = None) -> Named | None:
        """The file that an image calls ``name``; None where it was not given.

        The name counts from the directory of ``beside`` (None: of the file that is read). Where there is no
        such file, one in another directory is taken if only one has this name: images are moved.
        """
        text = os.fsdecode(name)
        exact = os.path.normpath(os.path.join(os.path.dirname(beside or self._own), text))
        found = [each for each in self._paths if os.path.normpath(each) == exact]
        if not found:
            base = os.path.basename(text)
            found = [each for each in self._paths if os.path.basename(each) == base and each != self._own]
        return self._open(found[0]) if len(found) == 1 else None

    def others(self) -> Iterator[tuple[Given, SeekReader]]:
        """All the other files, each as if it were the one that is read. Those that cannot be opened are left
        out: they have a record of their own."""
        for path in self._paths:
            if path != self._own and (found := self._open(path)) is not None:
                yield Given(self._paths, path, self._opened), found.reader

    def _open(self, path: str) -> Named | None:
        try:
            return Named(path, self._opened(path))
        except ReadError:
            return None


def missing(what: str) -> ContainerError:
    """The error of an image that needs a file which was not given: ``what`` names it."""
    text = f"the image needs another file that was not given, {what}"
    return ContainerError(text, code="unsupported", offset=0, hint="give-all-files")
