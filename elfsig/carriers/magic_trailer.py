"""The trailers of 2012: a length field and the 30-byte text ``This Is A Crypto Signed Module``, no newline.

Two unrelated schemes end in this text. Howells' development tree (kernel/module-verify.c, mid 2012) put
the length in front of it as ASCII digits, left-justified in five bytes and blank-filled; ``evmctl
--modsig`` (ima-evm-utils 203f058, August 2012) as two bytes, big-endian.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from elfsig.carriers.trailer import cut_out
from elfsig.elf.image import Image
from elfsig.errors import EditRefused
from elfsig.model import MagicInfo, Params, Place, PlaceKind, Remark

MAGIC = b"This Is A Crypto Signed Module"
_DIGITS = re.compile(rb"([0-9]{1,5}) *\Z")
_WIDTH: dict[Literal["ascii", "u16"], int] = {"ascii": 5, "u16": 2}


@dataclass(frozen=True, slots=True)
class MagicTrailer:
    """Blob, length field, magic text. ``plausible`` tells a u16-style blob from any other bytes."""

    plausible: Callable[[bytes], bool]
    id: str = "trailer:csm"
    kind: PlaceKind = "trailer"
    short_name: str = "~Crypto Signed~"

    def find(self, image: Image) -> Sequence[Place]:
        """At most one place, at the very end of ``image``. See model.Carrier."""
        end, data = image.end, image.data
        if data[max(0, end - len(MAGIC)) : end] != MAGIC:
            return ()
        room = end - len(MAGIC)
        for style, size in (("ascii", self._ascii(data, room)), ("u16", self._u16(data, room))):
            if size is not None:
                width = _WIDTH["ascii" if style == "ascii" else "u16"]
                return (self._place(image, room - width, size, "ascii" if style == "ascii" else "u16"),)
        text = (
            "the magic is there, and neither a decimal nor a binary length of a signature is in front of it"
        )
        fault = Remark("magic-length", f"{text}; the kernels of 2012 answered ELIBBAD", max(0, room - 5))
        return (Place("trailer", self.id, room, end, room, b"", None, fault=fault),)

    def _ascii(self, data: bytes, room: int) -> int | None:
        digits = _DIGITS.match(data[max(0, room - 5) : room]) if room >= 5 else None
        size = int(digits[1]) if digits else None
        return size if size is not None and size < room - 5 else None

    def _u16(self, data: bytes, room: int) -> int | None:
        size = int.from_bytes(data[room - 2 : room], "big") if room >= 2 else 0
        sound = 0 < size <= room - 2 and self.plausible(data[room - 2 - size : room - 2])
        return size if sound else None

    def _place(self, image: Image, stop: int, size: int, style: Literal["ascii", "u16"]) -> Place:
        start, field = stop - size, image.data[stop : image.end - len(MAGIC)]
        info = MagicInfo(style, field)
        return Place("trailer", self.id, start, image.end, start, image.data[start:stop], info)

    def attach(self, image: Image, blob: bytes, params: Params, *, engine: str = "exact") -> bytes:
        """Content, blob, length in the style of ``params``, magic. The engine plays no part."""
        if not isinstance(params, MagicInfo):
            raise EditRefused("a trailer of 2012 needs the style of its length field")
        limit = 99_999 if params.style == "ascii" else 0xFFFF
        if len(blob) > limit:
            raise EditRefused(
                f"a signature of {len(blob)} bytes does not fit the length field (at most {limit})"
            )
        field = b"%-5d" % len(blob) if params.style == "ascii" else len(blob).to_bytes(2, "big")
        return image.bytes() + blob + field + MAGIC

    def detach(self, image: Image, place: Place, *, engine: str = "exact") -> bytes:
        """Everything but the place."""
        return cut_out(image, place)
