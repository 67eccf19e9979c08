"""Text by the width of the terminal. Where the output is not a terminal, nothing is folded or cut."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from typing import TextIO

_WORD = re.compile(r"(\s*)(\S+)")
"""A word and the white space before it, which columns may have more of than one."""

LEAST = 30
"""Characters that a column of sentences needs to be wrapped where it stands."""

FOLD = "    "
"""Indentation of what does not fit on the first line of a row."""


def terminal_width(stream: TextIO | None = None) -> int | None:
    """Columns of the terminal that ``stream`` (stdout) is; None where it is not one."""
    if not (stream or sys.stdout).isatty():
        return None
    from shutil import get_terminal_size

    return get_terminal_size().columns


def aligned(rows: Sequence[Sequence[str]], indent: str = "", gap: str = "  ") -> str:
    """``rows`` with every column as wide as its widest cell; nothing is cut off.

    On a terminal that is too narrow, the last column is wrapped between words; where little room is left for
    it, the columns that do not fit follow on a second line.
    """
    width = terminal_width()
    if width is None or not rows:
        return "\n".join(_lines(rows, indent, gap))
    sizes = _sizes(rows)
    lead = len(indent) + sum(sizes[:-1]) + len(gap) * (len(sizes) - 1)
    if lead + sizes[-1] <= width:
        return "\n".join(_lines(rows, indent, gap))
    if width - lead >= LEAST and len(sizes) > 1:
        return "\n".join(
            part for line in _lines(rows, indent, gap) for part in wrapped(line, width, " " * lead, keep=lead)
        )
    fitting = _fitting(sizes, width - len(indent), len(gap))
    first = _lines([row[:fitting] for row in rows], indent, gap)
    rest = [indent + FOLD + gap.join(row[fitting:]).rstrip() for row in rows]
    folded = (line for pair in zip(first, rest, strict=True) for line in pair if line.strip())
    return "\n".join(part for line in folded for part in wrapped(line, width))


def _lines(rows: Sequence[Sequence[str]], indent: str, gap: str) -> list[str]:
    sizes = _sizes(rows)
    joined = (gap.join(cell.ljust(size) for cell, size in zip(row, sizes, strict=True)) for row in rows)
    return [indent + line.rstrip() for line in joined]


def _sizes(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*rows, strict=True)]


def _fitting(sizes: Sequence[int], width: int, gap: int) -> int:
    """How many columns, at least one and not all, fit into ``width``."""
    used = 0
    for number, size in enumerate(sizes[:-1]):
        used += size + (gap if number else 0)
        if used > width and number:
            return number
    return len(sizes) - 1 or 1


def wrapped(line: str, width: int | None, indent: str | None = None, keep: int = 0) -> Iterator[str]:
    """``line`` in lines of at most ``width`` characters, broken between words only.

    Further lines begin with ``indent``, by default two characters more than the line's own. ``keep``: so many
    characters at the beginning are left as they are.
    """
    if width is None or len(line) <= width:
        yield line
        return
    own = line[: len(line) - len(line.lstrip())]
    further = own + "  " if indent is None else indent
    shown = line[:keep] if keep else own
    empty = True
    for gap, word in _WORD.findall(line[len(shown) :]):
        if not empty and len(shown) + len(gap) + len(word) > width:
            yield shown
            shown, empty = further, True
        shown += word if empty else gap + word
        empty = False
    yield shown


def laid_out(text: str, width: int | None = None) -> str:
    """Sentences, line by line, wrapped where they are wider than the terminal; ``width`` is its width, where
    it is known already."""
    width = width or terminal_width()
    if width is None:
        return text
    return "\n".join(part for line in text.split("\n") for part in wrapped(line, width))
