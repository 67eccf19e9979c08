"""A line on stderr that shows how far a run is, on a terminal only and only when it takes a while."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 1.0
"""Seconds after which the line appears: most runs are over by then."""

PACE = 0.1
ERASE = "\r\x1b[K"
WIDTH = 30
"""Characters of the bar."""


def watched(results: Iterable[T], noun: str = "files", total: Callable[[], int] | None = None) -> Iterator[T]:
    """``results`` unchanged; meanwhile a line on stderr, erased before anything else is written.

    It says ``N files``; with ``total``, which is asked on a terminal only, a bar and the time that is left.
    """
    if not sys.stderr.isatty():
        yield from results
        return
    whole = total() if total is not None else 0
    started = shown = time.monotonic()
    visible = False
    for count, each in enumerate(results, 1):
        if visible:
            sys.stderr.write(ERASE)
            visible = False
        yield each
        now = time.monotonic()
        if now - started > PATIENCE and now - shown > PACE:
            sys.stdout.flush()
            text = bar(count, whole, now - started, noun) if whole else f"{count} {noun}"
            sys.stderr.write(ERASE + text[: shutil.get_terminal_size().columns - 1])
            sys.stderr.flush()
            shown, visible = now, True
    if visible:
        sys.stderr.write(ERASE)
        sys.stderr.flush()


def bar(count: int, whole: int, seconds: float, noun: str) -> str:
    """Such as ``[#####-----] 20/40 files, 0:07 left``, for ``count`` of ``whole`` done in ``seconds``."""
    full = WIDTH * min(count, whole) // whole
    left = round(seconds / count * max(0, whole - count))
    return f"[{'#' * full}{'-' * (WIDTH - full)}] {count}/{whole} {noun}, {left // 60}:{left % 60:02} left"
