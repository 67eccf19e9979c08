"""The lines of a TOML document on which its keys stand; tomllib does not say them.

Only documents that tomllib has accepted are scanned, so that their syntax is known to be sound
(TOML 1.0.0, toml.io). The time is linear in the size of the document.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from collections.abc import Mapping
from typing import Final

KeyPath = tuple[str | int, ...]
"""Keys and numbers of elements, from the document down."""

DEEPEST: Final = 8
"""Length of the paths that are kept, at most: no key of a policy is as deep, and all beginnings of a key
of thousands of names would take their square of memory."""

_BLANK: Final = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_BASIC: Final = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_LITERAL: Final = re.compile(r"'[^'\n]*'")
_LONG_BASIC: Final = re.compile(r'"""(?:[^"\\]|\\.|"(?!""))*"""(?:"{1,2})?', re.DOTALL)
_LONG_LITERAL: Final = re.compile(r"'''(?:[^']|'(?!''))*'''(?:'{1,2})?", re.DOTALL)
_SCALAR: Final = re.compile(r"[^,\]}#\r\n]+")


def key_lines(text: str) -> Mapping[KeyPath, int]:
    """The line, from 1, of every table, key and element of an array; of the first mention, where a table has
    several.

    Raises RecursionError for values that are nested too deeply.
    """
    return _Scanner(text).scan()


def _below(path: KeyPath, name: str | int) -> KeyPath:
    """``path`` and what is in it; what is too deep has the path of what it is in."""
    return (*path, name) if len(path) < DEEPEST else path


class _Scanner:
    def __init__(self, text: str) -> None:
        self.toml, self.at = text, 0
        self.ends = [each.start() for each in re.finditer("\n", text)]
        self.found: dict[KeyPath, int] = {}
        self.tables: dict[KeyPath, int] = {}

    def scan(self) -> Mapping[KeyPath, int]:
        base: KeyPath = ()
        while self._blank() < len(self.toml):
            base = self._header() if self.toml[self.at] == "[" else self._pair(base)
        return self.found

    def _blank(self) -> int:
        match = _BLANK.match(self.toml, self.at)
        assert match is not None  # it matches nothing, too
        self.at = match.end()
        return self.at

    def _take(self, expression: re.Pattern[str]) -> str:
        match = expression.match(self.toml, self.at)
        if match is None:
            raise ValueError(f"not TOML at {self.at}")
        self.at = match.end()
        return match[0]

    def _note(self, path: KeyPath, at: int) -> None:
        self.found.setdefault(path, bisect_right(self.ends, at - 1) + 1)

    # ------------------------------------------------------------------ tables and keys

    def _header(self) -> KeyPath:
        """``[table]`` or ``[[element of an array]]``: the path of the keys that follow."""
        start, many = self.at, self.toml.startswith("[[", self.at)
        self.at += 1 + many
        *above, last = self._names()
        self._blank()
        self.at += 1 + many
        path: KeyPath = ()
        for name in above:
            path = self._current(_below(path, name))
            self._note(path, start)
        path = _below(path, last)
        self._note(path, start)
        if many:
            self.tables[path] = self.tables.get(path, 0) + 1
            path = (*path, self.tables[path] - 1)
            self._note(path, start)
        return path

    def _current(self, path: KeyPath) -> KeyPath:
        """``path``, or its last element where it is an array of tables."""
        return (*path, self.tables[path] - 1) if path in self.tables else path

    def _pair(self, base: KeyPath) -> KeyPath:
        """One key with its value; the result is ``base``."""
        start = self.at
        path = base
        for name in self._names():
            path = _below(path, name)
            self._note(path, start)
        self._blank()
        self.at += 1  # the equals sign
        self._blank()
        self._value(path)
        return base

    def _names(self) -> list[str]:
        """A key, which may be dotted."""
        names = []
        while True:
            self._blank()
            names.append(self._name())
            self._blank()
            if not self.toml.startswith(".", self.at):
                return names
            self.at += 1

    def _name(self) -> str:
        if self.toml[self.at] == '"':
            name: str = tomllib.loads(f"name = {self._take(_BASIC)}")["name"]
            return name
        if self.toml[self.at] == "'":
            return self._take(_LITERAL)[1:-1]
        return self._take(_BARE)

    # ------------------------------------------------------------------ values

    def _value(self, path: KeyPath) -> None:
        text, at = self.toml, self.at
        if text[at] == "[":
            self._array(path)
        elif text[at] == "{":
            self._inline(path)
        elif text.startswith('"""', at):
            self._take(_LONG_BASIC)
        elif text.startswith("'''", at):
            self._take(_LONG_LITERAL)
        elif text[at] in "\"'":
            self._take(_BASIC if text[at] == '"' else _LITERAL)
        else:
            self._take(_SCALAR)

    def _array(self, path: KeyPath) -> None:
        self.at += 1
        number = 0
        while self.toml[self._blank()] != "]":
            if self.toml[self.at] == ",":
                self.at += 1
                continue
            element = _below(path, number)
            self._note(element, self.at)
            self._value(element)
            number += 1
        self.at += 1

    def _inline(self, path: KeyPath) -> None:
        self.at += 1
        while self.toml[self._blank()] != "}":
            if self.toml[self.at] == ",":
                self.at += 1
            else:
                self._pair(path)
        self.at += 1
