"""From a fresh clone to a working elfsig: ``python3 tests/bootstrap.py tour``, or ``test`` in its place.

Needs only Python 3.11 and the standard library. Everything goes into the virtual environment ``.venv`` of
this checkout; as root on Debian, ``test`` also installs the outside programs that the tests compare with.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
VENV = CHECKOUT / ".venv"
PYTHON = VENV / "bin" / "python"

PYTEST = ("-m", "pytest", "-n", "auto", "--maxprocesses", "4", "--dist", "worksteal")

CHECKS = (
    ("ruff check", ("-m", "ruff", "check", "--no-cache", ".")),
    ("ruff format", ("-m", "ruff", "format", "--no-cache", "--check", ".")),
    ("mypy", ("-m", "mypy")),
    ("pytest", (*PYTEST, "--part", "rest")),
    ("pytest, traced", ("-m", "tests.coverage_gate")),
)
"""What ``test`` runs, in this order; all of them, also when one fails. The last two are the two parts of the
tests: the second is run under coverage.py."""


def run(*command: str | Path) -> int:
    """Run a command in the checkout without standard input; its exit code."""
    return subprocess.run(command, cwd=CHECKOUT, stdin=subprocess.DEVNULL).returncode


def _new_venv() -> bool:
    """A virtual environment with pip, by whichever way this machine offers."""
    ways: list[Sequence[str]] = [(sys.executable, "-m", "venv", "--clear", str(VENV))]
    if os.geteuid() == 0 and shutil.which("apt-get"):
        # Debian keeps the part of venv that brings pip in a package of its own.
        install = "apt-get -q update; apt-get -q -y install python3-venv"
        ways += [("sh", "-c", install), ways[0]]
    ways += [(sys.executable, "-m", "virtualenv", "--clear", str(VENV))]
    for way in ways:
        done = subprocess.run(way, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode == 0 and (VENV / "bin" / "pip").exists():
            return True
    return False


def install(*what: str) -> None:
    """Install into the virtual environment, made where it is missing. Exits with a message on failure."""
    if not (VENV / "bin" / "pip").exists() and not _new_venv():
        sys.exit("cannot make a virtual environment: install the package python3-venv (or virtualenv)")
    for attempt in range(3):
        if run(PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *what) == 0:
            return
        time.sleep(5 * attempt)
    sys.exit("pip could not install " + " ".join(what))


def tour() -> int:
    """Install elfsig and show its main job on the samples that ship with it."""
    install(".")
    return run(VENV / "bin" / "elfsig", "tour")


def test() -> int:
    """Install everything that the tests use, run every check, and say how each ended."""
    install("--editable", ".[test]")
    if setup := run(PYTHON, "-m", "tests.setup", *(["--strict"] if _required() else [])):
        return setup
    results: dict[str, int] = {}
    for name, command in CHECKS:
        print(f"== {name}", flush=True)
        results[name] = run(PYTHON, *command)
    for name, code in results.items():
        print(f"{name}: {'passed' if code == 0 else f'failed ({code})'}")
    return int(any(results.values()))


def _required() -> bool:
    return os.environ.get("ELFSIG_REQUIRE_TOOLS") == "1" or os.environ.get("CI") == "true"


def main() -> int:
    """Run the job named on the command line; its exit code."""
    jobs = {"tour": tour, "test": test}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("job", choices=jobs)
    if sys.version_info < (3, 11):  # noqa: UP036 - run by whatever Python the machine has
        sys.exit("elfsig needs Python 3.11 or later")
    return jobs[parser.parse_args().job]()


if __name__ == "__main__":
    sys.exit(main())
