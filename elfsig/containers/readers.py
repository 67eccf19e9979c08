"""Bytes to read: forward with a look ahead, or at any offset.

A container reads from one of these, and gives out further ones for its members. Offsets count from the start
of that reader's own bytes. A failure is permanent: every later read raises it again, so that an early
end is never taken for the end.
"""

from __future__ import annotations

import hashlib
import os
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from copy import copy

from elfsig.errors import DEBUG, ContainerError, ElfsigError

PIECE = 1 << 18
"""How many bytes are read at once, at most, where nobody asks for more."""

_TEXT_LIMIT = 500


def anew(error: ContainerError) -> ContainerError:
    """The same error as another exception: one that was raised keeps all that was open on its way, such as
    decoders with their memory, for as long as it is kept."""
    return copy(error)


def fault_of(bug: Exception, offset: int) -> ContainerError:
    """What no reader of a container should raise, as the error of that container; raised again when
    debugging."""
    if isinstance(bug, MemoryError):
        return ContainerError("not enough memory to read it", code="out-of-memory", offset=offset)
    if os.environ.get(DEBUG):
        raise bug
    text = f"internal error, please report it: {type(bug).__name__}: {bug}"
    return ContainerError(text[:_TEXT_LIMIT], code="internal-error", offset=offset)


class Reader:
    """A forward reader over what ``pull`` returns: the next bytes, b"" at the end, or a ContainerError.

    With ``hashing``, :attr:`sha256` is known once everything was read.
    """

    seekable = False

    def __init__(self, pull: Callable[[], bytes], *, hashing: bool = False) -> None:
        self._pull = pull
        self._head, self._at = b"", 0
        self._pulled = 0
        self._ended = False
        self._hash = hashlib.sha256() if hashing else None
        self._failure: ContainerError | None = None
        self._origin: ContainerError | None = None

    @property
    def failure(self) -> ContainerError | None:
        """Why reading failed, with the offset in these bytes; None while it did not."""
        return None if self._failure is None else anew(self._failure)

    @property
    def origin(self) -> ContainerError | None:
        """The same failure as it was found, with the offset in the bytes of the container."""
        return None if self._origin is None else anew(self._origin)

    def start_hash(self) -> None:
        """Have :attr:`sha256` be known at the end, from now on; nothing may have been read yet."""
        if self._hash is None and self.tell() == 0:
            self._hash = hashlib.sha256(self._head)

    def _more(self) -> bytes:
        """Pull once; b"" at the end. Raises ContainerError."""
        if (failure := self.failure) is not None:
            raise failure
        if self._ended:
            return b""
        try:
            data = self._pull()
        except ContainerError as found:
            raise self._failed(found) from None
        except ElfsigError:
            raise
        except Exception as bug:  # of one member: the walk goes on with the next
            raise self._failed(fault_of(bug, self._pulled)) from None
        self._pulled += len(data)
        if not data:
            self._ended, self._pull = True, bytes
        if self._hash is not None:
            self._hash.update(data)
        return data

    def _failed(self, found: ContainerError) -> ContainerError:
        """Keep ``found`` as what every later read raises; returns that."""
        self._origin = anew(found)
        self._failure = anew(found)
        self._failure.offset, self._pull = self._pulled, bytes
        return anew(self._failure)

    def _fill(self, size: int) -> None:
        """Have ``size`` bytes in the buffer, or all that are left. Raises ContainerError."""
        have = len(self._head) - self._at
        if have >= size:
            return
        parts = [self._head[self._at :]] if have else []
        try:
            while have < size and (data := self._more()):
                parts.append(data)
                have += len(data)
        finally:
            self._head, self._at = parts[0] if len(parts) == 1 else b"".join(parts), 0

    def tell(self) -> int:
        """How many bytes were read."""
        return self._pulled - (len(self._head) - self._at)

    def peek(self, size: int) -> bytes:
        """The next ``size`` bytes without reading them; fewer at the end, or where reading fails."""
        if len(self._head) - self._at < size and self.failure is None:
            with suppress(ContainerError):  # raised again by the read that needs more than this
                self._fill(size)
        return self._head[self._at : self._at + size]

    def take(self, most: int) -> bytes:
        """The next bytes: at least one and at most ``most``; b"" at the end. Raises ContainerError."""
        if self._at == len(self._head):
            self._head, self._at = self._more(), 0
        data = self._head[self._at : self._at + most] if self._at or most < len(self._head) else self._head
        self._at += len(data)
        return data

    def give_back(self, data: bytes) -> None:
        """Take back ``data``, the last bytes read."""
        if self._at >= len(data) and self._head[self._at - len(data) : self._at] == data:
            self._at -= len(data)
        else:
            self._head, self._at = data + self._head[self._at :], 0

    def read(self, size: int) -> bytes:
        """The next ``size`` bytes; fewer only at the end. Raises ContainerError."""
        self._fill(size)
        data = self._head[self._at : self._at + size]
        self._at += len(data)
        return data

    def exactly(self, size: int, what: str) -> bytes:
        """The next ``size`` bytes, which are ``what``. Raises ContainerError: truncated."""
        data = self.read(size)
        if len(data) < size:
            text = f"{what} is cut off: {len(data)} of {size} bytes"
            raise ContainerError(text, code="truncated", offset=self.tell())
        return data

    def skip(self, size: int) -> int:
        """Read ``size`` bytes and drop them; returns how many there were. Raises ContainerError."""
        left = size
        while left and (data := self.take(left)):
            left -= len(data)
        return size - left

    def all(self, limit: int) -> bytes:
        """Everything that is left. Raises ContainerError: over-budget for more than ``limit`` bytes."""
        data = self.read(limit + 1)
        if len(data) > limit:
            raise ContainerError(
                f"more than {limit} bytes", code="over-budget", offset=limit, hint="max-size"
            )
        return data

    def at_end(self) -> bool:
        """Whether nothing is left. Raises ContainerError."""
        self._fill(1)
        return self._at == len(self._head)

    def finish(self) -> None:
        """Read to the end. Raises the failure as it was found, in the offsets of the container."""
        try:
            while self.take(PIECE):
                pass
        except ContainerError:
            if (origin := self.origin) is not None:
                raise origin from None
            raise

    def part(self, size: int, what: str) -> Reader:
        """A reader of the next ``size`` bytes, ``what`` by name. This one must not be read meanwhile;
        afterwards :meth:`finish` of the part goes on to its end."""
        return Reader(_limited(self, size, what))

    @property
    def hashing(self) -> bool:
        """Whether everything that is read is hashed."""
        return self._hash is not None

    @property
    def sha256(self) -> str | None:
        """SHA-256 of all the bytes, in hex; None without ``hashing``, or before the end was reached."""
        return self._hash.hexdigest() if self._hash is not None and self._ended else None


