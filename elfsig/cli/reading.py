"""What reading commands do with many files: walk, work on each in parallel, write in order, count, exit.

The work on one file runs in a worker and gives back text that is ready to be written, so that nothing
large travels between processes.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from elfsig.cli import exit_codes
from elfsig.cli.options.common import Machine
from elfsig.cli.render.documents import write_files
from elfsig.cli.render.words import remark_words
from elfsig.cli.settings import Settings, complain
from elfsig.model import FileReport
from elfsig.opened.walk import Entry, walk
from elfsig.registry import Registry


class Result(NamedTuple):
    """What is left of one file: its text or JSON object, the word it counts under, and its exit code.

    ``complaint`` is the line for stderr where the file could not be read.
    """

    path: str
    text: str
    word: str
    code: int
    complaint: str | None = None


def finish(report: FileReport, text: str, word: str, code: int) -> Result:
    """The result for a report; what could not be read is complained about."""
    complaint = "; ".join(remark_words([report.error])) if report.error is not None else None
    return Result(report.path, text, word, code, complaint)


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
            counts[each.word] += 1
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
