"""Verify the modules in packages, archives, file systems and disk images."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from elfsig.api.guard import public
from elfsig.api.keys import KeySources, keyring
from elfsig.api.verifying import paths_of
from elfsig.batch.survey import Limits, Plan
from elfsig.batch.survey_run import check_sources, outermost, records_of, with_companions
from elfsig.batch.tree import Examination
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
        yield from (found.record for found in records_of(with_companions(each, plan), plan))
