"""How many bytes of a file are open: neither hashed nor decisive for what is hashed."""

from __future__ import annotations

from collections.abc import Iterable

from elfsig.coverages.bytemap import layers
from elfsig.coverages.sections import Column, LazyRanges, Spans
from elfsig.elf.image import Image
from elfsig.model import FileRange, Message, Place


def open_bytes(image: Image, message: Message, place: Place | None, outer: Iterable[Place]) -> int:
    """How many bytes of ``image`` are open in its map, without drawing it.

    The arguments are those of :func:`elfsig.coverages.bytemap.draw`.
    """
    left = bytearray(b"\1") * len(image.data)
    steering = message.steering
    if isinstance(steering, LazyRanges) and steering.everything is not None:
        _erase(left, steering.everything())
        verbatim = tuple(piece for piece in message.pieces if isinstance(piece, FileRange))
        message = message._replace(pieces=verbatim, steering=())
    for _, ranges in layers(image, message, place, outer):
        _erase(left, ranges)
    return len(left.translate(None, b"\0"))


def _erase(left: bytearray, spans: Spans) -> None:
    """Set all bytes of ``spans`` to 0, as far as they are in ``left``."""
    size = len(left)
    for span in spans:
        if isinstance(span, Column):
            first, last, step, rows = span
            for at in range(first, last):
                left[at : at + rows * step : step] = bytes(rows)
        else:
            start, end = span
            if end > size:
                end = size
            if start < end:
                left[start:end] = bytes(end - start)
