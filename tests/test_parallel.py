"""Many processes: results in order, none lost, and an end to everything."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from elfsig.batch.workers import run
from elfsig.errors import ElfsigError
from tests.support.cli import environment
from tests.support.tools import need


def square(number: int) -> int:
    return number * number


def lost(item: object, how: str) -> str:
    return f"{item}: {how}"


@pytest.mark.parametrize("jobs", [0, 1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 13, 1000])
def test_results_come_in_order(jobs: int, count: int) -> None:
    assert list(run(square, range(count), jobs)) == [n * n for n in range(count)]


def test_work_is_spread_and_streams() -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for number in range(100_000):
            taken = number
            yield number

    results = run(lambda _: os.getpid(), items(), 2)
    pids = {next(results) for _ in range(500)}
    assert len(pids) == 2 and os.getpid() not in pids
    assert taken < 1000
    assert [pid for pid in pids if os.path.exists(f"/proc/{pid}")]
    del results
    assert not [pid for pid in pids if os.path.exists(f"/proc/{pid}")]


def test_a_process_that_dies_costs_the_item_it_was_at() -> None:
    def work(number: int) -> str:
        if number % 50 == 7:
            os.kill(os.getpid(), signal.SIGKILL)
        if number == 99:
            os._exit(3)
        return str(number)

    expected = {n: f"{n}: its process was ended by SIGKILL" for n in range(7, 200, 50)}
    expected[99] = "99: its process ended with status 3"
    assert list(run(work, range(200), 2, lost=lost)) == [expected.get(n, str(n)) for n in range(200)]
    with pytest.raises(ElfsigError, match="SIGKILL"):
        list(run(work, range(200), 2))


class Odd(Exception):
    """An exception that cannot be sent."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(one)


@pytest.mark.parametrize(("reason", "seen"), [(KeyError("x"), KeyError), (Odd(1, 2), RuntimeError)])
def test_what_the_work_raises_is_raised_here(reason: Exception, seen: type[Exception]) -> None:
    def work(number: int) -> int:
        if number == 40:
            raise reason
        return number

    with pytest.raises(seen) as caught:
        list(run(work, range(100), 2))
    assert "in work" in "".join(caught.value.__notes__)


def test_items_and_results_larger_than_a_pipe() -> None:
    items = [bytes([n]) * 300_000 for n in range(40)]
    assert list(run(lambda item: item * 2, items, 2)) == [item * 2 for item in items]


def test_with_threads_nothing_is_forked() -> None:
    wait = threading.Event()
    thread = threading.Thread(target=wait.wait)
    thread.start()
    try:
        assert set(run(lambda _: os.getpid(), range(50), 2)) == {os.getpid()}
    finally:
        wait.set()
        thread.join()


@pytest.mark.timed
def test_an_interrupt_ends_it_and_the_item_at_hand_is_finished() -> None:
    code = """
import os, time
from elfsig.batch.workers import run
def work(n):
    time.sleep(0.05)
    os.write(2, b"%d\\n" % n)
    return n
for each in run(work, range(10_000), 2):
    print(each, flush=True)
"""
    child = subprocess.Popen(
        [sys.executable, "-c", code], env=environment(), start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdout is not None
    for _ in range(20):
        child.stdout.readline()
    started = time.monotonic()
    os.killpg(child.pid, signal.SIGINT)
    _, err = child.communicate(timeout=20)
    assert child.returncode == -signal.SIGINT and "KeyboardInterrupt" in err
    assert time.monotonic() - started < 5
    assert subprocess.run([need("pgrep"), "-g", str(child.pid)], capture_output=True).stdout == b""
