"""Hooks and fixtures of the whole suite."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Generator

import pytest

from tests.support import traced
from tests.support.notes import PROPERTY, Note
from tests.support.tools import TOLERATED, required


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--part traced`` or ``--part rest``: the tests whose branches are measured, or the others."""
    parser.addoption(traced.OPTION, choices=(traced.TRACED, traced.REST), help="run this part of the tests")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the part of the tests that was asked for."""
    if part := config.getoption(traced.OPTION):
        config.hook.pytest_deselected(items=traced.keep(part, items))


@pytest.fixture(autouse=True, scope="module")
def earlier_set_aside() -> None:
    """Set aside what earlier test files left in memory. Otherwise each full garbage collection of each child
    that a test forks touches, and so copies, a gigabyte. What those left open is not this file's fault."""
    gc.unfreeze()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    gc.freeze()


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Note:
    """Call it with a line that the end of the run should print: what was sampled, or measured."""
    return lambda text: request.node.user_properties.append((PROPERTY, text))


def pytest_make_parametrize_id(val: object) -> str | None:
    """No bytes in test names: those of keys made for the run differ from one process to the other."""
    return "bytes" if isinstance(val, bytes) and len(val) > 12 else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print every note."""
    reports = [r for found in terminalreporter.stats.values() for r in found if hasattr(r, "user_properties")]
    notes = [
        text
        for r in reports
        if getattr(r, "when", None) == "call"
        for name, text in r.user_properties
        if name == PROPERTY
    ]
    if notes:
        terminalreporter.section("notes")
        for text in sorted(notes):
            terminalreporter.line(text)


def _harden(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Where everything is required, a skip for want of something is a failure."""
    if not report.skipped or hasattr(report, "wasxfail") or not required():
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    reason = reason.removeprefix("Skipped: ")
    if not reason.startswith(TOLERATED):
        report.outcome = "failed"
        report.longrepr = f"skipped although everything is required here: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _harden(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _harden(report)
    return report
