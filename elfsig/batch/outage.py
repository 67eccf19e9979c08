"""A run over many files ends early when the signer fails for one after the other: a token that was removed or
a service that is down would fail for thousands, and each attempt may take its time limit. What is wrong with
the key or the options is wrong for every file, too: it is said for the first few."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from elfsig.errors import SigningError
from elfsig.verbs.edit.change import Done

PATIENCE = 3
"""Failures of one kind in a row after which the run ends."""

DONE = frozenset({"signed", "converted"})
"""Words for files that the signer has signed."""


class Failure(NamedTuple):
    """Errors of these ``codes`` are not about the file. ``end`` says why a run ends with them, ``code`` and
    ``hint`` are those of the error that ends it."""

    code: str
    end: str
    codes: frozenset[str]
    hint: str | None = None


FAILURES = (
    Failure(
        "signer-failing",
        f"the signer failed for {PATIENCE} files in a row: the rest was not tried",
        frozenset({
            "gnupg-failed", "no-gnupg", "signer-command", "token-failed", "token-login", "wrong-signature",
        }),
        "run-again",
    ),
    Failure(
        "request-refused",
        f"the key or the options were refused for {PATIENCE} files in a row: the rest was not tried",
        frozenset({
            "cannot-prepare", "cannot-sign", "coverage", "hash-too-short", "no-certificate",
            "no-kernel-reads-it", "no-secret-key", "other-key", "packet-version", "payload", "section-name",
            "signing-time", "time-out-of-range", "unknown-coverage", "unknown-hash", "unknown-payload",
            "unsupported", "wrong-hash", "wrong-key",
        }),
    ),
)  # fmt: skip


def until_outage(results: Iterable[Done]) -> Iterator[Done]:
    """Pass on ``results``. Raises SigningError after PATIENCE failures of one kind in a row.

    Files that were not signed for another reason do not count, in either direction.
    """
    row: Counter[str] = Counter()
    for done in results:
        yield done
        if done.error is None:
            if done.word in DONE:
                row.clear()
            continue
        for failure in FAILURES:
            row[failure.code] += done.error.code in failure.codes
            if row[failure.code] == PATIENCE:
                raise SigningError(failure.end, code=failure.code, hint=failure.hint)
