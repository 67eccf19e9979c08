"""The standard streams: all three are open, and what changes files does not depend on who reads them."""

from __future__ import annotations

import io
import os
import sys

MODES = {"stdin": "r", "stdout": "w", "stderr": "w"}
"""The streams in the order of their descriptors."""


def open_missing() -> None:
    """Open /dev/null for each standard stream that was closed when this process started.

    Else the next file that is opened would get its descriptor, and messages would be written into that file.
    """
    for number, (name, mode) in enumerate(MODES.items()):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number that is free: this
        if getattr(sys, name) is None:
            errors = "backslashreplace" if mode == "w" else None
            stream = open(number, mode, closefd=False, encoding="utf-8", errors=errors)  # noqa: SIM115
            setattr(sys, name, stream)


def drop(descriptor: int) -> None:
    """Discard what is written to ``descriptor`` from now on. Raises OSError."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, descriptor)
    os.close(null)


def outlive_readers() -> None:
    """Go on without output when the reader of a pipe goes away, instead of BrokenPipeError.

    For commands that change files: how many they change must not depend on who reads their output.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is getattr(sys, f"__{name}__") and isinstance(stream, io.TextIOWrapper):
            stream.flush()
            setattr(sys, name, _lasting(stream))


def _lasting(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    raw = _Lasting(stream.fileno(), "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


class _Lasting(io.FileIO):
    def write(self, data: io.ReadableBuffer, /) -> int:  # type: ignore[name-defined]
        try:
            return super().write(data) or 0
        except BrokenPipeError:
            drop(self.fileno())
            return len(memoryview(data).cast("B"))
