"""Content and how it ended, in one pipe: a reader must know whether the end is the end or a lost connection.

A frame is a kind (1 byte), a length (4 bytes, little-endian) and as many bytes. ``HEAD`` comes first and
``END`` last, both JSON objects; ``DATA`` frames hold content.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from struct import Struct
from typing import Any

from elfsig.errors import ContainerError, ReadError

HEAD, DATA, END = 1, 2, 3
_FRAME = Struct("<BI")
CONNECTION = "connection"
"""The code of what could not be read because a connection was lost."""

Json = dict[str, Any]


def send(descriptor: int, kind: int, data: bytes) -> None:
    """Write one frame. Raises BrokenPipeError where nobody reads any more."""
    for piece in (_FRAME.pack(kind, len(data)), data):
        view = memoryview(piece)
        while view:
            view = view[os.write(descriptor, view) :]


def send_json(descriptor: int, kind: int, value: Json) -> None:
    """Write one frame with an object."""
    send(descriptor, kind, json.dumps(value).encode("ascii"))


def receive(descriptor: int) -> tuple[int, bytes]:
    """The next frame; (END, an error) where the pipe ends without one."""
    head = _exactly(descriptor, _FRAME.size)
    if len(head) == _FRAME.size:
        kind, size = _FRAME.unpack(head)
        data = _exactly(descriptor, size)
        if len(data) == size:
            return kind, data
    lost = {"error": [CONNECTION, "the process that reads URLs failed", None]}
    return END, json.dumps(lost).encode("ascii")


def head_of(descriptor: int) -> Json:
    """The object of the first frame. Raises ReadError where there is an error instead."""
    kind, data = receive(descriptor)
    value: Json = json.loads(data)
    if kind == END:
        raise error_in(value) or ReadError("ended before it began", code=CONNECTION)
    return value


def content(descriptor: int) -> Iterator[bytes]:
    """The content after the first frame. Raises ContainerError where it could not be read to its end."""
    while True:
        kind, data = receive(descriptor)
        if kind == END:
            if (fault := error_in(json.loads(data))) is not None:
                raise ContainerError(fault.text, code=fault.code, hint=fault.hint)
            return
        yield data


def error_in(value: Json) -> ReadError | None:
    """The error that an object reports, if any."""
    if value.get("error") is None:
        return None
    code, text, hint = value["error"]
    return ReadError(text, code=code, hint=hint)


def _exactly(descriptor: int, size: int) -> bytes:
    parts = []
    while size and (data := os.read(descriptor, min(size, 1 << 20))):
        parts.append(data)
        size -= len(data)
    return b"".join(parts)
