"""Verify the modules in packages, archives, file systems and disk images, at once or in parts."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Sequence

from elfsig.api.guard import public
from elfsig.api.keys import KeySources, keyring
from elfsig.api.verifying import paths_of
from elfsig.batch.parts import manifest
from elfsig.batch.parts.division import Form, checked
from elfsig.batch.parts.question import PartsQuestion
from elfsig.batch.parts.receipt import PartReceipt
from elfsig.batch.parts.run import PartsJob, begin, finished
from elfsig.batch.parts.run import survey_parts as make_parts
from elfsig.batch.parts.store import store_at
from elfsig.batch.survey.file import Limits, Plan
from elfsig.batch.survey.run import check_sources, outermost, records_of, with_companions
from elfsig.batch.survey.tables import check_tables
from elfsig.batch.tree import Examination
from elfsig.cage.cage import Cage
from elfsig.errors import UsageError
from elfsig.opened.evidence import LIMIT
from elfsig.registry import Registry, load
from elfsig.verbs.survey.records import SurveyRecord
from elfsig.verbs.verify.examine import Question


@public
def survey(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    trust: KeySources = (),
    keys: KeySources = (),
    *,
    found_keys: bool = False,
    limits: Limits | None = None,
    registry: Registry | None = None,
    limit: int = LIMIT,
) -> Iterator[SurveyRecord]:
    """Verify every module in ``paths``: packages, archives, images, modules, and directories of these.

    Yields a :class:`ModuleRecord` for each module, whose ``report`` is that of :func:`verify`; a
    :class:`ContainerRecord` for each container, after what is in it, whose ``complete`` is False where it
    could not be read to its end; a :class:`KernelRecord` for each kernel image. Nothing is raised
    because of a file. ``found_keys``: try the keys of kernel images in the same file, which are never
    trusted. ``limits`` bound what reading one outermost file may cost, ``limit`` is the maximum size of
    one module in bytes. The other parameters are those of :func:`verify`.

    URLs (``s3://``, ``https://`` and others) are read too, with the extra ``remote``: once and forward, so
    that the hash of such a file is only in its own record, the last one.

    Files are read in this process; ``elfsig survey`` confines the readers of hostile files.
    Raises KeySourceError, UsageError before the first record.
    """
    question, known = Question(keyring(trust, keys), True), registry or load()
    places = paths_of(paths)
    plan = Plan(Examination(known, question, limit=limit), limits or Limits(), found_keys, tuple(places))
    check_sources(places)
    return _records(places, plan)


def _records(paths: list[str], plan: Plan) -> Iterator[SurveyRecord]:
    for each in outermost(paths):
        yield from (found.record for found in records_of(with_companions(each, plan.given), plan))


@public
def survey_parts(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    parts: int,
    output: str | os.PathLike[str],
    trust: KeySources = (),
    keys: KeySources = (),
    *,
    part: int | None = None,
    form: Form = "jsonl",
    host: str | None = None,
    jobs: int = 1,
    confined: bool = False,
    found_keys: bool = False,
    limits: Limits | None = None,
    registry: Registry | None = None,
    limit: int = LIMIT,
) -> Iterator[PartReceipt]:
    """Survey ``paths`` in ``parts`` files of records in ``output``, a directory or a URL; or make one
    ``part``.

    Yields the :class:`PartReceipt` of each part, in order, also of those that were there already: they are
    not made again. The manifest is written when all are there. ``form`` is that of the files, ``host`` names
    in the records the machine that ``paths`` are from, ``jobs`` is the number of processes (0: one for each
    processor). ``confined``: read each outermost file in a confined process, which is not possible in a
    program with threads. The other parameters are those of :func:`survey`; the manual's page ``scale`` says
    what is in the directory and which part a file belongs to.

    Raises KeySourceError, UsageError before any module is read (other-question: the directory holds parts of
    another survey); ReadError, WriteError for a part that could not be made, after which finished parts stay.
    """
    checked(part, parts)
    if confined and threading.active_count() > 1:
        raise UsageError("a program with threads cannot start confined processes", code="threads")
    if form == "parquet":
        check_tables()
    question, known = Question(keyring(trust, keys), True), registry or load()
    places = paths_of(paths)
    check_sources(places)
    plan = Plan(Examination(known, question, limit=limit), limits or Limits(), found_keys, tuple(places))
    options = {
        "found_keys": found_keys, "limits": list(plan.limits), "limit": limit, "host": host,
        "confined": confined, "formats": [each.id for each in known.formats],
    }  # fmt: skip
    asked = PartsQuestion(places, parts, form, question.keys, options)
    job = PartsJob(
        tuple(places), plan, asked, store_at(os.fsdecode(output)), Cage() if confined else None, host
    )
    wanted = range(parts) if part is None else (part,)
    begin(job)
    finished(job, wanted)  # a receipt of another question is refused here, not at the first part
    return _receipts(job, wanted, jobs)


def _receipts(job: PartsJob, wanted: Sequence[int], jobs: int) -> Iterator[PartReceipt]:
    for each in make_parts(job, wanted, jobs):
        if each.receipt is None:
            raise each.error or UsageError(f"part {each.part} was not made")
        yield each.receipt
    manifest.close(job.store, job.question.parts, job.question.digest)
