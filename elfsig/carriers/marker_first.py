"""The trailer of 3.7-rc1: the marker comes first, the 12-byte info block is the last thing in the file.

scripts/sign-file (shell) of October 2012; that kernel scanned forward and used the first marker it found.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from elfsig.carriers.trailer import INFO, MARKER, cut_out, overlap, pack_info, unpack_info
from elfsig.elf.image import Image
from elfsig.errors import EditRefused
from elfsig.lazy_dataclass import dataclass
from elfsig.model import Mark, Params, Place, PlaceKind, Remark, TrailerInfo


@dataclass(frozen=True, slots=True)
class MarkerFirst:
    """Content, marker, blob, info block."""

    marks: ClassVar[tuple[Mark, ...]] = (Mark(MARKER),)
    id: str = "trailer:modsig-rc1"
    kind: PlaceKind = "trailer"
    short_name: str = "~Module sig~rc1"

    def find(self, image: Image) -> Sequence[Place]:
        """At most one place; only where the info block's lengths lead exactly back to a marker."""
        stop = image.end - INFO.size
        if stop < len(MARKER):
            return ()
        info = unpack_info(image.data[stop : image.end])
        if (info.algo, info.id_type) != (1, 1):
            return ()
        size = info.sig_len + info.signer_len + info.key_id_len
        start = stop - size
        at = start - len(MARKER)
        if at < 0 or image.data[at:start] != MARKER:
            return ()
        fault, first = None, image.data.find(MARKER, 0, start)
        if first != at:
            fault = Remark("marker-inside", "the content also holds the marker", first)
        blob, remarks = image.data[start:stop], tuple(overlap(image, at))
        return (Place("trailer", self.id, at, image.end, start, blob, info, fault=fault, remarks=remarks),)

    def may_end(self, tail: bytes) -> bool:
        """The info block is the last thing in the file."""
        info = unpack_info(tail[-INFO.size :])
        return (info.algo, info.id_type) == (1, 1)

    def attach(self, image: Image, blob: bytes, params: Params, *, engine: str = "exact") -> bytes:
        """Content, marker, blob, info block. Refused where the content holds a marker already: that
        kernel would take it for the start of the signature."""
        if not isinstance(params, TrailerInfo):
            raise EditRefused("a module trailer needs its info block")
        inside = image.data.find(MARKER, 0, image.end)
        if inside >= 0:
            raise EditRefused("the content holds the marker, and 3.7-rc1 uses the first one", offset=inside)
        return image.bytes() + MARKER + blob + pack_info(params, len(blob))

    def detach(self, image: Image, place: Place, *, engine: str = "exact") -> bytes:
        """Everything but the place."""
        return cut_out(image, place)
