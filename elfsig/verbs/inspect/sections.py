"""sections: which sections of a file the messages of its signatures cover, under every coverage."""

from __future__ import annotations

from typing import NamedTuple

from elfsig.elf.image import Image
from elfsig.elf.table import SHT_NOBITS, SHT_NULL
from elfsig.errors import ParseError
from elfsig.model import ByteRange, Derived, Message
from elfsig.opened.module import Module


class Reach(NamedTuple):
    """One coverage that the signature at ``layer`` may have: the sections whose bytes, relocations or
    header it covers, at least in part. ``fault`` says why that is not known."""

    layer: int
    format: str
    coverage: str
    sections: frozenset[int]
    fault: str | None = None


def reaches(module: Module) -> list[Reach]:
    """One entry for each signature and coverage of its first claimant, outermost signature first."""
    found: list[Reach] = []
    for each in module.places:
        if each.place.fault is not None or not each.claimants:
            continue
        format_ = each.claimants[0]
        for coverage in {pair.coverage.id: pair.coverage for pair in format_.pairs}.values():
            try:
                message = module.message(coverage, each.image, each.place)
                sections, fault = _sections(message, module.image), None
            except ParseError as reason:
                sections, fault = frozenset(), str(reason)
            found.append(Reach(each.layer, format_.id, coverage.id, sections, fault))
    return found


def _sections(message: Message, image: Image) -> frozenset[int]:
    named = {piece.section for piece in message.pieces if piece.section is not None}
    ranges = [
        ByteRange(piece.start, piece.end)
        for piece in message.pieces
        if not isinstance(piece, Derived) and piece.section is None
    ]
    return frozenset(named | _inside(ranges, image))


def _inside(ranges: list[ByteRange], image: Image) -> set[int]:
    """Sections whose bytes (for NOBITS ones, their place in the order) are in ranges that do not name a
    section."""
    if image.elf is None or not ranges:
        return set()
    return {
        nr
        for nr, row in enumerate(image.elf.rows)
        if row.type != SHT_NULL
        and any(
            r.start <= row.offset and row.offset + (0 if row.type == SHT_NOBITS else row.size) <= r.end
            for r in ranges
        )
    }
