"""What every SARIF 2.1.0 log (OASIS) of elfsig has: the tool with its rules, and references to files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any, Final
from urllib.parse import quote

from elfsig._version import __version__
from elfsig.model.json_form import Json
from elfsig.verbs.audit.rules import Rule

SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"


def log(rules: Iterable[Rule], results: Sequence[Json], **more: Any) -> Json:
    """A log with one run; ``more`` are further members of the run."""
    driver = {
        "name": "elfsig",
        "version": __version__,
        "semanticVersion": __version__,
        "rules": [_rule(each) for each in rules],
    }
    run = {"tool": {"driver": driver}, "columnKind": "utf16CodeUnits", **more, "results": results}
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(rule: Rule) -> Json:
    return {
        "id": rule.id,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.help},
        "help": {"text": rule.help},
        "defaultConfiguration": {"level": "error"},
    }


def uri(path: str) -> str:
    """A relative reference for a relative path, else a file URI (RFC 8089); percent-encoded."""
    return ("file://" if path.startswith("/") else "") + quote(os.fsencode(path))
