"""Compressed streams: one part without a name, which adds nothing to a path.

Further streams or cpio archives may follow, as in an initramfs (:func:`elfsig.containers.cpio.segments`).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from elfsig.compression import lzma_alone, streams
from elfsig.containers.contract import Container, Context, Member
from elfsig.containers.cpio import segments
from elfsig.containers.readers import Reader, reader_of
from elfsig.errors import ContainerError
from elfsig.recognition.magics import marks

_SKIPPABLE = (1, b"\x2a\x4d\x18")
"""What frames that zstd's and lz4's decoders skip have after their first byte (RFC 8878, 3.1.2)."""


def _open(kind: streams.Kind, reader: Reader, context: Context) -> Iterator[Member]:
    part = reader_of(context.counted(streams.decompress(reader, kind)))
    yield Member(b"", "part", part, offset=0)
    part.finish()
    yield from segments(reader, context, f"the {kind.name} data")


def _open_skippable(reader: Reader, context: Context) -> Iterator[Member]:
    """What follows frames without content, where a look ahead does not show it."""
    streams.skip_frames(reader, "skippable")
    if reader.at_end():
        text = "frames that decoders skip, and no stream after them"
        raise ContainerError(text, code="unrecognised", offset=reader.tell())
    kind = streams.kind_of(reader.peek(streams.HEAD))
    if kind is not None:
        yield from _open(kind, reader, context)
    else:
        yield from segments(reader, context, "the skippable frames")


def _is(kind: streams.Kind, head: bytes) -> bool:
    return streams.kind_of(head) is kind


def _is_lzma(head: bytes) -> bool:
    found = streams.kind_of(head)
    return found is _LZMA or (found is None and lzma_alone.is_unusual(head))


_LZMA = next(kind for kind in streams.KINDS if kind.name == "lzma")
_FURTHER: dict[str, tuple[tuple[int, bytes], ...]] = {
    "zstd": (_SKIPPABLE,),
    "lz4": (_SKIPPABLE,),
    "lzma": tuple((1, size) for size in lzma_alone.DICTIONARIES),
}
"""Marks that say something only with what follows them, by the kind."""

COMPRESSED: tuple[Container, ...] = (
    *(
        Container(
            kind.name,
            (*marks(kind.name.removesuffix("-legacy")), *_FURTHER.get(kind.name, ())),
            partial(_open, kind),
            probe=_is_lzma if kind is _LZMA else partial(_is, kind),
        )
        for kind in streams.KINDS
    ),
    Container("skippable", (_SKIPPABLE,), _open_skippable, probe=streams.is_skippable),
)
