"""The one file that a caged process may write to: a temporary file without a name, opened by its parent."""

from __future__ import annotations

_given: list[int] = []


def give(descriptor: int) -> None:
    """Say in a child which descriptor it was given."""
    _given[:] = [descriptor]


def given() -> int | None:
    """The descriptor that this process was given; None outside of a cage, or without one."""
    return _given[0] if _given else None
