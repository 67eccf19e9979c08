"""``python -m tests.coverage_gate``: the branches of elfsig that tests reach, and the least there must be.

Runs the tests that :mod:`tests.support.traced` names, under coverage.py. Commands that tests run as programs
of their own are not traced.
"""

from __future__ import annotations

import subprocess
import sys

from tests.bootstrap import CHECKOUT, PYTEST
from tests.support import traced

LEAST = 89.0
"""Percent of lines and branches, below which the check fails: one point less than was reached (90 %)."""


def measure() -> int:
    """Run the tests under coverage.py, which keeps what they reached; pytest's exit code."""
    options = ["-p", "no:cacheprovider", "--cov", "--cov-report=", traced.OPTION, traced.TRACED]
    command = [sys.executable, *PYTEST, *options]
    return subprocess.run(command, cwd=CHECKOUT, stdin=subprocess.DEVNULL).returncode


def main() -> int:
    """Run and judge; 0 where all tests pass and reach enough."""
    report = [sys.executable, "-m", "coverage", "report", f"--fail-under={LEAST}"]
    return measure() or subprocess.run(report, cwd=CHECKOUT, stdin=subprocess.DEVNULL).returncode


if __name__ == "__main__":
    sys.exit(main())
