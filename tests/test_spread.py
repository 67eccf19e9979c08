"""Files shared out to processes: in order, each told of once, and a process that dies costs its one file."""

from __future__ import annotations

import os
from collections.abc import Sequence

import pytest

from elfsig.batch.tree import spread
from elfsig.cli.reading import Result
from elfsig.opened.walk import WalkedFile

PARENT = os.getpid()


def told(batch: Sequence[WalkedFile]) -> list[Result]:
    """Every file's path; a file called "deadly" ends the process."""
    results = []
    for entry in batch:
        if entry.error is None and entry.path == "deadly":
            assert os.getpid() != PARENT
            os._exit(9)
        text = entry.path if entry.error is None else entry.error.text
        results.append(Result(entry.path, text, "", 0))
    return results


@pytest.mark.parametrize("count", [40, 400])
@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_all_are_told_of_in_order(count: int, jobs: int) -> None:
    entries = [WalkedFile(str(n)) for n in range(count)]
    assert [r.text for r in spread(told, entries, jobs)] == [e.path for e in entries]


@pytest.mark.parametrize("at", [0, 39, 200, 399])
def test_a_process_that_dies_costs_its_one_file(at: int) -> None:
    entries = [WalkedFile("deadly" if n == at else str(n)) for n in range(400)]
    results = list(spread(told, entries, 2))
    assert [r.path for r in results] == [e.path for e in entries]
    assert [n for n, r in enumerate(results) if r.text != r.path] == [at]
    assert results[at].text == "no result: its process ended with status 9"
