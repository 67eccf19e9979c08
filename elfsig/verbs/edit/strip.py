"""strip: remove signatures, exactly the bytes that adding them added."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from elfsig.elf.image import Image
from elfsig.errors import EditRefused
from elfsig.model import Remark
from elfsig.opened.evidence import Evidence
from elfsig.opened.places import Found, find
from elfsig.registry import Registry
from elfsig.verbs.edit.change import Change, tail_of
from elfsig.verbs.edit.message_guard import check_remaining, name_of


class Removed(NamedTuple):
    """One signature that was taken out: its format (None: unknown), its carrier's short name, and where it
    lay in the content at that moment."""

    format: str | None
    name: str
    start: int
    size: int

    def __str__(self) -> str:
        return f"{self.format or 'unknown'} signature ({self.name}, {self.size} bytes at {self.start:#x})"


@dataclass(frozen=True, slots=True)
class StripResult:
    """The content without the signatures in ``removed``; the same content where there were none."""

    content: bytes
    removed: tuple[Removed, ...]
    remarks: tuple[Remark, ...] = ()


def strip(
    content: bytes,
    registry: Registry,
    *,
    format_id: str | None = None,
    everything: bool = False,
    force: bool = False,
    engine: str = "exact",
) -> StripResult:
    """Remove the signature that was applied last: the outermost trailer, else the first section.

    ``format_id`` (id or alias) looks at signatures of this format only; ``everything`` removes all of
    them. Raises EditRefused for remains whose extent is uncertain, and where a signature that stays would
    no longer match (``force`` to go on); UsageError for an unknown format.
    """
    wanted = registry.get(format_id).id if format_id else None
    removed: list[Removed] = []
    image = Image(content)
    start = find(image, registry)
    found = _next(start, wanted)
    while found is not None:
        image = Image(_without(image, found, registry, engine))
        removed.append(_removed(found, registry))
        found = _next(find(image, registry), wanted) if everything else None
    if not removed:
        return StripResult(content, ())
    remarks = check_remaining(_remaining(start, wanted, everything), image, registry, force=force)
    return StripResult(image.data, tuple(removed), tuple(remarks))


def _is_wanted(found: Found, wanted: str | None) -> bool:
    return wanted is None or any(f.id == wanted for f in found.claimants)


def _next(found: list[Found], wanted: str | None) -> Found | None:
    return next((each for each in found if _is_wanted(each, wanted)), None)


def _remaining(start: list[Found], wanted: str | None, everything: bool) -> list[Found]:
    """Those that were there at the start and are meant to be there still."""
    if everything:
        return [each for each in start if not _is_wanted(each, wanted)]
    first = _next(start, wanted)
    return [each for each in start if each is not first]


def _without(image: Image, found: Found, registry: Registry, engine: str) -> bytes:
    """The whole content without one place; what lies outside of it stays where it is."""
    place = found.place
    if place.fault is not None:
        raise EditRefused(
            f"not removed, its extent is uncertain: {place.fault.text}",
            offset=place.fault.offset,
            code="uncertain-extent",
        )
    inner = registry.carrier(place).detach(found.image, place, engine=engine)
    outer = image.data[found.image.end :]
    if place.kind == "trailer" and inner != image.data[: place.start]:
        raise EditRefused(f"removing the {name_of(found)} would change what is in front of it")
    return inner + outer if outer else inner


def _removed(found: Found, registry: Registry) -> Removed:
    place = found.place
    name = place.section or registry.carrier(place).short_name
    claimed = found.claimants[0].id if found.claimants else None
    return Removed(claimed, name, place.start, place.end - place.start)


def strip_file(
    evidence: Evidence,
    registry: Registry,
    *,
    format_id: str | None = None,
    everything: bool = False,
    force: bool = False,
    engine: str = "exact",
) -> Change:
    """What :func:`strip` makes of a file; a trailer behind the compressed stream is the outermost one."""
    stream = tail_of(evidence) if format_id is None else None
    removed: list[str] = []
    if stream is not None:
        size = evidence.size - len(stream)
        removed = [f"signature behind the compressed stream ({size} bytes at {len(stream):#x} of the file)"]
        if not everything:
            return Change(stream, "stripped", f"removed {removed[0]}", verbatim=True)
    result = strip(
        evidence.content, registry, format_id=format_id, everything=everything, force=force, engine=engine
    )
    removed += map(str, result.removed)
    if not removed:
        return Change(None, "unchanged", "nothing to strip")
    text = "removed " + ", ".join(removed)
    if stream is not None and not result.removed:
        return Change(stream, "stripped", text, verbatim=True)
    return Change(result.content, "stripped", text, result.remarks)
