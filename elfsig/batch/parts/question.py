"""What all parts of a survey answer: parts that answer different questions must not be mixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from typing import Any

from elfsig._version import __version__
from elfsig.batch.parts.division import Form
from elfsig.errors import ParseError, UsageError
from elfsig.model import Keyring
from elfsig.model.json_form import SCHEMA_VERSION, dumps, readable
from elfsig.model.json_values import loads, shown
from elfsig.trust.ring import Ring

Json = dict[str, Any]
LIMIT = 1 << 24
"""Bytes of a question or receipt, at most."""


class PartsQuestion:
    """Sources, number and form of the parts, options, keys, and the version of elfsig.

    ``options`` are plain JSON values: whatever may change a record. Of the keys only the hash counts, which
    covers all that ``elfsig keys list --json`` says of them.
    """

    def __init__(
        self,
        sources: Sequence[str],
        parts: int,
        form: Form,
        keys: Keyring | None,
        options: Mapping[str, object],
    ) -> None:
        self.parts: int = parts
        self.form: Form = form
        asked = {
            "sources": [shown(readable(each)) for each in sources],
            "parts": parts,
            "form": form,
            "keys": _keys_hash(keys),
            "version": __version__,
            **options,
        }
        self.asked: Json = loads(dumps(asked))  # as it is read back: lists, not tuples

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the question, in hex: of one line of JSON with sorted keys."""
        return sha256(dumps(self.asked).encode("ascii")).hexdigest()

    def to_json(self, run: str) -> Json:
        """The content of ``question.json``: ``run`` is the id of the run that all parts belong to."""
        return {
            "record": "question", "schema_version": SCHEMA_VERSION, "question": self.digest, "run": run,
            "asked": self.asked,
        }  # fmt: skip

    def run_of(self, data: bytes) -> str:
        """The run that a ``question.json`` belongs to. Raises UsageError where it is another question."""
        found = parsed(data, "question")
        asked = found.get("asked")
        if not isinstance(asked, dict) or not isinstance(found.get("run"), str):
            raise ParseError("not a question of a survey in parts")
        if found.get("question") != self.digest:
            raise UsageError(self._difference(asked), code="other-question")
        run: str = found["run"]
        return run

    def _difference(self, other: Json) -> str:
        if other.get("parts") != self.parts:
            return f"it holds a survey in {other.get('parts')} parts, not in {self.parts}"
        names = sorted(
            {*self.asked, *other} - {n for n, v in self.asked.items() if n in other and other[n] == v}
        )
        return f"it holds the answer to another question: {', '.join(names) or 'everything'} differs"


def parsed(data: bytes, word: str) -> Json:
    """A record of this kind. Raises ParseError for anything else."""
    try:
        found = loads(data)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or found.get("record") != word:
        raise ParseError(f"not a {word} of a survey in parts")
    return found


def _keys_hash(keys: Keyring | None) -> str | None:
    if keys is None:
        return None
    said = keys.to_json() if isinstance(keys, Ring) else [key.to_json() for key in keys.keys]
    return sha256(dumps(said).encode("ascii")).hexdigest()
