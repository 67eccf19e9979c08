"""``elfsig survey --scheduler``: parts on a Dask cluster of processes, whose workers and scheduler are
killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

import corpus
from elfsig.cli.parts import worker_words
from tests.support.archives import tar
from tests.support.cli import Ran, environment
from tests.support.cli import elfsig as command
from tests.support.signed import CERT, made
from tests.support.web import free_port

UNSIGNED = corpus.content("amd64-2.6.39-uek.ko")
SIGNED = made(UNSIGNED, "pkcs7", "whole-file").content
Json = dict[str, Any]
PARTS = 4


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    root = tmp_path / "mirror"
    root.mkdir()
    for number in range(8):
        (root / f"p{number}.tar").write_bytes(tar(a_ko=SIGNED, b_ko=UNSIGNED))
    return root


class Cluster:
    """A scheduler and two workers, each a process of its own."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self.address = f"tcp://127.0.0.1:{free_port()}"
        self.stack, self.folder = stack, folder
        self.scheduler = self.start("scheduler", "--host", self.address, "--no-show", "--no-dashboard")
        self.workers = [self.worker() for _ in range(2)]

    def start(self, what: str, *words: str) -> subprocess.Popen[bytes]:
        more = {
            "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1",
            "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "5s",
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "distributed.cli.dask_" + what, *words],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment(more), cwd=self.folder,
            start_new_session=True,
        )  # fmt: skip
        self.stack.callback(_kill, process)
        return process

    def worker(self) -> subprocess.Popen[bytes]:
        """One with one thread, without the nanny that would start it again."""
        words = (self.address, "--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1")
        return self.start("worker", *words)


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    with ExitStack() as stack:
        yield Cluster(stack, folder)


def words(mirror: Path, out: Path, address: str) -> list[str | Path]:
    return [
        "survey", mirror, "--parts", str(PARTS), "-o", out, "--trust", CERT, "--scheduler", address,
    ]  # fmt: skip


def modules_in(folder: Path) -> Counter[str]:
    lines = [line for path in sorted(folder.glob("part-*.jsonl")) for line in path.read_text().splitlines()]
    return Counter(each["path"] for each in map(json.loads, lines) if each["record"] == "module")


def expected(mirror: Path) -> Counter[str]:
    found = Counter(f"{path}!/{name}.ko" for path in sorted(mirror.glob("p[0-9].tar")) for name in "ab")
    poison = mirror / "poison.tar"
    return found + Counter([f"{poison}!/a.ko"] if poison.exists() else [])


def started(mirror: Path, out: Path, address: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "elfsig", *map(str, words(mirror, out, address))],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(),
    )  # fmt: skip


def ended(process: subprocess.Popen[str]) -> Ran:
    out, err = process.communicate(timeout=100)
    return Ran(process.returncode, out, err)


def wait_for_a_part(out: Path) -> None:
    deadline = time.monotonic() + 60
    while not list(out.glob("part-*.receipt.json")):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_parts_on_a_cluster_survive_the_death_of_a_worker(mirror: Path, tmp_path: Path) -> None:
    (mirror / "poison.tar").write_bytes(tar(a_ko=SIGNED)[:700])
    out = tmp_path / "out"
    with cluster(tmp_path) as there:
        process = started(mirror, out, there.address)
        wait_for_a_part(out)
        _kill(there.workers[0])
        done = ended(process)
        assert done.code == 1 and "1 container not read to the end" in done.err, done.err
        assert modules_in(out) == expected(mirror)
        assert f"all of {PARTS} parts: 17 modules" in done.err
        assert len(done.out.splitlines()) == PARTS
        again = command(*words(mirror, out, there.address))
        assert again.out.count("(already there)") == PARTS
        gone = command(*words(mirror, Path("/proc/nowhere"), there.address))
        assert gone.code == 1 and "not written" in gone.err and gone.out == ""
    assert command("survey", "--check", "-o", out).code == 0


def test_a_scheduler_that_dies_is_an_error_and_the_next_run_goes_on(mirror: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with cluster(tmp_path) as there:
        process = started(mirror, out, there.address)
        wait_for_a_part(out)
        _kill(there.scheduler)
        done = ended(process)
    assert done.code == 5
    assert "the connection to the Dask scheduler was lost" in done.err and "Traceback" not in done.err
    nobody = command(*words(mirror, out, there.address))
    assert nobody.code == 5 and "no Dask scheduler answers at" in nobody.err
    rest = command(*words(mirror, out, there.address)[:-2])
    assert rest.code == 1 and "(already there)" in rest.out
    assert modules_in(out) == expected(mirror)


def test_the_words_for_workers() -> None:
    asked = ["--no-plugins", "survey", "--scheduler", "tcp://x:1", "--parts", "3", "a", "--json", "--", "-b"]
    assert worker_words(asked) == [
        "--no-plugins", "survey", "--parts", "3", "a", "./-b", "-j1", "--jsonl",
    ]  # fmt: skip
    assert worker_words(["survey", "--scheduler=tcp://x:1", "-j4", "a"]) == ["survey", "-j4", "a", "--jsonl"]
