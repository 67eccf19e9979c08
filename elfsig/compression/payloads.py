"""The compressions of kernel images, each with a bound on its output.

Streams may have bytes after them: the kernel's build appends the size of the content, and an image
continues after its payload. Source of the compressions and their magics: the kernel's lib/decompress.c.
"""

from __future__ import annotations

import bz2
import lzma
import re
import struct
from collections.abc import Callable, Iterator
from heapq import merge

from elfsig.compression import DECODER_MEMORY
from elfsig.compression import whole as compression
from elfsig.compression.whole import Compression
from elfsig.errors import ParseError, ReadError
from elfsig.lazy_tuple import NamedTuple

LIMIT = 1 << 30
RATIO, FLOOR = 32, 32 << 20
"""Content may be 1 GiB, but not more than 32 MiB and 32 times its compressed size (kernels: 5 to 8 times)."""

LZ4_LEGACY_BLOCK = 8 << 20
LZ4_LEGACY_PACKED = LZ4_LEGACY_BLOCK + LZ4_LEGACY_BLOCK // 255 + 16
LZO_BLOCK = 64 << 20
LZO_NEW_HEADER, LZO_FILTER, LZO_EXTRA_FIELD = 0x940, 0x800, 0x40
LZO_ADLER, LZO_CRC, LZO_ADLER_PACKED, LZO_CRC_PACKED = 0x1, 0x100, 0x2, 0x200


class Content(NamedTuple):
    """Decompressed bytes, and how many bytes of the input were used."""

    data: bytes
    used: int


def bound(size: int, limit: int = LIMIT) -> int:
    """How many bytes ``size`` bytes may decompress to."""
    return min(limit, FLOOR + RATIO * size)


def _shared(kind: Compression) -> Callable[[bytes, int, int], Content]:
    """The decompressor that modules have too; streams that follow each other count as one."""

    def unpack(data: bytes, limit: int, start: int) -> Content:
        try:
            content, end = compression.unpack(data, kind, limit, start)
            return Content(content, end - start)
        except ReadError as reason:
            raise ParseError(reason.text, offset=reason.offset, code=reason.code) from None

    return unpack


def _alone(decoder: Callable[[bytes, int], Content]) -> Callable[[bytes, int, int], Content]:
    """Make a decompressor of streams at offset 0 work at other offsets too."""
    return lambda data, limit, start: decoder(data[start:] if start else data, limit)


def _checked(out: bytes, limit: int) -> bytes:
    if len(out) > limit:
        raise ParseError(f"decompresses to more than {limit} bytes", code="decompression-limit")
    return out


def _ended(out: bytes, eof: bool, used: int) -> Content:
    if not eof:
        raise ParseError("compressed data is cut off", code="compressed-truncated")
    return Content(out, used)


def _bzip2(data: bytes, limit: int) -> Content:
    decoder = bz2.BZ2Decompressor()
    out = _checked(decoder.decompress(data, limit + 1), limit)
    return _ended(out, decoder.eof, len(data) - len(decoder.unused_data))


def _lzma(data: bytes, limit: int) -> Content:
    decoder = lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=DECODER_MEMORY)
    out = _checked(decoder.decompress(data, limit + 1), limit)
    return _ended(out, decoder.eof, len(data) - len(decoder.unused_data))


def _lz4_frame(data: bytes, limit: int) -> Content:
    import lz4.frame

    decoder = lz4.frame.LZ4FrameDecompressor()
    try:
        out = _checked(decoder.decompress(data, max_length=limit + 1), limit)
    except RuntimeError as reason:
        raise ParseError(f"lz4: {reason}", code="compressed-damaged") from None
    return _ended(out, decoder.eof, len(data) - len(decoder.unused_data or b""))


def _lz4_legacy(data: bytes, limit: int, start: int) -> Content:
    """u32 little-endian magic, then blocks of u32 size and data, each of at most 8 MiB; no end mark.

    The stream ends where a size does not fit: the kernel's build leaves the content's size there.
    """
    import lz4.block

    blocks: list[bytes] = []
    size_so_far, at, view = 0, start + 4, memoryview(data)
    while at + 4 <= len(data):
        size = int.from_bytes(data[at : at + 4], "little")
        if not 0 < size <= min(len(data) - at - 4, LZ4_LEGACY_PACKED):
            break
        try:
            block = lz4.block.decompress(view[at + 4 : at + 4 + size], uncompressed_size=LZ4_LEGACY_BLOCK)
        except lz4.block.LZ4BlockError as reason:
            if at > start + 4:
                break
            raise ParseError(f"lz4: {reason}", offset=at, code="compressed-damaged") from None
        at += 4 + size
        blocks.append(block)
        size_so_far += len(block)
        if size_so_far > limit:
            break
    return _ended(_checked(b"".join(blocks), limit), at > start + 4, at - start)


class _LzopHeader(NamedTuple):
    flags: int
    end: int


