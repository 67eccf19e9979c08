"""Reports what is being waited for when a token or a service does not respond."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SECONDS = 10.0
"""Delay before the message."""


@contextmanager
def waiting_for(what: str, seconds: float | None = None) -> Iterator[None]:
    """Context: prints one line on stderr after ``seconds`` (:data:`SECONDS`): a device may need touch."""

    def tell() -> None:
        print(f"elfsig: still waiting for {what}", file=sys.stderr, flush=True)

    timer = threading.Timer(SECONDS if seconds is None else seconds, tell)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
