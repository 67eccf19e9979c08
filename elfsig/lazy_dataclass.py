"""``dataclass`` for frozen classes with slots, with methods generated on first use.

The standard decorator compiles six methods for every class, which takes about half a millisecond. The
command line defines about forty such classes at every start and creates one object of most of them: without
this module ``elfsig list`` takes a fifth longer. In every other respect the classes are dataclasses, and type
checkers see the standard decorator.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import RLock
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

GENERATED_AT = 16
"""A class gets its generated ``__init__`` when this many objects have been made."""

_LATE = ("__repr__", "__eq__", "__hash__", "__match_args__", "__dataclass_fields__", "__dataclass_params__")
_lock = RLock()
_fields: WeakKeyDictionary[type, tuple[str, ...]] = WeakKeyDictionary()
"""The fields of every class of this module, for :func:`replace`."""

_assign = object.__setattr__


class _Late:
    """A class whose methods are not generated yet: ``written`` as in the source, ``made`` in its place."""

    def __init__(self, written: type, made: type, eq: bool) -> None:
        self.written, self.made, self.eq = written, made, eq
        self.names: list[str] = []
        self.generated = False

    def stand_in(self, name: str, value: object) -> None:
        """Replace an attribute that is not generated yet with ``value``."""
        self.names.append(name)
        setattr(self.made, name, value)

    def attribute(self, name: str) -> Any:
        """The generated attribute ``name`` of the class."""
        with _lock:
            if not self.generated:
                from dataclasses import dataclass as standard

                standard(frozen=True, eq=self.eq)(self.written)
                for each in self.names:
                    setattr(self.made, each, vars(self.written)[each])
                self.generated = True
        return vars(self.made)[name]


class _Attribute:
    """Generates the methods when ``name`` is looked up, on the class or on an object of it."""

    def __init__(self, late: _Late, name: str) -> None:
        self.late, self.name = late, name

    def __get__(self, instance: object, owner: type) -> Any:
        found = self.late.attribute(self.name)
        return found.__get__(instance, owner) if hasattr(found, "__get__") else found


class _Signature:
    """Makes ``inspect.signature`` find the generated ``__init__`` and no ``__signature__``."""

    def __init__(self, late: _Late) -> None:
        self.late = late

    def __get__(self, instance: object, owner: type) -> Any:
        self.late.attribute("__init__")
        raise AttributeError("__signature__")


def _first_init(late: _Late, names: tuple[str, ...], defaults: dict[str, Any]) -> Callable[..., None]:
    """An ``__init__`` for the first objects. Unusual calls are left to the generated one."""
    made = 0

    def __init__(self: Any, *args: Any, **named: Any) -> None:
        nonlocal made
        made += 1
        values = {**defaults, **dict(zip(names, args, strict=False)), **named}
        odd = len(args) > len(names) or not named.keys().isdisjoint(names[: len(args)])
        if odd or made >= GENERATED_AT or len(values) != len(names) or not values.keys() <= set(names):
            late.attribute("__init__")(self, *args, **named)
            return
        for name in names:
            _assign(self, name, values[name])
        if hasattr(self, "__post_init__"):
            self.__post_init__()

    return __init__


def _refuse_setattr(self: object, name: str, value: object) -> None:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_delattr(self: object, name: str) -> None:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _state(self: Any) -> list[Any]:
    return [getattr(self, name) for name in self.__slots__]


def _set_state(self: Any, state: list[Any]) -> None:
    for name, value in zip(self.__slots__, state, strict=True):
        _assign(self, name, value)


_FROZEN = {"__setattr__": _refuse_setattr, "__delattr__": _refuse_delattr}
_SLOTTED = {"__getstate__": _state, "__setstate__": _set_state}


def _lazy(written: type, slots: bool, eq: bool) -> type:
    """The class that replaces ``written``, which is kept for generating its methods."""
    hints = written.__annotations__
    names = tuple(name for name, hint in hints.items() if not str(hint).startswith("ClassVar"))
    body = {name: value for name, value in vars(written).items() if name not in ("__dict__", "__weakref__")}
    defaults = {name: body[name] for name in names if name in body}
    own = set(body)
    if slots:
        body = {**_SLOTTED, **{n: v for n, v in body.items() if n not in defaults}, "__slots__": names}
    body = {**_FROZEN, **body, "__qualname__": written.__qualname__}
    made = type(written)(written.__name__, written.__bases__, body)
    late = _Late(written, made, eq)
    _fields[made] = names
    for name in _LATE if eq else [each for each in _LATE if each not in ("__eq__", "__hash__")]:
        # Python itself sets __hash__ to None where a class defines __eq__.
        if name not in own or (name == "__hash__" and body[name] is None and "__eq__" in own):
            late.stand_in(name, _Attribute(late, name))
    if "__init__" not in own:
        late.stand_in("__init__", _first_init(late, names, defaults))
        made.__signature__ = _Signature(late)  # type: ignore[attr-defined]
    return made


if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
    from dataclasses import replace as replace
else:

    def dataclass(*, frozen: bool, slots: bool = False, eq: bool = True) -> Callable[[type], type]:
        """Like ``dataclasses.dataclass``, for frozen classes.

        Other arguments, bases that are dataclasses and ``field()`` are not supported.
        """
        if not frozen:
            raise TypeError("use the standard dataclass for classes that are not frozen")
        return lambda written: _lazy(written, slots, eq)

    def replace(instance: Any, /, **changes: Any) -> Any:
        """``dataclasses.replace``; for classes of this module faster, and without generating methods."""
        fields = _fields.get(type(instance))
        if fields is not None:
            return type(instance)(**{name: getattr(instance, name) for name in fields} | changes)
        from dataclasses import replace as standard

        return standard(instance, **changes)
