"""What leaves public functions: results, and subclasses of ElfsigError."""

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
    """``function``, which raises InternalError for a mistake of a plug-in, or of elfsig itself.

    The plug-in is named; the exception that it raised is the cause.
    """

    @wraps(function)
    def guarded(*args: P.args, **named: P.kwargs) -> R:
        try:
            return function(*args, **named)
        except ElfsigError:
            raise
        except Exception as bug:  # callers handle one family of exceptions, whoever made the mistake
            raise fault_of(bug, _registry(args, named)) from bug

    return guarded


def _registry(args: tuple[object, ...], named: Mapping[str, object]) -> Registry:
    """The formats that a call was about: those given, those of an opened module, else all installed."""
    for each in (named.get("registry"), *args):
        found = each.registry if isinstance(each, Module) else each
        if isinstance(found, Registry):
            return found
    return load()
