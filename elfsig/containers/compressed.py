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

_MAGICS: dict[str, tuple[tuple[int, bytes], ...]] = {
    "gzip": ((0, b"\x1f\x8b\x08"),),
    "xz": ((0, b"\xfd7zXZ\0"),),
    "zstd": ((0, b"\x28\xb5\x2f\xfd"), (1, b"\x2a\x4d\x18")),
    "bzip2": ((0, b"BZh"),),
    "lz4": ((0, b"\x04\x22\x4d\x18"), (1, b"\x2a\x4d\x18")),
    "lz4-legacy": ((0, streams.LZ4_LEGACY),),
    "lzop": ((0, b"\x89LZO\0\r\n\x1a\n"),),
    "lzma": ((0, b"\x5d\0\0"),),
}


def _open(kind: streams.Kind, reader: Reader, context: Context) -> Iterator[Member]:
    part = reader_of(context.counted(streams.decompress(reader, kind)))
    yield Member(b"", "part", part, offset=0)
    part.finish()
    yield from segments(reader, context, f"the {kind.name} data")


def _is(kind: streams.Kind, head: bytes) -> bool:
    return streams.kind_of(head) is kind


COMPRESSED: tuple[Container, ...] = tuple(
    Container(kind.name, _MAGICS[kind.name], partial(_open, kind), probe=partial(_is, kind))
    for kind in streams.KINDS
)
