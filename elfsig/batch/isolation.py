"""Whatever goes wrong at one file costs that file alone, and a plug-in's mistake has the plug-in's name."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import TracebackType
from typing import TypeVar

from elfsig.errors import DEBUG, ElfsigError, InternalError
from elfsig.registry import Registry

T = TypeVar("T")
R = TypeVar("R")


def fault_of(bug: Exception, registry: Registry) -> ElfsigError:
    """An exception as the error of the file at which it was raised; raised again where somebody is debugging.

    One that elfsig raises on purpose is that error itself. For any other the plug-in is named in whose code
    it was raised, or whose code called what raised it; where there is none, the mistake is elfsig's own.
    """
    if isinstance(bug, ElfsigError):
        return bug
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
    """The plug-in whose code is the innermost in ``trace``."""
    found = None
    while trace is not None:
        found = registry.plugin_of(str(trace.tb_frame.f_globals.get("__name__"))) or found
        trace = trace.tb_next
    return found


def isolated(
    work: Callable[[T], R], failed: Callable[[T, ElfsigError], R], registry: Registry
) -> Callable[[T], R]:
    """``work``, with ``failed`` of the item and the error in place of whatever ``work`` raises."""

    def safe(item: T) -> R:
        try:
            return work(item)
        except Exception as bug:  # the other items have results, whatever is wrong with us at this one
            return failed(item, fault_of(bug, registry))

    return safe
