"""The table of checks that ``recheck.sh`` reads: one check a line, of words that cannot be mistaken.

A line is a verb and its fields, separated by single spaces. No field is text out of a module: file names are
those of the bundle, all else are numbers, hex and fixed words. :func:`checked` holds lines to that, since
they may come from a process that a hostile file has taken over; ``recheck.sh`` does so again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, Literal

Line = tuple[str, ...]

Want = Literal["yes", "no", "unread"]
"""What a fact must turn out to be. ``unread``: no, but yes is not a contradiction, since elfsig calls the
signature malformed for a reason that general tools do not know."""

_NAME = r"[a-z0-9][a-z0-9.-]{0,79}"
_FILE = rf"(?:keys/k[0-9]{{5}}/)?{_NAME}"
_NUMBER = "[0-9]{1,15}"
_WORD = "[a-z0-9][a-z0-9_-]{0,31}"
_HEX = "(?:[0-9a-f]{2}){1,64}"

FACTS: Final[Mapping[str, tuple[str, ...]]] = {
    "digest": (_WORD, _NAME, _NAME, _NUMBER, _NUMBER),
    "rsa": ("info|bare|hex|hex-newline|unpadded", _WORD, _NAME, f"{_NAME}|-", _NAME, _FILE, f"{_HEX}|-"),
    "pair": (_WORD, _NAME, f"{_NAME}|-", _NAME, _FILE),
    "pss": (_WORD, _WORD, _NUMBER, _NAME, _NAME, _FILE),
    "message": (_NAME, _NAME, _FILE),
    "gpgv": (_NAME, _NAME, f"{_FILE}|all"),
    "cms": (_NAME, _NAME, _FILE),
    "cmsread": (_NAME,),
    "gpgvread": (_NAME,),
    "steps": (_NAME, _NAME, _HEX),
    "nokey": (_WORD,),
    "absent": (_NAME, _HEX, "end|inside"),
    "remains": (_NAME, _NUMBER, _NUMBER, _HEX),
    "size": (_NAME, _NUMBER),
    "elfcut": (_NAME,),
}
"""The fields of each kind of fact; see ``recheck.sh`` for how each is established."""

VERBS: Final[Mapping[str, tuple[str, ...]]] = {
    "module": (_WORD,),
    "unpack": ("gzip|xz|zstd", _NAME, _NAME),
    "copy": (_NAME, _NAME, _NUMBER, _NUMBER),
    "ranges": (_NAME, _NAME, _NAME, f"{_NAME}|-"),
    "signature": (_NUMBER, _WORD),
    "open": (_WORD,),
    "none": (_WORD,),
}
"""The fields of every other verb.

``module`` and ``signature`` start with their verdict; ``copy`` says that a file is a range of another;
``ranges`` that a stream is made of ranges of a file; ``open`` that the verdict cannot be confirmed, and
``none`` that it claims nothing that could be; both with a code.
"""


def fact(group: int, want: Want, kind: str, *fields: object) -> Line:
    """A line ``fact``. Facts of one group are ways to establish the same: one yes makes the group yes."""
    return ("fact", str(group), want, kind, *map(str, fields))


def checked(line: Iterable[object]) -> Line:
    """``line``, if it is one of the table. Raises ValueError for anything else."""
    words = tuple(line)
    verb, fields = (words[0], words[1:]) if words else ("", ())
    patterns = VERBS.get(verb) if isinstance(verb, str) else None
    if verb == "fact" and len(fields) >= 3 and isinstance(fields[2], str):
        known = FACTS.get(fields[2])
        patterns = None if known is None else (_NUMBER, "yes|no|unread", _WORD, *known)
    if patterns is None or len(patterns) != len(fields):
        raise ValueError("not a check")
    found = [each for each in fields if isinstance(each, str)]
    if len(found) != len(fields) or not all(map(re.fullmatch, patterns, found)):
        raise ValueError("not a check")
    return (str(verb), *found)


def text(lines: Iterable[Line]) -> bytes:
    """The table as a file."""
    return "".join(" ".join(line) + "\n" for line in lines).encode("ascii")


def is_name(name: object) -> bool:
    """Whether a file of a module's folder may have this name."""
    return isinstance(name, str) and re.fullmatch(_NAME, name) is not None
