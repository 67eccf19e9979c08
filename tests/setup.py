"""``python -m tests.setup``: what the tests need beside Python packages.

As root on a Debian-like system it installs the outside programs of ``tests.support.packages``; as anyone
it fetches Debian's kernel packages into the cache. What is still missing then is said, with what it
means. Exit code 1 only with ``--strict``. Standard library only.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from tests.support import kernels, packages
from tests.support.bootable import ALWAYS, BOOTABLE, fetch_boot_chain, fetch_bootable


def tools() -> list[str]:
    """Install what is missing where that is possible; one line for each program still missing."""
    lacking = packages.missing()
    problems: list[str] = []
    if lacking and packages.locate("apt-get") and os.geteuid() == 0:
        print("installing", *sorted(set(lacking.values())), file=sys.stderr)
        problems = packages.install(lacking.values())
        lacking = packages.missing()
    return problems + [f"{name}: apt package {package}" for name, package in sorted(lacking.items())]


def real_kernels() -> list[str]:
    """Fetch the kernel packages; one line for each that could not be had."""
    if not (packages.locate("apt-get") and packages.locate("dpkg-deb")):
        return ["Debian's kernel packages: need apt-get and dpkg-deb"]
    problems = []
    for arch in kernels.ARCHES:
        try:
            found = kernels.fetch(arch)
        except kernels.FetchError as reason:
            problems.append(f"kernel package for {arch}: {reason}")
        else:
            print(f"{arch}: {found.package} {found.version}", file=sys.stderr)
    _fetch_if_there("cloud", kernels.CLOUD)
    _fetch_if_there("older", kernels.OLDER)
    _fetch_if_there(kernels.SHIM_NAME, kernels.SHIM)
    for name in ALWAYS:
        try:
            found = fetch_bootable(name)
            print(f"to boot as {name}: {found.package} {found.version}", file=sys.stderr)
        except kernels.FetchError as reason:
            pattern = BOOTABLE[name].pattern
            print(f"{pattern} is not available, its tests are skipped: {reason}", file=sys.stderr)
    try:
        fetch_boot_chain()
    except kernels.FetchError as reason:
        print(
            f"shim and GRUB are not available, Secure Boot is not tested: {reason}",
            file=sys.stderr,
        )
    return problems


def _fetch_if_there(name: str, package: str) -> None:
    """A package that the mirrors may have dropped: then the tests that need it are skipped."""
    try:
        kernels.fetch("amd64", package, name)
    except kernels.FetchError as reason:
        print(f"{package} is not available, its tests are skipped: {reason}", file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """Set up; 0, or 1 where ``--strict`` was given and something is missing."""
    parser = argparse.ArgumentParser(prog="python -m tests.setup", description=__doc__)
    parser.add_argument("--strict", action="store_true", help="fail where something is missing")
    parser.add_argument("--no-kernels", action="store_true", help="outside programs only")
    options = parser.parse_args(arguments)
    problems = tools() + ([] if options.no_kernels else real_kernels())
    for problem in problems:
        print(f"missing: {problem}", file=sys.stderr)
    if problems:
        print("tests that need what is missing are skipped, each with its reason", file=sys.stderr)
    return 1 if problems and options.strict else 0


if __name__ == "__main__":
    sys.exit(main())
