"""What a message does not cover, in one sentence: the warning that accompanies every ``valid``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from elfsig.elf.image import Image
from elfsig.elf.table import SHT_NULL, SHT_REL, SHT_RELA, SHT_SYMTAB
from elfsig.model import Message, Place, Remark


def gaps(message: Message, image: Image, place: Place, outer: Iterable[Place] = ()) -> Iterator[Remark]:
    """At most one remark: which sections the signature does not cover, and how much of the file it does not
    protect, as in its map of bytes. ``outer`` are the trailers outside ``place``."""
    table = image.elf
    if table is None or message.verbatim:
        return
    named = {piece.section for piece in message.pieces}
    open_rows = [
        s for s in table.sections[1:]
        if s.nr not in named and s.nr != place.index and s.row.type != SHT_NULL and s.row.size
    ]  # fmt: skip
    if not open_rows:
        return
    kinds = {SHT_REL: "relocations", SHT_RELA: "relocations", SHT_SYMTAB: "symbols"}
    words = sorted({kinds[s.row.type] for s in open_rows if s.row.type in kinds})
    others = sum(s.row.type not in kinds for s in open_rows)
    if others:
        words.append(f"{others} other section{'s' if others > 1 else ''}")
    from elfsig.coverages.bytemap import percent
    from elfsig.coverages.open_bytes import open_bytes  # on demand: most messages have no gaps

    unprotected = open_bytes(image, message, place, outer)
    share = percent(unprotected, len(image.data))
    much = f": {share} of the file is not protected" if unprotected else ""
    listing = " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
    yield Remark("not-covered", f"{listing} are not covered{much}")
