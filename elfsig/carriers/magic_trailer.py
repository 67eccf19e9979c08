"""The trailers of 2012: a length field and the 30-byte text ``This Is A Crypto Signed Module``, no newline.

Two unrelated schemes end in this text. Howells' development tree (kernel/module-verify.c, mid 2012) put
the length before it as ASCII digits, left-justified in five bytes and padded with blanks; ``evmctl
--modsig`` (ima-evm-utils 203f058, August 2012) as two bytes, big-endian.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

from elfsig.carriers.trailer import byte_count, cut_out, overlap
from elfsig.elf.image import Image
from elfsig.errors import EditRefused
from elfsig.lazy_dataclass import dataclass
from elfsig.model import MagicInfo, Mark, Params, Place, PlaceKind, Remark

MAGIC = b"This Is A Crypto Signed Module"
CARRIER = "trailer:csm"
_DIGITS = re.compile(rb"([0-9]{1,5}) *\Z")
_LOOSE = re.compile(rb"([0-9]{0,4}) ")
"""As that kernel read it: digits up to the first blank; it ignored what follows the blank."""

Style = Literal["ascii", "u16"]
Plausible = Callable[[bytes], bool]
WIDTH: dict[Style, int] = {"ascii": 5, "u16": 2}


def _ascii(data: bytes, room: int, plausible: Plausible) -> int | None:
    digits = _DIGITS.match(data[room - 5 : room]) if room >= 5 else None
    return _fitting(digits, room)


def _u16(data: bytes, room: int, plausible: Plausible) -> int | None:
    size = int.from_bytes(data[room - 2 : room], "big") if room >= 2 else 0
    sound = 0 < size <= room - 2 and plausible(data[room - 2 - size : room - 2])
    return size if sound else None


def _loose(data: bytes, room: int, plausible: Plausible) -> int | None:
    return _fitting(_LOOSE.match(data[room - 5 : room]) if room >= 5 else None, room)


def _fitting(digits: re.Match[bytes] | None, room: int) -> int | None:
    size = int(digits[1] or b"0") if digits else None
    return size if size is not None and size < room - 5 else None


_LOOKS: tuple[tuple[Style, Callable[[bytes, int, Plausible], int | None]], ...] = (
    ("ascii", _ascii),
    ("u16", _u16),
    ("ascii", _loose),
)


def _place(image: Image, stop: int, size: int, style: Style) -> Place:
    """The place of a signature of ``size`` bytes that ends at ``stop``, where its length field starts."""
    start, field = stop - size, image.data[stop : image.end - len(MAGIC)]
    remarks = list(overlap(image, start))
    if style == "ascii" and not _DIGITS.match(field):
        text = f"length field {field!r} is not digits padded with blanks; that kernel read {size}"
        remarks.append(Remark("magic-length-odd", text, stop))
    return Place(
        "trailer", CARRIER, start, image.end, start, image.data[start:stop], MagicInfo(style, field),
        remarks=tuple(remarks),
    )  # fmt: skip


def _faulty(image: Image, room: int) -> Place:
    """The magic without a length that leads to a signature; kernels read only the ASCII one."""
    field = image.data[max(0, room - 5) : room]
    digits = _DIGITS.match(field)
    if image.end <= len(MAGIC) + 5:
        text = f"{image.end} bytes in all, not more than the length field and the magic need"
    elif digits:
        text = f"length {int(digits[1])} does not fit: {byte_count(room - 5)} before it"
    else:
        binary = int.from_bytes(field[-2:], "big")
        text = f"before the magic are neither decimal digits ({field!r}) "
        text += f"nor the length of an IMA signature ({binary})"
    fault = Remark("magic-length", text, max(0, room - 5))
    unsigned = image.end <= len(MAGIC) + 5
    return Place(
        "trailer", CARRIER, room, image.end, room, b"", None, fault=fault, treated_as_unsigned=unsigned
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class MagicTrailer:
    """Blob, length field, magic text. ``plausible`` tells an IMA signature from any other bytes."""

    marks: ClassVar[tuple[Mark, ...]] = (Mark(MAGIC, "magic", 12),)
    plausible: Plausible
    id: str = CARRIER
    kind: PlaceKind = "trailer"
    short_name: str = "~Crypto Signed~"

    def find(self, image: Image) -> Sequence[Place]:
        """At most one place, at the very end of ``image``. See model.Carrier."""
        end, data = image.end, image.data
        if data[max(0, end - len(MAGIC)) : end] != MAGIC:
            return ()
        room = end - len(MAGIC)
        for style, look in _LOOKS:
            size = look(data, room, self.plausible)
            if size is not None:
                return (_place(image, room - WIDTH[style], size, style),)
        return (_faulty(image, room),)

    def may_end(self, tail: bytes) -> bool:
        """The magic text is the last thing in the file."""
        return tail.endswith(MAGIC)

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
