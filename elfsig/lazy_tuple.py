"""``NamedTuple`` with a constructor that is compiled after some use.

``typing.NamedTuple`` compiles the annotation of every field, and a constructor for every class: about 0.2 ms
a class. The command line defines fifty such classes before it lists a file, and ninety before it verifies
one: without this module ``elfsig list`` takes a tenth longer. In every other respect the classes are named
tuples, except that annotations are strings, and type checkers see the one of ``typing``.
"""

from __future__ import annotations

import sys
from collections import namedtuple
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

GENERATED_AT = 8
"""A class gets its compiled constructor when this many objects have been made."""

MOST_FIELDS = 32
_UNEXPECTED = TypeError if sys.version_info >= (3, 13) else ValueError
"""What named tuples raise for a field that they do not have."""

_new = tuple.__new__
_model: type[Any] = namedtuple("_model", [f"field{index}" for index in range(MOST_FIELDS)])  # type: ignore[misc]
_GETTERS = tuple(vars(_model)[f"field{index}"] for index in range(MOST_FIELDS))
"""Descriptors that get an item by its number: those of any named tuple serve all."""


class _Fields(tuple[Any, ...]):
    """The methods of a named tuple that are the same for all."""

    __slots__ = ()
    _fields: tuple[str, ...]

    @classmethod
    def _make(cls, iterable: Iterable[Any]) -> Any:
        """Make a new object from a sequence or iterable."""
        made = _new(cls, iterable)
        if len(made) != len(cls._fields):
            raise TypeError(f"Expected {len(cls._fields)} arguments, got {len(made)}")
        return made

    def _replace(self, /, **kwds: Any) -> Any:
        """Return a new object replacing specified fields with new values."""
        made = self._make(map(kwds.pop, self._fields, self))
        if kwds:
            raise _UNEXPECTED(f"Got unexpected field names: {list(kwds)!r}")
        return made

    def _asdict(self) -> dict[str, Any]:
        """Return a new dict which maps field names to their values."""
        return dict(zip(self._fields, self, strict=True))

    def __repr__(self) -> str:
        shown = (f"{name}={value!r}" for name, value in zip(self._fields, self, strict=True))
        return f"{type(self).__name__}({', '.join(shown)})"

    def __getnewargs__(self) -> tuple[Any, ...]:
        """Return self as a plain tuple. Used by copy and pickle."""
        return tuple(self)


class _Late:
    """A class whose constructor is not compiled yet.

    As its ``__signature__``, it makes ``inspect.signature`` find the compiled constructor.
    """

    def __init__(self, fields: tuple[str, ...], defaults: dict[str, Any]) -> None:
        self.fields, self.defaults = fields, defaults
        self.made: Any = None

    def compiled(self) -> Callable[..., Any]:
        """The compiled constructor, which becomes that of the class."""
        make: Any = namedtuple  # called with names that no type checker can see
        constructor: Callable[..., Any] = make(
            self.made.__name__, self.fields, defaults=self.defaults.values()
        ).__new__
        constructor.__annotations__ = self.made.__annotations__
        self.made.__new__ = staticmethod(constructor)
        return constructor

    def __get__(self, instance: object, owner: type) -> Any:
        self.compiled()
        raise AttributeError("__signature__")


def _first_new(late: _Late) -> Callable[..., Any]:
    """A constructor for the first objects. Unusual calls are left to the compiled one."""
    count, fields, defaults = 0, late.fields, late.defaults

    def __new__(cls: Any, /, *args: Any, **named: Any) -> Any:
        nonlocal count
        count += 1
        rest = fields[len(args) :]
        values = {**defaults, **named} if named else defaults
        usual = (
            len(args) <= len(fields) and named.keys() <= set(rest) and all(name in values for name in rest)
        )
        if not usual or count >= GENERATED_AT:
            return late.compiled()(cls, *args, **named)
        return _new(cls, (*args, *[values[name] for name in rest]))

    return __new__


class _Meta(type):
    """Makes a plain class out of one that is written as a named tuple."""

    def __new__(cls, name: str, bases: tuple[type, ...], written: dict[str, Any]) -> Any:
        if not bases:
            return super().__new__(cls, name, bases, written)
        fields = tuple(written.get("__annotations__", ()))
        late = _Late(fields, {each: written[each] for each in fields if each in written})
        ordered = fields[len(fields) - len(late.defaults) :] == tuple(late.defaults)
        if len(bases) > 1 or len(fields) > MOST_FIELDS or not ordered:
            raise TypeError(f"{name}: more bases, more fields or other defaults than this module supports")
        body = {
            "__slots__": (),
            "_fields": fields,
            "_field_defaults": late.defaults,
            "__match_args__": fields,
            "__new__": _first_new(late),
            "__signature__": late,
            **written,
            **dict(zip(fields, _GETTERS, strict=False)),
        }
        late.made = type(name, (_Fields,), body)
        return late.made


if TYPE_CHECKING:
    from typing import NamedTuple as NamedTuple
else:

    class NamedTuple(metaclass=_Meta):
        """The base to write in place of ``typing.NamedTuple``."""
