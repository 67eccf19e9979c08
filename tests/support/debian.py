"""Real kernel modules for tests, from the Debian packages that ``python -m tests.setup`` unpacked."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from tests.support.kernels import CLOUD, Unpacked, cached

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
