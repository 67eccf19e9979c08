"""Forward decompression: one compressed stream in, pieces of its content out, with little memory.

Streams of a kind that follow each other are one (``gzip a >> f; gzip b >> f``), and so are skippable frames
between them. What follows the last stays in the source: nothing after the end is consumed.
Checksums that a format has are verified. Damage is a ContainerError: damaged, truncated, or over-budget for a
stream that needs too much memory, each with the offset in the compressed bytes.
"""

from __future__ import annotations

import bz2
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import lz4.block
import lz4.frame
import zstandard
from lzallright import LZOCompressor, LZOError

from elfsig.compression import DECODER_MEMORY, lzma_alone
from elfsig.errors import ContainerError

PIECE = 1 << 18
"""Maximum size of a piece of content, but for formats whose blocks are larger: lz4 legacy, lzop."""
_FIRST, _MOST = 1 << 9, 1 << 17
"""Input of a decoder at once. A new stream starts with little: what a decoder returns unused is copied each
time, which would be slow for many small streams."""


class Source(Protocol):
    """Compressed bytes, in order."""

    def take(self, most: int) -> bytes:
        """The next bytes: at least one and at most ``most``; b"" at the end."""

    def give_back(self, data: bytes) -> None:
        """Take back ``data``, the last bytes taken."""

    def peek(self, size: int) -> bytes:
        """The next ``size`` bytes without taking them; fewer at the end."""

    def tell(self) -> int:
        """How many bytes were taken."""


class Kind(NamedTuple):
    """A compression: its name, what its streams start with, and its decoder of one stream."""

    name: str
    magic: re.Pattern[bytes]
    pieces: Callable[[Source], Iterator[bytes]]


def damaged(kind: str, why: str, offset: int) -> ContainerError:
    """Data that no compressor of ``kind`` makes, at ``offset``."""
    return ContainerError(f"damaged {kind} data: {why}", code="damaged", offset=offset)


def truncated(kind: str, offset: int) -> ContainerError:
    """Data of ``kind`` that ends before its end, at ``offset``."""
    return ContainerError(f"the {kind} data is cut off", code="truncated", offset=offset)


def exactly(source: Source, size: int, kind: str) -> bytes:
    """The next ``size`` bytes. Raises ContainerError: truncated."""
    parts = []
    while size:
        part = source.take(size)
        if not part:
            raise truncated(kind, source.tell())
        parts.append(part)
        size -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


# --------------------------------------------------------------------------- decoders of the standard library


class _Library(NamedTuple):
    """How a decoder of the standard library is driven. ``rest`` gives the input that it returned unused, None
    where it keeps that itself and wants no more yet; damage raises ``faults``."""

    name: str
    begin: Callable[[], Any]
    rest: Callable[[Any], bytes | None]
    faults: tuple[type[Exception], ...]


def _tail(decoder: Any) -> bytes:
    return bytes(decoder.unconsumed_tail)


def _keeps(decoder: Any) -> bytes | None:
    return b"" if decoder.needs_input else None


def _driven(how: _Library) -> Callable[[Source], Iterator[bytes]]:
    return lambda source: _decode(source, how)


def _decode(source: Source, how: _Library) -> Iterator[bytes]:
    """The content of one stream."""
    decoder, size, fed = how.begin(), _FIRST, b""
    while not decoder.eof:
        rest = how.rest(decoder)
        if rest == b"":
            fed = source.take(size)
            size = min(2 * size, _MOST)
        else:
            fed = rest or b""
        try:
            piece = decoder.decompress(fed, PIECE)
        except how.faults as why:
            raise fault(how.name, why, source.tell()) from None
        if piece:
            yield piece
        elif rest == b"" and not fed and not decoder.eof:
            raise truncated(how.name, source.tell())
    if decoder.unused_data:
        source.give_back(bytes(decoder.unused_data))


