"""Bundles on disk: files that are written one after the other, as a tar archive or as a directory, which is
there as a whole or not at all."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tarfile
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from typing import IO, NamedTuple

from elfsig.errors import WriteError
from elfsig.opened.atomic import TEMPORARY, new_folder, remove_folder, settle, take_after
from elfsig.opened.source import is_stream, system_text

Data = bytes | memoryview

_BY_NUMBER = "/proc/self/fd"
"""Where the files of this process have names."""

PIECE = 1 << 20
"""Bytes that are copied at once."""

RUNNABLE, READABLE = 0o755, 0o644


class Stored(NamedTuple):
    """A file of a bundle: SHA-256 in hex, where it is (offset in the archive, or path), size in bytes."""

    sha256: str
    where: int | str
    size: int


class Bundle:
    """Writes the files of a bundle, and in the end ``SHA256SUMS`` of them.

    ``output`` that ends with a slash becomes a directory, which must not exist; all else a tar archive, which
    replaces the file as a whole (its mode and owner stay), and whose members are in the folder ``evidence``.
    Owner and group are 0; ``mtime`` is the time of every file, in seconds since 1970. Raises WriteError.
    """

    output: str
    sha256: str | None
    """SHA-256 of the archive, in hex, once it is written; None for a directory."""

    def __init__(self, output: str, mtime: int) -> None:
        self.output, self.sha256 = output, None
        self._sums = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the bundle
        try:
            is_folder = output.endswith("/") or os.path.isdir(output)
            self._sink: _Folder | _Archive = _Folder(output, mtime) if is_folder else _Archive(output, mtime)
        except OSError as reason:
            self._sums.close()
            raise _not_written(output, reason) from None

    def add(self, name: str, chunks: Iterable[Data], size: int, mode: int = READABLE) -> Stored:
        """Write the file ``name``. Raises WriteError."""
        digest = hashlib.sha256()

        def passed() -> Iterable[Data]:
            for chunk in chunks:
                digest.update(chunk)
                yield chunk

        try:
            where = self._sink.add(name, size, passed(), mode)
        except OSError as reason:
            raise _not_written(self.output, reason) from None
        self._sums.write(f"{digest.hexdigest()}  {name}\n".encode("ascii"))
        return Stored(digest.hexdigest(), where, size)

    def small(self, name: str, data: bytes, mode: int = READABLE) -> Stored:
        """Write a file that is in memory; as :meth:`add`."""
        return self.add(name, [data], len(data), mode)

    def spooled(self, name: str, file: IO[bytes], start: int, size: int) -> Stored:
        """Write ``size`` bytes of another file, from ``start`` on; as :meth:`add`."""
        file.seek(start)
        return self.add(name, read_pieces(file, size), size)

    def pieces(self, stored: Stored) -> Iterable[bytes]:
        """What was written, in pieces; nothing is written meanwhile. Raises WriteError."""
        try:
            yield from self._sink.pieces(stored.where, stored.size)
        except OSError as reason:
            raise _not_written(self.output, reason) from None

    def commit(self) -> None:
        """Write SHA256SUMS and put the bundle in its place. Raises WriteError."""
        size = self._sums.tell()
        try:
            self._sums.seek(0)
            self._sink.add("SHA256SUMS", size, read_pieces(self._sums, size), READABLE)
            self._sink.commit()
        except OSError as reason:
            raise _not_written(self.output, reason) from None
        self.sha256 = self._sink.sha256

    def close(self) -> None:
        """Remove what was not committed."""
        self._sums.close()
        self._sink.abandon()

    def __enter__(self) -> Bundle:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_pieces(file: IO[bytes], size: int) -> Iterable[bytes]:
    """``size`` bytes of a file in pieces."""
    left = size
    while left and (piece := file.read(min(left, PIECE))):
        left -= len(piece)
        yield piece


def _not_written(output: str, reason: OSError) -> WriteError:
    fault = WriteError(f"not written: {system_text(reason)}")
    fault.path = output
    return fault


# --------------------------------------------------------------------------- a tar archive


class _Archive:
    """A tar archive in a file without a name, which gets one when it is whole: if the process is killed,
    nothing is left."""

    def __init__(self, output: str, mtime: int) -> None:
        if is_stream(output) or (os.path.lexists(output) and not os.path.isfile(output)):
            raise OSError(0, "it exists and is not a regular file")
        self.output, self.mtime, self.sha256 = os.path.realpath(output), mtime, ""
        self._folder = os.path.dirname(self.output)
        self._path: str | None = None
        self._file = self._opened()
        self._tar = tarfile.open(fileobj=self._file, mode="w", format=tarfile.PAX_FORMAT)  # noqa: SIM115

    def _opened(self) -> IO[bytes]:
        try:
            if not os.path.isdir(_BY_NUMBER):
                raise FileNotFoundError(_BY_NUMBER)
            descriptor = os.open(self._folder, os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o666)
        except OSError:  # a file system without such files, or a system that could not give it a name
            descriptor, self._path = tempfile.mkstemp(TEMPORARY, ".evidence.", self._folder)
        with suppress(OSError):  # locked: no other run takes it for a leftover
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        return os.fdopen(descriptor, "w+b")

    def add(self, name: str, size: int, chunks: Iterable[Data], mode: int) -> int:
        """Write a member. Returns the offset of its content."""
        info = tarfile.TarInfo(f"evidence/{name}")
        info.size, info.mtime, info.mode = size, self.mtime, mode
        info.uname = info.gname = "root"
        self._tar.addfile(info, _Reader(chunks))
        return self._file.tell() - (size + tarfile.BLOCKSIZE - 1) // tarfile.BLOCKSIZE * tarfile.BLOCKSIZE

    def pieces(self, where: int | str, size: int) -> Iterable[bytes]:
        """The content of a member."""
        end = self._file.tell()
        at = int(where)
        try:
            for start in range(at, at + size, PIECE):
                self._file.seek(start)
                yield self._file.read(min(PIECE, at + size - start))
        finally:
            self._file.seek(end)

    def commit(self) -> None:
        """Sync, name, rename."""
        self._tar.close()
        self._file.flush()
        self._file.seek(0)
        self.sha256 = _sha256(self._file)
        os.fsync(self._file.fileno())
        if self._path is None:
            self._path = self._named()
        if os.path.lexists(self.output):
            take_after(self._file.fileno(), self.output)
        os.replace(self._path, self.output)
        self._path = None
        settle(self._folder)

    def _named(self) -> str:
        """Give the file a name. Only with a descriptor does Python call linkat(), which follows the link."""
        name = f".evidence.{os.urandom(6).hex()}{TEMPORARY}"
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.link(f"{_BY_NUMBER}/{self._file.fileno()}", name, dst_dir_fd=folder, follow_symlinks=True)
        finally:
            os.close(folder)
        return os.path.join(self._folder, name)

    def abandon(self) -> None:
        """Close, and remove what has a name."""
        self._file.close()
        if self._path is not None:
            with suppress(OSError):
                os.unlink(self._path)


def _sha256(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while piece := file.read(PIECE):
        digest.update(piece)
    return digest.hexdigest()


class _Reader:
    """Chunks as the file that tarfile reads from."""

    def __init__(self, chunks: Iterable[Data]) -> None:
        self._chunks, self._rest = iter(chunks), memoryview(b"")

    def read(self, size: int = 0, /) -> bytes:
        """The next ``size`` bytes, fewer at the end, which tarfile takes for an error."""
        parts: list[Data] = []
        while size:
            if not self._rest:
                following = next(self._chunks, None)
                if following is None:
                    break
                self._rest = memoryview(following)
                continue
            parts.append(self._rest[:size])
            self._rest = self._rest[size:]
            size -= len(parts[-1])
        return b"".join(parts)


# --------------------------------------------------------------------------- a directory


class _Folder:
    """A directory that is written under another name beside it, and renamed when it is whole."""

    sha256: None = None

    def __init__(self, output: str, mtime: int) -> None:
        self.output, self.mtime = output.rstrip("/"), mtime
        if os.path.lexists(self.output):
            raise OSError(0, "the directory exists")
        parent, name = os.path.split(os.path.abspath(self.output))
        self._path: str | None
        self._lock: int | None
        self._path, self._lock = new_folder(parent, name)
        self._made: set[str] = set()

    def add(self, name: str, size: int, chunks: Iterable[Data], mode: int) -> str:
        """Write a file; folders are made as needed. Returns its path."""
        assert self._path is not None, "nothing is added after commit() or abandon()"
        path = os.path.join(self._path, name)
        folder = os.path.dirname(path)
        if folder not in self._made:
            os.makedirs(folder, exist_ok=True)
            self._made.add(folder)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(descriptor)
        os.utime(path, (self.mtime, self.mtime))
        return path

    def pieces(self, where: int | str, size: int) -> Iterable[bytes]:
        """The content of a file."""
        with open(where, "rb") as file:
            yield from read_pieces(file, size)

    def commit(self) -> None:
        """Rename."""
        assert self._path is not None, "a bundle is committed once"
        os.chmod(self._path, 0o777 & ~_umask())
        os.rename(self._path, self.output)  # fails for a directory that came into being and is not empty
        self._path = None
        self.abandon()
        settle(os.path.dirname(os.path.abspath(self.output)))

    def abandon(self) -> None:
        """Remove everything, unless it was renamed."""
        if self._path is not None:
            remove_folder(self._path)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
