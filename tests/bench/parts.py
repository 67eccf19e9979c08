"""``survey --parts`` of a mirror: files per second, processor time per module, what the engine costs, and
what follows from that for 10^8 modules.

The mirror is Debian's kernel package, divided into packages of about a hundred modules.
"""

from __future__ import annotations

import json
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.bench.measure import Command, Row, elfsig_command, run
from tests.bench.workload import Workload, tool
from tests.support.cli import environment
from tests.support.web import free_port

PACKAGE, PARTS = 100, 16
GOAL = 10**8
_SCHEDULER = "tcp://127.0.0.1"


class Taken(NamedTuple):
    """Seconds by the clock, and of processor time of all processes."""

    clock: float
    processor: float


def rows(work: Workload) -> list[Row]:
    """Prints the figures that are not a comparison; the rows compare what parts and the cluster cost."""
    mirror = _mirror(work)
    packages, modules = len(list(mirror.glob("*.deb"))), len(work.modules)
    words: list[str | Path] = ["survey", mirror, "--trust", work.certificate]
    plain = _taken(lambda: run([*elfsig_command(), *words, "--jsonl", "-j1"]))
    local = {jobs: _parts(work, words, jobs) for jobs in (1, 2)}
    spread = {count: _on_cluster(work, words, count) for count in (1, 2)}
    for name, found in (("-j", local), ("Dask, workers", spread)):
        for count, taken in found.items():
            speed = f"{packages / taken.clock:.2f} packages/s, {modules / taken.clock:.0f} modules/s"
            each = f"{1000 * taken.processor / modules:.2f} ms of processor time a module"
            print(f"{name} {count}: {speed}, {each}")
    _extrapolate(work, mirror, local[1], modules)
    what = f"survey of {packages} packages, {modules} modules"
    engine = "the same parts on this machine, processor time"
    return [
        Row(f"{what}, in {PARTS} parts, -j1", "without parts, processor time", local[1].processor,
            plain.processor, 1.3),
        Row(f"{what}, -j2, by the clock", "-j1", local[2].clock, local[1].clock, None),
        Row(f"{what}, Dask with 1 worker", engine, spread[1].processor, local[1].processor, None),
        Row(f"{what}, Dask with 2 workers", engine, spread[2].processor, local[1].processor, None),
    ]  # fmt: skip


def _extrapolate(work: Workload, mirror: Path, taken: Taken, modules: int) -> None:
    """Print what 10^8 modules take, if all are as these are."""
    size_in = sum(path.stat().st_size for path in mirror.glob("*.deb"))
    lines = sum(path.stat().st_size for path in (work.scratch / "parts-1").glob("*.jsonl"))
    table = work.scratch / "parts-parquet"
    words: Command = [
        "survey",
        mirror,
        "--trust",
        work.certificate,
        "--parts",
        "1",
        "-o",
        table,
        "--as",
        "parquet",
    ]
    run([*elfsig_command(), *words])
    rows_out = sum(path.stat().st_size for path in table.glob("*.parquet"))
    hours = taken.processor / modules * GOAL / 3600
    each = GOAL / modules
    time_each = f"{1000 * taken.processor / modules:.2f} ms each"
    print(
        f"10^8 modules, at these {time_each}: {hours:.0f} hours of one core, {hours / 64:.1f} hours of 64; "
        f"{size_in * each / 1e12:.2f} TB of packages in, "
        f"{lines * each / 1e9:.0f} GB of JSON lines or {rows_out * each / 1e9:.1f} GB of Parquet out"
    )


def _mirror(work: Workload) -> Path:
    """The modules, in packages as dpkg-deb makes them by default (xz)."""
    mirror = work.scratch / "mirror"
    mirror.mkdir()
    for number, chosen in enumerate(_batched(work.modules)):
        staged = work.scratch / "staged"
        for path in chosen:
            target = staged / "lib/modules" / path.relative_to(work.tree)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        (staged / "DEBIAN").mkdir()
        about = "Version: 1\nArchitecture: all\nMaintainer: x <x@example.org>\nDescription: x\n"
        (staged / "DEBIAN/control").write_text(f"Package: x{number}\n{about}")
        made = mirror / f"linux-modules-{number:03}.deb"
        run([tool("dpkg-deb"), "-Zxz", "-z2", "--root-owner-group", "--build", staged, made])
        shutil.rmtree(staged)
    return mirror


def _batched(modules: list[Path]) -> Iterator[list[Path]]:
    return (modules[at : at + PACKAGE] for at in range(0, len(modules), PACKAGE))


def _taken(job: Callable[[], object]) -> Taken:
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    job()
    clock, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Taken(clock, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)


def _parts(work: Workload, words: list[str | Path], jobs: int) -> Taken:
    out = work.scratch / f"parts-{jobs}"
    more: list[str | Path] = ["--parts", str(PARTS), "-o", out, f"-j{jobs}"]
    taken = _taken(lambda: run([*elfsig_command(), *words, *more]))
    _check(work, out)
    return taken


def _check(work: Workload, out: Path) -> None:
    totals = json.loads((out / "manifest.json").read_text())["totals"]
    assert totals["verdicts"] == {"valid": len(work.modules)}, totals


def _on_cluster(work: Workload, words: list[str | Path], count: int) -> Taken:
    """With the processor time of the scheduler and of the workers, from their start to their end."""
    out = work.scratch / f"dask-{count}"

    def job() -> float:
        with _cluster(count, work.scratch) as address:
            start = time.perf_counter()
            more: list[str | Path] = ["--parts", str(PARTS), "-o", out, "--scheduler", address]
            run([*elfsig_command(), *words, *more])
            return time.perf_counter() - start

    clocks: list[float] = []
    taken = _taken(lambda: clocks.append(job()))
    _check(work, out)
    return taken._replace(clock=clocks[0])


@contextmanager
def _cluster(count: int, folder: Path) -> Iterator[str]:
    """A scheduler, and workers of one thread each."""
    address = f"{_SCHEDULER}:{free_port()}"
    quiet = ["--no-dashboard"]
    commands: list[list[str]] = [["dask_scheduler", "--host", address, "--no-show", *quiet]]
    worker: list[str] = [
        "dask_worker",
        address,
        "--nthreads",
        "1",
        "--no-nanny",
        "--host",
        "127.0.0.1",
        *quiet,
    ]
    started = [
        subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.{name}", *more],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment(), cwd=folder,
        )
        for name, *more in [*commands, *[worker] * count]
    ]  # fmt: skip
    try:
        yield address
    finally:
        for process in reversed(started):
            process.send_signal(signal.SIGTERM)
            process.wait()
