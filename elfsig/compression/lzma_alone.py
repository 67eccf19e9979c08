"""The header of LZMA before xz, which has no magic number: how it is recognised, and its decoder.

A byte for lc, lp and pb, u32 size of the dictionary, u64 size of the content or all ones; then the data,
whose first byte is zero. What the fields may be is as in xz's own recognition (alone_decoder.c in liblzma).
"""

from __future__ import annotations

import lzma
import re

from elfsig.compression import DECODER_MEMORY

DICTIONARIES: tuple[bytes, ...] = tuple(
    size.to_bytes(4, "little") for n in range(12, 32) for size in (1 << n, 3 << n - 1) if size < 1 << 32
)
"""The field for the size of the dictionary: 2^n or 2^n + 2^(n-1) bytes from 4 KiB."""

_DICTIONARY = b"(?:" + b"|".join(map(re.escape, DICTIONARIES)) + b")"
_SIZE = rb"(?:\xff{8}|.{4}[\0-\x3f]\0{3})"
"""Unknown, or less than 256 GiB."""

USUAL: bytes = rb"\x5d(?:\0\0[\0-\x80][\0-\x08]|%b)%b" % (_DICTIONARY, _SIZE)
"""Pattern of a header with lc=3 lp=0 pb=2; any multiple of 64 KiB may be its dictionary as well."""

_UNUSUAL = re.compile(rb"[\x01-\xe0]%b%b\0(?!\0{4})" % (_DICTIONARY, _SIZE), re.DOTALL)
_TRIED = 1 << 12
"""Bytes of content that are tried: in random data, a match soon leads to before the start."""


def decoder() -> lzma.LZMADecompressor:
    """A decoder of one stream, with a limit to its memory."""
    return lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=DECODER_MEMORY)


def is_unusual(head: bytes) -> bool:
    """Whether ``head`` starts a stream with any lc, lp and pb: the header alone says too little, and so the
    start must decompress, unless that takes too much memory."""
    if not _UNUSUAL.match(head):
        return False
    if int.from_bytes(head[1:5], "little") > DECODER_MEMORY:
        return True
    try:
        return bool(decoder().decompress(head, _TRIED))
    except lzma.LZMAError:
        return False
