"""zip archives, by Python's zipfile: members from the central directory, each compared with its local header.

What an archive hides from one kind of reader is reported: a local header that says something else than the
directory, and bytes that belong to no member (PKWARE's APPNOTE.TXT, 4.3). A member that cannot be read does
not keep others from being read.
"""

from __future__ import annotations

import io
import lzma
import stat as modes
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from elfsig.compression import DECODER_MEMORY
from elfsig.containers.contract import NAME_LIMIT, Container, Context, Member, damaged
from elfsig.containers.readers import PIECE, Reader, SeekReader, anew, reader_of
from elfsig.errors import ContainerError
from elfsig.recognition.magics import marks

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_LOCAL_MAGIC, _END, _LOCATOR, _END64 = b"PK\3\4", b"PK\5\6", b"PK\6\7", b"PK\6\6"
_ENCRYPTED, _SIZES_FOLLOW, _PATCHED, _STRONG, _UTF8 = 0x1, 0x8, 0x20, 0x40, 0x800
_LZMA_HEAD = struct.Struct("<HHBI")
"""Version, size of the properties, and they: a byte and the size of the dictionary (5.8.8)."""
_DIRECTORY_LIMIT = 64 << 20
"""Maximum size of the central directory in bytes: some hundred thousand members."""
_FAULTS = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, struct.error,
    OverflowError,
)  # fmt: skip


class _File(io.RawIOBase):
    """A reader as zipfile wants it."""

    def __init__(self, reader: SeekReader) -> None:
        self._reader, self._at = reader, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = max(0, offset + (0, self._at, self._reader.size)[whence])
        return self._at

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        data = self._reader.read_at(self._at, len(view))
        view[: len(data)] = data
        self._at += len(data)
        return len(data)


def _open(reader: Reader, context: Context) -> Iterator[Member]:
    assert isinstance(reader, SeekReader), "declared to need seek"
    end = _end(reader)
    try:
        archive = zipfile.ZipFile(_File(reader))
    except (*_FAULTS, NotImplementedError) as why:
        raise damaged(f"the central directory: {why}", end) from None
    fault: ContainerError | None = None
    used = [(archive.start_dir, reader.size)]
    for info in archive.infolist():
        try:
            used.append(_checked(reader, info))
            yield from _member(archive, info, context)
        except ContainerError as reason:
            fault = fault or anew(reason)
            if reason.code == "over-budget":
                break
    if fault is None:
        fault = _unused(reader, used)
    if fault is not None:
        raise fault


def _end(reader: SeekReader) -> int:
    """The offset of the end record, whose claims are checked before zipfile believes them.

    Raises ContainerError.
    """
    tail = reader.read_at(max(0, reader.size - 22 - 0xFFFF), 22 + 0xFFFF)
    at = tail.rfind(_END)
    if at < 0 or at + 22 > len(tail):
        raise ContainerError("the archive has no end record", code="truncated", offset=reader.size)
    size = int.from_bytes(tail[at + 12 : at + 16], "little")
    offset = reader.size - len(tail) + at
    comment = int.from_bytes(tail[at + 20 : at + 22], "little")
    if offset + 22 + comment > reader.size:
        raise ContainerError("the end record is cut off", code="truncated", offset=reader.size)
    if offset + 22 + comment < reader.size:
        text = "something follows the end of the archive"
        raise ContainerError(text, code="trailing-data", offset=offset + 22 + comment)
    if tail[at - 20 : at - 16] == _LOCATOR:
        record = reader.read_at(int.from_bytes(tail[at - 12 : at - 4], "little"), 56)
        size = int.from_bytes(record[40:48], "little") if record[:4] == _END64 else size
    if size > _DIRECTORY_LIMIT:
        text = f"a central directory of {size} bytes"
        raise ContainerError(text, code="over-budget", offset=offset)
    return offset


