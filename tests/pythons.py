"""``python -m tests.pythons lowest|SUITE|big-endian``: the tests with other dependencies, or another Python.

``lowest`` makes a virtual environment of the lowest versions that ``pyproject.toml`` declares. A Debian suite
(``trixie``: Python 3.13, ``sid``: newer) is bootstrapped into the cache, as root, and the tests run in there.
Outside programs are not installed in either: what needs them is skipped, each with its reason.

``big-endian`` unpacks Debian's Python for s390x and runs it with qemu-user-static, without installing it:
what :mod:`tests.byte_order` prints must be the same as here. ``big-endian N`` takes every Nth sample.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.support.kernels import CHECKOUT, cache_dir, updated_root
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
    run(*uv, "venv", "--quiet", "--seed", "--clear", "--python", sys.executable, venv)
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


BIG_ENDIAN = ("python3", "python3-cryptography", "python3-numpy", "python3-lz4", "python3-zstandard")
"""Packages of Debian sid for s390x. There is none of lzallright and lief, and no wheel: the first is replaced
by a module that refuses, the second is only imported when it is asked for."""

PURE = ("click", "pyasn1", "pyasn1-modules", "pyelftools", "jsonschema")
REFUSING = """class LZOError(Exception): pass
class LZOCompressor:
    def compress(self, *_): raise LZOError("not available here")
    decompress = compress
"""


def big_endian(step: str) -> None:
    """What is said of the samples on s390x. Raises CalledProcessError where it is not what is said here."""
    emulator = shutil.which("qemu-s390x-static") or sys.exit("install the package qemu-user-static")
    root, more = cache_dir() / "pythons" / "s390x", cache_dir() / "pythons" / "s390x-pure"
    apt = updated_root("s390x", "sid")
    apt.run("apt-get", "install", "-y", "--download-only", "--no-install-recommends", *BIG_ENDIAN)
    run("rm", "-rf", root)
    for package in sorted((cache_dir() / "apt/s390x-sid/cache/archives").glob("*.deb")):
        run("dpkg-deb", "-x", package, root)
    for name in ("lib", "lib64", "bin"):  # made by base-files, which Python does not depend on
        if not (root / name).exists():
            (root / name).symlink_to(f"usr/{name}")
    run(sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-deps", "--target", more, *PURE)
    (more / "lzallright.py").write_text(REFUSING)
    libraries = "/usr/lib/s390x-linux-gnu"
    paths = [CHECKOUT, CHECKOUT / "formats", root / "usr/lib/python3/dist-packages", more]
    python = sorted((root / "usr/bin").glob("python3.??"))[-1]
    emulated = [
        "env", "-i", f"PYTHONHOME={root}/usr", f"PYTHONPATH={':'.join(map(str, paths))}",
        emulator, "-L", root,
        "-E", f"LD_LIBRARY_PATH={libraries}/blas:{libraries}/lapack:{libraries}", python,
    ]  # fmt: skip
    here, there = root.with_name("here.jsonl"), root.with_name("s390x.jsonl")
    for interpreter, output in (([sys.executable], here), (emulated, there)):
        with open(output, "wb") as stream:
            words = [*map(str, interpreter), "-m", "tests.byte_order", step]
            subprocess.run(words, cwd=CHECKOUT, check=True, stdin=subprocess.DEVNULL, stdout=stream)
    print(
        f"{len(here.read_bytes().splitlines())} inputs here, {len(there.read_bytes().splitlines())} on s390x"
    )
    run("cmp", here, there)


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
    parser.add_argument("which", help="lowest, big-endian, or a Debian suite")
    parser.add_argument("test", nargs="*", help="test files; all but the slow ones by default")
    options = parser.parse_args()
    tests = options.test or [f"--ignore=tests/{name}" for name in SLOW]
    try:
        if options.which == "lowest":
            lowest(tests)
        elif options.which == "big-endian":
            big_endian(*options.test or ["1"])
        else:
            suite(options.which, tests)
    except subprocess.CalledProcessError as failed:
        return failed.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
