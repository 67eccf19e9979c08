"""Compressed modules: recognized by their magic, decompressed within a limit, and compressed as kernels can
read.

Since 5.17 a kernel decompresses modules itself (kernel/module/decompress.c), and accepts less than the tools
of user space do: for xz, only the CRC32 check or none. What is written here follows scripts/Makefile.modinst:
``xz --check=crc32 --lzma2=dict=1MiB``, ``gzip -n``, ``zstd``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from io import BytesIO
from typing import Any, Literal

from elfsig.compression import DECODER_MEMORY
from elfsig.errors import ReadError
from elfsig.lazy_tuple import NamedTuple

Compression = Literal["gzip", "xz", "zstd"]

XZ_MAGIC, ZSTD_MAGIC, GZIP_MAGIC = b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"\x1f\x8b\x08"
MAGICS: tuple[tuple[bytes, Compression], ...] = (
    (GZIP_MAGIC, "gzip"),
    (XZ_MAGIC, "xz"),
    (ZSTD_MAGIC, "zstd"),
)

_CHUNK = 1 << 16
_FIRST, _PART = 1 << 20, 1 << 16
"""Maximum output of a decoder at once, in bytes: most modules fit into the first. Larger blocks make malloc
keep even huge buffers on its heap, where a growing one is copied: the content would be in memory twice."""

_XZ_DICTIONARY = 1 << 20
_ZSTD_BLOCK = 1 << 17
_SKIPPABLE = b"\x2a\x4d\x18"
"""After a byte 0x50 to 0x5f, the magic of frames that decoders skip (RFC 8878, 3.1.2)."""
_ZSTD_LEVELS = (3, 19)
_NO_ROOM = ("did not decompress full frame", "too small")
"""zstandard's message when the output would exceed the limit."""


class Unpacked(NamedTuple):
    """``content``, and where the compressed stream ends in the file (its length if nothing follows)."""

    content: bytes
    end: int


def detect(raw: bytes) -> Compression | None:
    """The compression by the first bytes, whatever the file is called."""
    if raw[:1] == b"\x7f":  # ELF: what nearly every file is
        return None
    if raw[1:4] == _SKIPPABLE and raw.startswith(ZSTD_MAGIC, after_skippable(raw, 0)):
        return "zstd"
    return next((name for magic, name in MAGICS if raw.startswith(magic)), None)


def unpack(raw: bytes, kind: Compression, limit: int, start: int = 0) -> Unpacked:
    """The content of all streams that follow each other from offset ``start`` on, at most ``limit`` bytes.

    Raises ReadError: decompression-limit, or decompression-damaged with the offset in ``raw``.
    """
    return _UNPACKERS[kind](raw, limit, start)


def first_bytes(head: bytes, kind: Compression) -> bytes:
    """Some of the bytes that ``head``, the start of a compressed file, decompresses to; b"" if it does
    not."""
    import lzma
    import zlib

    try:
        if kind == "gzip":
            return zlib.decompressobj(31).decompress(head, 64)
        if kind == "xz":
            return lzma.LZMADecompressor(lzma.FORMAT_XZ, DECODER_MEMORY).decompress(head, 64)
        return _unpack_zstd_start(head)
    except (zlib.error, lzma.LZMAError):
        return b""


def pack(content: bytes, kind: Compression, original: bytes = b"") -> bytes:
    """``content`` compressed as kernels can read it.

    ``original`` is the file that the result replaces: gzip's header is kept (and with it name and time),
    for zstd the checksum and approximately the level. Without it, the result is reproducible:
    no name, no time.
    """
    return _PACKERS[kind](content, original)


def _over(limit: int) -> ReadError:
    return ReadError(f"decompresses to more than {limit} bytes", code="decompression-limit", hint="max-size")


def _damaged(kind: str, why: str, offset: int) -> ReadError:
    return ReadError(f"damaged {kind} data: {why}", offset=offset, code="decompression-damaged")


# --------------------------------------------------------------------------- gzip and xz


class _Decoding(NamedTuple):
    """How streams of one kind are decoded. ``rest`` gives the input that a decoder returns unused, None
    where it keeps that itself; it raises ``fault`` for damage."""

    kind: str
    magic: bytes
    begin: Callable[[], Any]
    rest: Callable[[Any], bytes | None]
    fault: type[Exception]


