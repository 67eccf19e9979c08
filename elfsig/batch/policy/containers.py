"""Audit by a policy of the modules in containers: packages, archives, images."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from elfsig.batch.policy.fleet import Auditor
from elfsig.batch.survey.file import Limits, Plan, Surveyed
from elfsig.batch.survey.run import Drawn, outermost, survey_all
from elfsig.batch.tree import Examination
from elfsig.model import Remark
from elfsig.model.json_form import dumps, readable
from elfsig.model.json_values import loads
from elfsig.opened.evidence import MODULE_SUFFIXES
from elfsig.verbs.audit.audit import Audited, incomplete, unreadable
from elfsig.verbs.audit.exchange import checked, values_of
from elfsig.verbs.policy.place import built_for, position
from elfsig.verbs.survey.records import ModuleRecord
from elfsig.verbs.verify.examine import Question

if TYPE_CHECKING:
    from elfsig.cage.cage import Cage


def is_container(path: str) -> bool:
    """Whether a path that was given may be a container: a file without the name of a module."""
    return os.path.isfile(path) and not path.endswith(MODULE_SUFFIXES)


def audited_in(
    paths: Iterable[str],
    auditor: Auditor,
    host: str | None,
    limits: Limits | None = None,
    *,
    cage: Cage | None = None,
    jobs: int = 0,
) -> Iterator[Audited]:
    """The results for every module in the containers, each followed by the faults of the container itself.

    With ``cage`` containers are read, and modules examined, in processes that can read nothing else: key
    sources of the policy are read before, those with {root} and {kernel} in the container itself.
    """
    settings = auditor.settings
    what = Examination(settings.registry, Question(None, False, False), limit=settings.limit)
    every = tuple(paths)
    plan = Plan(what, limits or Limits(), given=every)

    def draw(found: Surveyed) -> Drawn:
        record = found.record
        if not isinstance(record, ModuleRecord):
            return Drawn()
        where = built_for(position(record.path, None, host), record.vermagic)
        if found.module is None:
            fault = record.report.error or Remark("unreadable", "could not be read")
            result = unreadable(record.path, fault).at(where.host, where.release)
        else:
            result = auditor.module(found.module, record.report, where)
        return Drawn(dumps(values_of(result)))

    for line in survey_all(outermost(every), plan, draw, cage=cage, jobs=jobs):
        result = _result(line.record, line.drawn.text, host)
        if result is not None:
            yield from auditor.learned([result])


def _result(record: dict[str, Any], text: str, host: str | None) -> Audited | None:
    """What a record says; None of a container that was read to its end, and of a kernel."""
    path, fault = record["path"], record.get("error")
    if record["record"] == "module":
        try:
            found = checked(loads(text))
            if readable(found.path) != path:
                raise ValueError("of another file")
            return found
        except (ValueError, RecursionError):
            return unreadable(path, Remark("killed", "what it reported is not a result")).at(host, None)
    if record["record"] == "kernel" or fault is None:
        return None
    return incomplete(path, record["kind"], fault["text"], fault["offset"]).at(host, None)
