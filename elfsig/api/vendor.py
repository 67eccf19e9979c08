"""Compare modules with those that a vendor ships."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from elfsig.api.guard import public
from elfsig.api.verifying import paths_of
from elfsig.batch.survey.file import Limits, Plan
from elfsig.batch.survey.run import Drawn, check_sources, outermost, survey_batches
from elfsig.batch.tree import Examination
from elfsig.batch.vendor.modules import HELD_BACK, Looked, reading_vendor
from elfsig.errors import UsageError
from elfsig.opened.evidence import LIMIT
from elfsig.opened.links import Links
from elfsig.registry import Registry, load
from elfsig.verbs.vendor.relation import VendorFinding
from elfsig.verbs.vendor.sources import VendorSource
from elfsig.verbs.verify.examine import Question

AgainstRecord: TypeAlias = VendorSource | VendorFinding


@public
def against(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    vendor: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    limits: Limits | None = None,
    registry: Registry | None = None,
    limit: int = LIMIT,
) -> Iterator[AgainstRecord]:
    """Compare every module in ``paths`` with the one that a vendor ships for the same kernel.

    ``vendor`` are packages, trees of modules or directories of packages; both may be anything that
    :func:`survey` reads. Yields a :class:`VendorSource` for each of ``vendor``; a :class:`VendorFinding` for
    each module in ``paths``; one for each module of the vendor's that is missing, for the kernels of which
    there are modules. Where a source is not ``complete``, what is not found is ``incomplete`` instead of
    ``unknown``; then, or when something in ``paths`` could not be read, nothing is said to be missing.

    ``limits`` and ``limit`` are those of :func:`survey`, for files of both sides; they are read in this
    process. No keys are needed: whether signatures are valid is not asked. Raises UsageError before
    anything is read.
    """
    sources = paths_of(vendor)
    if not sources:
        raise UsageError("nothing of the vendor's was given", code="nothing-given")
    places = paths_of(paths)
    check_sources((*places, *sources))
    plan = Plan(
        Examination(registry or load(), Question(None, True), limit=limit),
        limits or Limits(),
        given=tuple(places),
    )
    return _records(places, sources, plan)


def _records(paths: list[str], sources: list[str], plan: Plan) -> Iterator[AgainstRecord]:
    with reading_vendor(sources, plan, jobs=1) as vendor:
        if vendor is None:
            return
        yield from vendor.sources
        looked: list[Looked] = []
        links = Links()
        for batch, lines in survey_batches(outermost(paths, links), plan, lambda found: Drawn(), jobs=1):
            looked += vendor.looked_up(batch, lines)
            if len(looked) >= HELD_BACK:
                yield from vendor.compared(looked).values()
                looked = []
        yield from vendor.compared(looked).values()
        vendor.own_complete = vendor.own_complete and not links.not_followed.count
        yield from vendor.missing()
