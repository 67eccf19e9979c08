"""Compressed streams: one part without a name, which adds nothing to a path.

Further streams or cpio archives may follow, as in an initramfs (:func:`elfsig.containers.cpio.segments`).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from elfsig.compression import streams
from elfsig.containers.contract import Container, Context, Member
from elfsig.containers.cpio import segments
from elfsig.containers.readers import Reader, reader_of
from elfsig.recognition.magics import marks

_SKIPPABLE = (1, b"\x2a\x4d\x18")
"""What frames that zstd's and lz4's decoders skip have after their first byte (RFC 8878, 3.1.2)."""


def _open(kind: streams.Kind, reader: Reader, context: Context) -> Iterator[Member]:
    part = reader_of(context.counted(streams.decompress(reader, kind)))
    yield Member(b"", "part", part, offset=0)
    part.finish()
    yield from segments(reader, context, f"the {kind.name} data")


def _marks(name: str) -> tuple[tuple[int, bytes], ...]:
    own = marks(name.removesuffix("-legacy"))
    return (*own, _SKIPPABLE) if name in ("zstd", "lz4") else own


def _is(kind: streams.Kind, head: bytes) -> bool:
    return streams.kind_of(head) is kind


COMPRESSED: tuple[Container, ...] = tuple(
    Container(kind.name, _marks(kind.name), partial(_open, kind), probe=partial(_is, kind))
    for kind in streams.KINDS
)
