"""What reading commands do with many files: walk, work on each in parallel, write in order, count, exit.

The work on one file runs in a worker and gives back text that is ready to be written, so that nothing
large travels between processes.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import NamedTuple

from elfsig.cli import exit_codes
from elfsig.cli.options.common import Machine
from elfsig.cli.render.documents import write_files
from elfsig.cli.render.words import remark_words
from elfsig.cli.settings import DEBUG, Settings, complain
from elfsig.errors import ElfsigError, ReadError
from elfsig.model import FileReport
from elfsig.opened.evidence import LIMIT
from elfsig.opened.module import Module, open_module
from elfsig.opened.walk import Entry, walk
from elfsig.registry import Registry
from elfsig.verbs.verify.examine import Outside, Question, examine, failed


class Result(NamedTuple):
    """What is left of one file: its text or JSON object, the word it counts under, and its exit code.

    ``complaint`` is the line for stderr where the file could not be read. Files that fare alike may share
    one result: ``files`` says how many.
    """

    path: str
    text: str
    word: str
    code: int
    complaint: str | None = None
    files: int = 1


class Examined(NamedTuple):
    """What was opened, None where it could not be, and the report."""

    module: Module | None
    report: FileReport


def report_on(
    entry: Entry,
    registry: Registry,
    question: Question,
    limit: int = LIMIT,
    outside: Outside | None = None,
    module: Module | None = None,
) -> Examined:
    """Everything about one file of a walk; a file that cannot be read has a report too.

    ``module`` is the file where it was opened already; None: it is opened here.
    """
    if entry.error is not None:
        return Examined(None, failed(entry.path, entry.error))
    try:
        module = module or open_module(entry.path, registry, limit=limit)
        return Examined(module, examine(module, question, outside))
    except ElfsigError as fault:
        return Examined(None, failed(entry.path, fault))
    except Exception as bug:  # whatever is wrong with us at this file, the others are still to be told of
        if os.environ.get(DEBUG):
            raise
        text = f"internal error, please report it: {type(bug).__name__}: {bug}"
        return Examined(None, failed(entry.path, ReadError(text, code="internal-error")))


def finish(report: FileReport, text: str, word: str, code: int) -> Result:
    """The result for a report; what could not be read is complained about."""
    complaint = "; ".join(remark_words([report.error])) if report.error is not None else None
    return Result(report.path, text, word, code, complaint)


BATCH = 16
"""Files that go to a process together, once there are many: handing over takes time, too."""


def spread(
    work: Callable[[Sequence[Entry]], list[Result]], entries: Iterable[Entry], jobs: int, most: int = BATCH
) -> Iterator[Result]:
    """``work`` on all entries, in batches of at most ``most``, in several processes where that pays; results
    in the order of the entries.

    ``work`` is told of a process that died at an entry by an entry with an error.
    """
    batches = _batches(entries, most)
    if jobs == 1:
        return chain.from_iterable(map(work, batches))
    from elfsig.batch.workers import run

    def lost(batch: Sequence[Entry], how: str) -> list[Result]:
        if len(batch) > 1:  # one of them did it: each in turn, and never in this process
            return list(chain.from_iterable(run(work, [[each] for each in batch], 2, lost=lost, few=0)))
        return work([batch[0]._replace(error=ReadError(f"no result: {how}", code="process-died"))])

    return chain.from_iterable(run(work, batches, jobs, lost=lost))


def _batches(entries: Iterable[Entry], most: int) -> Iterator[list[Entry]]:
    """Single ones first, so that few are shared out evenly; more at once as they go on coming."""
    supply, given = iter(entries), 0
    while batch := list(islice(supply, min(most, 1 + given // 32))):
        given += len(batch)
        yield batch


def collect(
    results: Iterable[Result], settings: Settings, machine: Machine, member: str = "files"
) -> tuple[Counter[str], int]:
    """Write every result as it comes; give back how many files got which word, and the exit code.

    ``member`` is what the results are called in a document.
    """
    counts: Counter[str] = Counter()
    codes: set[int] = set()

    def noted() -> Iterator[str]:
        for each in results:
            counts[each.word] += each.files
            codes.add(each.code)
            if each.complaint is not None:
                sys.stdout.flush()
                complain(each.complaint, each.path)
            if each.text:
                yield each.text

    if machine.wanted:
        write_files(settings, machine, noted(), member)
    else:
        for text in noted():
            sys.stdout.write(text)
    return counts, exit_codes.combined(codes)


def entries(
    paths: Sequence[str], all_files: bool = False, registry: Registry | None = None
) -> tuple[Iterator[Entry], bool]:
    """The files that are meant, and whether they are one plain file (then output needs no paths)."""
    single = len(paths) == 1 and not os.path.isdir(paths[0])
    return walk(paths, all_files, registry), single
