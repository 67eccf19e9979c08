"""Timing whole processes and their memory: medians of interleaved runs, so that a busy machine hurts both."""

from __future__ import annotations

import resource
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.cli import environment

Command = Sequence[str | Path]


def elfsig_command() -> list[str]:
    """The installed executable where it stands beside this Python, else ``python -m elfsig``."""
    script = shutil.which("elfsig", path=str(Path(sys.executable).parent))
    return [script] if script else [sys.executable, "-m", "elfsig"]


def _environment() -> dict[str, str]:
    """The checkout's environment, with compiled code kept, as an installed program has it."""
    return {name: value for name, value in environment().items() if name != "PYTHONDONTWRITEBYTECODE"}


def run(command: Command, code: int = 0) -> float:
    """Seconds that a process takes, its output thrown away. Raises CalledProcessError for another code."""
    start = time.perf_counter()
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=_environment(),
    )
    seconds = time.perf_counter() - start
    if done.returncode != code:
        raise subprocess.CalledProcessError(done.returncode, list(command), stderr=done.stderr[-2000:])
    return seconds


def processor(job: Callable[[], object]) -> float:
    """Seconds of processor time of the processes that a job starts."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    job()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def medians(jobs: Mapping[str, Callable[[], float]], runs: int) -> dict[str, float]:
    """Median seconds of each job, the jobs taking turns; one round beforehand warms the caches."""
    for job in jobs.values():
        job()
    taken: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(runs):
        for name, job in jobs.items():
            taken[name].append(job())
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def peak_memory(command: Command, expected: int = 0) -> int:
    """Most bytes that a process and its children held together (proportional set size, sampled).

    Raises CalledProcessError for an exit code other than ``expected``.
    """
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=_environment(),
    )
    highest, done = [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.01):
            highest[0] = max(highest[0], sum(map(_held, _family(process.pid))))

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = process.wait()
    done.set()
    watcher.join()
    if code != expected:
        raise subprocess.CalledProcessError(code, list(command))
    return highest[0]


def _family(pid: int) -> list[int]:
    """A process and its descendants, as far as they are still there."""
    found = [pid]
    for each in found:
        try:
            children = Path(f"/proc/{each}/task/{each}/children").read_text().split()
        except OSError:
            continue
        found += map(int, children)
    return found


def _held(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: ``ours`` and ``theirs`` in ``unit``, and the bar for their quotient.

    ``faster`` turns the quotient round: how many times theirs takes ours. Without a bar it is told only.
    """

    job: str
    against: str
    ours: float
    theirs: float
    bar: float | None
    faster: bool = False
    unit: str = "s"

    @property
    def ratio(self) -> float:
        return self.theirs / self.ours if self.faster else self.ours / self.theirs

    @property
    def met(self) -> bool:
        if self.bar is None:
            return True
        return self.ratio >= self.bar if self.faster else self.ratio <= self.bar

    def cells(self) -> tuple[str, ...]:
        """The row as text, one cell a column of HEADINGS."""
        bar = "-" if self.bar is None else f"{'at least' if self.faster else 'at most'} {self.bar:g}x"
        values = (f"{value:.3f} {self.unit}" if self.unit == "s" else f"{value:.0f} {self.unit}"
                  for value in (self.ours, self.theirs))  # fmt: skip
        return self.job, self.against, *values, f"{self.ratio:.2f}x", bar, self._word()

    def _word(self) -> str:
        return "" if self.bar is None else "met" if self.met else "MISSED"


HEADINGS = ("job", "against", "elfsig", "other", "ratio", "bar", "")


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    lines = [HEADINGS, tuple("---" for _ in HEADINGS), *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        for line in lines
    )
