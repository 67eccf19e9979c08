"""The adapter of fsspec: list, read and write what URLs name. The only module that imports it.

Its file systems raise exceptions of many libraries, with messages that may hold URLs with credentials. Here
they become ReadError with a code, and only the exception's name is kept.
"""

from __future__ import annotations

import posixpath
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import lru_cache
from importlib import import_module
from typing import IO, Any, TypeVar

import fsspec

from elfsig.errors import ReadError, UsageError
from elfsig.opened.remote.frames import CONNECTION
from elfsig.opened.remote.urls import RemoteEntry, RemoteFile, protocol, shown

T = TypeVar("T")

BLOCK = 4 << 20
"""Bytes of one request."""
ATTEMPTS = 5
"""How often in a row a request may fail, before its file is given up."""
LOSSES = 64
"""How often the connection may be lost in one file, even if each attempt gets further."""
PAUSE = 0.2
"""Seconds before the second attempt; twice as many before each further one."""
DEPTH = 64
"""Directories in each other, at most."""
_WEB = ("http", "https")
_SILENCE = 60
"""Seconds without a byte after which a connection counts as lost."""


def check(url: str) -> None:
    """Raises UsageError for a URL that nothing here can read: unknown, or its package is not installed."""
    _file_system(url)


@lru_cache(maxsize=64)
def _file_system(url: str) -> Any:
    kind = protocol(url)
    try:
        made = fsspec.get_filesystem_class(kind)
    except ValueError:
        raise UsageError(f"{kind}:// is not a kind of URL that is known", code="unknown-url") from None
    except ImportError as reason:
        text = f"{kind}:// needs a Python package that is not installed: {reason}"
        raise UsageError(text, code="needs-extra") from None
    options = dict(made._get_kwargs_from_urls(url))
    if kind in _WEB:
        timeout = import_module("aiohttp").ClientTimeout(None, sock_connect=30, sock_read=_SILENCE)
        options["client_kwargs"] = {"timeout": timeout}
    elif kind in ("s3", "s3a"):
        options["config_kwargs"] = {"connect_timeout": 30, "read_timeout": _SILENCE}
    return made(use_listings_cache=False, **options)


def _path(file: RemoteFile) -> tuple[Any, str]:
    system = _file_system(file.url)
    return system, system._strip_protocol(file.url) if file.path is None else file.path


# --------------------------------------------------------------------------- errors


def _final(reason: Exception) -> ReadError | None:
    """The error of what will not get better by another attempt; None for the rest."""
    reason = _cause(reason)
    status = getattr(reason, "status", None)
    if isinstance(reason, FileNotFoundError) or status in (404, 410):
        return ReadError("no such file", code="not-found")
    if isinstance(reason, PermissionError) or status in (401, 403):
        return ReadError("permission denied", code="permission-denied")
    if isinstance(reason, (IsADirectoryError, NotADirectoryError)):
        return ReadError("is a directory", code="is-a-directory")
    if type(reason).__name__ == "NoCredentialsError":  # of botocore, which is not imported here
        return ReadError("no credentials were found for it", code="permission-denied")
    return None


def _cause(reason: Exception) -> Exception:
    """Why, where fsspec says "file not found" of a web server that did not answer."""
    cause = reason.__cause__
    if not isinstance(reason, FileNotFoundError) or not isinstance(cause, Exception):
        return reason
    of_network = type(cause).__module__.startswith("aiohttp") or isinstance(cause, OSError)
    return cause if of_network else reason


def _lost(reason: Exception, attempts: int) -> ReadError:
    reason = _cause(reason)
    status = getattr(reason, "status", None)
    what = f"the server answered {status}" if isinstance(status, int) else type(reason).__name__
    return ReadError(f"not read after {attempts} attempts: {what}", code=CONNECTION)


