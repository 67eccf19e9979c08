"""Reports on many files: examine each, in several processes, continue after errors, keep the order."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from elfsig.batch.isolation import fault_of
from elfsig.errors import ElfsigError, ReadError
from elfsig.lazy_dataclass import dataclass, replace
from elfsig.lazy_tuple import NamedTuple
from elfsig.model import FileReport, Remark
from elfsig.opened.evidence import LIMIT
from elfsig.opened.links import Links, LinkTarget
from elfsig.opened.module import Module
from elfsig.opened.walk import WalkedFile, walk
from elfsig.registry import Registry
from elfsig.verbs.verify.examine import Outside, Question, examine, failed
from elfsig.verbs.verify.misnamed import misnamed

if TYPE_CHECKING:
    from elfsig.batch.like_signed import LikeSigned, Prepared
    from elfsig.verbs.verify.kernel import KernelAnswer, KernelQuestion

R = TypeVar("R")

BATCH = 16
"""Files that are sent to a process together, once there are many: each transfer takes time."""


@dataclass(frozen=True, slots=True)
class Examination:
    """What to find out about every file: see :func:`elfsig.verbs.verify.examine.examine`.

    ``kernel``: also simulate this kernel. ``limit`` is the maximum size of a file in bytes, before and
    after decompression. ``prepared`` is what is known of some files already, by their paths; see
    :mod:`elfsig.batch.ahead`.
    """

    registry: Registry
    question: Question
    outside: Outside | None = None
    kernel: KernelQuestion | None = None
    limit: int = LIMIT
    prepared: Mapping[str, Prepared] | None = None


class Examined(NamedTuple):
    """The result for one file.

    ``module`` is the file, None where it could not be read, or need not be read as a whole. ``asked`` is the
    kernel's answer, and part of ``report``; ``fault`` says why there is no answer.
    """

    report: FileReport
    module: Module | None = None
    asked: KernelAnswer | None = None
    fault: ElfsigError | None = None


class Examiner:
    """Examines one file after the other.

    An instance is used in one process. It never raises: anything that fails for a file is the error in that
    file's report.
    """

    def __init__(self, what: Examination) -> None:
        self.what = what
        # A file that was named is expected to be a module; one that a walk found only has a module's name.
        self._named = replace(what.question, any_file=False)
        self._walked = replace(what.question, walked=True)
        self._like: LikeSigned | None = None

    def remember(self) -> None:
        """Remember signatures from now on: worthwhile for many files."""
        if self.what.outside is None:  # a detached signature is not part of a module
            from elfsig.batch.like_signed import LikeSigned

            self._like = LikeSigned(self.what.registry, self.what.question)

    def __call__(self, entry: WalkedFile) -> Examined:
        """The report on a file of a walk."""
        if entry.error is not None:
            return Examined(failed(entry.path, entry.error))
        try:
            found = self._examined(entry)
            return found if entry.root is None else _as_in_tree(found, entry)
        except Exception as bug:  # an error of ours at this file must not cost the reports of the others
            return Examined(failed(entry.path, fault_of(bug, self.what.registry)))

    def _examined(self, entry: WalkedFile) -> Examined:
        what, like = self.what, self._like
        if entry.is_plain and like is not None and what.kernel is None:
            report = like.report_from_ends(entry.path)
            if report is None and what.prepared and (ready := what.prepared.get(entry.path)) is not None:
                report = like.report_prepared(ready)
            if report is not None:
                return Examined(report)
        module = entry.open(what.registry, limit=what.limit)
        report = like.report(module) if like is not None else None
        if report is None:
            question = self._named if entry.root is None else self._walked
            report = examine(module, question, what.outside)
            if like is not None:
                like.learn(module, report)
        return Examined(report, module) if what.kernel is None else self._asked(module, report, what.kernel)

    def _asked(self, module: Module, report: FileReport, kernel: KernelQuestion) -> Examined:
        from elfsig.verbs.verify.kernel import ask, with_kernel

        try:
            asked = ask(module, kernel)
            return Examined(with_kernel(report, asked), module, asked)
        except Exception as bug:  # the report is kept, whatever fails in the kernel's half
            return Examined(report, module, None, fault_of(bug, self.what.registry))


def _as_in_tree(found: Examined, entry: WalkedFile) -> Examined:
    """``found`` with warnings where a module in a tree has another name than its file, or is elsewhere."""
    named = misnamed(found.module, found.report) if found.module is not None else None
    away = outside_remark(entry.link) if entry.link is not None and entry.link.outside else None
    remarks = [remark for remark in (named, away) if remark is not None]
    if not remarks:
        return found
    return found._replace(report=replace(found.report, warnings=(*found.report.warnings, *remarks)))


def outside_remark(link: LinkTarget) -> Remark:
    """The warning about a module that is not in the tree where its name is."""
    return Remark("link-outside", f"this is a symbolic link to {link.path}, which is outside the tree")


# --------------------------------------------------------------------------- many


Confined: TypeAlias = Callable[[Examiner, WalkedFile, Callable[[Examined], R]], R]
"""Examines one entry in a cage and finishes the result; :class:`elfsig.batch.confined.ConfinedExaminer`."""


def examined(
    entries: Iterable[WalkedFile],
    what: Examination,
    finish: Callable[[Examined], R],
    *,
    jobs: int = 0,
    single: bool = False,
    confined: Confined[R] | None = None,
) -> Iterator[R]:
    """``finish`` of the result of each entry, in the order of the entries.

    The work is done in ``jobs`` processes (0: one for each processor) where that is faster. What ``finish``
    returns should be cheap to pickle. A process that dies costs the one file that it was working on.
    ``single``: there is one entry, so nothing is prepared for many. ``confined``: each entry is examined,
    and its result finished, in a cage of its own.
    """
    examiner = Examiner(what)
    if not single and confined is None:
        examiner.remember()

    def work(batch: Sequence[WalkedFile]) -> list[R]:
        if confined is not None:
            return [confined(examiner, entry, finish) for entry in batch]
        return [finished(examiner, entry, finish) for entry in batch]

    return spread(work, entries, 1 if single else jobs)


def finished(examiner: Examiner, entry: WalkedFile, finish: Callable[[Examined], R]) -> R:
    """``finish`` of the result for one entry; where it raises, of its error."""
    found = examiner(entry)
    try:
        return finish(found)
    except Exception as bug:
        if found.report.error is not None:
            raise
        return finish(Examined(failed(entry.path, fault_of(bug, examiner.what.registry))))


def spread(
    work: Callable[[Sequence[WalkedFile]], list[R]],
    entries: Iterable[WalkedFile],
    jobs: int,
    most: int = BATCH,
) -> Iterator[R]:
    """``work`` on all entries, in batches of at most ``most``, in several processes where that is faster;
    results in the order of the entries.

    If a process dies at an entry, ``work`` gets that entry again, with an error.
    """
    batches = _batches(entries, most)
    if jobs == 1:
        return chain.from_iterable(map(work, batches))
    from elfsig.batch.workers import run

    def lost(batch: Sequence[WalkedFile], how: str) -> list[R]:
        if len(batch) > 1:  # one of them was the cause: try each in turn, and never in this process
            return list(chain.from_iterable(run(work, [[each] for each in batch], 2, lost=lost, few=0)))
        return work([batch[0]._replace(error=ReadError(f"no result: {how}", code="process-died"))])

    return chain.from_iterable(run(work, batches, jobs, lost=lost))


def _batches(entries: Iterable[WalkedFile], most: int) -> Iterator[list[WalkedFile]]:
    """Single ones first, so that few are shared out evenly; larger batches as more arrive."""
    supply, given = iter(entries), 0
    while batch := list(islice(supply, min(most, 1 + given // 32))):
        given += len(batch)
        yield batch


def verify_tree(
    paths: Iterable[str | os.PathLike[str]],
    what: Examination,
    *,
    jobs: int = 0,
    all_files: bool = False,
    links: Links | None = None,
) -> Iterator[FileReport]:
    """A report on every file selected by ``paths``, in the order of the walk.

    Directories are walked for modules (``all_files``: for everything that is ELF or has the mark of a
    signature). What cannot be read has a report with an ``error``, and so does a file for which elfsig or a
    plug-in fails; the walk continues. Where a file does not say which kernel to simulate, the
    report has the warning kernel-not-asked. ``links`` is that of :func:`elfsig.opened.walk.walk`.
    """
    return examined(walk(paths, all_files, what.registry, links), what, _report, jobs=jobs)


def _report(found: Examined) -> FileReport:
    if found.fault is None:
        return found.report
    remark = Remark("kernel-not-asked", f"no kernel was simulated: {found.fault.text}", hint=found.fault.hint)
    return replace(found.report, warnings=(*found.report.warnings, remark))
