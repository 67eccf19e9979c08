"""Settings that programs read by running a shell: ``name=value`` lines, as bash takes them."""

from __future__ import annotations

import io
import re
import shlex
from collections.abc import Iterator
from typing import Final

_ASSIGNMENT: Final = re.compile(r"[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)")
_BLANK: Final = " \t"
"""What separates words in a line. Other white space, such as a carriage return, is part of a word."""


def assignments(text: str) -> Iterator[tuple[str, str]]:
    """(name, value without quotes) of the lines that assign a word and have at most a comment after it."""
    for line in text.split("\n"):
        found = _ASSIGNMENT.match(line)
        value = _word(found[2]) if found else None
        if found and value is not None:
            yield found[1], value


def _word(text: str) -> str | None:
    """The word that ``text`` starts with; None for quotes that do not end, and where more follows."""
    stream = io.StringIO(text, newline="\n")
    lexer = shlex.shlex(stream, posix=True)
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = _BLANK, True, ""
    try:
        word = "" if text[:1] in _BLANK else lexer.get_token()
    except ValueError:
        return None
    rest = stream.read().lstrip(_BLANK)
    return (word or "") if rest[:1] in ("", "#") else None
