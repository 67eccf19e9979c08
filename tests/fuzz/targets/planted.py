"""Targets with faults that were put there on purpose: tests show with them that each oracle finds its kind.

They are not in the table, and run only when named.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from elfsig.errors import InternalError, ParseError
from tests.fuzz.target import Broken, Limits, Target

MARK = b"MARK"


def wrong_exception(data: bytes) -> None:
    """An exception that no docstring promises, behind one that is promised."""
    if MARK in data:
        raise IndexError("planted")
    raise ParseError("promised")


def internal(data: bytes) -> None:
    """What the library makes of a mistake: a subclass of what is promised."""
    if MARK in data:
        raise InternalError("planted") from KeyError("planted")


def quadratic(data: bytes) -> None:
    """Time that grows with the square of the length."""
    end = time.process_time() + (len(data) / 300) ** 2
    while time.process_time() < end:
        pass


def greedy(data: bytes) -> None:
    """An allocation of a size that the input names."""
    if data[:1] == b"\xff":
        assert data * 100_000_000


def different(data: bytes) -> None:
    """An objection of the target's own oracle."""
    if MARK in data:
        raise Broken("differs", "planted")


def abort(data: bytes) -> None:
    """The end of the interpreter, as a fault in a library in C brings it about."""
    if MARK in data:
        os.abort()


def _planted(word: str, run: Callable[[bytes], object]) -> Target:
    start, promised = (b"start", b"a MAR K"), (ParseError, InternalError)
    return Target(f"planted/{word}", "a planted fault", run, lambda: start, None, (MARK,), promised)


TARGETS = (
    _planted("exception", wrong_exception),
    _planted("internal", internal),
    _planted("time", quadratic),
    _planted("memory", greedy)._replace(limits=Limits(seconds=9)),
    _planted("oracle", different),
    _planted("abort", abort),
)
