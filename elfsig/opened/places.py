"""Every signature of a file, from the outside in: where it is, and which formats claim it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from elfsig.carriers.remains import remains
from elfsig.elf.image import Image
from elfsig.lazy_dataclass import dataclass, replace
from elfsig.model import Carrier, Format, Place, Remark, optional
from elfsig.model.brief import brief
from elfsig.registry import Registry

MAX_TRAILERS = 64
"""More stacked trailers than this are reported, but not examined: each costs a pass over the file."""

MAX_SECTIONS = 16
"""More signature sections of one carrier than this are reported, but not examined: each costs a digest of
the file. A carrier gives the section that kernels use first."""


@dataclass(frozen=True, slots=True)
class LocatedSignature:
    """One signature, found but not parsed. ``image`` ends where the trailers outside it begin; ``layer``
    counts from the outside; ``claimants`` are the formats that claim the place, in probing order."""

    layer: int
    image: Image
    place: Place
    claimants: tuple[Format, ...]

    def __repr__(self) -> str:
        return brief(self)


def find(image: Image, registry: Registry, outside: int = 0) -> list[LocatedSignature]:
    """All signatures in ``image``: stacked trailers first, from the outermost, then sections and notes.

    ``outside``: how many layers the file has outside ``image``.

    Detection order: appended formats of kernels from 3.7 on, then those of 2012, then displaced remains
    of either, then ELF sections in the order of the registry. Never raises because of the file's content;
    InternalError for a plug-in that fails.
    """
    found: list[LocatedSignature] = []
    view = image
    while (place := _trailer(view, registry, not found)) is not None:
        if len(found) == MAX_TRAILERS:
            place = _too_many(place)
        if found and place.fault is None:
            place = replace(place, remarks=(*place.remarks, _inner(place)))
        found.append(LocatedSignature(outside + len(found), view, place, registry.claimants(place)))
        if place.fault is not None:
            break
        view = view.cut(place.start)
    for carrier in registry.sections_of(view):
        for number, place in enumerate(_asked(carrier, view, registry)):
            if number >= MAX_SECTIONS and place.fault is None:
                place = _not_examined(place)
            found.append(LocatedSignature(outside + len(found), view, place, registry.claimants(place)))
    return found


def last_mark(data: bytes, start: int, registry: Registry) -> tuple[int, Carrier] | None:
    """The last mark of a trailer in ``data`` from ``start`` on, and its carrier."""
    marks = ((mark.text.removesuffix(b"\n"), c) for c in registry.trailers for mark in optional.marks(c))
    found = [(at, carrier) for text, carrier in marks if (at := data.rfind(text, start)) >= 0]
    return max(found, key=lambda each: each[0], default=None)


def _trailer(view: Image, registry: Registry, outermost: bool) -> Place | None:
    """The trailer at the end of ``view``; failing that, displaced remains of one."""
    for carrier in registry.trailers:
        for place in _asked(carrier, view, registry):
            return place
    return remains(view, registry.trailers, outermost)


def _asked(carrier: Carrier, view: Image, registry: Registry) -> Sequence[Place]:
    """The places that a carrier finds. Raises InternalError for a plug-in's carrier that fails."""
    try:
        places = carrier.find(view)
        for each in places:
            if not isinstance(each, Place):
                raise TypeError(f"find() of {carrier.id} gives a {type(each).__name__}, not a Place")
    except Exception as bug:
        registry.blame(carrier, bug)
        raise
    return places


def _inner(place: Place) -> Remark:
    text = "an inner trailer"
    return Remark("inner-trailer", text, place.start)


def innermost(image: Image, found: Sequence[LocatedSignature]) -> Image | None:
    """``image`` without the trailers in ``found``; None where it is uncertain how far they reach."""
    trailers = [each for each in found if each.place.kind == "trailer"]
    if not trailers:
        return image
    last = trailers[-1]
    return None if last.place.fault is not None else last.image.cut(last.place.start)


def _too_many(place: Place) -> Place:
    text = f"more than {MAX_TRAILERS} stacked trailers: inner ones are not examined"
    return replace(place, fault=Remark("too-many-trailers", text, place.start))


def _not_examined(place: Place) -> Place:
    text = f"more than {MAX_SECTIONS} sections of this kind: further ones are not examined"
    return replace(place, fault=Remark("too-many-sections", text, place.start))


def anomalies(image: Image, registry: Registry) -> list[Remark]:
    """What looks like a signature but is not one to any kernel, such as a section of the wrong type."""
    remarks: list[Remark] = []
    for carrier in registry.sections_of(image):
        remarks += optional.anomalies(carrier, image)
    return remarks


def outer_trailers(places: Iterable[LocatedSignature], found: LocatedSignature) -> list[Place]:
    """The trailers in the content that are outside ``found``: where they end decides where it is."""
    trailers = (each for each in places if each.place.kind == "trailer")
    return [each.place for each in trailers if each.place.where == "content" and each.layer < found.layer]
