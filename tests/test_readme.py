"""README.md and the manual show what exists: commands, options, and all formats and verdicts.

Their commands are run by tests/test_documents.py; here are the tables, the links and the picture."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from elfsig import registry
from elfsig.model import Verdict
from elfsig.verbs.audit.rules import RULES
from tests.support.cli import CHECKOUT
from tests.support.documents import DOCUMENTS, MANUAL, PICTURE, draw

README = (CHECKOUT / "README.md").read_text()


def blocks(text: str) -> list[str]:
    """What stands between fences."""
    return re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


BLOCKS = blocks(README)


def test_the_picture_is_what_the_tool_draws(tmp_path: Path) -> None:
    """README's and the manual's map: a vector signed with the original tools, drawn again."""
    draw(tmp_path / "map.svg")
    drawn = (tmp_path / "map.svg").read_bytes()
    assert PICTURE.read_bytes() == drawn, "python -m tests.support.documents draws it again"
    assert f"]({PICTURE.relative_to(CHECKOUT)})" in README


def test_the_two_commands_for_a_fresh_clone_come_first() -> None:
    assert [block.strip() for block in BLOCKS[:2]] == [
        "python3 tests/bootstrap.py tour",
        "python3 tests/bootstrap.py test",
    ]
    ran = subprocess.run(
        [sys.executable, CHECKOUT / "tests" / "bootstrap.py", "--help"], capture_output=True, text=True
    )
    assert "{tour,test}" in ran.stdout


def test_format_table_names_the_registry() -> None:
    section = README.split("## Formats")[1].split("\n\n")[1]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`([a-z0-9-]+)`", row)}
    assert named == {each.id for each in registry.load(plugins=False).formats}


def test_verdict_table_names_every_verdict() -> None:
    rows = README.split("| word | means |")[1].split("\n\n")[0].splitlines()
    named = {
        word
        for row in rows
        if row.startswith("| `")
        for word in re.findall(r"`([a-z-]+)`", row.split("|")[1])
    }
    assert named == {verdict.value for verdict in Verdict}


def test_the_page_on_checking_names_every_rule_of_audit() -> None:
    text = (MANUAL / "jobs" / "check.md").read_text("utf-8")
    rows = [
        row.split("|")[1] for row in text.split("| Rule | Fails for |")[1].split("\n\n")[0].splitlines()[2:]
    ]
    assert [name for row in rows for name in re.findall(r"`([a-z-]+)`", row)] == list(RULES)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_into_the_checkout_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", path.read_text()):
        assert (path.parent / target).exists(), target


def test_the_readme_says_what_edits_and_what_could_not_be_tested() -> None:
    for words in ("--engine lief", "## What we could not test", "16 digest bits", "ELFSIG_AUTHENTIC="):
        assert words in README
    assert (CHECKOUT / "tests" / "test_authentic.py").exists()