def _retried(action: Callable[[], T]) -> T:
    """What ``action`` returns, tried again while it fails. Raises ReadError."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return action()
        except ReadError:
            raise
        except Exception as reason:  # of whichever library reads this kind of URL
            if (fault := _final(reason)) is not None:
                raise fault from None
            if attempt == ATTEMPTS:
                raise _lost(reason, attempt) from None
        time.sleep(PAUSE * 2 ** (attempt - 1))
    raise AssertionError("the loop returns or raises")


# --------------------------------------------------------------------------- listing


def entries(url: str) -> Iterator[RemoteEntry]:
    """The file that ``url`` names, or every file below it, sorted by directory, as they are listed.

    On web servers a URL that ends with ``/`` is an index page, whose links to what is below it count. Raises
    ReadError where the URL itself cannot be read.
    """
    system, path = _path(RemoteFile(url))
    if not _retried(lambda: _is_directory(system, url, path)):
        yield RemoteEntry(shown(url), RemoteFile(url))
        return
    if protocol(url) in _WEB:
        path = path.partition("?")[0]  # links are relative to the page, whatever was asked of it
    top = path.rstrip("/")
    for name, error in _below(system, path, 0):
        label = shown(url).rstrip("/") + "/" + name.removeprefix(top).strip("/")
        yield RemoteEntry(label, RemoteFile(url, name), error)


def _is_directory(system: Any, url: str, path: str) -> bool:
    if protocol(url) in _WEB:
        return shown(url).endswith("/")
    system.invalidate_cache()
    return bool(system.info(path)["type"] == "directory")


def _below(system: Any, path: str, depth: int) -> Iterator[tuple[str, tuple[str, str] | None]]:
    if depth == DEPTH:
        yield path, ("over-budget", f"more than {DEPTH} directories in each other")
        return
    try:
        listed = _retried(lambda: system.ls(path, detail=True))
    except ReadError as fault:
        if not depth:
            raise
        yield path, (fault.code, fault.text)
        return
    for each in sorted(listed, key=lambda each: str(each["name"])):
        name = str(each["name"])
        if not _is_below(name, path):
            continue
        if each["type"] == "directory":
            yield from _below(system, name, depth + 1)
        else:
            yield name, None


def _is_below(name: str, path: str) -> bool:
    """Whether ``name`` is one step below ``path``: index pages link to themselves and to anything else."""
    rest = name.removeprefix(path.rstrip("/") + "/")
    if rest == name or not rest.strip("/") or "/" in rest.rstrip("/"):
        return False
    return protocol(path) not in _WEB or not (
        "?" in rest or "#" in rest or posixpath.normpath(rest)[:1] == "."
    )


# --------------------------------------------------------------------------- reading


class Stream:
    """The content of one file, from its start to its end, over any number of connections.

    ``size`` in bytes is None where the server does not say. Raises ReadError where there is no such file.
    """

    size: int | None

    def __init__(self, file: RemoteFile) -> None:
        self._system, self._name = _path(file)
        self._info = _retried(self._about)
        size = self._info.get("size")
        self.size = size if isinstance(size, int) else None
        self._in_blocks = self.size is not None and (
            protocol(file.url) not in _WEB or self._info.get("partial", True) is not False
        )

    def _about(self) -> dict[str, Any]:
        with suppress(NotImplementedError):
            self._system.invalidate_cache()
        found: dict[str, Any] = self._system.info(self._name)
        if found.get("type") == "directory":
            raise IsADirectoryError
        return found

    def pieces(self) -> Iterator[bytes]:
        """The content. Raises ReadError: connection, changed-while-reading."""
        at = failed = losses = 0
        while True:
            try:
                for data in self._from(at):
                    at, failed = at + len(data), 0
                    yield data
                if self.size is not None and at < self.size:
                    raise ConnectionError
                return
            except ReadError:
                raise
            except Exception as reason:  # of whichever library reads this kind of URL
                failed, losses = failed + 1, losses + 1
                if isinstance(reason, ValueError) and self._in_blocks:
                    self._in_blocks = False  # fsspec's word for a server that cannot send a part of a file
                elif (fault := _final(reason)) is not None:
                    raise fault from None
                elif failed >= ATTEMPTS or losses >= LOSSES:
                    raise _lost(reason, failed) from None
            time.sleep(PAUSE * 2 ** (failed - 1))
            self._still_the_same()

    def _from(self, at: int) -> Iterator[bytes]:
        """The content from offset ``at`` on, over one connection."""
        if self._in_blocks:
            with self._system.open(self._name, "rb", block_size=BLOCK, cache_type="none") as file:
                file.seek(at)
                while data := file.read(BLOCK):
                    yield data
            return
        plain = {"headers": {"Accept-Encoding": "identity"}} if protocol(self._name) in _WEB else {}
        with self._system.open(self._name, "rb", block_size=0, **plain) as file:
            passed = 0
            while data := file.read(BLOCK):
                passed += len(data)
                if passed > at:
                    yield data[max(0, len(data) - (passed - at)) :]

    def _still_the_same(self) -> None:
        """Raises ReadError where the file was replaced since it was opened."""
        now = _retried(self._about)
        marks = ("size", "ETag", "LastModified", "Last-Modified", "mtime", "generation")
        if any(self._info.get(mark) != now.get(mark) for mark in marks):
            raise ReadError("replaced while it was read", code="changed-while-reading")


# --------------------------------------------------------------------------- what a run writes


def sizes(url: str) -> list[tuple[str, int | None]]:
    """The names of the files in the directory ``url``, and their sizes in bytes where the store says; none
    where the directory does not exist. Raises ReadError."""
    system, path = _path(RemoteFile(url))
    try:
        system.invalidate_cache()
        listed = _retried(lambda: system.ls(path, detail=True))
    except ReadError as fault:
        if fault.code == "not-found":
            return []
        raise
    files = [each for each in listed if each["type"] != "directory"]
    return sorted((posixpath.basename(str(each["name"])), each.get("size")) for each in files)


def put(url: str, file: IO[bytes], new: bool = False) -> bool:
    """Write the content of ``file`` to ``url``, in one request if the store can. Raises ReadError.

    ``new``: only if there is nothing yet; False where there is.
    """
    system, path = _path(RemoteFile(url))
    source = f"/proc/self/fd/{file.fileno()}"
    if new and _retried(lambda: system.exists(path)):
        return False
    if new:
        with suppress(ValueError, TypeError, NotImplementedError):  # a store, or fsspec, that cannot
            try:
                system.put_file(source, path, mode="create")
                return True
            except FileExistsError:
                return False
    _retried(lambda: system.put_file(source, path))
    return True
