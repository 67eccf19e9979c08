"""The process that reads URLs: ``python -m elfsig.opened.remote.server FD``, started by ``client``.

FD is a Unix socket of packets. Each packet is one request, a JSON object, and carries the write end of the
pipe for its answer. Requests are answered at the same time, each by a thread; the process ends with the
socket.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import Queue
from threading import Thread
from typing import Any

from elfsig.errors import ElfsigError, ReadError
from elfsig.opened.extras import adapter
from elfsig.opened.remote.frames import DATA, END, HEAD, Json, send, send_json
from elfsig.opened.remote.urls import RemoteFile

REQUEST = 1 << 17
"""Bytes of a request, at most."""
_AHEAD = 2
"""Pieces that are read before they are asked for."""


def main(descriptor: int) -> None:
    """Answer requests until nobody can ask any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=descriptor) as asking:
        while True:
            message, given, _, _ = socket.recv_fds(asking, REQUEST, 2)
            if not message:
                return
            Thread(target=_answer, args=(json.loads(message), given), daemon=True).start()


def _answer(request: Json, given: list[int]) -> None:
    """Answer one request on the first descriptor that came with it."""
    pipe = given[0]
    try:
        with suppress(BrokenPipeError):  # nobody wants the rest
            send_json(pipe, END, _outcome(request, given))
    finally:
        for each in given:
            os.close(each)


def _outcome(request: Json, given: list[int]) -> Json:
    """Serve the request; returns the last object of the answer, with the error if there is one."""
    try:
        stores = adapter("remote", "elfsig.opened.remote.stores", "URLs")
        _SERVE[request["action"]](stores, request, given)
    except ElfsigError as fault:
        return {"error": [fault.code, fault.text, fault.hint]}
    return {"error": None}


def _check(stores: Any, request: Json, given: list[int]) -> None:
    stores.check(request["url"])
    send_json(given[0], HEAD, {})


def _list(stores: Any, request: Json, given: list[int]) -> None:
    send_json(given[0], HEAD, {})
    for each in stores.entries(request["url"]):
        entry = [each.shown, each.file.url, each.file.path, each.error]
        send(given[0], DATA, json.dumps(entry).encode("ascii"))


def _read(stores: Any, request: Json, given: list[int]) -> None:
    stream = stores.Stream(RemoteFile(request["url"], request["path"]))
    send_json(given[0], HEAD, {"size": stream.size})
    for piece in _ahead(stream.pieces()):
        send(given[0], DATA, piece)


def _sizes(stores: Any, request: Json, given: list[int]) -> None:
    send_json(given[0], HEAD, {})
    for found in stores.sizes(request["url"]):
        send(given[0], DATA, json.dumps(found).encode("ascii"))


def _put(stores: Any, request: Json, given: list[int]) -> None:
    with open(given[1], "rb", buffering=0, closefd=False) as file:
        written = stores.put(request["url"], file, request["new"])
    send_json(given[0], HEAD, {"written": written})


_SERVE: dict[str, Callable[[Any, Json, list[int]], None]] = {
    "check": _check, "list": _list, "read": _read, "sizes": _sizes, "put": _put,
}  # fmt: skip


def _ahead(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """``pieces``, read ahead by a thread, so that the network does not wait for whoever looks at them."""
    queue: Queue[bytes | ReadError | None] = Queue(_AHEAD)
    gone: list[bool] = []

    def fetch() -> None:
        last: ReadError | None = None
        try:
            for piece in pieces:
                if gone:
                    return
                queue.put(piece)
        except ReadError as fault:
            last = fault
        except BaseException:
            last = ReadError("internal error while reading a URL", code="internal-error")
            raise
        finally:
            queue.put(last)

    Thread(target=fetch, daemon=True).start()
    try:
        while (found := queue.get()) is not None:
            if isinstance(found, ReadError):
                raise found
            yield found
    finally:
        gone.append(True)
        while not queue.empty():  # a thread that waits for room goes on, and ends
            queue.get()


if __name__ == "__main__":
    main(int(sys.argv[1]))
