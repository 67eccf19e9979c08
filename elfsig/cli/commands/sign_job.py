"""What a run of ``elfsig sign`` was asked for, wherever the key is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from elfsig.batch.edit import Output
from elfsig.cli.options.signing import KeyWords
from elfsig.model import SignOptions
from elfsig.registry import Registry


class Job(NamedTuple):
    """The command line's words; ``registry`` has the formats."""

    paths: Sequence[str]
    output: Output
    registry: Registry
    format_id: str | None
    key_words: KeyWords
    options: SignOptions
    replace: bool
    stack: bool
    jobs: int
    limit: int
    quiet: bool

    def existing(self) -> Callable[[str], dict[str, bool]]:
        """What to do about signatures that a file bears: ``replace`` and ``stack``, by the file's path.

        In directories they are replaced unless told to stack; those of a file that is named itself are
        replaced when told to.
        """
        named = frozenset(self.paths)

        def decide(path: str) -> dict[str, bool]:
            return {"replace": self.replace or (path not in named and not self.stack), "stack": self.stack}

        return decide
