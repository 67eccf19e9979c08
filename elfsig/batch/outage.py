"""A run over many files ends early when the signer fails for one after the other: a token that was removed or
a service that is down would fail for thousands, and each attempt may take its time limit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from elfsig.errors import SigningError
from elfsig.verbs.edit.change import Done

PATIENCE = 3
"""Failures of the signer in a row after which the run ends."""

SIGNER_FAULTS = frozenset({
    "gnupg-failed", "no-gnupg", "signer-command", "token-failed", "token-login", "wrong-signature",
})  # fmt: skip
"""Codes of errors that are about the signer and not about the file."""


def until_outage(results: Iterable[Done]) -> Iterator[Done]:
    """Pass on ``results``. Raises SigningError after PATIENCE failures of the signer in a row.

    Files that were not signed for another reason do not count, in either direction.
    """
    failures = 0
    for done in results:
        yield done
        if done.error is None:
            failures = 0 if done.word == "signed" or done.word == "converted" else failures
        elif done.error.code in SIGNER_FAULTS:
            failures += 1
        if failures == PATIENCE:
            text = f"the signer failed for {PATIENCE} files in a row: the rest was not tried"
            raise SigningError(text, code="signer-failing", hint="run-again")
