"""Patterns of a policy: paths below a directory of modules, and names.

A pattern with a slash is compared with the whole path, component by component: ``*``, ``?`` and ``[...]``
match within one, as for a shell, and ``**`` stands for any number of them, none included. A pattern without
a slash is compared with the name of the module, in which ``-`` and ``_`` are equal.
"""

from __future__ import annotations

import re
from fnmatch import translate
from typing import Final

from elfsig.kernels.names import SUFFIX, module_name
from elfsig.lazy_tuple import NamedTuple

MAX_LENGTH: Final = 1024
"""Maximum length of a pattern, in characters."""

ANY: Final = "**"


class PatternError(ValueError):
    """The text is not a pattern: the message says why."""


class Pattern(NamedTuple):
    """A pattern as it was ``written``, and the expressions for its components; one for a pattern of names.

    ``by_name``: it is compared with names.
    """

    written: str
    parts: tuple[re.Pattern[str] | None, ...]
    by_name: bool

    def matches(self, below: str) -> bool:
        """Whether a module fits; ``below`` is its path below the directory of modules."""
        if self.by_name:
            (part,) = self.parts
            return part is None or part.match(module_name(below)) is not None
        return _matches(self.parts, SUFFIX.sub(".ko", below).split("/"))

    @property
    def matches_all(self) -> bool:
        """Whether every module fits."""
        return self.parts == (None,)

    def __repr__(self) -> str:
        return f"<Pattern {self.written}>"


def pattern(text: str) -> Pattern:
    """Parse a pattern. Raises PatternError."""
    if not text:
        raise PatternError("it is empty")
    if len(text) > MAX_LENGTH:
        raise PatternError(f"it is longer than {MAX_LENGTH} characters")
    if "/" not in text:
        return Pattern(text, (_component(text if "[" in text else text.replace("-", "_")),), True)
    if text.startswith("/"):
        raise PatternError("it starts with /: paths are below the directory of modules")
    parts = text.split("/")
    if any(each in ("", ".", "..") for each in parts):
        raise PatternError("it has an empty component, or one that is . or ..")
    return Pattern(text, tuple(map(_component, parts)), False)


def name_pattern(text: str) -> re.Pattern[str]:
    """A pattern of names of hosts and releases: ``*``, ``?`` and ``[...]``. Raises PatternError."""
    if not text or len(text) > MAX_LENGTH:
        raise PatternError("it is empty" if not text else f"it is longer than {MAX_LENGTH} characters")
    return _component(text) or re.compile("")


def _component(text: str) -> re.Pattern[str] | None:
    """The expression for one component; None for ``**``. Raises PatternError."""
    if text == ANY:
        return None
    if ANY in text:
        raise PatternError("** stands alone between slashes")
    if _open_set(text):
        raise PatternError("[ without ]")
    return re.compile(translate(text))


def _open_set(text: str) -> bool:
    """Whether a ``[`` has no ``]``, which a set may have as its first character."""
    at = text.find("[")
    while at >= 0:
        first = at + 1 + text.startswith(("!", "^"), at + 1)
        close = text.find("]", first + 1)
        if close < 0:
            return True
        at = text.find("[", close + 1)
    return False


def _matches(parts: tuple[re.Pattern[str] | None, ...], path: list[str]) -> bool:
    """Whether the components fit: each step keeps the numbers of ``parts`` that may come next."""
    last = len(parts)
    states = _closed({0}, parts)
    for name in path:
        following = set()
        for at in states:
            if at < last:
                part = parts[at]
                if part is None:
                    following.add(at)
                elif part.match(name):
                    following.add(at + 1)
        if not following:
            return False
        states = _closed(following, parts)
    return last in states


def _closed(states: set[int], parts: tuple[re.Pattern[str] | None, ...]) -> set[int]:
    """``states``, and those that follow without a component."""
    found = set(states)
    for at in sorted(states):
        while at < len(parts) and parts[at] is None:
            at += 1
            found.add(at)
    return found