def fault(kind: str, why: Exception, offset: int) -> ContainerError:
    """What a decoder of ``kind`` raised, as an error at ``offset``."""
    if isinstance(why, lzma.LZMAError) and why.args[:1] == ("Memory usage limit exceeded",):
        text = f"needs more than {DECODER_MEMORY >> 20} MiB of memory to decompress"
        return ContainerError(text, code="over-budget", offset=offset)
    return damaged(kind, str(why), offset)


# --------------------------------------------------------------------------- zstd

_ZSTD_WINDOW = 128 << 20
"""Largest window of a frame in bytes: what the zstd program takes without --long or --memory."""
_ZSTD_HEADER, _ZSTD_BLOCK = 18, 1 << 17


def _zstd(source: Source) -> Iterator[bytes]:
    """One frame (RFC 8878, 3.1.1), block by block: the block headers say where it ends and what a piece of
    input can give at most."""
    start = source.tell()
    head = source.peek(_ZSTD_HEADER)
    try:
        size = zstandard.frame_header_size(head)
        about = zstandard.get_frame_parameters(head)
    except zstandard.ZstdError as why:
        if len(head) < _ZSTD_HEADER:
            raise truncated("zstd", start + len(head)) from None
        raise damaged("zstd", f"frame header: {why}", start) from None
    if about.window_size > _ZSTD_WINDOW:
        text = f"needs a window of more than {_ZSTD_WINDOW >> 20} MiB to decompress"
        raise ContainerError(text, code="over-budget", offset=start)
    decoder = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj()
    fed, last, at, given = exactly(source, size, "zstd"), False, start, 0
    while not last:
        blocks, last = _zstd_blocks(source)
        fed += blocks
        if last and about.has_checksum:
            fed += exactly(source, 4, "zstd")
        try:
            piece = decoder.decompress(fed)
        except zstandard.ZstdError as why:
            raise damaged("zstd", str(why), at) from None
        if piece:
            yield piece
        fed, at, given = b"", source.tell(), given + len(piece)
    if not decoder.eof:
        raise damaged("zstd", "the frame does not end with its last block", source.tell())
    claimed = about.content_size
    if claimed not in (
        zstandard.CONTENTSIZE_UNKNOWN,
        given,
    ):  # unnoticed by libzstd if the last block is empty
        raise damaged("zstd", f"the frame claims {claimed} bytes and has {given}", start)


def _zstd_blocks(source: Source) -> tuple[bytes, bool]:
    """Blocks that give at most PIECE bytes together, and whether the frame's last is among them."""
    parts, most, last = [], 0, 0
    while not last and most <= PIECE - _ZSTD_BLOCK:
        at = source.tell()
        header = exactly(source, 3, "zstd")
        word = int.from_bytes(header, "little")
        last, kind, size = word & 1, word >> 1 & 3, word >> 3
        if kind == 3 or size > _ZSTD_BLOCK:
            raise damaged("zstd", "a block of reserved type" if kind == 3 else "a block is too large", at)
        if kind == 2 and not size:  # passed over by libzstd's stream decoder, refused by its other one
            raise damaged("zstd", "a compressed block of 0 bytes", at)
        parts += [header, exactly(source, 1 if kind == 1 else size, "zstd")]
        most += _ZSTD_BLOCK if kind == 2 else max(size, 1)
    return b"".join(parts), bool(last)


# --------------------------------------------------------------------------- lz4 legacy, lzop

LZ4_LEGACY = b"\x02\x21\x4c\x18"
LZ4_BLOCK = 8 << 20
_LZ4_PACKED = LZ4_BLOCK + LZ4_BLOCK // 255 + 16


