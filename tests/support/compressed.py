"""Compressed data of every kind that elfsig reads, by programs and libraries other than its own."""

from __future__ import annotations

import bz2
import gzip
import lzma
import subprocess
from collections.abc import Callable

import lz4.frame
import zstandard

from tests.support.tools import need

COMPRESSORS = ("gzip", "xz", "zstd", "bzip2", "lz4", "lz4-legacy", "lzop", "lzma")


def compress(name: str, data: bytes) -> bytes:
    """``data`` as one stream of the kind ``name``."""
    if name == "lz4-legacy":
        return _piped([need("lz4"), "-l", "-c", "-q"], data)
    if name == "lzop":
        return _piped([need("lzop"), "-c"], data)
    return _LIBRARIES[name](data)


_LIBRARIES: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "xz": lzma.compress,
    "zstd": lambda data: zstandard.ZstdCompressor(write_checksum=True).compress(data),
    "bzip2": bz2.compress,
    "lz4": lambda data: bytes(lz4.frame.compress(data, content_checksum=True)),
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
}


def _piped(command: list[str], data: bytes) -> bytes:
    return subprocess.run(command, input=data, check=True, capture_output=True).stdout
