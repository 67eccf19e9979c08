"""What reading commands share: finding the files, writing results in order, counting, exit codes.

The work on one file runs in a worker and gives back text that is ready to be written, so that nothing
large travels between processes.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import IO, Any

from elfsig.cli import exit_codes
from elfsig.cli.options.common import Machine
from elfsig.cli.render import links as render_links
from elfsig.cli.render.documents import write_files
from elfsig.cli.render.links_object import links_object
from elfsig.cli.render.words import remark_words
from elfsig.cli.settings import Settings, complain
from elfsig.errors import UsageError
from elfsig.lazy_tuple import NamedTuple
from elfsig.model import FileReport
from elfsig.opened.evidence import LIMIT, read_stream
from elfsig.opened.links import Links
from elfsig.opened.walk import WalkedFile, walk
from elfsig.registry import Registry

STDIN, STDIN_NAME = "-", "<stdin>"


class Result(NamedTuple):
    """The result for one file: its text or JSON object, the word it is counted under, and its exit code.

    ``complaint`` is the message for stderr if the file could not be read.
    """

    path: str
    text: str
    word: str
    code: int
    complaint: str | None = None


def finish(report: FileReport, text: str, word: str, code: int) -> Result:
    """The result for a report; a file that could not be read gets a message for stderr."""
    complaint = "; ".join(remark_words([report.error])) if report.error is not None else None
    return Result(report.path, text, word, code, complaint)


def collect(
    results: Iterable[Result],
    settings: Settings,
    machine: Machine,
    member: str = "files",
    links: Links | None = None,
) -> tuple[Counter[str], int]:
    """Write every result as it comes. Returns the number of files by word, and the exit code.

    ``member`` is the name of their array in a JSON document; ``links`` are those that the walk met, about
    which stderr gets lines after the last result.
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
        write_files(settings, machine, noted(), member, lambda: _about(links))
    else:
        for text in noted():
            sys.stdout.write(text)
    if links is not None:
        tell_of_links(links)
    return counts, exit_codes.combined(codes)


def _about(links: Links | None) -> dict[str, Any]:
    """The members of a document about the links of a walk."""
    return {} if links is None else {"links": links_object(links)}


def tell_of_links(links: Links) -> None:
    """Write to stderr what links the walk met and what was done about them."""
    for line in render_links.lines(links):
        sys.stdout.flush()
        complain(line)


def entries(
    paths: Sequence[str],
    all_files: bool = False,
    registry: Registry | None = None,
    links: Links | None = None,
) -> tuple[Iterator[WalkedFile], bool]:
    """The files to look at, and whether it is one file that was named itself (then lines need no path).

    ``-`` is standard input. ``links`` is that of :func:`elfsig.opened.walk.walk`.
    """
    single = len(paths) == 1 and not os.path.isdir(paths[0])
    if STDIN not in paths:
        return walk(paths, all_files, registry, links), single
    if paths.count(STDIN) > 1:
        raise UsageError(f"{STDIN} is given {paths.count(STDIN)} times, but can be read only once")
    if links is not None:
        links.expect(paths)
    found = (_stdin() if path == STDIN else walk([path], all_files, registry, links) for path in paths)
    return chain.from_iterable(found), single


def _stdin() -> Iterator[WalkedFile]:
    yield WalkedFile(STDIN_NAME, data=read_stream(sys.stdin.buffer, LIMIT))


def source_of(path: str) -> str | IO[bytes]:
    """What to open for a path of the command line: ``-`` is standard input."""
    return sys.stdin.buffer if path == STDIN else path
