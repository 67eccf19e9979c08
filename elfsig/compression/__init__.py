"""Compressed data: recognised by its first bytes, decompressed as a whole or as a stream, within bounds."""

from __future__ import annotations

from typing import Final

DECODER_MEMORY: Final = 160 << 20
"""Bytes that a decoder of xz or LZMA may take: a dictionary of 128 MiB, twice that of their strongest preset,
as large as the largest window of zstd's default. The header of LZMA may ask for 4 GiB."""
