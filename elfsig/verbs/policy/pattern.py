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

    def covers(self, other: Pattern) -> bool:
        """Whether every module that fits ``other`` fits this one, as far as that is easily seen."""
        if self.matches_all or self.written in (other.written, "*", "**/*"):
            return True
        if self.by_name and other.by_name:
            return _one_covers(_name(self.written), _name(other.written))
        return not self.by_name and not other.by_name and _covers(self, other)

    def __repr__(self) -> str:
        return f"<Pattern {self.written}>"


def pattern(text: str) -> Pattern:
    """Parse a pattern. Raises PatternError."""
    if not text:
        raise PatternError("it is empty")
    if len(text) > MAX_LENGTH:
        raise PatternError(f"it is longer than {MAX_LENGTH} characters")
    last = text.rpartition("/")[2]
    if "/" not in text and SUFFIX.search(text):
        raise PatternError("without a slash it is compared with names of modules, which have no suffix")
    if SUFFIX.search(text) and not last.endswith(".ko"):
        raise PatternError("it is compared with paths without the suffix of a compression: end it with .ko")
    if "/" not in text:
        return Pattern(text, (_component(_name(text)),), True)
    if text.startswith("/"):
        raise PatternError("it starts with /: paths are below the directory of modules")
    parts = text.split("/")
    if any(each in ("", ".", "..") for each in parts):
        raise PatternError("it has an empty component, or one that is . or ..")
    return Pattern(text, tuple(map(_component, parts)), False)


def _name(text: str) -> str:
    """A pattern of names, as it is compared: a set may have a range."""
    return text if "[" in text else text.replace("-", "_")


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


def _covers(wide: Pattern, narrow: Pattern) -> bool:
    """Whether one pattern of paths covers another: as :func:`_matches`, with a pattern in place of the path,
    whose ``**`` only a ``**`` covers."""
    words = wide.written.split("/")
    states = _closed({0}, wide.parts)
    for each in narrow.written.split("/"):
        stay = {at for at in states if at < len(words) and words[at] == ANY}
        step = {at + 1 for at in states - stay if at < len(words) and _one_covers(words[at], each)}
        states = _closed(stay | step, wide.parts)
    return len(words) in states


def _one_covers(wide: str, narrow: str) -> bool:
    """The same for one component, or a name."""
    if narrow == ANY:
        return False
    if wide in ("*", narrow):
        return True
    expression = None if any(each in narrow for each in "*?[") else _component(wide)
    return expression is not None and expression.match(narrow) is not None
