"""The SARIF log of ``survey``: one result for each rule, signer and outermost file, and the nesting of files.

SARIF 2.1.0 (OASIS), 3.24 for artifacts and their ``parentIndex``. Code scanning services show a few thousand
results, so modules that are alike share one, which counts them and locates the first ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from elfsig.cli.render import sarif
from elfsig.cli.render.survey.columns import signer_words
from elfsig.cli.render.words import plural
from elfsig.model import Verdict
from elfsig.model.json_form import readable
from elfsig.verbs.audit.rules import BY_VERDICT, RULES, Rule
from elfsig.verbs.vendor.faults import record_faults

Json = dict[str, Any]

MAX_LOCATIONS = 20
"""Locations of one result; its message counts all modules."""

INCOMPLETE = Rule(
    "incomplete",
    "not read to its end",
    "It may hold modules that nobody looked at. Repair or complete the file, install what is missing, or "
    "raise the limit that was reached.",
)


class _Kind(NamedTuple):
    """What the modules of one result have in common."""

    rule: str
    signer: str
    outer: str


class Log:
    """Collects the records of a survey, as JSON objects, and makes the log."""

    def __init__(self) -> None:
        self._artifacts: dict[str, int] = {}
        self._rows: list[Json] = []
        self._counts: dict[_Kind, int] = {}
        self._located: dict[_Kind, list[Json]] = {}
        self._incomplete: list[Json] = []

    def add(self, record: Json) -> None:
        """Add one record."""
        for fault in record_faults(record):
            self._locate(_Kind(fault.rule, "", record["path"].partition("!/")[0]), record["path"])
        if record["record"] == "container" and not record["complete"]:
            self._incomplete.append(record)
        elif record["record"] == "module" and record["verdict"] != Verdict.VALID.value:
            self._add_module(record)

    def _add_module(self, record: Json) -> None:
        word = record["verdict"]
        rule = BY_VERDICT[Verdict(word)] if word else "unreadable"
        decisive = next((each for each in record["signatures"] if each["effective"]), None)
        kind = _Kind(rule, signer_words(decisive), record["path"].partition("!/")[0])
        self._locate(kind, record["path"])

    def _locate(self, kind: _Kind, path: str) -> None:
        """Count one module, and locate it unless there are many like it."""
        self._counts[kind] = self._counts.get(kind, 0) + 1
        places = self._located.setdefault(kind, [])
        if len(places) < MAX_LOCATIONS:
            places.append(self._location(path))

    def _location(self, path: str, offset: int | None = None) -> Json:
        physical: Json = {"artifactLocation": {"uri": sarif.uri(path), "index": self._artifact(path)}}
        if offset is not None:
            physical["region"] = {"byteOffset": offset}
        return {"physicalLocation": physical}

    def _artifact(self, path: str) -> int:
        """The index of a file among the artifacts; those that contain it come first."""
        if path not in self._artifacts:
            parent, inside, name = path.rpartition("!/")
            row: Json = {"location": {"uri": sarif.uri(name if inside else path)}}
            if inside:
                row["parentIndex"] = self._artifact(parent)
            self._artifacts[path] = len(self._rows)
            self._rows.append(row)
        return self._artifacts[path]

    def log(self) -> Json:
        """The whole log, with one run."""
        results = [*self._incomplete_results(), *self._module_results()]
        used = list(dict.fromkeys(each["ruleId"] for each in results))
        for each in results:
            each["ruleIndex"] = used.index(each["ruleId"])
        rules = [INCOMPLETE if name == INCOMPLETE.id else RULES[name] for name in used]
        return sarif.log(rules, results, artifacts=self._rows)

    def _incomplete_results(self) -> Iterator[Json]:
        for each in self._incomplete:
            fault = each["error"] or {"code": "unknown", "text": "", "offset": None}
            text = f"{each['kind']} container not read to its end ({fault['code']}): {fault['text']}"
            yield _result(INCOMPLETE.id, text, [self._location(each["path"], fault["offset"])], 1)

    def _module_results(self) -> Iterator[Json]:
        for kind, count in self._counts.items():
            by = f", {kind.signer}" if kind.signer else ""
            text = f"{plural(count, 'module')} in {kind.outer}: {RULES[kind.rule].title}{by}"
            if count > MAX_LOCATIONS:
                text += f"; the first {MAX_LOCATIONS} are located"
            yield _result(kind.rule, text, self._located[kind], count)


def _result(rule: str, text: str, locations: list[Json], count: int) -> Json:
    return {
        "ruleId": rule,
        "level": "error",
        "message": {"text": readable(text)},
        "locations": locations,
        "occurrenceCount": count,
    }
