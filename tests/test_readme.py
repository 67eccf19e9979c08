"""README.md and elfsig/manual/ show what exists: commands, options, and all formats and verdicts."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from elfsig import registry
from elfsig.cli.command_table import COMMANDS
from elfsig.model import Verdict
from tests.support.cli import CHECKOUT, elfsig

README = (CHECKOUT / "README.md").read_text()
DOCUMENTS = sorted([*CHECKOUT.glob("*.md"), *CHECKOUT.glob("elfsig/manual/*.md")])


def blocks(text: str) -> list[str]:
    """What stands between fences."""
    return re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


BLOCKS = blocks(README)
LINES = sorted(
    {
        line.split("#")[0].strip()
        for document in DOCUMENTS
        for block in blocks(document.read_text())
        for line in block.replace("\\\n", " ").splitlines()
        if re.match(r"elfsig [a-z]", line)
    }
)


@pytest.mark.parametrize("line", LINES)
def test_command_line_of_the_documents_exists(line: str) -> None:
    verb = line.split()[1]
    assert verb in COMMANDS
    words = [word for word in line.split()[2:] if re.fullmatch(r"[a-z]+", word)]
    shown = elfsig(verb, "--help").out + "".join(elfsig(verb, word, "--help").out for word in words[:1])
    for option in re.findall(r"(?<![\w-])--?[a-z][a-z-]*", re.sub(r"\$\(.*?\)", "", line)):
        assert re.search(rf"(?<![\w-]){option}\b", shown), f"{verb} has no {option}"


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


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_into_the_checkout_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", path.read_text()):
        assert (path.parent / target).exists(), target
