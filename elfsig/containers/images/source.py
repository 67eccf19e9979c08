"""Between elfsig's readers and the libraries: file objects, and errors that are ContainerErrors."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from elfsig.containers.readers import SeekReader, fault_of
from elfsig.errors import ContainerError, ElfsigError

_ASKED_LIMIT = 1 << 30
"""A single read of more than this is a damaged size: the libraries read whole tables at once."""


class Source(io.RawIOBase):
    """The bytes of a reader as a file object for a library.

    ``at`` is where it read last: the best there is to say where damage is. It has no name, so that no library
    opens files beside it.
    """

    def __init__(self, reader: SeekReader) -> None:
        self.whole: SeekReader = reader
        self.size: int = reader.size
        self.at: int = 0
        self._position = 0

    def readable(self) -> bool:
        """Always True."""
        return True

    def seekable(self) -> bool:
        """Always True."""
        return True

    def tell(self) -> int:
        """The position, in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Set the position. Raises ContainerError for one before the start."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        if base + offset < 0:
            raise ContainerError("a position before the start", code="damaged", offset=self.at)
        self._position = base + offset
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        """The next bytes; fewer at the end. Raises ContainerError."""
        left = max(0, self.size - self._position)
        wanted = left if size is None or size < 0 else min(size, left)
        if wanted > _ASKED_LIMIT:
            raise ContainerError(f"a structure of {wanted} bytes", code="over-budget", offset=self._position)
        self.at = self._position
        data = self.whole.read_at(self._position, wanted)
        self._position += len(data)
        return data

    def readall(self) -> bytes:
        """Everything that is left."""
        return self.read()

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; returns how many bytes there were."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


@contextmanager
def mapped(source: Source, what: str) -> Iterator[None]:
    """Whatever a library raises is a ContainerError about ``what``, at the place that was read last."""
    try:
        yield
    except ElfsigError:
        raise
    except MemoryError as reason:
        raise fault_of(reason, source.at) from None
    except EOFError:
        text = f"{what}: something in it is cut off"
        raise ContainerError(text, code="truncated", offset=source.at) from None
    except NotImplementedError as reason:
        text = f"{what}: {str(reason) or 'a form that the library does not read'}"
        raise ContainerError(text, code="unsupported", offset=source.at) from None
    except Exception as reason:  # the libraries raise anything for hostile input: IndexError, zlib.error
        text = f"{what} is damaged: {type(reason).__name__}: {reason}"
        raise ContainerError(text[:500], code="damaged", offset=source.at) from None


def content(
    source: Source, size: int, opened: Callable[[], Any], what: str, *, span: int | None = None
) -> SeekReader:
    """A reader of the ``size`` bytes of a file object that ``opened`` gives, once they are asked for.

    ``span``: no single read crosses a multiple of it. A read that gives fewer bytes than there must be is an
    error: libraries end early in silence.
    """
    stream: Any = None

    def fetch(offset: int, wanted: int) -> bytes:
        nonlocal stream
        wanted = max(0, min(wanted, size - offset))
        parts = []
        with mapped(source, what):
            stream = opened() if stream is None else stream
            while wanted:
                once = wanted if span is None else min(wanted, span - offset % span)
                stream.seek(offset)
                data = bytes(stream.read(once))
                if len(data) != once:
                    text = f"{what}: {len(data)} bytes instead of {once}"
                    raise ContainerError(text, code="truncated", offset=source.at)
                parts.append(data)
                offset, wanted = offset + once, wanted - once
        return b"".join(parts)

    return SeekReader(fetch, size)
