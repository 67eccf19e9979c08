"""Where parts are kept: a directory, or a place in an object store. Files appear there whole or not at
all."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import IO, BinaryIO, Protocol

from elfsig.errors import ContainerError, ReadError, UsageError, WriteError
from elfsig.opened.atomic import create_atomic, remove_leftovers, replacing, write_atomic
from elfsig.opened.remote import client
from elfsig.opened.remote.urls import RemoteFile, is_url, shown
from elfsig.opened.source import FLAGS, not_regular, read_error, reading, system_text

_PIECE = 1 << 20


class Store(Protocol):
    """A place for files by their names."""

    @property
    def label(self) -> str:
        """The place, for people."""

    def prepare(self) -> None:
        """Make it usable. Raises WriteError, UsageError."""

    def sizes(self) -> dict[str, int | None]:
        """The names of all files, and their sizes in bytes where these are known. Raises ReadError."""

    def read(self, name: str, limit: int) -> bytes | None:
        """The content of a file, None where there is none. Raises ReadError."""

    def digest(self, name: str) -> tuple[int, str]:
        """Size and SHA-256, in hex, of a file. Raises ReadError."""

    def create(self, name: str, data: bytes) -> bool:
        """Write a file unless there is one; False where there is. Raises WriteError."""

    def write(self, name: str, data: bytes) -> None:
        """Write a file, as a whole. Raises WriteError."""

    def replacing(self, name: str) -> AbstractContextManager[BinaryIO]:
        """A file to write in the body, which is there when the body ends. Raises WriteError."""


def store_at(place: str) -> Store:
    """The store that a path or URL names. Raises UsageError."""
    if not is_url(place):
        return Folder(place)
    client.check(place)
    if shown(place).partition("://")[2] != place.partition("://")[2].rpartition("@")[2]:
        raise UsageError("the URL of a directory has no query", code="wrong-url")
    return Bucket(place)


class Folder:
    """A directory."""

    def __init__(self, path: str) -> None:
        self.path: str = path

    @property
    def label(self) -> str:
        return self.path

    def prepare(self) -> None:
        """Make the directory, and remove what killed runs left in it."""
        try:
            os.makedirs(self.path, exist_ok=True)
        except OSError as reason:
            raise _not_written(self.path, reason) from None
        remove_leftovers(self.path)

    def sizes(self) -> dict[str, int | None]:
        try:
            names = os.listdir(self.path)
        except OSError as reason:
            raise read_error(reason) from None
        found: dict[str, int | None] = {}
        for name in names:
            with suppress(FileNotFoundError):  # the temporary file of another process
                found[name] = os.stat(self._at(name)).st_size
        return found

    def _at(self, name: str) -> str:
        return os.path.join(self.path, name)

    def _opened(self, name: str) -> IO[bytes]:
        """A file for reading. Raises OSError; ReadError for what is not a regular file, which has no end."""
        descriptor = os.open(self._at(name), FLAGS)
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            os.close(descriptor)
            raise not_regular(mode)
        return os.fdopen(descriptor, "rb")

    def read(self, name: str, limit: int) -> bytes | None:
        try:
            with self._opened(name) as file:
                size = os.fstat(file.fileno()).st_size
                return file.read(min(limit, size))  # it takes as much memory as it is asked to read
        except FileNotFoundError:
            return None
        except OSError as reason:
            raise read_error(reason) from None

    def digest(self, name: str) -> tuple[int, str]:
        found = hashlib.sha256()
        size = 0
        try:
            with self._opened(name) as file, reading(file.fileno()):
                while data := file.read(_PIECE):
                    found.update(data)
                    size += len(data)
        except OSError as reason:
            raise read_error(reason) from None
        return size, found.hexdigest()

    def create(self, name: str, data: bytes) -> bool:
        """Write a file unless there is one, by linking a finished one to the name."""
        try:
            return create_atomic(self._at(name), data)
        except OSError as reason:
            raise _not_written(self._at(name), reason) from None

    def write(self, name: str, data: bytes) -> None:
        write_atomic(self._at(name), data, follow=False)

    def replacing(self, name: str) -> AbstractContextManager[BinaryIO]:
        return replacing(self._at(name), follow=False)


def _not_written(path: str, reason: OSError) -> WriteError:
    fault = WriteError(f"not written: {system_text(reason)}")
    fault.path = path
    return fault


class Bucket:
    """A place in an object store: each file is one request, after which it is there."""

    def __init__(self, url: str) -> None:
        self.url: str = url.rstrip("/")

    @property
    def label(self) -> str:
        return shown(self.url)

    def prepare(self) -> None:
        """Nothing: object stores have no directories."""

    def sizes(self) -> dict[str, int | None]:
        return client.sizes(self.url)

    def _pieces(self, name: str) -> Iterator[bytes]:
        try:
            with client.opened(RemoteFile(f"{self.url}/{name}")) as content:
                yield from content.pieces()
        except ContainerError as fault:
            raise ReadError(fault.text, code=fault.code) from None

    def read(self, name: str, limit: int) -> bytes | None:
        data = bytearray()
        try:
            for piece in self._pieces(name):
                data += piece
                if len(data) > limit:
                    break
        except ReadError as fault:
            if fault.code == "not-found":
                return None
            raise
        return bytes(data[:limit])

    def digest(self, name: str) -> tuple[int, str]:
        found = hashlib.sha256()
        size = 0
        for piece in self._pieces(name):
            found.update(piece)
            size += len(piece)
        return size, found.hexdigest()

    def create(self, name: str, data: bytes) -> bool:
        """Write a file unless there is one. A store without such a request may replace that of another run
        which began at the same moment."""
        with tempfile.TemporaryFile() as file:
            file.write(data)
            file.flush()
            return self._put(name, file, new=True)

    def write(self, name: str, data: bytes) -> None:
        with self.replacing(name) as file:
            file.write(data)

    @contextmanager
    def replacing(self, name: str) -> Iterator[BinaryIO]:
        """A temporary file without a name, stored when the body ends."""
        with tempfile.TemporaryFile() as file:
            yield file
            file.flush()
            self._put(name, file)

    def _put(self, name: str, file: BinaryIO, new: bool = False) -> bool:
        try:
            return client.put(f"{self.url}/{name}", file, new=new)
        except ReadError as fault:
            refused = WriteError(f"not written: {fault.text}", code=fault.code)
            refused.path = f"{self.label}/{name}"
            raise refused from None