def _lz4_legacy(source: Source) -> Iterator[bytes]:
    """u32 little-endian magic, then blocks of u32 size and data, each of at most 8 MiB of content.

    There is no end mark: the stream ends with the data, or where no possible size follows
    (lib/decompress_unlz4.c).
    """
    exactly(source, 4, "lz4")
    count = 0
    while head := source.peek(4):
        size, at = int.from_bytes(head, "little"), source.tell()
        if len(head) < 4 or not 0 < size <= _LZ4_PACKED:
            break
        exactly(source, 4, "lz4")
        block = exactly(source, size, "lz4")
        try:
            piece = lz4.block.decompress(block, uncompressed_size=LZ4_BLOCK)
        except lz4.block.LZ4BlockError as why:
            raise damaged("lz4", str(why), at) from None
        count += 1
        yield piece
    if not count:
        raise truncated("lz4", source.tell())


_LZOP_NEW, _LZOP_FILTER, _LZOP_EXTRA = 0x940, 0x800, 0x40
_LZOP_BLOCK = 64 << 20
_LZOP_CHECKS = ((0x1, zlib.adler32), (0x100, zlib.crc32))
_LZOP_PACKED_CHECKS = ((0x2, zlib.adler32), (0x200, zlib.crc32))
_LZOP_CRC_HEADER = 0x1000


def _lzop(source: Source) -> Iterator[bytes]:
    """lzop's header, then blocks of u32 content size (0: the end), u32 packed size, checksums as flagged, and
    data; numbers are big-endian (lib/decompress_unlzo.c)."""
    flags = _lzop_header(source)
    plain = [check for flag, check in _LZOP_CHECKS if flags & flag]
    packed = [check for flag, check in _LZOP_PACKED_CHECKS if flags & flag]
    while size := _number(source, 4):
        at = source.tell() - 4
        stored = _number(source, 4)
        if size > _LZOP_BLOCK or stored > size:
            raise damaged("lzop", "a block has impossible sizes", at)
        sums = [_number(source, 4) for _ in plain]
        packed_sums = [_number(source, 4) for _ in packed] if stored < size else []
        block = exactly(source, stored, "lzop")
        content = _lzop_block(block, size, at)
        good = [check(content) for check in plain] == sums
        if not good or [check(block) for check in packed][: len(packed_sums)] != packed_sums:
            raise damaged("lzop", "the checksum of a block does not match", at)
        yield content


def _number(source: Source, size: int) -> int:
    return int.from_bytes(exactly(source, size, "lzop"), "big")


def _lzop_header(source: Source) -> int:
    """Read the header and verify its checksum; returns the flags.

    9 bytes magic, u16 version; from 0x940 on u16 library and u16 needed version; u8 method; from 0x940
    on u8 level; u32 flags; with a filter u32; u32 mode, u32 time; from 0x940 on u32 more time; u8 length
    and the name; u32 checksum of all after the magic; with an extra field u32 length, that, and a u32
    checksum.
    """
    start = source.tell()
    exactly(source, 9, "lzop")
    fields = exactly(source, 2, "lzop")
    new = int.from_bytes(fields, "big") >= _LZOP_NEW
    fields += exactly(source, 10 if new else 5, "lzop")
    flags = int.from_bytes(fields[-4:], "big")
    fields += exactly(source, (4 if flags & _LZOP_FILTER else 0) + (12 if new else 8), "lzop")
    length = exactly(source, 1, "lzop")
    fields += length + exactly(source, length[0], "lzop")
    check = zlib.crc32 if flags & _LZOP_CRC_HEADER else zlib.adler32
    if check(fields) != _number(source, 4):
        raise damaged("lzop", "the checksum of the header does not match", start)
    if flags & _LZOP_EXTRA:
        left = _number(source, 4) + 4
        while left:
            left -= len(exactly(source, min(left, PIECE), "lzop"))
    return flags


def _lzop_block(block: bytes, size: int, at: int) -> bytes:
    if len(block) == size:
        return block
    try:
        content: bytes = LZOCompressor.decompress(block, size)
    except LZOError as why:
        raise damaged("lzop", str(why.args[0]), at) from None
    if len(content) != size:
        raise damaged("lzop", f"a block gives {len(content)} bytes, not {size}", at)
    return content


# --------------------------------------------------------------------------- all kinds


