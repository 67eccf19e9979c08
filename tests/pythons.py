"""``python -m tests.pythons lowest|SUITE``: the tests with other dependencies, or under another Python.

``lowest`` makes a virtual environment of the lowest versions that ``pyproject.toml`` declares. A Debian suite
(``trixie``: Python 3.13, ``sid``: newer) is bootstrapped into the cache, as root, and the tests run in there.
Outside programs are not installed in either: what needs them is skipped, each with its reason.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.support.kernels import CHECKOUT, cache_dir
from tests.support.tools import need

PYTEST = ("-m", "pytest", "-q", "-n", "auto", "--dist", "worksteal", "-p", "no:cacheprovider")
SLOW = ("test_booted_kernel.py", "test_real_modules.py", "test_debian_kernels.py")
"""Tests that judge kernels and not Python."""

INSIDE = 'mount --rbind /proc $1/proc && mount --rbind /dev $1/dev && exec chroot $1 sh -c "$2"'


def run(*command: str | Path) -> None:
    """Run a command in the checkout. Raises CalledProcessError."""
    subprocess.run(list(map(str, command)), cwd=CHECKOUT, check=True, stdin=subprocess.DEVNULL)


def lowest(tests: Sequence[str]) -> None:
    """A fresh environment of the lowest declared versions, and the tests in it."""
    venv = cache_dir() / "pythons" / "lowest"
    python = venv / "bin" / "python"
    uv = (sys.executable, "-m", "uv")
    run(*uv, "venv", "--quiet", "--clear", "--python", sys.executable, venv)
    install = ("pip", "install", "--quiet", "--python", python, "--resolution", "lowest-direct")
    run(*uv, *install, "--editable", ".[test]")
    run(python, *PYTEST, *tests)


def suite(name: str, tests: Sequence[str]) -> None:
    """A Debian suite as a directory tree, made once, and the tests under its Python."""
    root = cache_dir() / "pythons" / name
    if not (root / "usr/bin/python3").exists():
        run("rm", "-rf", root)
        packages = "python3,python3-venv,ca-certificates"
        run(need("debootstrap"), "--variant=minbase", f"--include={packages}", name, root, mirror())
    for each in ("etc/resolv.conf", "etc/hosts", "etc/ssl/certs/ca-certificates.crt"):
        (root / each).write_bytes(Path("/", each).read_bytes())
    run("rm", "-rf", root / "elfsig")
    run("sh", "-c", 'git clone -q . "$1"', "sh", root / "elfsig")
    script = (
        "cd /elfsig && python3 --version && python3 -m venv --clear /venv"
        " && /venv/bin/python -m pip install -q --disable-pip-version-check '.[test]'"
        f" && /venv/bin/python {' '.join((*PYTEST, *tests))}"
    )
    run("unshare", "--mount", "sh", "-c", INSIDE, "sh", root, script)


def mirror() -> str:
    """The package mirror that this system uses."""
    shown = subprocess.run(["apt-cache", "policy"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"\d+ (https?://\S+/debian)\b", shown)
    if not found:
        sys.exit("apt-cache policy names no mirror: run apt-get update")
    return found[1]


def main() -> int:
    """Run what the command line names; the exit code of the tests."""
    parser = argparse.ArgumentParser(prog="python -m tests.pythons", description=__doc__)
    parser.add_argument("which", help="lowest, or a Debian suite")
    parser.add_argument("test", nargs="*", help="test files; all but the slow ones by default")
    options = parser.parse_args()
    tests = options.test or [f"--ignore=tests/{name}" for name in SLOW]
    try:
        if options.which == "lowest":
            lowest(tests)
        else:
            suite(options.which, tests)
    except subprocess.CalledProcessError as failed:
        return failed.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
