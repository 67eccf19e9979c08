"""What the bundle holds for one module, while it is put together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import count
from typing import NamedTuple

from elfsig.model import Message
from elfsig.verbs.bundle.checks import Line, Want, fact

Data = bytes | memoryview


class BundledFile(NamedTuple):
    """A file of a module's folder; ``chunks`` are its bytes, not copied out of the module."""

    name: str
    chunks: Sequence[Data]


class Entry:
    """The files of one module and the checks on them."""

    files: list[BundledFile]
    checks: list[Line]
    streams: dict[int, tuple[Message, str]]
    """The streams among the files, by the identity of their message, which is kept with it."""

    def __init__(self) -> None:
        self.files, self.checks, self.streams = [], [], {}
        self._groups = count(1)
        self._values: dict[tuple[str, bytes], str] = {}

    def add(self, name: str, chunks: Iterable[Data]) -> str:
        """Add a file; returns its name."""
        self.files.append(BundledFile(name, tuple(chunks)))
        return name

    def small(self, stem: str, suffix: str, data: bytes) -> str:
        """The file ``stem``-``suffix`` with this content; one that is there already is used again, and where
        the name is taken, a number is added. Returns its name."""
        known = self._values.get((suffix, data))
        if known is None:
            taken = {each.name for each in self.files}
            names = (f"{stem}-{number}{suffix}" if number else f"{stem}{suffix}" for number in count())
            known = self.add(next(name for name in names if name not in taken), [data])
            self._values[suffix, data] = known
        return known

    def say(self, *words: object) -> None:
        """Add a line to the checks."""
        self.checks.append(tuple(map(str, words)))

    def group(self) -> int:
        """A number for facts that are ways to establish the same."""
        return next(self._groups)

    def fact(self, group: int, want: Want, kind: str, *fields: object) -> None:
        """Add a fact to the checks."""
        self.checks.append(fact(group, want, kind, *fields))
