"""What the manual shows for other tools: the table for osquery is made and asked, the artifact is parsed."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from elfsig.cli.command_table import COMMANDS
from tests.support.documents import MANUAL, Stage, scenes

PAGE = MANUAL / "jobs" / "examiners.md"


def block(language: str) -> str:
    """The only block of the page in this language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return str(found)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """What the program of the page makes."""
    scene = next(each for each in scenes(PAGE) if "packages" in each.needed)
    stage = Stage(tmp_path, scene.needed)
    for step in scene.steps:
        code, output = stage.run(step)
        assert code == 0, output
    return stage.folder / "modules.sqlite"


def test_the_table_for_osquery(database: Path) -> None:
    """osquery runs ``query`` on the file, and makes a table of its ``columns``, in their order."""
    ((name, table),) = json.loads(block("json"))["auto_table_construction"].items()
    with closing(sqlite3.connect(database)) as opened:
        cursor = opened.execute(table["query"])
        assert [each[0] for each in cursor.description] == table["columns"]
        rows = cursor.fetchall()
        assert [row[2] for row in rows] == ["valid"] and rows[0][0].endswith("/vfat.ko")
        opened.execute(f"CREATE VIEW {name} AS {table['query']}")
        assert opened.execute(block("sql")).fetchall() == [("valid", rows[0][4], 1)]


def test_the_artifact_for_velociraptor() -> None:
    artifact: dict[str, Any] = yaml.safe_load(block("yaml"))
    assert artifact["type"] == "CLIENT" and artifact["name"].startswith("Custom.")
    assert {"name", "description", "parameters", "sources", "precondition"} <= artifact.keys()
    (source,) = artifact["sources"]
    words = re.search(r'argv=\[Elfsig, "(\w+)", "(--\w+)"', source["query"])
    assert words is not None and words[1] in COMMANDS and words[2] == "--jsonl"
    used = set(re.findall(r"\b(Elfsig|OnlyOdd)\b", source["query"]))
    assert used == {each["name"] for each in artifact["parameters"]}
    for opening, closing_ in ("()", "[]"):
        assert source["query"].count(opening) == source["query"].count(closing_)
