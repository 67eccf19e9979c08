"""An error in one file affects that file only, and an error in a plug-in names the plug-in."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import TracebackType
from typing import TypeVar

from elfsig.errors import DEBUG, ElfsigError, InternalError, ReadError
from elfsig.registry import Registry

T = TypeVar("T")
R = TypeVar("R")

OUT_OF_MEMORY = "out-of-memory"


def fault_of(bug: Exception, registry: Registry) -> ElfsigError:
    """An exception as the error of the file at which it was raised; raised again when debugging.

    An ElfsigError is returned unchanged, and a lack of memory is ReadError (out-of-memory). For any other
    exception the error names the plug-in whose code raised it, or called what raised it; without such a
    plug-in, it is an internal error of elfsig.
    """
    if isinstance(bug, ElfsigError):
        return bug
    if isinstance(bug, MemoryError):
        return ReadError("not enough memory to examine it", code=OUT_OF_MEMORY)
    if os.environ.get(DEBUG):
        raise bug
    what = f"{type(bug).__name__}: {bug}"
    plugin = _plugin(bug.__traceback__, registry)
    if plugin is not None:
        fault = InternalError(f"plug-in {plugin}: {what}", code="plug-in-error")
    else:
        fault = InternalError(f"internal error, please report it: {what}")
    fault.__cause__ = bug
    return fault


def _plugin(trace: TracebackType | None, registry: Registry) -> str | None:
    """The plug-in whose code is innermost in ``trace``."""
    found = None
    while trace is not None:
        found = registry.plugin_of(str(trace.tb_frame.f_globals.get("__name__"))) or found
        trace = trace.tb_next
    return found


def isolated(
    work: Callable[[T], R], failed: Callable[[T, ElfsigError], R], registry: Registry
) -> Callable[[T], R]:
    """``work``, but where it raises, the result is ``failed`` of the item and the error."""

    def safe(item: T) -> R:
        try:
            return work(item)
        except Exception as bug:  # an error of ours at one item must not cost the results of the others
            return failed(item, fault_of(bug, registry))

    return safe
