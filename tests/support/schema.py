"""The schema that every JSON which a test reads is held against."""

from __future__ import annotations

import json
from typing import Any

from tests.support.cli import validator


def validate(document: object) -> Any:
    """``document`` itself, once it has passed elfsig's JSON Schema."""
    validator().validate(document)
    return document


def parsed(text: str) -> Any:
    """The JSON document ``text``, validated."""
    return validate(json.loads(text))


def lines(text: str) -> list[Any]:
    """The objects of ``--jsonl``, each validated."""
    return [parsed(line) for line in text.splitlines()]