def _checked(reader: SeekReader, info: zipfile.ZipInfo) -> tuple[int, int]:
    """(start, end) of a member with its local header, which must say the same as the directory.

    Raises ContainerError.
    """
    at = info.header_offset
    if at < 0:
        raise damaged("a member of the directory starts before the archive", 0)
    head = reader.read_at(at, _LOCAL.size)
    if len(head) < _LOCAL.size or head[:4] != _LOCAL_MAGIC:
        raise damaged("a member of the directory has no local header", at)
    _, _, flags, method, _, _, crc, packed, size, name_size, extra_size = _LOCAL.unpack(head)
    name = reader.read_at(at + _LOCAL.size, name_size)
    start = at + _LOCAL.size + name_size + extra_size
    same = (
        method == info.compress_type and name == _raw_name(info) and not (flags ^ info.flag_bits) & _ENCRYPTED
    )
    if not flags & _SIZES_FOLLOW:
        wide = 0xFFFFFFFF in (packed, size)
        same = same and crc == info.CRC and (wide or (packed, size) == (info.compress_size, info.file_size))
    if not same:
        raise damaged("the local header of a member differs from the directory", at)
    if start + info.compress_size > reader.size:
        raise ContainerError("a member is cut off", code="truncated", offset=reader.size)
    if method == zipfile.ZIP_LZMA:
        _check_dictionary(reader.read_at(start, _LZMA_HEAD.size), start)
    return at, start + info.compress_size


def _check_dictionary(head: bytes, at: int) -> None:
    """Raises ContainerError if a stream needs more memory than decoders may have."""
    if len(head) == _LZMA_HEAD.size and _LZMA_HEAD.unpack(head)[3] > DECODER_MEMORY:
        text = f"a member needs more than {DECODER_MEMORY >> 20} MiB of memory to decompress"
        raise ContainerError(text, code="unsupported", offset=at)


def _raw_name(info: zipfile.ZipInfo) -> bytes:
    return info.orig_filename.encode("utf-8" if info.flag_bits & _UTF8 else "cp437", "surrogateescape")


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, context: Context) -> Iterator[Member]:
    name = _raw_name(info)
    if info.flag_bits & (_ENCRYPTED | _STRONG):
        text = f"member {name.decode('utf-8', 'backslashreplace')} is encrypted"
        raise ContainerError(text, code="encrypted", offset=info.header_offset)
    if info.flag_bits & _PATCHED:
        raise ContainerError("a member is a patch", code="unsupported", offset=info.header_offset)
    if name.endswith(b"/"):
        yield Member(name, "directory", offset=info.header_offset)
        if info.file_size:  # which programs do not unpack
            raise damaged("a directory has content", info.header_offset)
        return
    part = reader_of(context.counted(_content(archive, info)))
    if modes.S_ISLNK(info.external_attr >> 16):
        yield Member(name, "link", target=part.all(NAME_LIMIT), offset=info.header_offset)
        return
    yield Member(name, "file", part, info.file_size, info.header_offset)
    part.finish()


def _content(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    """The content, whose CRC is checked at the end. Raises ContainerError."""
    try:
        with archive.open(info) as file:
            while piece := file.read(PIECE):
                yield piece
    except NotImplementedError:
        text = f"compression method {info.compress_type}"
        raise ContainerError(text, code="unsupported", offset=info.header_offset) from None
    except _FAULTS as why:
        raise damaged(f"a member: {why}", info.header_offset) from None


def _unused(reader: SeekReader, used: list[tuple[int, int]]) -> ContainerError | None:
    """The first bytes that belong to no member and are not zeros, except for a descriptor after a member."""
    at = 0
    for start, end in sorted(used):
        while at < start:
            gap = reader.read_at(at, min(start - at, PIECE))
            if gap.strip(b"\0") and not _is_known(gap):
                return ContainerError("bytes that belong to no member", code="trailing-data", offset=at)
            at += len(gap)
        at = max(at, end)
    return None


def _is_known(gap: bytes) -> bool:
    """Whether this is CRC and sizes after a member's content (4.3.9), which the directory has too, or after
    zeros the signatures of an Android package: their size, pairs, and the size again before the mark (APK
    Signature Scheme v2, "APK Signing Block")."""
    if len(gap) in (12, 16, 20, 24):
        return True
    size = gap[-24:-16]
    start = len(gap) - 8 - int.from_bytes(size, "little")
    framed = 0 <= start <= len(gap) - 32 and gap[start : start + 8] == size and not any(gap[:start])
    return framed and gap.endswith(b"APK Sig Block 42")


ZIP: Container = Container("zip", marks("zip"), _open, needs="seek")
