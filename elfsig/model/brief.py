"""Short representations: one line even for a report on a module of many megabytes."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

MAX_TEXT = 160
"""Maximum characters shown of one text."""

MAX_REPR = 1000
"""Maximum characters of a whole representation."""


def brief(value: Any) -> str:
    """``Class(field=value, ...)`` in at most MAX_REPR characters.

    Fields that are None or empty are left out; bytes and collections are shown by their size, nested
    objects by their class.
    """
    shown = ((name, getattr(value, name)) for name in _names(value))
    inside = ", ".join(f"{name}={_short(each)}" for name, each in shown if not _is_empty(each))
    if len(inside) > MAX_REPR:
        inside = f"{inside[: MAX_REPR - 3]}..."
    return f"{type(value).__name__}({inside})"


def _names(value: Any) -> tuple[str, ...]:
    """The fields of a named tuple or a dataclass. (The module ``dataclasses`` takes long to import.)"""
    cls: Any = type(value)
    return tuple(cls._fields if hasattr(cls, "_fields") else cls.__dataclass_fields__)


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, (str, bytes, tuple, frozenset, Mapping)) and not len(value))


def _short(value: Any) -> str:
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>" if len(value) > 32 else repr(value.hex())
    if isinstance(value, str):
        return repr(value if len(value) <= MAX_TEXT else f"{value[: MAX_TEXT - 3]}...")
    if isinstance(value, (bool, int, float)):
        return _number(value)
    if isinstance(value, (tuple, list, set, frozenset, Mapping)):
        return f"<{len(value)} {'item' if len(value) == 1 else 'items'}>"
    return f"<{type(value).__name__}>"


def _number(value: float) -> str:
    """A number; for huge integers, which ``repr`` may refuse, the size."""
    if isinstance(value, int) and value.bit_length() > 128:
        return f"<{value.bit_length()} bits>"
    return repr(value)
