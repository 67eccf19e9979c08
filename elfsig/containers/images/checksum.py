"""CRC-32C (RFC 3720, appendix B.4), as file systems use it."""

from __future__ import annotations

from dissect.util.hash import crc32c as _crc32c


def crc32c(data: bytes, seed: int = 0) -> int:
    """The checksum of ``data``, continued from that of what came before it."""
    return int(_crc32c.update(seed, data))


def raw_crc32c(data: bytes, seed: int = 0xFFFFFFFF) -> int:
    """The same without the inversions at start and end, as ext4 has it."""
    return crc32c(data, seed ^ 0xFFFFFFFF) ^ 0xFFFFFFFF
