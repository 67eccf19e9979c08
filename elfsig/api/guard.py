"""Public functions only return results or raise subclasses of ElfsigError."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import ParamSpec, TypeVar

from elfsig.batch.isolation import fault_of
from elfsig.errors import ElfsigError
from elfsig.opened.module import Module
from elfsig.registry import Registry, load

P = ParamSpec("P")
R = TypeVar("R")


def public(function: Callable[P, R]) -> Callable[P, R]:
    """``function``, which raises InternalError for a bug in a plug-in, or in elfsig itself.

    The error names the plug-in; its cause is the exception that the plug-in raised.
    """

    @wraps(function)
    def guarded(*args: P.args, **named: P.kwargs) -> R:
        try:
            return function(*args, **named)
        except ElfsigError:
            raise
        except Exception as bug:  # callers handle one family of exceptions, whatever failed
            raise fault_of(bug, _registry(args, named)) from bug

    return guarded


def _registry(args: tuple[object, ...], named: Mapping[str, object]) -> Registry:
    """The formats that a call used: those given, those of an opened module, else all installed."""
    for each in (named.get("registry"), *args):
        found = each.registry if isinstance(each, Module) else each
        if isinstance(found, Registry):
            return found
    return load()