def _unpack_gzip(raw: bytes, limit: int, start: int) -> Unpacked:
    import zlib

    def begin() -> Any:
        return zlib.decompressobj(31)

    def rest(decoder: Any) -> bytes:
        return bytes(decoder.unconsumed_tail)

    return _unpack_streams(raw, limit, start, _Decoding("gzip", GZIP_MAGIC, begin, rest, zlib.error))


def _unpack_xz(raw: bytes, limit: int, start: int) -> Unpacked:
    import lzma

    def begin() -> Any:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=DECODER_MEMORY)

    def rest(decoder: Any) -> bytes | None:
        return b"" if decoder.needs_input else None

    return _unpack_streams(raw, limit, start, _Decoding("xz", XZ_MAGIC, begin, rest, lzma.LZMAError))


def _unpack_streams(raw: bytes, limit: int, start: int, how: _Decoding) -> Unpacked:
    """Streams one after the other. The content is collected in one buffer, and returned without a copy."""
    content = BytesIO()
    at = start
    while raw.startswith(how.magic, at):
        at = _unpack_stream(raw, at, limit, how, content)
        at = _behind_padding(raw, at) if how.kind == "xz" else at
    return Unpacked(content.getvalue(), at)


def _unpack_stream(raw: bytes, at: int, limit: int, how: _Decoding, content: BytesIO) -> int:
    """Decode the stream at ``at`` and append to ``content``; returns where it ends. The input is passed in
    chunks: what a decoder returns unused is copied each time, which would be quadratic for many small
    streams."""
    decoder, fed, chunk = how.begin(), at, b""
    last = at
    while not decoder.eof:
        rest = how.rest(decoder)
        chunk = rest or b""
        if rest == b"":
            chunk = raw[fed : fed + _CHUNK]
            fed += len(chunk)
        last = fed - len(chunk) if chunk else last
        most = _PART if content.tell() else _FIRST
        try:
            part = decoder.decompress(chunk, min(most, limit + 1 - content.tell()))
        except how.fault as why:
            raise _decoder_error(how.kind, str(why), limit, last) from None
        if content.tell() + len(part) > limit:
            raise _over(limit)
        content.write(part)
        if not (part or chunk or decoder.eof):
            raise _damaged(how.kind, "it ends early, the file is cut off", len(raw))
    return fed - len(decoder.unused_data)


def _decoder_error(kind: str, why: str, limit: int, offset: int) -> ReadError:
    if "emory usage limit" in why:
        text = f"needs more than {DECODER_MEMORY >> 20} MiB of memory to decompress"
        return ReadError(text, offset=offset, code="decompression-limit")
    return _damaged(kind, why, offset)


def _behind_padding(raw: bytes, at: int) -> int:
    """After xz's stream padding: zero bytes in fours, only where another stream or nothing follows."""
    end = at
    while raw.startswith(b"\0\0\0\0", end):
        end += 4
    return end if end == len(raw) or raw.startswith(XZ_MAGIC, end) else at


# --------------------------------------------------------------------------- zstd


def _unpack_zstd(raw: bytes, limit: int, start: int) -> Unpacked:
    """Frame after frame (RFC 8878, 3.1.1). The block headers show where a frame ends and how much it can
    give at most, before anything is allocated."""
    import zstandard

    decoder = zstandard.ZstdDecompressor()
    parts: list[bytes] = []
    room, at = limit, start
    view = memoryview(raw)
    while raw.startswith(ZSTD_MAGIC, frame := after_skippable(raw, at)):
        at = frame
        end, most = _zstd_frame(raw, at)
        claimed = zstandard.get_frame_parameters(view[at:end]).content_size
        known = claimed != zstandard.CONTENTSIZE_UNKNOWN
        if known and claimed > most:
            raise _damaged("zstd", f"a frame claims {claimed} bytes, its blocks hold at most {most}", at)
        if known and claimed > room:
            raise _over(limit)
        try:
            part = decoder.decompress(view[at:end], max_output_size=max(1, min(most, room)))
        except zstandard.ZstdError as why:
            if not known and most > room and any(word in str(why) for word in _NO_ROOM):
                raise _over(limit) from None
            raise _damaged("zstd", str(why), at) from None
        parts.append(part)
        room -= len(part)
        at = end
    return Unpacked(parts[0] if len(parts) == 1 else b"".join(parts), at)


