"""Outside programs for tests: :func:`need` gives a path, or skips the test with the package to install."""

from __future__ import annotations

import os

import pytest

from tests.support.packages import locate, package_of

REQUIRED = "ELFSIG_REQUIRE_TOOLS"
"""Environment variable (or CI=true) under which a test that lacks something fails instead of skipping."""

TOLERATED = ("opt-in: ", "gone: ")
"""How the reasons of the only skips begin that are let through then: what is asked for by hand, and what
Debian's mirrors have dropped."""


def required() -> bool:
    """Whether everything must be there: set by ``.ci/run``."""
    return os.environ.get(REQUIRED) == "1" or os.environ.get("CI") == "true"


def need(name: str) -> str:
    """Path of an outside program (or file) of ``packages.TOOLS``; skips the test where it is missing."""
    path = locate(name)
    if path is None:
        pytest.skip(f"needs {name}: apt package {package_of(name)}")
    return path
