"""The arithmetic of the benchmark table; its times are measured by ``python -m tests.bench`` alone."""

from __future__ import annotations

import sys

import pytest

from tests.bench.measure import Row, medians, peak_memory, table


@pytest.mark.parametrize(
    ("row", "ratio", "met"),
    [
        (Row("a", "b", 2, 1, 2.5), 2, True),
        (Row("a", "b", 3, 1, 2.5), 3, False),
        (Row("a", "b", 1, 30, 20, faster=True), 30, True),
        (Row("a", "b", 2, 30, 20, faster=True), 15, False),
    ],
)
def test_a_bar_is_met_from_its_own_side(row: Row, ratio: float, met: bool) -> None:
    assert (row.ratio, row.met) == (ratio, met)
    assert ("MISSED" in table([row])) != met


def test_median_after_one_round_of_warming_up() -> None:
    times = iter([100.0, 3.0, 1.0, 2.0])
    assert medians({"job": lambda: next(times)}, runs=3) == {"job": 2.0}


def test_peak_memory_counts_the_children() -> None:
    hold = "import time; data = bytearray(60_000_000); time.sleep(0.5)"
    both = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {hold!r}], check=True)"
    assert 60e6 < peak_memory([sys.executable, "-c", both]) < 200e6
