"""``python -m tests.coverage_gate``: the branches of elfsig that tests reach, and the least there must be.

Tracing makes tests several times slower, so this runs the tests that call elfsig in their own process, a
second time and without what :data:`LEFT_OUT` and :data:`NOT` leave out, and without tests marked ``timed``:
what measures time, boots kernels, goes through thousands of real modules, or judges documents, packages and
other programs. Commands that tests run as programs of their own are not traced.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent

LEAST = 89.0
"""Percent of lines and branches, below which the check fails: one point less than was reached (90 %)."""

LEFT_OUT = {
    "about kernels": ("booted_kernel", "debian_kernels", "real_modules", "secure_boot", "authentic"),
    "about documents": ("documents", "readme", "readme_eras", "site", "contributing", "examples"),
    "about the sources": ("texts", "house", "floors", "typing", "packaging", "dkms", "paths", "tour"),
    "measure time": ("bench",),
    "run other programs": ("legacy_tools", "integration", "gpg", "library_programs", "dissect_plugin"),
    "run elfsig as a program": ("killed", "world", "survey_cluster", "fuzz"),
    "take minutes": ("prove", "isolation", "keys_recover", "splice"),
}
"""Test files (``tests/test_NAME.py``) that are not run here, by what they do."""

NOT = ("real", "hundreds", "two_builds", "map_is_fair", "an_exit_is_recorded")
"""Words in the names of tests that are not run here: they go through whole trees of modules, or end their
process by the call that tracing replaces."""


def files() -> list[Path]:
    """The test files that are left out."""
    return [CHECKOUT / "tests" / f"test_{name}.py" for names in LEFT_OUT.values() for name in names]


def measure() -> int:
    """Run the tests under coverage.py, which keeps what they reached; pytest's exit code."""
    ignored = [f"--ignore={path.relative_to(CHECKOUT)}" for path in files()]
    command = [
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
        *("-n", "auto", "--maxprocesses", "4", "--dist", "worksteal"),
        *("--cov", "--cov-report="),
        *ignored,
        *("-m", "not timed and not booted"),
        *("-k", " and ".join(f"not {word}" for word in NOT)),
    ]
    return subprocess.run(command, cwd=CHECKOUT, stdin=subprocess.DEVNULL).returncode


def main() -> int:
    """Measure and judge; 0 where enough is reached. Failed tests do not count: the check that runs all of
    them, without tracing, judges these."""
    if (code := measure()) not in (0, 1):
        return code
    report = [sys.executable, "-m", "coverage", "report", f"--fail-under={LEAST}"]
    return subprocess.run(report, cwd=CHECKOUT, stdin=subprocess.DEVNULL).returncode


if __name__ == "__main__":
    sys.exit(main())
