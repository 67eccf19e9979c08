"""prove: check the map of a file against the verifier. Bytes are changed one at a time in a copy in memory,
and the signature is searched for, and verified, again.

A change to a *verbatim* byte must break the signature, one to an *open* byte must not, and for *derived* and
*steering* bytes it must break exactly where the message changes. Changes to the signature itself prove
nothing about the map; they are counted.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from elfsig.coverages.bytemap import KINDS, Kind, Map
from elfsig.errors import ParseError, UsageError
from elfsig.model import Coverage, Message, optional
from elfsig.opened.module import Module
from elfsig.opened.places import LocatedSignature
from elfsig.verbs.edit.message_guard import digest_of
from elfsig.verbs.inspect.bytemap import FilePart
from elfsig.verbs.inspect.cover import Cover, is_good
from elfsig.verbs.inspect.digest import coverages
from elfsig.verbs.verify.examine import Outside, Question, signatures_at

SMALL = 1 << 18
"""Every byte is changed only in files up to this size: each change costs a verification."""


class Trial(NamedTuple):
    """One changed byte: ``mask`` is what it was XORed with.

    ``same``: the message did not change. ``good``: the signature still matched a key; None where there
    was no key to try. ``agrees``: this is what the map says.
    """

    offset: int
    mask: int
    kind: Kind
    same: bool
    good: bool | None
    agrees: bool


class Count(NamedTuple):
    """How many bytes of one kind were changed, how many of these changed the message, and how many left
    the signature matching (None: not verified)."""

    tried: int
    changed: int
    good: int | None


@dataclass(slots=True)
class Proof:
    """The result. ``keyed``: verified with a key; otherwise only the messages were compared."""

    seed: int
    keyed: bool
    counts: dict[Kind, Count] = field(default_factory=dict)
    against: list[Trial] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """The map and the verifier agreed every time."""
        return not self.against

    def add(self, trial: Trial) -> None:
        """Count one more."""
        tried, changed, good = self.counts.get(trial.kind, Count(0, 0, 0 if self.keyed else None))
        kept = None if good is None else good + bool(trial.good)
        self.counts[trial.kind] = Count(tried + 1, changed + (not trial.same), kept)
        if not trial.agrees:
            self.against.append(trial)


def prover(module: Module, cover: Cover, question: Question, outside: Outside | None = None) -> Prover:
    """Takes a map of ``module`` that has a message. Raises UsageError for one without."""
    if cover.message is None or cover.coverage is None:
        raise UsageError(f"nothing to prove: {cover.fault or 'no message'}", code="nothing-to-prove")
    coverage = coverages(module.registry)[cover.coverage]
    return Prover(module, cover, cover.message, coverage, question, outside)


@dataclass(frozen=True, slots=True)
class Prover:
    """Changes bytes of one file and checks the effect on one signature."""

    module: Module
    cover: Cover
    message: Message
    coverage: Coverage
    question: Question
    outside: Outside | None = None

    @property
    def keyed(self) -> bool:
        """Whether signatures are verified: the unchanged one matches a key."""
        return self.cover.is_good

    def trials(self, changes: Iterable[tuple[int, int]]) -> Iterator[Trial]:
        """Change the byte at each (offset, mask) on its own."""
        before = digest_of(self.message)
        copy = bytearray(self.message.data)
        for offset, mask in changes:
            copy[offset] ^= mask
            same, good = self._look(bytes(copy), before)
            copy[offset] ^= mask
            kind = self.cover.kinds.kind(offset)
            yield Trial(offset, mask, kind, same, good, _agrees(kind, same, good))

    def _look(self, content: bytes, before: bytes) -> tuple[bool, bool | None]:
        """Whether the message is still the same and whether the signature still matches."""
        changed = self.module.edited(content)
        found = self._again(changed)
        if found is None and self.cover.found is not None:
            return False, False if self.keyed else None
        same = self._digest(found, changed) == before
        if not self.keyed or found is None:
            return same, None
        return same, any(is_good(each) for each in signatures_at(changed, found, self.question))

    def _again(self, changed: Module) -> LocatedSignature | None:
        """The same signature in the changed content; None where it is not found, or damaged, there."""
        wanted = self.cover.found
        if wanted is None:
            return None
        if wanted.place.kind == "detached" and self.outside is not None:
            return self.outside(changed)
        mine = wanted.place
        for found in changed.places:
            place = found.place
            if (place.carrier, place.blob, place.fault) == (mine.carrier, mine.blob, None):
                return found
            if (place.carrier, place.start) == (mine.carrier, mine.start) and place.fault is None:
                return found
        return None

    def _digest(self, found: LocatedSignature | None, changed: Module) -> bytes | None:
        view = found.image if found else changed.image.cut(self._end)
        try:
            return digest_of(changed.message(self.coverage, view, found.place if found else None))
        except ParseError:
            return None

    @property
    def _end(self) -> int:
        """Where the content of a file that is still to be signed ends."""
        trailers = [part.start for part in self.cover.parts if part.what == "trailer"]
        whole = optional.verbatim(self.coverage)
        return len(self.message.data) if whole or not trailers else min(trailers)


def _agrees(kind: Kind, same: bool, good: bool | None) -> bool:
    if kind is Kind.SIGNATURE:
        return True
    if good is not None and good is not same:
        return False
    return {Kind.VERBATIM: not same, Kind.OPEN: same}.get(kind, True)


# --------------------------------------------------------------------------- which bytes


def chosen(cover: Cover, seed: int, extra: int) -> list[tuple[int, int]]:
    """(offset, mask): one byte of each kind in each part of the file, and ``extra`` ones from anywhere.

    Raises UsageError for more than are changed at most."""
    if extra > SMALL:
        raise UsageError(f"{extra} bytes are too many to change: at most {SMALL}", code="too-large")
    dice = random.Random(seed)
    places = [offset for part in cover.parts for offset in _one_of_each(cover.kinds, part, dice)]
    size = cover.kinds.size
    places += [dice.randrange(size) for _ in range(extra if size else 0)]
    return [(offset, dice.randrange(1, 256)) for offset in places]


def _one_of_each(kinds: Map, part: FilePart, dice: random.Random) -> Iterator[int]:
    runs = list(kinds.within(part.start, part.end))
    for kind in KINDS:
        here = [run for run in runs if run.kind is kind]
        if here:
            run = dice.choice(here)
            yield dice.randrange(run.start, run.end)


def every(cover: Cover, seed: int) -> list[tuple[int, int]]:
    """(offset, mask) for every byte. Raises UsageError for files that are too large for that."""
    size = cover.kinds.size
    if size > SMALL:
        raise UsageError(f"{size} bytes are too many to change every one: at most {SMALL}", code="too-large")
    dice = random.Random(seed)
    return [(offset, dice.randrange(1, 256)) for offset in range(size)]


def prove(prover: Prover, changes: Iterable[tuple[int, int]], seed: int) -> Proof:
    """Make all ``changes``, chosen by ``seed``, and count the results."""
    proof = Proof(seed, prover.keyed)
    for trial in prover.trials(changes):
        proof.add(trial)
    return proof
