"""cover: the map of a file under each of its signatures: which bytes decide whether it matches, and which do
not.

Nothing here depends on a format: the map is made from the same message that is hashed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from elfsig.coverages.bytemap import KINDS, Kind, Map, draw
from elfsig.coverages.catalogue import SIGNED_AS
from elfsig.errors import ParseError
from elfsig.model import Coverage, Format, Message, Place, SignatureReport, Verdict
from elfsig.model.brief import brief
from elfsig.model.json_form import carrier_object, remark_object
from elfsig.opened.module import Module
from elfsig.opened.places import LocatedSignature, outer_trailers
from elfsig.registry import Registry
from elfsig.verbs.inspect.bytemap import FilePart, parts
from elfsig.verbs.inspect.digest import coverages, streams
from elfsig.verbs.verify.examine import Outside, Question, signatures_at, with_outside
from elfsig.verbs.verify.layers import decisive
from elfsig.verbs.verify.no_keys import NoKeys

MOST_MAPS = 64
"""Damaged signatures have maps as well, up to this layer: a file may have as many as it has sections."""


class Basis(StrEnum):
    """How it is known which coverage a signature has."""

    VERIFIED = "verified"
    """It matches a key under this coverage."""
    HASH16 = "hash16"
    """Only this one fits the 16 bits of the hash that are stored in the signature."""
    ONLY = "only"
    """Its format has no other."""
    ASSUMED = "assumed"
    """The first of several that its format has; the file does not say which."""
    ASKED = "asked"
    """The caller named it."""


@dataclass(frozen=True, slots=True)
class Cover:
    """The map of one file under one signature; ``found`` None: under one that is still to be made.

    ``message`` is None where no message can be computed, and ``fault`` says why: then nothing is known to
    be covered. ``others`` are the other possible coverages.
    """

    found: LocatedSignature | None
    signature: SignatureReport | None
    coverage: str | None
    basis: Basis
    others: tuple[str, ...]
    message: Message | None
    fault: str | None
    kinds: Map
    parts: tuple[FilePart, ...]

    def __repr__(self) -> str:
        return brief(self)

    def to_json(self) -> dict[str, Any]:
        """The entry of ``maps``, as ``elfsig coverage --json`` writes it."""
        known = self.message is not None
        return {
            "layer": self.found.layer if self.found else None,
            "format": self.signature.format if self.signature is not None else None,
            "verdict": self.signature.verdict.value if self.signature is not None else None,
            "carrier": carrier_object(self.place) if self.place else None,
            "coverage": self.coverage,
            "basis": self.basis.value,
            "others": list(self.others),
            "error": None if known else self.fault,
            "warnings": [remark_object(each) for each in self.message.remarks] if self.message else [],
            "bytes": _object(self.kinds.counts()) if known else None,
            "parts": [_part_object(part) for part in self.parts] if known else [],
            "ranges": _ranges(self.kinds) if known else None,
            "proof": None,
        }

    @property
    def place(self) -> Place | None:
        return self.found.place if self.found else None

    @property
    def is_good(self) -> bool:
        """Whether the signature matches a key that was given."""
        return self.signature is not None and is_good(self.signature)


def is_good(sig: SignatureReport) -> bool:
    """Whether a signature matches a key that was given."""
    return sig.verdict in (Verdict.VALID, Verdict.UNTRUSTED)


def covers(
    module: Module, question: Question, coverage: str | None = None, outside: Outside | None = None
) -> list[Cover]:
    """One map for each signature of ``module``, outermost first.

    ``coverage`` makes the map under this one instead of each signature's own; signatures that
    cannot have it are left out, and where none can, the only map is that of a signature still to be made.
    ``outside`` gives a signature that is kept elsewhere. Raises UsageError for an unknown coverage.
    """
    found = module.places if outside is None else with_outside(module, outside, module.places)
    painter = _Painter(module, question, found)
    if coverage is None:
        return [painter.cover(each) for each in found]
    unsigned = streams(module, coverage)[0]
    chosen, signed_as = coverages(module.registry)[coverage], SIGNED_AS.get(coverage, coverage)
    able = [each for each in found if signed_as in _coverages(each.claimants)]
    if able:
        return [painter.cover(each, chosen) for each in able]
    fault = None if unsigned.fault is None else str(unsigned.fault)
    return [painter.drawn(None, None, coverage, Basis.ASKED, (), unsigned.message, fault)]


def _coverages(formats: Iterable[Format]) -> Mapping[str, Coverage]:
    return {pair.coverage.id: pair.coverage for format_ in formats for pair in format_.pairs}


@dataclass(frozen=True, slots=True)
class _Painter:
    """Makes the maps of one file."""

    module: Module
    question: Question
    everything: Sequence[LocatedSignature]

    def cover(self, found: LocatedSignature, asked: Coverage | None = None) -> Cover:
        """The map under one signature."""
        sig = decisive(list(signatures_at(self.module, found, self.question)))
        format_ = next((f for f in found.claimants if f.id == sig.format), None)
        if found.place.fault is not None or format_ is None:
            return self.drawn(found, sig, None, Basis.ONLY, (), None, sig.reason)
        if "verify" not in format_.capabilities:
            return self.drawn(found, sig, None, Basis.ONLY, (), None, format_.why_unsupported)
        coverage, basis, others = (asked, Basis.ASKED, ()) if asked else self._which(found, sig, format_)
        try:
            message, fault = self.module.message(coverage, found.image, found.place), None
        except ParseError as reason:
            message, fault = None, str(reason)
        return self.drawn(found, sig, coverage.id, basis, others, message, fault)

    def _which(
        self, found: LocatedSignature, sig: SignatureReport, format_: Format
    ) -> tuple[Coverage, Basis, tuple[str, ...]]:
        """The coverage of a signature, how that is known, and what else it could be."""
        able = _coverages((format_,))
        if sig.coverage is not None:
            return able[sig.coverage], Basis.VERIFIED, ()
        if len(able) == 1:
            return next(iter(able.values())), Basis.ONLY, ()
        fitting = [name for name in able if self._fits(found, format_, name)]
        if len(fitting) == 1:
            return able[fitting[0]], Basis.HASH16, ()
        first, *others = fitting or able
        return able[first], Basis.ASSUMED, tuple(others)

    def _fits(self, found: LocatedSignature, format_: Format, coverage: str) -> bool:
        """Whether the 16 bits of the hash stored in the signature fit this coverage."""
        pairs = tuple(pair for pair in format_.pairs if pair.coverage.id == coverage)
        alone = replace(found, claimants=(replace(format_, pairs=pairs),))
        keyed = replace(self.question, keys=self.question.keys or NoKeys())
        signatures = signatures_at(self.module, alone, keyed)
        return any(remark.code == "hash16-fits" for each in signatures for remark in each.warnings)

    def drawn(
        self,
        found: LocatedSignature | None,
        sig: SignatureReport | None,
        coverage: str | None,
        basis: Basis,
        others: tuple[str, ...],
        message: Message | None,
        fault: str | None,
    ) -> Cover:
        """The finished map; from layer MOST_MAPS on an empty one where the message is not known."""
        if message is None and found is not None and found.layer >= MOST_MAPS:
            return Cover(found, sig, coverage, basis, others, None, fault, Map(()), ())
        place = found.place if found else None
        trailers = [f for f in self.everything if f.place.kind == "trailer" and f.place.where == "content"]
        kinds = draw(
            self.module.image, message, place, outer_trailers(self.module.places, found) if found else ()
        )
        named = [(_trailer_name(f, self.module.registry), f.place) for f in trailers]
        listed = tuple(parts(self.module.image, named, kinds))
        return Cover(found, sig, coverage, basis, others, message, fault, kinds, listed)


def _trailer_name(found: LocatedSignature, registry: Registry) -> str:
    """What a trailer is called: its format, or what its carrier calls it."""
    if found.claimants:
        return f"{found.claimants[0].id} signature"
    return next((c.short_name for c in registry.carriers if c.id == found.place.carrier), found.place.carrier)


# --------------------------------------------------------------------------- JSON


def _object(counts: Mapping[Kind, int]) -> dict[str, int]:
    return {kind.value: counts.get(kind, 0) for kind in KINDS}


def _ranges(kinds: Map) -> dict[str, list[list[int]]]:
    found: dict[str, list[list[int]]] = {kind.value: [] for kind in KINDS}
    for run in kinds.runs:
        found[run.kind.value].append([run.start, run.end])
    return found


def _part_object(part: FilePart) -> dict[str, Any]:
    return {
        "what": part.what,
        "name": part.name,
        "index": part.nr,
        "offset": part.start,
        "size": part.end - part.start,
        "bytes": _object(part.counts),
        "entry": _object(part.entry) if part.entry else None,
    }