def _kind(name: str, magic: bytes, pieces: Callable[[Source], Iterator[bytes]]) -> Kind:
    return Kind(name, re.compile(magic, re.DOTALL), pieces)


def _xz_decoder() -> Any:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=DECODER_MEMORY)


KINDS: tuple[Kind, ...] = (
    _kind(
        "gzip",
        rb"\x1f\x8b\x08[\0-\x1f]",
        _driven(_Library("gzip", lambda: zlib.decompressobj(31), _tail, (zlib.error,))),
    ),
    _kind("xz", rb"\xfd7zXZ\0", _driven(_Library("xz", _xz_decoder, _keeps, (lzma.LZMAError,)))),
    _kind("zstd", rb"\x28\xb5\x2f\xfd", _zstd),
    _kind(
        "bzip2",
        rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)",
        _driven(_Library("bzip2", bz2.BZ2Decompressor, _keeps, (OSError,))),
    ),
    _kind(
        "lz4",
        rb"\x04\x22\x4d\x18",
        _driven(_Library("lz4", lz4.frame.LZ4FrameDecompressor, _keeps, (RuntimeError,))),
    ),
    _kind("lz4-legacy", re.escape(LZ4_LEGACY), _lz4_legacy),
    _kind("lzop", rb"\x89LZO\0\r\n\x1a\n", _lzop),
    _kind(
        "lzma",
        lzma_alone.USUAL,
        _driven(_Library("lzma", lzma_alone.decoder, _keeps, (lzma.LZMAError,))),
    ),
)
"""In the order in which they are looked for: lzma, whose streams have no magic number, last."""

HEAD = 18
"""How many bytes are needed to recognise a kind."""

_SKIPPABLE = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")
"""The magic of frames that zstd's and lz4's decoders skip (RFC 8878, 3.1.2); u32 size and data follow."""
_SKIPPING = ("zstd", "lz4")


def kind_of(head: bytes) -> Kind | None:
    """The compression of a stream that starts with ``head``, its first HEAD bytes or more.

    Of the kinds that have skippable frames the one that follows them counts, as far as ``head`` goes.
    """
    at = _after_skippable(head, 0)
    found = next((kind for kind in KINDS if kind.magic.match(head, at)), None)
    if at and (found is None or found.name not in _SKIPPING):
        return None
    return found


def is_skippable(head: bytes) -> bool:
    """Whether ``head`` starts with a skippable frame and does not say what kind of stream it belongs to: the
    frame is longer, or something else follows."""
    return _after_skippable(head, 0) > 0 and kind_of(head) is None


def _after_skippable(head: bytes, at: int) -> int:
    while _SKIPPABLE.match(head, at) and at + 8 <= len(head):
        at += 8 + int.from_bytes(head[at + 4 : at + 8], "little")
    return at


def decompress(source: Source, kind: Kind) -> Iterator[bytes]:
    """The content of the streams of ``kind`` that follow each other from where ``source`` is, in pieces.

    ``source`` is left at the first byte after them. Raises ContainerError.
    """
    if kind.name in _SKIPPING:
        skip_frames(source, kind.name)
    while True:
        yield from kind.pieces(source)
        if kind.name == "xz":
            _skip_padding(source)
        if kind.name in _SKIPPING:
            skip_frames(source, kind.name)
        if not kind.magic.match(source.peek(HEAD)):
            return


def skip_frames(source: Source, name: str) -> None:
    """Pass over frames without content, in data called ``name``. Raises ContainerError."""
    while _SKIPPABLE.match(head := source.peek(8)) and len(head) == 8:
        left = 8 + int.from_bytes(head[4:], "little")
        while left:
            left -= len(exactly(source, min(left, PIECE), name))


def _skip_padding(source: Source) -> None:
    """xz's stream padding: zero bytes in fours, where another stream follows or nothing does."""
    while (head := source.peek(_MOST)).startswith(b"\0\0\0\0"):
        zeros = len(head) - len(head.lstrip(b"\0")) & ~3
        exactly(source, zeros, "xz")
