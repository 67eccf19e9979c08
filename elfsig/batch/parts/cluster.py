"""Have a Dask cluster make the parts: the adapter of ``distributed``, which the extra ``cluster`` installs.

Workers have threads, in which cages must not be forked: each task starts ``elfsig survey --part K`` as a
process of its own on the worker's machine. A task returns a receipt and never records, since what a worker
holds is lost when it dies.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import distributed

from elfsig.batch.parts.receipt import PartReceipt
from elfsig.batch.parts.run import PartOutcome
from elfsig.errors import ElfsigError, ParseError, ReadError
from elfsig.model.json_values import loads

AHEAD = 2
"""Tasks for each thread of the workers that are submitted at a time."""
RETRIES = 2
"""How often a part is tried again whose process was killed."""
_POLL = 0.05
_COUNT_WORKERS = 5.0
"""Seconds after which workers are counted again."""
_SAID = 4000
_ANSWER = 10
"""Seconds in which a scheduler must answer."""

Words = Callable[[int], list[str]]


def make_there(words: list[str], folder: str) -> tuple[int, str, str]:
    """On a worker: run ``elfsig`` with these words in ``folder``; exit status, stdout, the end of stderr.

    Raises RuntimeError where the process was killed: the scheduler tries again.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "elfsig", *words],
        cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode < 0:
        raise RuntimeError(f"the process of a part was ended by signal {-done.returncode}")
    return done.returncode, done.stdout, done.stderr[-_SAID:]


def parts_there(address: str, words: Words, parts: Sequence[int]) -> Iterator[PartOutcome]:
    """Make ``parts`` on the cluster of the scheduler at ``address``, as they get done; ``words`` are those of
    the command line for a part.

    Raises ReadError, connection, where the scheduler cannot be reached, or is lost: parts that were made
    until then stay.
    """
    for name in logging.root.manager.loggerDict:
        if name.partition(".")[0] == "distributed":  # what it says with traces is said here, in one line
            logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        client = distributed.Client(address, timeout=_ANSWER, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as reason:
        text = f"no Dask scheduler answers at {address}: {type(reason).__name__}"
        raise ReadError(text, code="connection") from None
    try:
        yield from _Submitted(client, words, parts).outcomes()
    finally:
        client.close(timeout=5)


class _Submitted:
    """The tasks that are under way, and the parts that wait."""

    def __init__(self, client: Any, words: Words, parts: Sequence[int]) -> None:
        self.client, self.words = client, words
        self.waiting = list(reversed(parts))
        self.tasks: dict[Any, int] = {}
        self.threads, self.counted = 0, 0.0

    def outcomes(self) -> Iterator[PartOutcome]:
        while self.waiting or self.tasks:
            self._check()
            self._submit()
            done = [task for task in self.tasks if task.status != "pending"]
            if not done:
                time.sleep(_POLL)
            for task in done:
                if task.status in ("cancelled", "lost"):
                    self._check(lost=True)
                yield _outcome(task, self.tasks.pop(task))

    def _check(self, lost: bool = False) -> None:
        if lost or self.client.status != "running":
            text = "the connection to the Dask scheduler was lost; parts that were finished stay"
            raise ReadError(text, code="connection", hint="run-again")

    def _submit(self) -> None:
        if time.monotonic() - self.counted > _COUNT_WORKERS:
            try:
                self.threads = sum(self.client.nthreads().values())
            except (OSError, TimeoutError):
                self._check(lost=True)
            self.counted = time.monotonic()
        while self.waiting and len(self.tasks) < AHEAD * max(1, self.threads):
            part = self.waiting.pop()
            words, folder = self.words(part), os.getcwd()
            task = self.client.submit(make_there, words, folder, pure=False, retries=RETRIES)
            self.tasks[task] = part


def _outcome(task: Any, part: int) -> PartOutcome:
    if task.status != "finished":
        reason = task.exception()
        if isinstance(reason, distributed.KilledWorker):
            text = "not finished: its worker died, each time that it was tried"
        else:
            text = f"not finished: {type(reason).__name__} on its worker"
        return PartOutcome(part, None, ReadError(text, code="process-died"))
    status, out, said = task.result()
    try:
        line = next((each for each in reversed(out.splitlines()) if each.strip()), "")
        return PartOutcome(part, PartReceipt.from_json(loads(line)))
    except (ValueError, AttributeError, ParseError):
        last = said.strip().rpartition("\n")[2] or f"its process ended with status {status}"
        fault = ElfsigError(f"not finished: on its worker: {last}", code="part-failed")
        return PartOutcome(part, None, fault)
