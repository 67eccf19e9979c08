"""Coverage ``whole-file``: every byte before the signature (appended-formats 1: csm, x509, pkcs7)."""

from __future__ import annotations

from typing import ClassVar

from elfsig.elf.image import Image
from elfsig.lazy_dataclass import dataclass
from elfsig.model import FileRange, Message, Place

WHOLE_FILE = "whole-file"
"""The id of this coverage, which the formats of today have."""


@dataclass(frozen=True, slots=True)
class WholeFile:
    """All bytes before the place; before anything is attached, all bytes."""

    verbatim: ClassVar[bool] = True
    id: str = WHOLE_FILE

    def message(self, image: Image, place: Place | None) -> Message:
        """One range from 0 to the start of ``place``. Never raises."""
        # A detached signature has no bytes in the file: it signs all of it.
        end = image.end if place is None or place.kind == "detached" else place.start
        return Message(self.id, image.data, (FileRange(0, end),))
