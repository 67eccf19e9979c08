"""The reading half of a bundle: what is found in one outermost file, as events that cross a pipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from elfsig.batch.isolation import fault_of
from elfsig.batch.survey.file import Plan, Surveyed
from elfsig.batch.survey.run import Outermost, records_of
from elfsig.lazy_dataclass import dataclass
from elfsig.model import Verdict
from elfsig.verbs.bundle.entry import Entry
from elfsig.verbs.bundle.module import UNREADABLE, left_open, module_entry, unread_entry, verdict_of
from elfsig.verbs.bundle.signature import Bundled
from elfsig.verbs.inspect.cover import Cover, covers
from elfsig.verbs.survey.records import ModuleRecord

Json = dict[str, Any]

WORDS = (*(each.value for each in Verdict), UNREADABLE)
"""The verdicts by which modules are chosen."""

PIECE = 1 << 18
"""Bytes of a file that cross the pipe at once."""


class Pictures(NamedTuple):
    """How coverage maps are drawn: ``draw`` makes a drawing in the confined process, ``page`` a page of it in
    this one, b"" for none."""

    draw: Callable[[Sequence[Cover]], str]
    page: Callable[[Json, str], bytes]


@dataclass(frozen=True, slots=True)
class Task:
    """What to do with each module. ``plan`` says how it is examined; ``only`` are the wanted verdicts, all if
    it is empty."""

    plan: Plan
    keys: Bundled
    only: frozenset[str] = frozenset()
    pictures: Pictures | None = None


Event = list[Any]
"""["piece", file, bytes], then ["module", record, checks, left open, drawing] for what the pieces belong to;
["record", record] for everything else; ["passed", verdict] for a module that is not wanted."""


def events(each: Outermost, task: Task) -> Iterator[Event]:
    """What is found in one outermost file. Nothing is raised because of the file."""
    for found in records_of(each, task.plan):
        yield from _events_of(found, task)


def _events_of(found: Surveyed, task: Task) -> Iterator[Event]:
    record = found.record
    if not isinstance(record, ModuleRecord):
        yield ["record", record.to_json()]
        return
    word = verdict_of(record.report)
    if task.only and word not in task.only:
        yield ["passed", word]
        return
    entry, maps = _entry(found, record, task)
    for file in entry.files:
        for chunk in file.chunks or (b"",):
            for at in range(0, len(chunk) or 1, PIECE):
                yield ["piece", file.name, chunk[at : at + PIECE]]
    drawn = task.pictures.draw(maps) if task.pictures is not None and maps else ""
    yield ["module", record.to_json(), [list(line) for line in entry.checks], left_open(maps), drawn]


def _entry(found: Surveyed, record: ModuleRecord, task: Task) -> tuple[Entry, Sequence[Cover]]:
    module = found.module
    if module is None or record.report.verdict is None:
        return unread_entry(record.report, found.data), ()
    try:
        maps = covers(module, task.plan.examination.question)
        return module_entry(module, record.report, maps, task.keys), maps
    except Exception as bug:  # an error of ours, or of a plug-in, at this module must not cost the others
        entry = unread_entry(record.report, found.data)
        entry.say("open", fault_of(bug, module.registry).code)
        return entry, ()
