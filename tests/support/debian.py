"""Real kernel modules for tests, from the Debian packages that ``python -m tests.setup`` unpacked."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from tests.support.kernels import CLOUD, OLDER, Unpacked, cached

SETUP = "python -m tests.setup"


@cache
def _modules(root: str, package: Unpacked) -> tuple[Path, ...]:
    return tuple(package.modules())


def debian_kernel(arch: str) -> Unpacked:
    """The unpacked kernel package of ``arch`` (amd64, i386, arm64, s390x); skips where it is not there."""
    found = cached(arch)
    if found is None:
        pytest.skip(f"needs Debian's kernel package for {arch}: {SETUP}")
    return found


def debian_modules(arch: str) -> list[Path]:
    """Every module of Debian's kernel for ``arch``, sorted; skips where the package is not there."""
    found = debian_kernel(arch)
    return list(_modules(found.root, found))


def debian_vmlinuz(arch: str) -> Path:
    """The kernel image that the modules of ``debian_modules(arch)`` belong to."""
    return debian_kernel(arch).vmlinuz()


def cloud_modules() -> list[Path]:
    """The modules of the package that the ``-real`` vectors were cut from; skips once it is gone."""
    found = cached("amd64", "cloud")
    if found is None:
        pytest.skip(f"gone: {CLOUD} is no longer on the mirrors, or was not fetched ({SETUP})")
    return list(_modules(found.root, found))


def rebuilt_modules() -> list[tuple[Path, Path]]:
    """(earlier, later): modules of two builds of Debian's cloud kernel, paired by path; skips without."""
    old, new = cached("amd64", "older"), cached("amd64", "cloud")
    if old is None or new is None:
        gone = OLDER if old is None else CLOUD
        pytest.skip(f"gone: {gone} is no longer on the mirrors, or was not fetched ({SETUP})")
    later = {_below(path): path for path in _modules(new.root, new)}
    return [(path, later[_below(path)]) for path in _modules(old.root, old) if _below(path) in later]


def _below(path: Path) -> tuple[str, ...]:
    """The part of a module's path that two kernels have in common."""
    return path.parts[path.parts.index("modules") + 2 :]
