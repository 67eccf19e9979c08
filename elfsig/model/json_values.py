"""Plain JSON values: bytes are lower-case hex, times ISO 8601 UTC, sizes and offsets integers."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from time import time_ns
from typing import Any, Final

from elfsig._version import __version__
from elfsig.model.verdict import Remark

SCHEMA_VERSION = 1

Json = dict[str, Any]


def dumps(value: object) -> str:
    """One line of ASCII JSON with sorted keys."""
    import json

    return json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(", ", ": "))


def loads(data: bytes | str) -> Any:
    """The value of a JSON document that elfsig wrote. Raises ValueError or RecursionError for anything else.

    No text of elfsig's has halves of characters (``"\\ud800"``), which cannot be written: a ValueError.
    """
    import json

    text = data if isinstance(data, str) else data.decode(json.detect_encoding(data), "surrogatepass")
    value = json.loads(text)
    if "\\u" in text or not text.isascii():
        json.dumps(value, ensure_ascii=False).encode()
    return value


def checked_object(text: str, members: Mapping[str, Any] | None = None) -> str:
    """``text``, the JSON of an object from a process that is not trusted, parsed and written again.

    ``members`` replace what it says of them. Raises ValueError for any other text.
    """
    try:
        value = loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return dumps({**value, **(members or {})})


def time_text(seconds: int | float) -> str:
    """ISO 8601 UTC from seconds since 1970; times beyond the calendar are kept as numbers."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return f"@{seconds}"


def run_record(argv: Sequence[str], reproducible: bool = False) -> Json:
    """The tool, time and arguments of a document; all null with ``reproducible``."""
    if reproducible:
        return {"tool": "elfsig", "version": None, "time": None, "argv": None}
    now = time_text(datetime.now(UTC).timestamp())
    return {
        "tool": "elfsig",
        "version": __version__,
        "time": now,
        "argv": [shown(_without_pin(readable(a))) for a in argv],
    }


NIL_RUN: Final = "00000000-0000-0000-0000-000000000000"
"""The id of every run with ``--reproducible``: the Nil UUID (RFC 9562, section 5.9)."""


def run_id(reproducible: bool = False) -> str:
    """A new id for a run: a UUID of version 7 (RFC 9562, section 5.7), whose order is that of time."""
    if reproducible:
        return NIL_RUN
    since = time_ns() // 1_000_000
    number = (since & (1 << 48) - 1) << 80 | int.from_bytes(os.urandom(10), "big")
    number = number & ~(0xF << 76 | 0x3 << 62) | 0x7 << 76 | 0x2 << 62
    text = f"{number:032x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def origin_members(host: str | None, run: str) -> Json:
    """The members ``host`` and ``run`` of a line: the machine that the file is from, and the run's id."""
    return {"host": None if host is None else readable(host), "run": run}


_USER = re.compile(r"(?<=[A-Za-z0-9]://)[^/?#]*@")
_QUERY = re.compile(r"(?<=[A-Za-z0-9])(://[^?#]*)[?#].*\Z", re.DOTALL)


def shown(url: str) -> str:
    """``url`` without user, password, query and fragment, which may hold credentials; other text as it is."""
    return _QUERY.sub(r"\1", _USER.sub("", url)) if "://" in url else url


def _without_pin(word: str) -> str:
    """Remove a PIN from a token's URI: records never contain it."""
    return re.sub(r"(pin-value=)[^&]*", r"\1...", word) if "pkcs11:" in word.lower() else word


def readable(text: str) -> str:
    """``text`` with bytes that are not UTF-8 as ``\\xNN``; all else as it is."""
    return os.fsencode(text).decode("utf-8", "backslashreplace")


_PLAIN: Final = frozenset({str, int, bool, float, type(None)})


def plain(value: Any) -> Any:
    """Any value of a report as JSON knows it: bytes as hex, tuples as lists, anything else as its text."""
    if type(value) in _PLAIN or isinstance(value, (int, float)):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).hex()
    if isinstance(value, Remark):
        return remark_object(value)
    if isinstance(value, Mapping):
        # Most values are plain already: they are not worth a call each.
        return {str(key): each if type(each) in _PLAIN else plain(each) for key, each in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, (list, tuple)):
        return [each if type(each) in _PLAIN else plain(each) for each in value]
    if isinstance(value, (set, frozenset)):
        return sorted((plain(each) for each in value), key=dumps)
    return str(value)


def path_members(path: str) -> Json:
    """The member ``path``, and ``path_hex`` where the name is not UTF-8."""
    name = os.fsencode(path)
    text = name.decode("utf-8", "backslashreplace")
    return {"path": text, **({"path_hex": name.hex()} if text.encode() != name else {})}


def remark_object(remark: Remark) -> Json:
    """An entry of ``warnings``, and an ``error``."""
    return {"code": remark.code, "text": remark.text, "offset": remark.offset}
