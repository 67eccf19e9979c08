"""Measure how the time of something grows with the size of its input.

Time is that of the processor, the shortest of several runs: on a busy machine single runs take longer, none
takes less than the work needs. What is quadratic takes four times as long for twice the input, always.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from functools import cache
from itertools import pairwise
from math import prod
from typing import Any, NamedTuple

from elfsig.errors import ElfsigError, InternalError

STEP = 2.3
"""How much longer twice the input may take: linear, with room for caches and for sorting."""

ENOUGH = 0.05
"""Seconds that the smallest of the three inputs should take, so that the growth can be measured."""

CHEAP = 0.04
"""Seconds below which growth does not matter and cannot be measured."""

ATTEMPTS = 6

Make = Callable[[int], Any]
Call = Callable[[Any], object]


class Shape(NamedTuple):
    """Inputs of one kind. ``make`` gets a size in bytes, or in whatever ``start`` and ``most`` count."""

    name: str
    make: Make
    start: int = 1 << 14
    most: int = 1 << 19


def called(call: Call, data: Any) -> None:
    """Call it. Errors on purpose are results; anything else is raised."""
    try:
        result = call(data)
        if hasattr(result, "__next__"):
            for _ in result:  # type: ignore[attr-defined]
                pass
    except InternalError:
        raise
    except ElfsigError:
        pass


def seconds(call: Call, data: Any) -> float:
    """Processor time of one call, without that of the garbage collector."""
    gc.disable()
    try:
        begun = time.process_time()
        called(call, data)
        return time.process_time() - begun
    finally:
        gc.enable()


def scale(calls: Mapping[str, Call], shape: Shape, make: Make) -> int:
    """The size from which on ``calls`` take long enough together, or the most."""
    size = shape.start
    while size < shape.most:
        data = make(size)
        spent = sum(seconds(call, data) for call in calls.values())
        if spent >= ENOUGH:
            break
        size = min(shape.most, size * (2 if spent * 4 > ENOUGH else 4))
    return size


def growth(call: Call, make: Make, size: int) -> list[float]:
    """The steps from ``size`` to twice and four times that, each the ratio of the shortest times.

    Those that are too cheap to be measured count as 1. Measures again while they are above :data:`STEP`.
    """
    inputs = [make(size * times) for times in (1, 2, 4)]
    best = [float("inf")] * len(inputs)
    steps: list[float] = []
    for _ in range(ATTEMPTS):
        best = [min(old, seconds(call, data)) for old, data in zip(best, inputs, strict=True)]
        steps = [b / max(a, 1e-9) if b >= CHEAP else 1.0 for a, b in pairwise(best)]
        if steepness(steps) <= STEP:
            break
    return steps


def steepness(steps: list[float]) -> float:
    """The growth of a step: that of the last one or the average, whichever is less.

    What grows faster than the input does so at both. At one alone, something else began, such as paging.
    """
    return min(steps[-1], prod(steps) ** (1 / len(steps)))


def too_steep(calls: Mapping[str, Call], shape: Shape) -> dict[str, list[float]]:
    """The calls whose time grows faster than the input, with their steps.

    Where something else begins at some size, such as a second reader after the first, a single step is large:
    then twice the input is measured as well.
    """
    make = cache(shape.make)
    size, found = scale(calls, shape, make), {}
    for name, call in calls.items():
        steps = growth(call, make, size)
        if steepness(steps) > STEP:
            steps = growth(call, make, size * 2)
        if steepness(steps) > STEP:
            found[name] = [round(each, 2) for each in steps]
    return found
