"""Packages of Alpine Linux: gzip streams one after the other, each a part of one tar archive.

The streams are signature, control and data; only the last has the end mark (Alpine's "APK Package Format").
``.PKGINFO`` in the control part has the SHA-256 of the compressed data part, which is verified. Packages of
apk-tools 3 are another format, which is only named.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Generator, Iterator

from elfsig.compression import streams
from elfsig.compression.whole import first_bytes
from elfsig.containers.contract import Container, Context, Member, damaged, trailing
from elfsig.containers.readers import Reader, bytes_reader, reader_of
from elfsig.containers.tar import members
from elfsig.errors import ContainerError
from elfsig.recognition.magics import marks

_GZIP = next(kind for kind in streams.KINDS if kind.name == "gzip")
_INFO = b".PKGINFO"
_INFO_LIMIT = 1 << 20
_FIRST = (b".SIGN.", _INFO + b"\0")
_HASH = re.compile(rb"^datahash = ([0-9a-f]{64})$", re.MULTILINE)


class _Hashed:
    """A source whose bytes are hashed as they are taken for good."""

    def __init__(self, source: Reader) -> None:
        self._source, self._hash, self._last = source, hashlib.sha256(), b""

    def take(self, most: int) -> bytes:
        self._hash.update(self._last)
        self._last = self._source.take(most)
        return self._last

    def give_back(self, data: bytes) -> None:
        self._last = self._last[: len(self._last) - len(data)]
        self._source.give_back(data)

    def peek(self, size: int) -> bytes:
        return self._source.peek(size)

    def tell(self) -> int:
        return self._source.tell()

    def hexdigest(self) -> bytes:
        """SHA-256 of what was taken, in hex."""
        self._hash.update(self._last)
        self._last = b""
        return self._hash.hexdigest().encode()


def _is_package(head: bytes) -> bool:
    """Whether the first member has a name that only packages have, in a stream of its own."""
    return first_bytes(head, "gzip").startswith(_FIRST)


class _Package:
    """What was found so far: the hash that the data must have, and whether it was there."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._wanted: bytes | None = None
        self.ended = False

    def stream(self, reader: Reader) -> Iterator[Member]:
        """The members in the next gzip stream. Raises ContainerError."""
        at, source, wanted = reader.tell(), _Hashed(reader), self._wanted
        part = reader_of(self._context.counted(_GZIP.pieces(source)))
        try:
            self.ended = yield from self._members(part)
            trailing(part, "the archive")
        except ContainerError as reason:
            offset = part.origin.offset if part.origin is not None else at
            raise ContainerError(reason.text, code=reason.code, offset=offset, hint=reason.hint) from None
        if wanted is not None and source.hexdigest() != wanted:
            raise damaged("the sha256 of the data does not match .PKGINFO", at)

    def _members(self, part: Reader) -> Generator[Member, None, bool]:
        found = members(part, self._context, unended=True)
        while True:
            try:
                member = next(found)
            except StopIteration as end:
                return bool(end.value)
            if member.name == _INFO and member.reader is not None:
                content = member.reader.all(_INFO_LIMIT)
                datahash = _HASH.search(content)
                self._wanted = datahash[1] if datahash else None
                member = member._replace(reader=bytes_reader(content))
            yield member


def _open(reader: Reader, context: Context) -> Iterator[Member]:
    package = _Package(context)
    while not package.ended and _GZIP.magic.match(reader.peek(streams.HEAD)):
        yield from package.stream(reader)
    if not package.ended:
        raise ContainerError("the package ends without its data", code="truncated", offset=reader.tell())
    trailing(reader, "the package")


APK: Container = Container("apk", marks("gzip"), _open, probe=_is_package)


def _open_v3(reader: Reader, context: Context) -> Iterator[Member]:
    raise ContainerError("a package of apk-tools 3", code="unsupported", offset=0)
    yield


APK_V3: Container = Container("apk-v3", marks("alpine-package"), _open_v3)
