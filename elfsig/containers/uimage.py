"""Legacy images of U-Boot (uImage, uInitrd): a header of 64 bytes and its data (include/image.h in U-Boot).

Numbers are big-endian. Both checksums are verified. Images of type multi hold several files, each with its
size (u32) in a list before them that a zero ends; they are parts by number, rounded up to four bytes.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from struct import Struct

from elfsig.containers.contract import Container, Context, Member, damaged, trailing
from elfsig.containers.readers import Reader
from elfsig.errors import ContainerError
from elfsig.recognition.magics import marks

_HEADER = Struct(">IIIIIIIBBBB32s")
_RAMDISK, _MULTI = 3, 4
_FILES_LIMIT = 64


def _open(reader: Reader, context: Context) -> Iterator[Member]:
    header = reader.exactly(_HEADER.size, "the header")
    _, own, _, size, _, _, check, _, _, kind, _, _ = _HEADER.unpack(header)
    if zlib.crc32(header[:4] + bytes(4) + header[8:]) != own:
        raise damaged("the checksum of the header does not match", 4)
    summed = _Summed(reader.part(size, "the data"))
    data = Reader(summed.pull)
    yield from _files(data) if kind == _MULTI else _single(data, size, ramdisk=kind == _RAMDISK)
    unlisted = _unlisted(data) if kind == _MULTI else None
    data.finish()
    if summed.sum != check:
        raise damaged("the checksum of the data does not match", _HEADER.size)
    if unlisted is not None:
        raise unlisted
    trailing(reader, "the image")


def _unlisted(data: Reader) -> ContainerError | None:
    """The error for data behind the files that are in the list."""
    try:
        trailing(data, "the files in the list")
    except ContainerError as fault:
        return ContainerError(fault.text, code=fault.code, offset=_HEADER.size + (fault.offset or 0))
    return None


class _Summed:
    """Bytes as they are read, and their CRC-32 so far."""

    def __init__(self, source: Reader) -> None:
        self._source, self.sum = source, 0

    def pull(self) -> bytes:
        """The next bytes. Raises ContainerError."""
        piece = self._source.take(1 << 18)
        self.sum = zlib.crc32(piece, self.sum)
        return piece


def _single(data: Reader, size: int, *, ramdisk: bool) -> Iterator[Member]:
    expected = "a cpio archive" if ramdisk else None
    yield Member(b"data", "part", data, size, _HEADER.size, expected=expected)


def _files(data: Reader) -> Iterator[Member]:
    sizes: list[int] = []
    while size := int.from_bytes(data.exactly(4, "the list of sizes")):
        sizes.append(size)
        if len(sizes) > _FILES_LIMIT:
            raise damaged("an image of too many files", _HEADER.size)
    for number, size in enumerate(sizes):
        offset = _HEADER.size + data.tell()
        part = data.part(size, "a file")
        yield Member(b"%d" % number, "part", part, size, offset)
        part.finish()
        data.skip(-size % 4)


UIMAGE: Container = Container("uimage", marks("uimage"), _open)
