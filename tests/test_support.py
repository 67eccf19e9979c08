"""The test suite's own rules: what is missing skips, and fails where everything is required."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import coverage_gate
from tests.support import kernels, packages, traced
from tests.support.cli import environment


def test_the_coverage_check_leaves_out_files_that_exist() -> None:
    assert [path.name for path in traced.left_out() if not path.exists()] == []
    assert 80 <= coverage_gate.LEAST <= 100


def test_every_word_of_tests_that_are_not_traced_is_in_a_name() -> None:
    """Otherwise a renamed test would be traced again, which takes minutes, and nobody would notice."""
    paths = sorted(Path(__file__).parent.rglob("test_*.py"))
    names = [name for path in paths for name in re.findall(r"^def (test_\w+)", path.read_text("utf-8"), re.M)]
    assert [word for word in traced.WORDS if not any(word in name for name in names)] == []


def test_both_parts_together_are_all_tests() -> None:
    """Otherwise CI would leave a test out: its two runs have a part each."""
    words = [sys.executable, "-m", "pytest", "--collect-only", "-q", "tests/test_support.py"]
    words += ["tests/test_fuzz.py", "-p", "no:cacheprovider"]

    def collected(*more: str) -> set[str]:
        variables = environment({"PYTEST_ADDOPTS": ""})
        done = subprocess.run([*words, *more], capture_output=True, text=True, env=variables)
        return {line for line in done.stdout.splitlines() if "::" in line}

    parts = [collected(traced.OPTION, part) for part in (traced.TRACED, traced.REST)]
    assert all(parts) and not parts[0] & parts[1]
    assert parts[0] | parts[1] == collected()


def test_every_outside_program_that_tests_name_has_its_package() -> None:
    """Otherwise nobody installs it, and tests pass only where somebody once did."""
    named = set()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        named |= set(re.findall(r"\b(?:need|call)\(\s*\"([\w.+-]+)\"", path.read_text("utf-8")))
    assert {"modinfo", "mdadm", "softhsm2.so"} <= named
    assert not [name for name in sorted(named) if name not in {*packages.TOOLS, *packages.FILES}]


CASES = """
import pytest
from tests.support import packages
from tests.support.tools import need

def test_missing_tool(monkeypatch):
    monkeypatch.setattr("tests.support.tools.locate", lambda name: None)
    need("modinfo")

def test_tolerated():
    pytest.skip("gone: no longer on the mirrors")

@pytest.mark.xfail(reason="known", strict=True)
def test_expected_failure():
    raise AssertionError
"""


@pytest.mark.parametrize(
    ("variables", "counts"),
    [
        ({"ELFSIG_REQUIRE_TOOLS": "", "CI": ""}, "2 skipped, 1 xfailed"),
        ({"ELFSIG_REQUIRE_TOOLS": "1", "CI": ""}, "1 failed, 1 skipped, 1 xfailed"),
        ({"ELFSIG_REQUIRE_TOOLS": "", "CI": "true"}, "1 failed, 1 skipped, 1 xfailed"),
    ],
)
def test_a_missing_tool_fails_where_it_is_required(
    variables: dict[str, str], counts: str, tmp_path: Path
) -> None:
    (tmp_path / "test_case.py").write_text(CASES)
    options = ["-p", "tests.conftest", "-c", "/dev/null", "--rootdir", tmp_path, "-p", "no:cacheprovider"]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *map(str, options), "-ra", tmp_path],
        capture_output=True,
        text=True,
        env=environment(variables),
    )
    assert counts in ran.stdout, ran.stdout
    assert "needs modinfo: apt package kmod" in ran.stdout


def test_every_tool_has_a_package_and_the_list_is_sorted_out() -> None:
    assert all(packages.package_of(name) for name in (*packages.TOOLS, *packages.FILES))
    assert not packages.TOOLS.keys() & packages.FILES.keys()


def test_a_hiccup_is_waited_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    script = f"echo >> {tmp_path}/tries; test $(wc -l < {tmp_path}/tries) -ge 3"
    assert packages.retry(["sh", "-c", script]).returncode == 0
    assert packages.retry(["false"], attempts=2).returncode == 1
    assert len(waits) == 3


def test_a_cache_that_lost_its_package_is_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELFSIG_CACHE", str(tmp_path))
    assert kernels.cached("amd64") is None
    record = tmp_path / "kernels" / "amd64" / "image.json"
    record.parent.mkdir(parents=True)
    record.write_text('{"arch": "amd64", "package": "p", "version": "1", "root": "kernels/amd64/p_1"}')
    assert kernels.cached("amd64") is None
    module = tmp_path / "kernels/amd64/p_1/usr/lib/modules/6.1/kernel/a.ko"
    module.parent.mkdir(parents=True)
    module.touch()
    found = kernels.cached("amd64")
    assert found is not None and found.modules() == [module]
