"""Run the elfsig command of this checkout as a process of its own."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema

CHECKOUT = Path(__file__).resolve().parents[2]


def environment(extra: Mapping[str, str] | None = None, path: Sequence[Path] = ()) -> dict[str, str]:
    """The environment in which this checkout is imported first, then ``path``, then what is installed."""
    folders = [CHECKOUT, CHECKOUT / "formats", *path, os.environ.get("PYTHONPATH")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(str(folder) for folder in folders if folder),
        **(extra or {}),
    }


@functools.cache
def validator() -> Any:
    """Validator for elfsig's JSON Schema, by which every JSON that a test reads is held."""
    schema = json.loads((CHECKOUT / "elfsig" / "data" / "schema.json").read_text())
    return jsonschema.Draft202012Validator(schema)


def without_origin(line: dict[str, Any]) -> dict[str, Any]:
    """The object of a file without ``host`` and ``run``, which differ in every run."""
    return {name: value for name, value in line.items() if name not in ("host", "run")}


def apart(code: str, *words: str | Path) -> str:
    """What Python ``code`` prints, stripped, in a process that has nothing of earlier tests in memory."""
    command = [sys.executable, "-c", code, *map(str, words)]
    done = subprocess.run(command, cwd=CHECKOUT, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@dataclass(frozen=True, slots=True)
class Ran:
    """How one run of elfsig ended."""

    code: int
    out: str
    err: str

    def files(self) -> list[dict[str, Any]]:
        """The objects of ``--jsonl``, each held against the schema, without what tells of the run."""
        found = [json.loads(line) for line in self.out.splitlines()]
        for each in found:
            validator().validate(each)
        return [without_origin(each) for each in found]


def elfsig(
    *arguments: str | Path,
    env: Mapping[str, str] | None = None,
    path: Sequence[Path] = (),
    cwd: Path | None = None,
) -> Ran:
    """Run ``elfsig ARGUMENTS`` without standard input."""
    done = subprocess.run(
        [sys.executable, "-m", "elfsig", *map(str, arguments)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env=environment(env, path),
        cwd=cwd,
    )
    return Ran(done.returncode, done.stdout, done.stderr)