def _lzop_header(data: bytes) -> _LzopHeader:
    """The header of lzop's container, as lib/decompress_unlzo.c reads it; numbers are big-endian.

    9 bytes magic, u16 version; from 0x940 on u16 library and u16 needed version; u8 method; from 0x940
    on u8 level; u32 flags; with a filter u32; u32 mode, u32 time; from 0x940 on u32 more time; u8 length
    and the name; u32 checksum; with an extra field u32 length, that, and a u32 checksum.
    """
    new = int.from_bytes(data[9:11]) >= LZO_NEW_HEADER
    at = 11 + (6 if new else 1)
    flags = int.from_bytes(data[at : at + 4])
    at += 4 + (4 if flags & LZO_FILTER else 0) + (12 if new else 8)
    at += 1 + data[at] + 4
    if flags & LZO_EXTRA_FIELD:
        at += 4 + int.from_bytes(data[at : at + 4]) + 4
    return _LzopHeader(flags, at)


def _lzo(data: bytes, limit: int) -> Content:
    """Blocks of u32 content size (0: the end), u32 packed size, checksums as flagged, and the data."""
    header = _lzop_header(data)
    plain = 4 * sum(bool(header.flags & f) for f in (LZO_ADLER, LZO_CRC))
    packed = 4 * sum(bool(header.flags & f) for f in (LZO_ADLER_PACKED, LZO_CRC_PACKED))
    parts, total, at = [], 0, header.end
    while size := struct.unpack_from(">I", data, at)[0]:
        stored = struct.unpack_from(">I", data, at + 4)[0]
        at += 8 + plain + (packed if stored < size else 0)
        if size > LZO_BLOCK or stored > size or at + stored > len(data):
            raise ParseError("lzo block with impossible sizes", offset=at, code="compressed-damaged")
        total += size
        if total > limit:
            raise ParseError(f"decompresses to more than {limit} bytes", code="decompression-limit")
        parts.append(_lzo_block(data[at : at + stored], size, at))
        at += stored
    return Content(b"".join(parts), at + 4)


def _lzo_block(block: bytes, size: int, at: int) -> bytes:
    from lzallright import LZOCompressor, LZOError

    if len(block) == size:
        return block
    try:
        out: bytes = LZOCompressor.decompress(block, size)
    except LZOError as reason:
        raise ParseError(f"lzo: {reason.args[0]}", offset=at, code="compressed-damaged") from None
    if len(out) != size:
        raise ParseError(
            f"lzo block gives {len(out)} bytes, not {size}", offset=at, code="compressed-damaged"
        )
    return out


class Method(NamedTuple):
    """A compression: what its streams start with, and ``unpack(data, limit, start)``."""

    name: str
    magic: re.Pattern[bytes]
    unpack: Callable[[bytes, int, int], Content]


def _method(name: str, magic: bytes, unpack: Callable[[bytes, int, int], Content]) -> Method:
    return Method(name, re.compile(magic, re.DOTALL), unpack)


METHODS = (
    _method("gzip", rb"\x1f\x8b\x08", _shared("gzip")),
    _method("bzip2", rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)", _alone(_bzip2)),
    _method("xz", rb"\xfd7zXZ\0", _shared("xz")),
    _method("lzo", rb"\x89LZO\0\r\n\x1a\n", _alone(_lzo)),
    _method("lz4", rb"\x02\x21\x4c\x18", _lz4_legacy),
    _method("lz4-frame", rb"\x04\x22\x4d\x18", _alone(_lz4_frame)),
    _method("zstd", rb"\x28\xb5\x2f\xfd", _shared("zstd")),
    # 5d: lc=3 lp=0 pb=2; dictionary a power of two from 64 KiB; size unknown or below 4 GiB
    _method(
        "lzma",
        rb"\x5d\0\0[\x01-\x80]\0(?:\xff{8}|.{4}\0{4})|\x5d\0\0\0[\x01-\x40](?:\xff{8}|.{4}\0{4})",
        _alone(_lzma),
    ),
)


def method_at(data: bytes, at: int = 0) -> Method | None:
    """The compression whose magic is at offset ``at``."""
    return next((m for m in METHODS if m.magic.match(data, at)), None)


def unpack(data: bytes, method: Method, limit: int = LIMIT, start: int = 0) -> Content:
    """Decompress a stream from offset ``start`` of ``data`` on; bytes after it are ignored.

    Raises ParseError for damaged or cut off data, and when the output would exceed :func:`bound`.
    """
    try:
        return method.unpack(data, bound(len(data) - start, limit), start)
    except (OSError, EOFError, lzma.LZMAError, ValueError, IndexError, struct.error) as reason:
        raise ParseError(f"{method.name}: {reason}", code="compressed-damaged") from None


def streams(data: bytes) -> Iterator[tuple[int, Method]]:
    """Every offset in ``data`` with the magic of a compression, in order, and which one."""
    yield from merge(*(_starts(data, method) for method in METHODS), key=lambda each: each[0])


def _starts(data: bytes, method: Method) -> Iterator[tuple[int, Method]]:
    return ((found.start(), method) for found in method.magic.finditer(data))
