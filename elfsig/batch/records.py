"""The records of converted files, one JSON object per line, each written when its file is done.

An interrupted run may be repeated with the same file of records."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from elfsig.errors import UsageError, WriteError
from elfsig.model.json_form import SCHEMA_VERSION, Json, dumps, path_members, readable, remark_object
from elfsig.model.json_values import loads
from elfsig.opened.atomic import open_itself
from elfsig.opened.evidence import read
from elfsig.opened.source import system_text
from elfsig.verbs.edit.change import Done

Known = dict[str, Any]
"""SHA-256 of the result by path, as JSON has it."""


def record_of(done: Done) -> Json:
    """The record of a file, even of one that could not be read or written."""
    if done.record is not None:
        return dict(done.record)
    return {
        "schema_version": SCHEMA_VERSION,
        **path_members(done.path),
        "action": "failed",
        "target": None,
        "error": remark_object(done.error) if done.error else None,
    }


@contextmanager
def recording(done: Iterable[Done], path: str | None, dry: bool) -> Iterator[Iterator[Done]]:
    """``done`` with its records completed, each written to ``path`` immediately.

    Records of an earlier run stay, and a file that is as they say has no second one. Raises UsageError where
    ``path`` holds anything else, WriteError.
    """
    completed = (each._replace(record=_completed(each, dry)) if each.record else each for each in done)
    if path is None:
        yield completed
        return
    known, length = _earlier(path)
    try:
        stream = open(path, "a", encoding="ascii", opener=open_itself)  # noqa: SIM115  # closed below
    except OSError as reason:
        text = f"{path}: cannot write records: {system_text(reason)}"
        raise WriteError(text, code="record") from None
    with stream:
        if length is not None:
            stream.truncate(length)
        yield _written(completed, stream, known)


def _written(done: Iterable[Done], stream: TextIO, known: Known) -> Iterator[Done]:
    for each in done:
        record = record_of(each)
        if not _is_known(record, known):
            stream.write(dumps(record) + "\n")
            stream.flush()
        yield each


def _is_known(record: Json, known: Known) -> bool:
    unchanged = record["action"] == "unchanged"
    return unchanged and bool(known.get(_key(record)) == record["after"]["sha256"])


def _key(record: Json) -> str:
    """The name of the file, whatever bytes it has."""
    return str(record.get("path_hex") or record["path"])


def _earlier(path: str) -> tuple[Known, int | None]:
    """The results in the records of an earlier run, and where a line that was cut off begins."""
    if not os.path.lexists(path):
        return {}, None
    data = b"" if os.path.islink(path) else read(path).raw
    end = data.rfind(b"\n") + 1
    records = [_record(line) for line in data[:end].splitlines()]
    whole = [each for each in records if each is not None]
    if os.path.islink(path) or len(whole) != len(records) or not (data[end:] or b"{").startswith(b"{"):
        text = f"{path}: cannot write records: it exists, and holds something else"
        raise UsageError(text, code="record")
    done = (each for each in whole if isinstance(each.get("after"), dict) and not each.get("dry_run"))
    known = {_key(each): each["after"]["sha256"] for each in done}
    return known, end if end < len(data) else None


def _record(line: bytes) -> Json | None:
    """The record in a line; None where it is none: anybody may have written the file."""
    try:
        found = loads(line)
    except (ValueError, RecursionError):
        return None
    fits = isinstance(found, dict) and isinstance(found.get("path"), str) and "action" in found
    if not fits or not isinstance(found.get("after") or {"sha256": ""}, dict):
        return None
    return found if "sha256" in (found.get("after") or {"sha256": ""}) else None


def _completed(done: Done, dry: bool) -> Json:
    target = readable(done.target or done.path) if done.error is None else None
    return {**(done.record or {}), "target": target, "dry_run": dry}
