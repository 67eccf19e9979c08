"""What this process asks for URLs: listings, content, and writing. See :mod:`elfsig.opened.remote`.

``memory://``, which exists in one process only, is served here; everything else by a process of its own.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import IO, Any

from elfsig.errors import DEBUG, ContainerError, ReadError, UsageError
from elfsig.opened.extras import adapter
from elfsig.opened.remote.frames import CONNECTION, Json, content, head_of
from elfsig.opened.remote.urls import RemoteEntry, RemoteFile, protocol

_HERE = ("memory",)
_SERVER = "elfsig.opened.remote.server"


class RemoteContent:
    """The content of a file at a URL, to be read once, forward.

    ``descriptor`` is what reading it needs, None where it needs nothing; ``size`` in bytes is None where it
    is not known.
    """

    pieces: Callable[[], Iterator[bytes]]
    descriptor: int | None
    size: int | None

    def __init__(
        self, pieces: Callable[[], Iterator[bytes]], size: int | None, descriptor: int | None
    ) -> None:
        self.pieces, self.size, self.descriptor = pieces, size, descriptor


@contextmanager
def opened(file: RemoteFile) -> Iterator[RemoteContent]:
    """The content of ``file``. Raises ReadError: not-found, permission-denied, connection.

    Its pieces raise ContainerError, connection, where it could not be read to its end.
    """
    if protocol(file.url) in _HERE:
        stream = _stores().Stream(file)
        yield RemoteContent(lambda: _as_content(stream.pieces()), stream.size, None)
        return
    with _asked("read", {"url": file.url, "path": file.path}) as pipe:
        size = head_of(pipe).get("size")
        yield RemoteContent(lambda: content(pipe), size, pipe)


def _as_content(pieces: Iterator[bytes]) -> Iterator[bytes]:
    try:
        yield from pieces
    except ReadError as fault:
        raise ContainerError(fault.text, code=fault.code, hint=fault.hint) from None


def check(url: str) -> None:
    """Raises UsageError where URLs of this kind cannot be read here: unknown-url, needs-extra."""
    if protocol(url) in _HERE:
        _stores().check(url)
        return
    try:
        with _asked("check", {"url": url}) as pipe:
            head_of(pipe)
    except ReadError as fault:
        raise UsageError(fault.text, code=fault.code, hint=fault.hint) from None


def entries(url: str) -> Iterator[RemoteEntry]:
    """The file at ``url``, or the files below it: see :func:`elfsig.opened.remote.stores.entries`."""
    if protocol(url) in _HERE:
        yield from _stores().entries(url)
        return
    with _asked("list", {"url": url}) as pipe:
        head_of(pipe)
        for each in _objects(pipe):
            label, source, path, error = each
            yield RemoteEntry(
                label, RemoteFile(source, path), None if error is None else (error[0], error[1])
            )


def sizes(url: str) -> dict[str, int | None]:
    """The files in the directory ``url`` and their sizes, None where the store does not say; none where the
    directory does not exist. Raises ReadError."""
    if protocol(url) in _HERE:
        found: dict[str, int | None] = dict(_stores().sizes(url))
        return found
    with _asked("sizes", {"url": url}) as pipe:
        head_of(pipe)
        return {str(name): size for name, size in _objects(pipe)}


def put(url: str, file: IO[bytes], *, new: bool = False) -> bool:
    """Write the whole content of an open file to ``url``. Raises ReadError: connection and others.

    ``new``: only if there is nothing yet; False where there is.
    """
    if protocol(url) in _HERE:
        return bool(_stores().put(url, file, new))
    with _asked("put", {"url": url, "new": new}, (file.fileno(),)) as pipe:
        return bool(head_of(pipe)["written"])


def _objects(pipe: int) -> Iterator[Any]:
    try:
        for data in content(pipe):
            yield json.loads(data)
    except ContainerError as fault:
        raise ReadError(fault.text, code=fault.code, hint=fault.hint) from None


def _stores() -> Any:
    return adapter("remote", "elfsig.opened.remote.stores", "URLs")


# --------------------------------------------------------------------------- the process


class _Server:
    """The process that reads URLs for this one."""

    def __init__(self) -> None:
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", _SERVER, str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=None if DEBUG in os.environ else subprocess.DEVNULL,  # libraries log URLs
                env=environment,
            )

    def close(self) -> None:
        """Have it end, and wait for that."""
        self.socket.close()
        self.process.wait()


_running: dict[int, _Server] = {}
"""The server of each process: a forked process must not share the one of its parent."""


def _server() -> _Server:
    mine = os.getpid()
    found = _running.get(mine)
    if found is None or found.process.poll() is not None:
        for inherited in _running.values():
            inherited.socket.close()
            inherited.process.returncode = 0  # not a child of this process: nothing to wait for
        _running.clear()
        found = _running[mine] = _Server()
    return found


def close() -> None:
    """End the process that reads URLs for this one, if there is one."""
    server = _running.pop(os.getpid(), None)
    if server is not None:
        server.close()


@contextmanager
def _asked(action: str, request: Json, more: Sequence[int] = ()) -> Iterator[int]:
    """Send a request; the read end of the pipe with its answer."""
    pipe, theirs = os.pipe()
    try:
        try:
            message = json.dumps({"action": action, **request}).encode("ascii")
            socket.send_fds(_server().socket, [message], [theirs, *more])
        except OSError as reason:
            text = f"the process that reads URLs cannot be asked: {reason.strerror}"
            raise ReadError(text, code=CONNECTION) from None
        finally:
            os.close(theirs)
        yield pipe
    finally:
        with suppress(OSError):
            os.close(pipe)
