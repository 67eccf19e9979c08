"""Which part an outermost file belongs to: the same on every machine, whatever else is surveyed with it."""

from __future__ import annotations

import os
import re
from hashlib import sha256
from typing import Literal

from elfsig.batch.survey.run import Outermost
from elfsig.errors import UsageError

Form = Literal["jsonl", "parquet"]

MAX_PARTS = 1_000_000
RECEIPT = ".receipt.json"
_NAME = re.compile(r"part-([0-9]{5,7})-of-([0-9]{5,7})(\.receipt\.json|\.jsonl|\.parquet)")


def key_of(each: Outermost) -> bytes:
    """What decides on the part of a file.

    Of a file below a directory, its path from there; of a file that was named, its name without directories;
    of a URL, the URL without user, password, query and fragment.
    """
    if each.remote is not None:
        return os.fsencode(each.path)
    if each.root is None:
        return os.path.basename(os.fsencode(each.path))
    return os.fsencode(each.path)[len(os.fsencode(each.root)) :].lstrip(b"/")


def part_of(key: bytes, parts: int) -> int:
    """The SHA-256 of ``key``, as a number (big-endian), modulo the number of parts."""
    return int.from_bytes(sha256(key).digest(), "big") % parts


def stem(part: int, parts: int) -> str:
    """The name of the files of a part, without suffix: parts count from 0."""
    return f"part-{part:05}-of-{parts:05}"


def named(name: str) -> tuple[int, int, str] | None:
    """(part, parts, suffix) of the name of a file of a part; None for other names."""
    found = _NAME.fullmatch(name)
    return None if found is None else (int(found[1]), int(found[2]), found[3])


def checked(part: int | None, parts: int) -> None:
    """Raises UsageError for a number of parts that is not possible, or a part that does not exist."""
    if not 1 <= parts <= MAX_PARTS:
        raise UsageError(f"{parts} parts: from 1 to {MAX_PARTS} are possible", code="wrong-parts")
    if part is not None and not 0 <= part < parts:
        text = f"there is no part {part} of {parts}: they count from 0 to {parts - 1}"
        raise UsageError(text, code="wrong-part")
