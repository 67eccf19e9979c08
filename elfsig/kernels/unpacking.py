"""What kernels that decompress modules themselves cannot read, though every user-space tool can.

Since 5.17 (CONFIG_MODULE_DECOMPRESS) finit_module() takes compressed files; kernel/module/decompress.c
reads one stream of each kind, with the decoders of lib/xz, lib/zstd and lib/zlib_inflate. Older kernels
get modules that kmod has decompressed.
"""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Callable, Mapping
from typing import Final

import zstandard

from elfsig.compression.whole import (
    GZIP_MAGIC,
    XZ_MAGIC,
    ZSTD_MAGIC,
    Compression,
    after_skippable,
    gzip_header,
)
from elfsig.model import Remark

XZ_CHECKS: Final = {0: "none", 1: "CRC32", 4: "CRC64", 10: "SHA-256"}
XZ_READABLE: Final = (0, 1)
_LZMA2: Final = 0x21
_BRANCH_FILTERS: Final = range(4, 12)
"""x86, PowerPC, IA-64, ARM, Thumb, SPARC, ARM64, RISC-V: each a configuration option (CONFIG_XZ_DEC_*)."""
_HEADER: Final = 12
_GZIP_NAME: Final = 8


def fault(raw: bytes, kind: Compression | None) -> Remark | None:
    """Why a kernel refuses a compressed module that tools can decompress, None where it accepts it."""
    return None if kind is None else _FAULTS[kind](raw)


def first_only(raw: bytes, kind: Compression) -> bool:
    """Whether several streams follow each other in the file: a kernel takes the first one for the module."""
    return _FOLLOW[kind](raw)


def _unreadable(text: str, offset: int) -> Remark:
    return Remark(
        "kernel-unreadable", f"{text}: kernels that decompress modules themselves refuse it", offset
    )


def _xz(raw: bytes) -> Remark | None:
    """The stream header's check (lib/xz/xz_dec_stream.c: none or CRC32), and the first block's filters."""
    check = raw[7] & 0x0F
    if check not in XZ_READABLE:
        return _unreadable(f"xz with the check {XZ_CHECKS.get(check, check)} instead of CRC32", 7)
    for number in _filters(raw):
        if number != _LZMA2 and number not in _BRANCH_FILTERS:
            return _unreadable(f"xz with filter {number:#x}", _HEADER)
    if raw.find(XZ_MAGIC, _HEADER) > 0 and _streams_follow(raw):
        return _unreadable("several xz streams in one file", 0)
    return None


def _filters(raw: bytes) -> list[int]:
    """Filter ids of the first block (xz file format, 3.1): count, sizes where given, then the filters."""
    if len(raw) < _HEADER + 2 or not raw[_HEADER]:
        return []
    flags, at, found = raw[_HEADER + 1], _HEADER + 2, []
    end = _HEADER + 4 * (raw[_HEADER] + 1)
    for _ in range((flags >> 6 & 1) + (flags >> 7)):
        _, at = _variable(raw, at, end)
    for _ in range((flags & 3) + 1):
        number, at = _variable(raw, at, end)
        size, at = _variable(raw, at, end)
        found.append(number)
        at += size
    return found


def _variable(raw: bytes, at: int, end: int) -> tuple[int, int]:
    """A number in groups of seven bits, lowest first; bytes from ``end`` on count as zero."""
    value = shift = 0
    while at < min(end, len(raw)):
        byte = raw[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            break
    return value, at


def _streams_follow(raw: bytes) -> bool:
    """Whether the first xz stream ends before the file does, but for padding."""
    decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ)
    try:
        decoder.decompress(raw)
    except lzma.LZMAError:
        return False
    return decoder.unused_data.lstrip(b"\0").startswith(XZ_MAGIC)


def _gzip(raw: bytes) -> Remark | None:
    """module_gzip_header_len() skips a file name and nothing else that a header may hold (RFC 1952, 2.3)."""
    if raw[3] & ~_GZIP_NAME & 0xFF:
        return _unreadable("gzip with more in its header than a file name", 3)
    header = gzip_header(raw) or GZIP_MAGIC
    if raw.find(GZIP_MAGIC, len(header)) > 0 and _members_follow(raw):
        return _unreadable("several gzip members in one file", 0)
    return None


def _members_follow(raw: bytes) -> bool:
    decoder = zlib.decompressobj(31)
    try:
        decoder.decompress(raw)
    except zlib.error:
        return False
    return decoder.unused_data.startswith(GZIP_MAGIC)


def _zstd(raw: bytes) -> Remark | None:
    """The decoder stops where the first frame ends, and has no dictionary."""
    start = after_skippable(raw, 0)
    if start:
        # kernel/module/decompress.c and libkmod look for the magic of a frame with content at offset 0.
        return _unreadable("zstd that starts with a skippable frame", 0)
    parameters = zstandard.get_frame_parameters(raw)
    if parameters.dict_id:
        return _unreadable(f"zstd with dictionary {parameters.dict_id}", 4)
    if raw.find(ZSTD_MAGIC, 4) > 0 and _frames_follow(raw):
        return _unreadable("several zstd frames in one file", 0)
    return None


def _frames_follow(raw: bytes) -> bool:
    decoder = zstandard.ZstdDecompressor().decompressobj()
    try:
        decoder.decompress(raw)
    except zstandard.ZstdError:
        return False
    return decoder.unused_data.startswith(ZSTD_MAGIC)


_FAULTS: Final[Mapping[Compression, Callable[[bytes], Remark | None]]] = {
    "gzip": _gzip,
    "xz": _xz,
    "zstd": _zstd,
}

_FOLLOW: Final[Mapping[Compression, Callable[[bytes], bool]]] = {
    "gzip": _members_follow,
    "xz": _streams_follow,
    "zstd": _frames_follow,
}
