"""evidence: everything about the modules of many files in one bundle that others can check.

The files are read as by a survey, in a confined process (:mod:`elfsig.batch.evidence.events`); this process
writes what comes out of it (:mod:`elfsig.batch.evidence.writer`).
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from elfsig.batch.evidence.events import Task, events
from elfsig.batch.evidence.writer import Writer, data_file
from elfsig.batch.survey.file import unreadable
from elfsig.batch.survey.run import Outermost, batches, needed, outermost, with_companions
from elfsig.cage.cage import Cage
from elfsig.errors import ElfsigError, Killed, ReadError
from elfsig.lazy_dataclass import replace
from elfsig.model.json_form import dumps
from elfsig.opened.bundle import RUNNABLE, Bundle
from elfsig.verbs.bundle.keys import KeyFolder
from elfsig.verbs.bundle.shorten import Shortener

REPORTED = 1 << 46
"""Bytes that a confined process may report: everything that is in the bundle."""


def write_evidence(
    paths: Iterable[str],
    task: Task,
    bundle: Bundle,
    writer: Writer,
    *,
    cage: Cage | None = None,
) -> None:
    """Write keys and modules. The caller writes the end. Raises WriteError."""
    for folder in task.keys.folders.values():
        _add_key(bundle, folder, writer.shorten)
    bundle.small("recheck.sh", data_file("recheck.sh"), RUNNABLE)
    if cage is not None:
        cage = Cage(replace(cage.limits, records=REPORTED), cage.readable, cage.keep)
    every = tuple(paths)
    task = replace(task, plan=replace(task.plan, given=every))
    for batch in batches(outermost(every)):
        rest = [with_companions(each, every) for each in batch]
        while rest:
            done = _uncaged(rest, task, writer) if cage is None else _caged(rest, task, writer, cage)
            rest = rest[done:]


def _add_key(bundle: Bundle, folder: KeyFolder, shorten: Shortener) -> None:
    entries = dumps({"entries": shorten(list(folder.entries))}).encode() + b"\n"
    bundle.small(f"{folder.name}/key.json", entries)
    for name, data in folder.files.items():
        bundle.small(f"{folder.name}/{name}", data)


def _uncaged(batch: Sequence[Outermost], task: Task, writer: Writer) -> int:
    for each in batch:
        for event in events(each, task):
            writer.take(event, *each.files)
    return len(batch)


def _caged(batch: Sequence[Outermost], task: Task, writer: Writer, cage: Cage) -> int:
    """How many files are done with: all, or those up to one at which the process ended."""
    done = 0
    fault: ElfsigError
    try:
        allowed = [path for each in batch for path in needed(each)]
        for item in cage.run(lambda report: _work(batch, task, report), allowed):
            if item is None:
                done += 1
            else:
                writer.take(_decoded(item), *batch[done].files)
        if done == len(batch):
            return done
        fault = Killed("it ended before it was done", limit="records")
    except (ReadError, Killed) as reason:
        fault = reason
    except (ValueError, IndexError, TypeError, KeyError):
        fault = Killed("what it reported is not evidence", limit="records")
    except OSError as reason:
        fault = ReadError(f"no process for it: {reason.strerror}", code="no-process")
    writer.drop()
    if done < len(batch):
        error = ReadError(fault.text, code=fault.code, offset=fault.offset, hint=fault.hint)
        writer.take(["record", unreadable(batch[done].path, error).to_json()], *batch[done].files)
    return done + 1


def _work(batch: Sequence[Outermost], task: Task, report: Callable[[Any], None]) -> None:
    """In the child: every event, and None after each file."""
    for each in batch:
        for event in events(each, task):
            if event[0] == "piece":
                event = [*event[:2], b64encode(event[2]).decode("ascii")]
            report(event)
        report(None)


def _decoded(event: Any) -> Any:
    """An event as it was before it crossed the pipe. Raises ValueError."""
    if isinstance(event, list) and len(event) == 3 and event[0] == "piece" and isinstance(event[2], str):
        try:
            return [*event[:2], b64decode(event[2], validate=True)]
        except Base64Error:
            raise ValueError("not base64") from None
    return event
