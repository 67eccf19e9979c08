"""A line on stderr that counts, on a terminal only and only when the work takes a while."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 1.0
"""Seconds after which the counter appears: most runs are over by then."""

PACE = 0.1
ERASE = "\r\x1b[K"


def watched(results: Iterable[T], noun: str = "files") -> Iterator[T]:
    """``results`` unchanged; meanwhile ``N files`` on stderr, erased before anything else is written."""
    if not sys.stderr.isatty():
        yield from results
        return
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
            sys.stderr.write(f"{ERASE}{count} {noun}")
            sys.stderr.flush()
            shown, visible = now, True
    if visible:
        sys.stderr.write(ERASE)
        sys.stderr.flush()
