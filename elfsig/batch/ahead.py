"""Files are read and hashed while the keys to verify them with are still being unpacked.

A kernel image takes as long to unpack as a thousand modules take to verify. What can be found out about a
module without keys is kept in short: a digest, the trailer, the header. Each file is read once for that: a
verdict is about the bytes that were hashed, whatever becomes of the file in the meantime.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import chain
from typing import TypeVar

from elfsig.batch.background import Background, is_possible
from elfsig.batch.like_signed import LikeSigned, Prepared
from elfsig.batch.workers import jobs_wanted
from elfsig.errors import ReadError
from elfsig.lazy_tuple import NamedTuple
from elfsig.opened.walk import WalkedFile
from elfsig.registry import Registry
from elfsig.verbs.verify.examine import Question, examine

K = TypeVar("K")

MOST = 8192
"""Files that are prepared at most: each takes some 2 KiB until it is reported."""


class Reading(NamedTuple):
    """How to read files: the formats, whether SHA-256 of files is wanted, and their maximum size."""

    registry: Registry
    hashes: bool
    limit: int


def look_ahead(
    entries: Iterator[WalkedFile], load: Callable[[], K], how: Reading, jobs: int
) -> tuple[K, Iterator[WalkedFile], Mapping[str, Prepared]]:
    """What ``load`` returns, ``entries``, and what is known of some of them by their paths.

    ``load`` runs in a process of its own, where that saves time. Raises what ``load`` does.
    """
    if not is_possible(jobs_wanted(jobs)):
        return load(), entries, {}
    loading = Background(load)
    seen: list[WalkedFile] = []
    prepared: dict[str, Prepared] = {}
    preparer = _Preparer(how)
    for entry in entries:
        seen.append(entry)
        if entry.is_plain and entry.error is None:
            found = preparer(entry)
            if found is not None:
                prepared[entry.path] = found
        if len(seen) >= MOST or loading.is_done():
            break
    return loading.result(), chain(seen, entries), prepared


class _Preparer:
    """Prepares one file after the other; None for a file that has to be examined as a whole."""

    def __init__(self, how: Reading) -> None:
        self.how = how
        self.like = LikeSigned(how.registry, Question(check=False))

    def __call__(self, entry: WalkedFile) -> Prepared | None:
        with suppress(ReadError):  # reported when the file is examined
            module = entry.open(self.how.registry, limit=self.how.limit)
            found = self.like.prepare(module, self.how.hashes)
            if found is None:
                with suppress(Exception):  # likewise, whatever a plug-in raises
                    self.like.learn(module, examine(module, Question(check=False)))
                found = self.like.prepare(module, self.how.hashes)
            return found
        return None
