"""Public functions only return results or raise subclasses of ElfsigError."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import wraps
from inspect import isgenerator
from typing import Any, ParamSpec, TypeVar, cast

from elfsig.batch.isolation import fault_of
from elfsig.errors import ElfsigError
from elfsig.opened.module import Module
from elfsig.registry import Registry, load

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


def public(function: Callable[P, R]) -> Callable[P, R]:
    """``function``, which raises InternalError for a bug in a plug-in, or in elfsig itself; so does the
    iterator that it returns.

    The error names the plug-in; its cause is the exception that the plug-in raised.
    """

    @wraps(function)
    def guarded(*args: P.args, **named: P.kwargs) -> R:
        with _one_family(args, named):
            result = function(*args, **named)
        return cast(R, _each(result, args, named)) if isgenerator(result) else result

    return guarded


def _each(
    results: Generator[T, Any, Any], args: tuple[object, ...], named: Mapping[str, object]
) -> Iterator[T]:
    with closing(results), _one_family(args, named):
        yield from results


@contextmanager
def _one_family(args: tuple[object, ...], named: Mapping[str, object]) -> Iterator[None]:
    """Callers handle one family of exceptions, whatever failed."""
    try:
        yield
    except ElfsigError:
        raise
    except Exception as bug:
        raise fault_of(bug, _registry(args, named)) from bug


def _registry(args: tuple[object, ...], named: Mapping[str, object]) -> Registry:
    """The formats that a call used: those given, those of an opened module, else all installed."""
    for each in (named.get("registry"), *args):
        found = each.registry if isinstance(each, Module) else each
        if isinstance(found, Registry):
            return found
    return load()
