"""baseline: what modules were, according to an earlier JSON output of elfsig.

Read are documents of ``--json`` and lines of ``--jsonl`` of list, verify, audit, survey, convert and list
--sections, and the reports of sign (also one of an interrupted run). Each entry says of one file what it
says; the rest is not known.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from elfsig.errors import UsageError
from elfsig.kernels.names import SUFFIX
from elfsig.lazy_tuple import NamedTuple
from elfsig.model.json_form import SCHEMA_VERSION, readable
from elfsig.model.json_values import loads
from elfsig.opened.evidence import INSIDE

MEMBERS = ("files", "edits", "records")
"""Arrays of documents that have an entry for each file."""

Json = Mapping[str, Any]


class BaselineFile(NamedTuple):
    """One file as it was. What is None is not known.

    ``sha256`` is that of the file, ``content_sha256`` that of the decompressed content without signatures.
    ``compression`` is "" for none. ``signed``: whether it had a signature; ``key`` is the serial number or
    key id that this named (hex), ``signer`` the name. ``host`` is the machine that it is from, ``run`` the id
    of the run that says it.
    """

    path: str
    sha256: str | None = None
    content_sha256: str | None = None
    compression: str | None = None
    signed: bool | None = None
    key: str | None = None
    signer: str | None = None
    host: str | None = None
    run: str | None = None


class _Unfit(Exception):
    """An entry that is not what elfsig writes."""


class _Several(_Unfit):
    """Entries of one file that contradict each other."""


def read_baseline(data: bytes, source: str) -> tuple[BaselineFile, ...]:
    """The files in a JSON output of elfsig. Of files that could not be read only the path is
    known.

    ``source`` names it in errors. Raises UsageError for anything else, damaged or hostile JSON included.
    """
    try:
        return _once(_file(each) for each in _entries(data) if _is_known(each))
    except _Several as reason:
        raise UsageError(f"{source}: {reason}", code="baseline") from None
    except _Unfit as reason:
        raise UsageError(f"{source}: not a JSON output of elfsig: {reason}", code="baseline") from None


def baseline_of(records: Iterable[Json]) -> tuple[BaselineFile, ...]:
    """The modules among records of a survey that have the shape of records. Raises UsageError."""
    try:
        return _once(_file(each) for each in records if _is_known(each))
    except _Several as reason:
        raise UsageError(str(reason), code="baseline") from None


def _once(files: Iterable[BaselineFile]) -> tuple[BaselineFile, ...]:
    """Each file once; a path in an archive may be there several times. Raises _Several."""
    known: dict[tuple[str | None, str], BaselineFile] = {}
    found: list[BaselineFile] = []
    for each in files:
        first = known.setdefault((each.host, each.path), each)
        if first is each or (INSIDE in each.path and first.run == each.run):
            found.append(each)
        elif first != each._replace(run=first.run):
            raise _Several(f"{readable(each.path)} is there twice, and differs: give the output of one run")
    return tuple(found)


def _entries(data: bytes) -> Iterator[Any]:
    """The object of each file. Raises _Unfit."""
    document = _parsed(data)
    if isinstance(document, dict):
        _check_version(document)
    if isinstance(document, dict) and (found := _array(document)) is not None:
        yield from found
        return
    lines = data.splitlines()
    if document is not None and not (isinstance(document, dict) and "path" in document):
        raise _Unfit("it has no list of files")
    at_least_one = False
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        entry = _parsed(line)
        if not isinstance(entry, dict):
            # The last line of an interrupted run may be cut off.
            if number == len(lines) and at_least_one and not data.endswith(b"\n"):
                return
            raise _Unfit(f"line {number} is not a JSON object")
        if "path" in entry:
            _check_version(entry)
            at_least_one = True
            yield entry
        elif "asked" not in entry:
            raise _Unfit(f"line {number} is not about a file")
    if not at_least_one:
        raise _Unfit("it has no files")


def _check_version(entry: Json) -> None:
    """Raises _Unfit for what a later elfsig wrote, with words of another meaning."""
    version = entry.get("schema_version", SCHEMA_VERSION)
    if version != SCHEMA_VERSION:
        raise _Unfit(f"its schema_version is {version!r:.20}, and only {SCHEMA_VERSION} is known")


def _is_known(entry: Json) -> bool:
    """False for what was missing, and for what is not a module. A module that could not be read was there."""
    if entry.get("record", "module") != "module":
        return False
    if (error := entry.get("error")) is not None:
        return _is_named(entry) and not (isinstance(error, dict) and error.get("code") == "not-found")
    faults = entry.get("faults")
    if faults is None or entry.get("signer") is not None or _has_hash(entry):
        return True
    rules = (
        [each.get("rule") for each in faults if isinstance(each, dict)] if isinstance(faults, list) else []
    )
    return _is_named(entry) and "unreadable" in rules


def _is_named(entry: Json) -> bool:
    """Whether a file has the name of a module."""
    return isinstance(entry.get("path"), str) and SUFFIX.search(entry["path"]) is not None


def _array(document: Json) -> Iterable[Any] | None:
    for member in MEMBERS:
        found = document.get(member)
        if isinstance(found, list):
            if not all(isinstance(each, dict) for each in found):
                raise _Unfit(f"an entry of {member} is not an object")
            return found
    return None


def _parsed(data: bytes) -> Any:
    """The JSON value; None where it is none, or too deep or long for the parser."""
    try:
        return loads(data)
    except (
        ValueError,
        RecursionError,
    ):  # JSONDecodeError, UnicodeDecodeError and overlong numbers are ValueErrors
        return None


def _file(entry: Json) -> BaselineFile:
    """What an entry says. Raises _Unfit."""
    state = entry.get("after")
    if state is None and "before" in entry:  # sign and convert: what the file was, if it was not changed
        state = entry["before"]
    state = state if isinstance(state, dict) else entry
    signed, key, signer = _signer(entry, state)
    compression = entry.get("compression", state.get("compression", False))
    return BaselineFile(
        _path(entry),
        _text(state, "sha256"),
        _text(state, "content_sha256") or _text(entry, "content_sha256"),
        None if compression is False or not _has_hash(state) else str(compression or ""),
        signed,
        key,
        signer,
        _text(entry, "host"),
        _text(entry, "run"),
    )


def _has_hash(state: Json) -> bool:
    return isinstance(state.get("sha256"), str)


def _path(entry: Json) -> str:
    """Where the file was: the output of an editing command, or the file itself."""
    target = entry.get("target")
    if isinstance(target, str):
        return target
    raw = entry.get("path_hex")
    if isinstance(raw, str):
        try:
            return os.fsdecode(bytes.fromhex(raw))
        except ValueError:
            raise _Unfit("a path_hex is not hexadecimal") from None
    path = entry.get("path")
    if not isinstance(path, str):
        raise _Unfit("a file has no path")
    return path


def _text(entry: Json, name: str) -> str | None:
    found = entry.get(name)
    return found if isinstance(found, str) else None


def _signer(entry: Json, state: Json) -> tuple[bool | None, str | None, str | None]:
    """Whether it was signed, by which key, by whom."""
    signatures = state.get("signatures", entry.get("signatures"))
    if isinstance(signatures, list):
        found = [each for each in signatures if isinstance(each, dict)]
        first = next((each for each in found if each.get("effective")), found[0] if found else {})
        key = _text(first, "serial") or _text(first, "key_id")
        return bool(found), key, _text(first, "signer")
    row = entry.get("signer")
    if isinstance(row, dict):  # a line of audit
        verdict = row.get("verdict")
        known = isinstance(verdict, str)
        return (verdict != "unsigned") if known else None, _text(row, "key_id"), _text(row, "signer")
    made = entry.get("signature")
    if isinstance(made, dict):  # an entry of sign's report
        return True, _text(made, "serial") or _text(made, "key_id"), _text(made, "signer")
    action = entry.get("action")
    return (True if action == "signed" else None), None, None
