"""Texts: lines are cut, copied, swapped and joined; words, quotes and numbers are put in."""

from __future__ import annotations

import re
from random import Random

from tests.fuzz.mutate.plain import plain

_WORDS = (
    b"=",
    b'"',
    b"'",
    b"\\",
    b"\n",
    b"\r\n",
    b"\0",
    b"#",
    b"[",
    b"]",
    b"{",
    b"}",
    b":",
    b",",
    b"$",
    b"${a}",
    b"\xff",
    b"\xef\xbb\xbf",
    b"-----BEGIN ",
    b"-----END ",
    b"0",
    b"-1",
    b"9" * 25,
    b"1e999",
    b"null",
    b"true",
    b"\xe2\x80\xa8",
    b"\xed\xa0\x80",
    b"\\ud800",
    b"\x0b",
    b"\x85",
    b"*",
    b"?",
    b"../",
    b"!/",
)
_NUMBER = re.compile(rb"\d+")


def text(data: bytes, size: int, chance: Random) -> bytes:
    """Change lines, words or numbers; sometimes bytes."""
    kind = chance.randrange(8)
    lines = data.splitlines(keepends=True) or [b"\n"]
    index, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    if kind == 0:
        del lines[index]
    elif kind == 1:
        lines[index], lines[other] = lines[other], lines[index]
    elif kind == 2:
        many = chance.choice((1, 1, 2, 10, 10_000))
        room = max(1, (size - len(data)) // max(1, len(lines[index])))
        lines[index:index] = [lines[index]] * min(many, room)
    elif kind == 3:
        at = chance.randrange(len(data) + 1)
        return (data[:at] + chance.choice(_WORDS) * chance.choice((1, 1, 1, 2, 500)) + data[at:])[:size]
    elif kind == 4 and (found := list(_NUMBER.finditer(data))):
        match = chance.choice(found)
        new = chance.choice((b"0", b"1", b"-1", b"65536", b"4294967296", b"9" * 30, b"1.5", b"00"))
        return (data[: match.start()] + new + data[match.end() :])[:size]
    elif kind == 5:
        lines[index] = lines[index].rstrip(b"\r\n") + lines[other]
    else:
        return plain(data, size, chance)
    return b"".join(lines)[:size] or b"\n"
