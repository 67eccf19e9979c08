"""strip: remove signatures, exactly the bytes that adding them added."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NamedTuple

from elfsig.errors import EditRefused
from elfsig.lazy_dataclass import replace
from elfsig.model import Remark
from elfsig.model.brief import brief
from elfsig.model.json_form import SCHEMA_VERSION, path_members, remark_object
from elfsig.opened.module import Module, refuse_uncertain
from elfsig.opened.places import LocatedSignature
from elfsig.verbs.edit.change import Change, tail_of
from elfsig.verbs.edit.message_guard import check_remaining, name_of
from elfsig.verbs.verify.other_files import not_a_module


class Removed(NamedTuple):
    """One signature that was removed: its format (None: unknown), its carrier's short name, and where it
    was in the content at that moment."""

    format: str | None
    name: str
    start: int
    size: int

    def to_json(self) -> dict[str, Any]:
        """An entry of ``removed`` as plain JSON values."""
        return {"format": self.format, "name": self.name, "offset": self.start, "size": self.size}

    def __str__(self) -> str:
        return f"{self.format or 'unknown'} signature ({self.name}, {self.size} bytes at {self.start:#x})"


@dataclass(frozen=True, slots=True)
class StripResult:
    """``module`` is what is left without the signatures in ``removed``: the original module if none were
    removed."""

    module: Module
    removed: tuple[Removed, ...]
    remarks: tuple[Remark, ...] = ()

    def __repr__(self) -> str:
        return brief(self)

    def to_json(self) -> dict[str, Any]:
        """The result as plain JSON values: size and SHA-256 of the content, what was removed, warnings."""
        return result_object(self.module.path, self.content, self.removed, self.remarks)

    @property
    def content(self) -> bytes:
        """The content of the result, decompressed."""
        return self.module.content


def result_object(
    path: str, content: bytes, removed: Sequence[Removed], remarks: Sequence[Remark]
) -> dict[str, Any]:
    """What the JSON of every edit's result has."""
    return {
        "schema_version": SCHEMA_VERSION,
        **path_members(path),
        "size": len(content),
        "sha256": sha256(content).hexdigest(),
        "removed": [each.to_json() for each in removed],
        "warnings": [remark_object(each) for each in remarks],
    }


def strip(
    module: Module,
    *,
    format_id: str | None = None,
    everything: bool = False,
    force: bool = False,
    engine: str = "exact",
) -> StripResult:
    """Remove the signature that was applied last: the outermost trailer, else the first section.

    ``format_id`` (id or alias) selects signatures of this format only; ``everything`` removes all of
    them. Raises EditRefused for remains whose extent is uncertain (``force`` removes a whole trailer that
    something follows, together with that), and where a signature that stays would no longer match (unless
    ``force``); UsageError for an unknown format.
    """
    wanted = module.registry.get(format_id).id if format_id else None
    removed: list[Removed] = []
    left = module
    found = _next(module.places, wanted)
    while found is not None:
        left = left.edited(_without(left, found, engine, force))
        removed.append(_removed(found, module))
        found = _next(left.places, wanted) if everything else None
    if left is module:
        return StripResult(module, ())
    remarks = check_remaining(module, _remaining(module.places, wanted, everything), left, force=force)
    return StripResult(left, tuple(removed), tuple(remarks))


def _is_wanted(found: LocatedSignature, wanted: str | None) -> bool:
    return wanted is None or any(f.id == wanted for f in found.claimants)


def _next(found: Sequence[LocatedSignature], wanted: str | None) -> LocatedSignature | None:
    """The signature to remove. One that ``wanted`` claims before all other formats comes first: another
    format's signature may be in a section that ``wanted`` has used, too."""
    claimed = [each for each in found if _is_wanted(each, wanted)]
    own = (each for each in claimed if wanted is None or each.claimants[0].id == wanted)
    return next(own, claimed[0] if claimed else None)


def _remaining(
    start: Sequence[LocatedSignature], wanted: str | None, everything: bool
) -> list[LocatedSignature]:
    """The original signatures that are meant to be kept."""
    if everything:
        return [each for each in start if not _is_wanted(each, wanted)]
    first = _next(start, wanted)
    return [each for each in start if each is not first]


def _without(module: Module, found: LocatedSignature, engine: str, force: bool) -> bytes:
    """The whole content without one signature; what is outside it stays where it is."""
    place = found.place
    refuse_uncertain(place, force)
    place = replace(place, fault=None)
    inner = module.registry.carrier(place).detach(found.image, place, engine=engine)
    outer = module.content[found.image.end :]
    if place.kind == "trailer" and inner != module.content[: place.start]:
        raise EditRefused(f"removing the {name_of(found)} would change the content before it")
    return inner + outer if outer else inner


def _removed(found: LocatedSignature, module: Module) -> Removed:
    place = found.place
    name = place.section or module.registry.carrier(place).short_name
    claimed = found.claimants[0].id if found.claimants else None
    return Removed(claimed, name, place.start, place.end - place.start)


def strip_file(
    module: Module,
    *,
    format_id: str | None = None,
    everything: bool = False,
    force: bool = False,
    engine: str = "exact",
) -> Change:
    """The change that :func:`strip` makes to a file; a trailer after the compressed stream is the
    outermost."""
    stream = tail_of(module) if format_id is None else None
    removed: list[str] = []
    if stream is not None:
        size = module.size - len(stream)
        removed = [f"signature after the compressed stream ({size} bytes at {len(stream):#x} of the file)"]
        if not everything:
            return Change(stream, "stripped", f"removed {removed[0]}", verbatim=True)
    result = strip(module, format_id=format_id, everything=everything, force=force, engine=engine)
    removed += map(str, result.removed)
    if not removed:
        other = not_a_module(module)
        text = "nothing to strip" if other is None else f"nothing to strip, {other.text}"
        return Change(None, "unchanged", text)
    text = "removed " + ", ".join(removed)
    if stream is not None and not result.removed:
        return Change(stream, "stripped", text, verbatim=True)
    return Change(result.content, "stripped", text, result.remarks)