def _limited(source: Reader, size: int, what: str) -> Callable[[], bytes]:
    left = size

    def pull() -> bytes:
        nonlocal left
        if not left:
            return b""
        data = source.take(min(left, PIECE))
        if not data:
            text = f"{what} is cut off: {size - left} of {size} bytes"
            raise ContainerError(text, code="truncated", offset=source.tell())
        left -= len(data)
        return data

    return pull


def reader_of(pieces: Iterator[bytes]) -> Reader:
    """A forward reader over pieces; an empty piece is skipped."""

    def pull() -> bytes:
        return next((piece for piece in pieces if piece), b"")

    return Reader(pull)


Fetch = Callable[[int, int], bytes]
"""``fetch(offset, size)``: the bytes there; fewer at the end. Raises ContainerError."""


class SeekReader(Reader):
    """``size`` bytes that can be read at any offset, and forward."""

    seekable = True

    def __init__(self, fetch: Fetch, size: int, *, hashing: bool = False) -> None:
        this = weakref.ref(self)  # not a cycle: what it reads from is let go as soon as nobody reads it
        super().__init__(lambda: reader._next() if (reader := this()) is not None else b"", hashing=hashing)
        self._fetch = fetch
        self.size = size

    def _next(self) -> bytes:
        wanted = min(PIECE, self.size - self._pulled)
        if wanted <= 0:
            return b""
        data = self._fetch(self._pulled, wanted)
        if not data:
            text = f"ends after {self._pulled} of {self.size} bytes"
            raise ContainerError(text, code="truncated", offset=self._pulled)
        return data

    def read_at(self, offset: int, size: int) -> bytes:
        """``size`` bytes at ``offset``; fewer only at the end. Raises ContainerError.

        Independent of what was read forward.
        """
        parts: list[bytes] = []
        end = min(offset + size, self.size)
        try:
            while 0 <= offset < end and (data := self._fetch(offset, end - offset)):
                parts.append(data)
                offset += len(data)
        except ElfsigError:
            raise
        except Exception as bug:
            raise fault_of(bug, offset) from None
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def window(self, offset: int, size: int) -> SeekReader:
        """``size`` of these bytes from ``offset`` on, as far as they exist."""
        offset = min(max(offset, 0), self.size)
        return SeekReader(
            lambda at, wanted: self._fetch(offset + at, wanted), min(max(size, 0), self.size - offset)
        )

    def skip(self, size: int) -> int:
        """Pass over ``size`` bytes without reading them; returns how many there were."""
        have = len(self._head) - self._at
        if self._hash is not None or size <= have or self.failure is not None:
            return super().skip(size)
        size = min(size, self.size - self.tell())
        self._pulled = self.tell() + size
        self._head, self._at = b"", 0
        return size

    def part(self, size: int, what: str) -> Reader:
        """A reader of the next ``size`` bytes, which are passed over here; see :meth:`Reader.part`."""
        start = self.tell()
        if self._hash is not None or size > self.size - start:
            return super().part(size, what)
        self.skip(size)
        return self.window(start, size)


def bytes_reader(data: bytes) -> SeekReader:
    """A reader of bytes in memory."""
    return SeekReader(lambda offset, size: data[offset : offset + size], len(data))


def descriptor_reader(descriptor: int, size: int, *, hashing: bool = False) -> SeekReader:
    """A reader of the first ``size`` bytes of an open file, which the caller closes after the last read."""

    def fetch(offset: int, wanted: int) -> bytes:
        try:
            return os.pread(descriptor, wanted, offset)
        except OSError as why:
            text = f"not readable: {(why.strerror or str(why)).lower()}"
            raise ContainerError(text, code="damaged", offset=offset) from None

    return SeekReader(fetch, size, hashing=hashing)
