"""matching: which file of one tree is which of another, where the trees are in different places.

A module is installed below ``kernel/``, ``extra/``, ``updates/`` or ``weak-updates/`` of a directory for its
release; what comes before that differs between machines. Modules that are elsewhere go by their names.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import Final

from elfsig.kernels.names import SUFFIX, module_name

TOPS: Final = frozenset({"kernel", "extra", "updates", "weak-updates"})
"""Directories in which depmod finds modules, in a directory for a kernel's release."""

LEVELS: Final = 16
"""Directories above a file that are compared, to tell files with one name apart."""


def tail(path: str) -> str | None:
    """``path`` from the directory of TOPS on, without the suffix of a compression; None where there is none.

    In ``lib/modules/RELEASE`` that is what follows; elsewhere the last such directory counts.
    """
    parts = _parts(path)
    start = _after_release(parts)
    if start is None:
        start = max((n for n, part in enumerate(parts[:-1]) if part in TOPS), default=None)
    return None if start is None else "/".join(parts[start:])


def installed(path: str) -> tuple[str | None, str | None]:
    """(release, :func:`tail`) of a path; the release is that of ``lib/modules/RELEASE``, else None."""
    parts = _parts(path)
    start = _after_release(parts)
    return None if start is None else parts[start - 1], tail(path)


def _after_release(parts: Sequence[str]) -> int | None:
    for at in range(len(parts) - 4, -1, -1):
        if parts[at : at + 2] == ["lib", "modules"] and parts[at + 3] in TOPS:
            return at + 3
    return None


def _parts(path: str) -> list[str]:
    return SUFFIX.sub(".ko", path).strip("/").split("/")


def pairs(old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[int | None, int | None]]:
    """The numbers of paths of ``old`` and ``new`` that are the same module; None for what has no partner.

    Those with one tail come together, the more of their paths agree the sooner; then those with one name,
    where only one is left on each side, or as many of each as there are of the other.
    """
    left, right = _by_name(old), _by_name(new)
    for name in dict.fromkeys((*left, *right)):
        yield from _paired(left.get(name, []), right.get(name, []), old, new)


def _by_name(paths: Sequence[str]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for number, path in enumerate(paths):
        found.setdefault(module_name(path), []).append(number)
    return found


def _paired(
    left: list[int], right: list[int], old: Sequence[str], new: Sequence[str]
) -> Iterator[tuple[int | None, int | None]]:
    if len(left) > 1 or len(right) > 1:
        for depth in range(LEVELS, 0, -1):
            if not left or not right:
                break
            found = list(_alike(left, right, old, new, depth))
            yield from found
            left = _without(left, (a for a, _ in found))
            right = _without(right, (b for _, b in found))
    yield from zip_longest(left, right)


def _without(numbers: list[int], taken: Iterable[int]) -> list[int]:
    gone = frozenset(taken)
    return [each for each in numbers if each not in gone] if gone else numbers


def _alike(
    left: list[int], right: list[int], old: Sequence[str], new: Sequence[str], depth: int
) -> Iterator[tuple[int, int]]:
    """Pairs whose last ``depth`` parts agree."""
    there: dict[tuple[str, ...], list[int]] = {}
    for number in reversed(right):
        there.setdefault(_end(new[number], depth), []).append(number)
    for number in left:
        if partners := there.get(_end(old[number], depth)):
            yield number, partners.pop()


def _end(path: str, depth: int) -> tuple[str, ...]:
    parts = _parts(path)
    parts[-1] = module_name(parts[-1])
    return (*(("",) if len(parts) < depth else ()), *parts[-depth:])


def moved(old: str, new: str) -> bool:
    """Whether a module has another place in its release's directory; False where this is not known."""
    before, after = tail(old), tail(new)
    if before is None or after is None:
        return False
    return os.path.dirname(before) != os.path.dirname(after)
