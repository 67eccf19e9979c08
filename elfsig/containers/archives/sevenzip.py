"""7z archives (7zFormat.txt in the 7-Zip sources), read by py7zr.

The files of an archive are decompressed together, each verified by its CRC-32, and then given one by one:
those before a damaged one are complete.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from py7zr import SevenZipFile
from py7zr import py7zr as library
from py7zr.archiveinfo import HeaderStreamsInfo, SignatureHeader
from py7zr.exceptions import PasswordRequired, UnsupportedCompressionMethodError
from py7zr.io import MemIO, Py7zIO, WriterFactory
from py7zr.properties import COMPRESSION_METHOD, PROPERTY

from elfsig.compression import DECODER_MEMORY
from elfsig.containers.contract import NAME_LIMIT, Budget, Context, Member, damaged, trailing
from elfsig.containers.images.source import Source, mapped
from elfsig.containers.readers import Reader, SeekReader
from elfsig.containers.scratch import Copy
from elfsig.errors import ContainerError

_HEADER = 32
"""Bytes of the signature header, from whose end offsets count."""
_LINK_LIMIT = 1 << 16
_BLOCK = 1 << 25
"""Bytes that are decompressed at a time."""

# The library's own function looks into /proc, which a confined process cannot.
library.get_memory_limit = lambda: _BLOCK


def read(reader: Reader, context: Context) -> Iterator[Member]:
    """The members of an archive. Raises ContainerError."""
    source = Source(context.seekable(reader))
    with mapped(source, "the archive"):
        _check_header(source)
        try:
            archive: Any = SevenZipFile(source)
            encrypted = archive.needs_password()
        except PasswordRequired:
            encrypted = True
        if encrypted:
            raise ContainerError("the archive is encrypted", code="encrypted", offset=0)
        entries = list(archive.files)
        streams = archive.header.main_streams
        _check_dictionaries(streams.unpackinfo.folders if streams is not None else ())
    content = _Content(context.scratch.copy(), context.budget)
    fault: ContainerError | None = None
    try:
        with mapped(source, "the archive"), _supported():
            _decompress(archive, entries, content)
    except ContainerError as reason:
        fault = reason
        content.drop_last()
    whole = content.copy.reader()
    for entry in entries:
        with mapped(source, "the archive"):
            member = _member(entry, content, whole)
        if member is not None:
            yield member
    if fault is not None:
        raise fault
    head = archive.sig_header
    end = _HEADER + head.nextheaderofs + head.nextheadersize
    behind = context.seekable(reader)
    behind.skip(end - behind.tell())
    trailing(behind, "the archive")


def _check_header(source: Source) -> None:
    """Raises ContainerError if the header is compressed, and needs too much memory."""
    head = SignatureHeader.retrieve(source)
    source.seek(_HEADER + head.nextheaderofs)
    header = io.BytesIO(source.read(head.nextheadersize))
    if header.read(1) == PROPERTY.ENCODED_HEADER:
        _check_dictionaries(HeaderStreamsInfo.retrieve(header).unpackinfo.folders)
    source.seek(0)


def _check_dictionaries(folders: Iterable[Any]) -> None:
    """Raises ContainerError if a coder needs more memory than decoders may have."""
    for folder in folders:
        for coder in folder.coders:
            if _dictionary(coder["method"], coder.get("properties") or b"") > DECODER_MEMORY:
                text = f"it needs more than {DECODER_MEMORY >> 20} MiB of memory to decompress"
                raise ContainerError(text, code="unsupported", offset=0)


def _dictionary(method: bytes, properties: bytes) -> int:
    """The size of a coder's dictionary in bytes: LZMA has it in four bytes, LZMA2 in a byte, PPMd as LZMA."""
    if method in (COMPRESSION_METHOD.LZMA, COMPRESSION_METHOD.PPMD) and len(properties) == 5:
        return int.from_bytes(properties[1:], "little")
    if method == COMPRESSION_METHOD.LZMA2 and len(properties) == 1:
        return (2 | properties[0] & 1) << (properties[0] // 2 + 11)
    return 0


@contextmanager
def _supported() -> Iterator[None]:
    """Whatever the library has no decompressor for is a NotImplementedError."""
    try:
        yield
    except UnsupportedCompressionMethodError as reason:
        raise NotImplementedError(reason.args[-1]) from None


def _decompress(archive: Any, entries: list[Any], content: _Content) -> None:
    for entry in entries:
        if not entry.is_directory:
            archive.worker.register_filelike(entry.id, MemIO(str(entry.id), content))
    archive.worker.extract(archive.fp, None, parallel=False)


def _member(entry: Any, content: _Content, whole: SeekReader) -> Member | None:
    """What an entry is; None for a file that was not decompressed to its end."""
    name = str(entry.filename).encode("utf-8", "surrogatepass")
    if not name or len(name) > NAME_LIMIT:
        raise damaged("a member without a usable name", 0)
    if entry.is_directory:
        return Member(name, "directory")
    place = content.places.get(str(entry.id))
    if place is None or place.end - place.start != (entry.uncompressed or 0):
        return None
    reader = whole.window(place.start, place.end - place.start)
    if entry.is_symlink or entry.is_junction:
        return Member(name, "link", target=reader.all(_LINK_LIMIT))
    return Member(name, "file", reader, reader.size)


class _Place(NamedTuple):
    """Where a file is in the copy."""

    start: int
    end: int


class _Content(WriterFactory):  # type: ignore[misc]  # the library is not typed for mypy
    """The files of an archive in one copy, one after the other."""

    def __init__(self, copy: Copy, budget: Budget) -> None:
        self.copy, self.budget = copy, budget
        self.places: dict[str, _Place] = {}

    def drop_last(self) -> None:
        """Forget the last file, which was damaged."""
        if self.places:
            self.places.popitem()

    def create(self, filename: str) -> Py7zIO:
        """What the library writes the file of this number to."""
        return _Writer(self, filename)


class _Writer(Py7zIO):  # type: ignore[misc]  # the library is not typed for mypy
    """One file."""

    def __init__(self, content: _Content, number: str) -> None:
        self._content, self._number = content, number
        self._start = content.copy.end - content.copy.start
        self._written = 0
        content.places[number] = _Place(self._start, self._start)

    def write(self, s: bytes | bytearray) -> int:
        """Append to the file. Raises ContainerError: over-budget."""
        self._content.budget.spend(len(s))
        self._content.copy.write(bytes(s))
        self._written += len(s)
        self._content.places[self._number] = _Place(self._start, self._start + self._written)
        return len(s)

    def read(self, size: int | None = None) -> bytes:
        """Nothing: the library only writes."""
        return b""

    def seek(self, offset: int, whence: int = 0) -> int:
        """The end: the library only appends."""
        return self._written

    def flush(self) -> None:
        """Nothing is buffered."""

    def size(self) -> int:
        """How much was written."""
        return self._written