def after_skippable(raw: bytes, at: int) -> int:
    """Where the skippable frames that start at ``at`` end; ``at`` if none do."""
    while raw[at + 1 : at + 4] == _SKIPPABLE and 0x50 <= raw[at] <= 0x5F and at + 8 <= len(raw):
        at += 8 + int.from_bytes(raw[at + 4 : at + 8], "little")
    return at


def _unpack_zstd_start(head: bytes) -> bytes:
    import zstandard

    try:
        return zstandard.ZstdDecompressor().stream_reader(head).read(64)
    except zstandard.ZstdError:
        return b""


def _zstd_frame(raw: bytes, start: int) -> tuple[int, int]:
    """(offset after the frame at ``start``, the most bytes that its blocks can give)."""
    import zstandard

    try:
        header = memoryview(raw)[start : start + 18]
        at = start + zstandard.frame_header_size(header)
        checksum = 4 if zstandard.get_frame_parameters(header).has_checksum else 0
    except zstandard.ZstdError as why:
        raise _damaged("zstd", f"frame header: {why}", start) from None
    most, last = 0, 0
    while not last:
        word = int.from_bytes(raw[at : at + 3], "little")
        last, kind, size = word & 1, word >> 1 & 3, word >> 3
        stored = 1 if kind == 1 else size
        if at + 3 + stored > len(raw):
            raise _damaged("zstd", "it ends early, the file is cut off", len(raw))
        if kind == 3:
            raise _damaged("zstd", "reserved block type", at)
        most += _ZSTD_BLOCK if kind == 2 else size
        at += 3 + stored
    if at + checksum > len(raw):
        raise _damaged("zstd", "it ends early, the file is cut off", len(raw))
    return at + checksum, most


# --------------------------------------------------------------------------- packing


def _pack_gzip(content: bytes, original: bytes) -> bytes:
    import zlib

    header = gzip_header(original) or GZIP_MAGIC + b"\0\0\0\0\0\2\3"
    level = {4: 1, 0: 6}.get(header[8], 9)
    deflate = zlib.compressobj(level, zlib.DEFLATED, -15, 9)
    body = deflate.compress(content) + deflate.flush()
    tail = zlib.crc32(content).to_bytes(4, "little") + (len(content) & 0xFFFFFFFF).to_bytes(4, "little")
    return header + body + tail


def gzip_header(raw: bytes) -> bytes | None:
    """The first member's header (RFC 1952, 2.3) with all optional fields; None where it is incomplete."""
    if len(raw) < 10 or not raw.startswith(GZIP_MAGIC):
        return None
    flags, at = raw[3], 10
    if flags & 4:
        at += 2 + int.from_bytes(raw[at : at + 2], "little")
    for bit in (8, 16):
        if flags & bit:
            at = raw.find(b"\0", at) + 1
            if not at:
                return None
    at += 2 if flags & 2 else 0
    return raw[:at] if at <= len(raw) else None


def _pack_xz(content: bytes, original: bytes) -> bytes:
    import lzma

    filters = [{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": _XZ_DICTIONARY}]
    return lzma.compress(content, lzma.FORMAT_XZ, lzma.CHECK_CRC32, filters=filters)


def _pack_zstd(content: bytes, original: bytes) -> bytes:
    import zstandard

    checksum, level = True, _ZSTD_LEVELS[0]
    if original.startswith(ZSTD_MAGIC):
        checksum = zstandard.get_frame_parameters(original).has_checksum
        level = _zstd_level(original)
    return zstandard.ZstdCompressor(level=level, write_checksum=checksum).compress(content)


def _zstd_level(original: bytes) -> int:
    """An estimate of the level that ``original`` was made with, which is not recorded: the 19 of
    distributions makes files clearly smaller than the default 3."""
    import zstandard

    plain = _unpack_zstd(original, sys.maxsize, 0).content
    fast = zstandard.ZstdCompressor(level=_ZSTD_LEVELS[0]).compress(plain)
    return _ZSTD_LEVELS[len(original) < 0.96 * len(fast)]


_UNPACKERS: dict[Compression, Callable[[bytes, int, int], Unpacked]] = {
    "gzip": _unpack_gzip,
    "xz": _unpack_xz,
    "zstd": _unpack_zstd,
}
_PACKERS: dict[Compression, Callable[[bytes, bytes], bytes]] = {
    "gzip": _pack_gzip,
    "xz": _pack_xz,
    "zstd": _pack_zstd,
}
