"""A progress line on stderr, shown only on a terminal and only in runs that take a while."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 1.0
"""Seconds after which the line appears; most runs are finished by then."""

PACE = 0.1
ERASE = "\r\x1b[K"
WIDTH = 30
"""Width of the bar in characters."""


def watched(results: Iterable[T], noun: str = "files", total: Callable[[], int] | None = None) -> Iterator[T]:
    """Yield ``results`` unchanged, with a progress line on stderr that is erased before other output.

    The line says ``N files``; with ``total``, which is called only on a terminal, it has a bar and the time
    left.
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
            sys.stderr.write(ERASE + text[: _columns() - 1])
            sys.stderr.flush()
            shown, visible = now, True
    if visible:
        sys.stderr.write(ERASE)
        sys.stderr.flush()


def _columns() -> int:
    """Width of the terminal on stderr. (The module ``shutil`` takes long to import.)"""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def bar(count: int, whole: int, seconds: float, noun: str) -> str:
    """Such as ``[#####-----] 20/40 files, 0:07 left``: ``count`` of ``whole`` took ``seconds``."""
    full = WIDTH * min(count, whole) // whole
    left = round(seconds / count * max(0, whole - count))
    return f"[{'#' * full}{'-' * (WIDTH - full)}] {count}/{whole} {noun}, {left // 60}:{left % 60:02} left"
