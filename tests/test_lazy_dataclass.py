"""Lazy dataclasses do what the standard ones do, whichever method is used first."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from elfsig import lazy_dataclass
from elfsig.model import Place
from tests.support.cli import environment

if TYPE_CHECKING:
    Decorator = Callable[[type], type]

DECORATORS = {
    "lazy": lazy_dataclass.dataclass(frozen=True, slots=True),
    "standard": dataclasses.dataclass(frozen=True, slots=True),
}


OPEN = {
    "lazy": lazy_dataclass.dataclass(frozen=True, eq=False),
    "standard": dataclasses.dataclass(frozen=True, eq=False),
}


def _defined(decorator: Decorator) -> Any:
    """A class with a default, a method and a derived default, which nobody has used yet."""

    class Point:
        """A point."""

        x: int
        y: int = 2
        names: tuple[str, ...] = ()

        def total(self) -> int:
            return self.x + self.y

    return decorator(Point)


def _checked(decorator: Decorator) -> Any:
    class Even:
        x: int

        def __post_init__(self) -> None:
            if self.x % 2:
                raise ValueError("odd")

    return decorator(Even)


def _outcome(work: Callable[[Any], Any], decorator: Decorator) -> Any:
    try:
        return work(_defined(decorator))
    except (TypeError, AttributeError) as fault:
        return type(fault), str(fault)


@pytest.mark.parametrize(
    "work",
    [
        lambda point: repr(point(1)),
        lambda point: repr(point(1, names=("a",), y=3)),
        lambda point: (point(1) == point(1, 2), point(1) == point(2), point(1) == (1, 2, ())),
        lambda point: (hash(point(1)), len({point(1), point(1, 2), point(2)})),
        lambda point: point(1, 5).total(),
        lambda point: dataclasses.asdict(point(1)),
        lambda point: repr(dataclasses.replace(point(1), y=7)),
        lambda point: repr(lazy_dataclass.replace(point(1), y=7)),
        lambda point: repr(lazy_dataclass.replace(lazy_dataclass.replace(point(1), x=5), names=("a",))),
        lambda point: (repr(point(1)), repr(lazy_dataclass.replace(point(1), y=7))),
        lambda point: [(f.name, f.type, f.default) for f in dataclasses.fields(point)],
        lambda point: (dataclasses.is_dataclass(point), dataclasses.is_dataclass(point(1))),
        lambda point: str(inspect.signature(point)),
        lambda point: (point.__doc__, point.__qualname__, point.__slots__, point.__match_args__),
        lambda point: repr(copy.copy(point(1))),
        lambda point: repr(copy.deepcopy(point(1, names=("b",)))),
        lambda point: [repr(point(number)) for number in range(40)][-1],
        lambda point: point(),
        lambda point: point(1, 2, (), 4),
        lambda point: point(1, x=1),
        lambda point: point(1, z=1),
        lambda point: setattr(point(1), "x", 2),
        lambda point: delattr(point(1), "x"),
        lambda point: point.x.__get__(point(4)),
        lambda point: vars(point(1)),
    ],
)  # fmt: skip
def test_as_the_standard_dataclass(work: Callable[[Any], Any]) -> None:
    assert _outcome(work, DECORATORS["lazy"]) == _outcome(work, DECORATORS["standard"])


@pytest.mark.parametrize(
    "work",
    [
        lambda point: repr(point(1)),
        lambda point: (point(1) == point(1), point(1) in {point(1)}, hash(point(1)) is None),
        lambda point: vars(point(1)),
        lambda point: (point.y, point.names, point(1, 3).y),
        lambda point: repr(copy.copy(point(1))),
        lambda point: repr(lazy_dataclass.replace(point(1), y=7)),
        lambda point: setattr(point(1), "x", 2),
        lambda point: [f.name for f in dataclasses.fields(point)],
    ],
)  # fmt: skip
def test_without_slots_and_compared_by_identity(work: Callable[[Any], Any]) -> None:
    assert _outcome(work, OPEN["lazy"]) == _outcome(work, OPEN["standard"])


@pytest.mark.parametrize("decorator", DECORATORS.values(), ids=DECORATORS)
def test_positional_patterns_and_checks_after_init(decorator: Decorator) -> None:
    match _defined(decorator)(4, 5):
        case object(x=x, y=y):
            assert (x, y) == (4, 5)
    even = _checked(decorator)
    for number in range(0, 40, 2):
        assert even(number).x == number
        with pytest.raises(ValueError, match="odd"):
            even(number + 1)


def test_an_equality_of_the_class_itself_stays() -> None:
    class Any_:
        x: int

        def __eq__(self, other: object) -> bool:
            return True

    made: Any = DECORATORS["lazy"](Any_)
    assert made(1) == made(2) and hash(made(1)) == hash((1,))


@pytest.mark.parametrize("first", ["__reduce__", "__repr__", "__hash__"])
def test_pickles_are_read_by_a_process_that_made_no_object_yet(first: str) -> None:
    place = Place("trailer", "trailer", 1, 9, 1, b"12345678", None)
    getattr(place, first)()
    code = "import pickle, sys; print(pickle.load(sys.stdin.buffer))"
    done = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps(place), capture_output=True, env=environment()
    )
    assert done.stdout.decode().strip() == repr(place)
    assert pickle.loads(pickle.dumps(place)) == place


def test_threads_that_are_first_together_all_get_their_object() -> None:
    for _ in range(20):
        point = _defined(DECORATORS["lazy"])
        with ThreadPoolExecutor(8) as pool:
            made = list(pool.map(point, range(64)))
        assert [each.x for each in made] == list(range(64))


def test_other_forms_are_refused() -> None:
    untyped: Any = lazy_dataclass.dataclass
    with pytest.raises(TypeError, match="standard dataclass"):
        untyped(frozen=False, slots=True)
