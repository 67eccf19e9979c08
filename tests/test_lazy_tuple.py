"""Lazy named tuples do what the standard ones do, whichever method is used first."""

from __future__ import annotations

import copy
import inspect
import pickle
import subprocess
import sys
import typing
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from elfsig import lazy_tuple
from elfsig.model import Remark
from tests.support.cli import environment

BASES: dict[str, Any] = {"lazy": lazy_tuple.NamedTuple, "standard": typing.NamedTuple}


def _defined(base: Any) -> Any:
    """A class with a default, a method, a property and a class method, which nobody has used yet."""

    class Point(base):  # type: ignore[misc]
        """A point."""

        x: int
        y: int = 2
        names: tuple[str, ...] = ()

        def total(self) -> int:
            return int(self.x + self.y)

        @property
        def first(self) -> str:
            return str(self.names[0])

        @classmethod
        def of(cls, text: str) -> Any:
            return cls(*map(int, text.split()))

    return Point


def _outcome(work: Callable[[Any], Any], base: Any) -> Any:
    try:
        return work(_defined(base))
    except (TypeError, AttributeError, ValueError) as fault:
        return type(fault), str(fault).removeprefix("_defined.<locals>.")


@pytest.mark.parametrize(
    "work",
    [
        lambda point: repr(point(1)),
        lambda point: repr(point(1, names=("a",), y=3)),
        lambda point: (point(1) == point(1, 2), point(1) == point(2), point(1) == (1, 2, ())),
        lambda point: (hash(point(1)), len({point(1), point(1, 2), point(2)}), sorted([point(2), point(1)])),
        lambda point: (point(1, 5).total(), point(1, 2, ("n",)).first, point.of("3 4")),
        lambda point: point(1)._asdict(),
        lambda point: repr(point(1)._replace(y=7)),
        lambda point: point(1)._replace(z=7),
        lambda point: repr(point._make([1, 2, 3])),
        lambda point: point._make([1, 2]),
        lambda point: (point._fields, point._field_defaults, point.__match_args__),
        lambda point: [(p.name, p.default, p.kind) for p in inspect.signature(point).parameters.values()],
        lambda point: (point.__doc__, point.__name__, point.__slots__, point.x.__doc__, list(point(1))),
        lambda point: (inspect.isclass(point), issubclass(point, tuple), isinstance(point(1), tuple)),
        lambda point: repr(copy.copy(point(1))),
        lambda point: repr(copy.deepcopy(point(1, names=("b",)))),
        lambda point: [repr(point(number, 3)) for number in range(40)],
        lambda point: [repr(point(x=number)) for number in range(40)],
        lambda point: point(),
        lambda point: point(1, 2, (), 4),
        lambda point: point(1, x=1),
        lambda point: point(1, z=1),
        lambda point: point(y=1),
        lambda point: setattr(point(1), "x", 2),
        lambda point: delattr(point(1), "x"),
        lambda point: vars(point(1)),
        lambda point: point.x.__get__(point(4)),
        lambda point: [(name, typing.get_type_hints(point)[name]) for name in point._fields],
    ],
)  # fmt: skip
def test_as_the_standard_named_tuple(work: Callable[[Any], Any]) -> None:
    assert _outcome(work, BASES["lazy"]) == _outcome(work, BASES["standard"])


@pytest.mark.parametrize("base", BASES.values(), ids=BASES)
def test_patterns_and_classes_made_from_it(base: Any) -> None:
    match _defined(base)(4, 5):
        case (x, y, ()):
            assert (x, y) == (4, 5)

    class Deep(_defined(base)):  # type: ignore[misc]
        def total(self) -> int:
            return 10 * int(super().total())

    for number in range(20):
        assert Deep(number).total() == 10 * (number + 2)
        assert type(Deep(number)._replace(y=1)) is Deep
    assert str(inspect.signature(Deep)).startswith("(x")


def test_pickles_are_read_by_a_process_that_made_no_object_yet() -> None:
    remark = Remark("code", "text", 3)
    code = "import pickle, sys; print(tuple(pickle.load(sys.stdin.buffer)))"
    done = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps(remark), capture_output=True, env=environment()
    )
    assert done.stdout.decode().strip() == repr(tuple(remark))
    assert pickle.loads(pickle.dumps(remark)) == remark


def test_threads_that_are_first_together_all_get_their_object() -> None:
    for _ in range(20):
        point = _defined(BASES["lazy"])
        with ThreadPoolExecutor(8) as pool:
            made = list(pool.map(point, range(64)))
        assert [each.x for each in made] == list(range(64))


@pytest.mark.parametrize(
    "written",
    [
        {"__annotations__": {"x": "int", "y": "int"}, "x": 1},
        {"__annotations__": {f"f{number}": "int" for number in range(lazy_tuple.MOST_FIELDS + 1)}},
    ],
)
def test_other_forms_are_refused(written: dict[str, Any]) -> None:
    metaclass: Any = type(BASES["lazy"])
    with pytest.raises(TypeError, match="supports"):
        metaclass("Odd", (BASES["lazy"],), {"__module__": __name__, "__qualname__": "Odd", **written})
