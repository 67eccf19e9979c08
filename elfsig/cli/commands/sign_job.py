"""The parameters of a run of ``elfsig sign``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from elfsig.batch.edit import Output
from elfsig.batch.others import left_alone
from elfsig.cli.options.signing import KeyWords
from elfsig.errors import UsageError
from elfsig.model import Existing, Format, Keyring, SignOptions
from elfsig.opened.links import Links
from elfsig.opened.module import Module
from elfsig.registry import Registry
from elfsig.verbs.edit.change import Change

Work = Callable[[Module], Change]


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

        In directories those of the same key are replaced, except with ``--stack``; in a file that is named
        itself, only with ``--replace``. What others signed has been sorted out by :meth:`sparing`.
        """
        named = frozenset(self.paths)

        def decide(path: str) -> Existing:
            refused = self.existing is Existing.REFUSE and path not in named
            return Existing.REPLACE if refused else self.existing

        return decide

    def sparing(self, make: Work, format_: Format, keys: Keyring | None) -> Work:
        """``make``, except for modules in directories that others signed, which are left alone.

        ``keys`` are those of the signer, None where they are not known.
        """
        if self.existing is not Existing.REFUSE:
            return make

        named = frozenset(self.paths)

        def work(module: Module) -> Change:
            spared = None if module.path in named else left_alone(module, format_, keys)
            return make(module) if spared is None else spared

        return work


def existing_of(replace: bool, stack: bool) -> Existing:
    """The meaning of ``--replace`` and ``--stack``. Raises UsageError for both."""
    if replace and stack:
        raise UsageError("--replace and --stack cannot be combined")
    return Existing.REPLACE if replace else Existing.STACK if stack else Existing.REFUSE
