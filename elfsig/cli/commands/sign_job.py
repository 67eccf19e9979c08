"""The parameters of a run of ``elfsig sign``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from elfsig.batch.edit import Output
from elfsig.cli.options.signing import KeyWords
from elfsig.errors import UsageError
from elfsig.model import Existing, SignOptions
from elfsig.opened.links import Links
from elfsig.registry import Registry


class Job(NamedTuple):
    """The options and arguments of the command line; ``registry`` has the formats.
    ``links`` keeps account of symbolic links."""

    paths: Sequence[str]
    output: Output
    registry: Registry
    format_id: str | None
    key_words: KeyWords
    options: SignOptions
    existing: Existing
    jobs: int
    limit: int
    quiet: bool
    links: Links

    def decision(self) -> Callable[[str], Existing]:
        """What to do about existing signatures, by the path of the file.

        In directories they are replaced, except with ``--stack``; in a file that is named itself, only with
        ``--replace``.
        """
        named = frozenset(self.paths)

        def decide(path: str) -> Existing:
            refused = self.existing is Existing.REFUSE and path not in named
            return Existing.REPLACE if refused else self.existing

        return decide


def existing_of(replace: bool, stack: bool) -> Existing:
    """The meaning of ``--replace`` and ``--stack``. Raises UsageError for both."""
    if replace and stack:
        raise UsageError("--replace and --stack cannot be combined")
    return Existing.REPLACE if replace else Existing.STACK if stack else Existing.REFUSE
