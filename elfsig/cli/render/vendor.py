"""The text and the JSON of ``--against``: what differs from the vendor's modules, like things together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from elfsig.cli import exit_codes
from elfsig.cli.render.audit.text import rule_lines
from elfsig.verbs.audit.folds import Folds
from elfsig.verbs.vendor.faults import UNREAD, faults, record_faults
from elfsig.verbs.vendor.relation import Relation, VendorFinding, finding_of

Json = dict[str, Any]


class _Totals(NamedTuple):
    """How many modules were compared, which the sentences of folded faults need."""

    files: int
    signed: int


@dataclass
class Against:
    """What was found, counted as the records pass by. ``unread`` counts sources that were not read to
    their end; ``own_complete``: all modules that were to be compared were read."""

    relations: Counter[Relation] = field(default_factory=Counter)
    folds: Folds = field(default_factory=Folds)
    unread: int = 0
    own_complete: bool = True
    _signed: int = 0

    def add(self, record: Json) -> set[int]:
        """Count one record, as a JSON object; the exit codes that it stands for."""
        word, finding = record["record"], finding_of(record)
        if finding is not None:
            self.relations[finding.relation] += 1
            self._signed += finding.signed_by[0] is not None
        elif word == "vendor":
            self.unread += not record["complete"]
        elif word == "module" or (word == "container" and not record["complete"]):
            self.own_complete = False
        codes = set()
        for fault in record_faults(record):
            self.folds.add(fault)
            codes.add(exit_codes.UNREADABLE if fault.rule == UNREAD else exit_codes.BAD)
        return codes

    @property
    def complete(self) -> bool:
        """Whether all of both sides was read to its end."""
        return self.own_complete and not self.unread

    def to_json(self) -> Json:
        """The member ``against`` of the document."""
        return {
            "complete": self.complete,
            "relations": {word.value: self.relations[word] for word in Relation if self.relations[word]},
            "rules": self.folds.to_json(),
        }

    def lines(self, color: bool) -> Iterator[str]:
        """The violated rules with their modules."""
        totals = _Totals(sum(self.relations.values()) - self.relations[Relation.MISSING], self._signed)
        for rule in self.folds.rules:
            yield from rule_lines(rule, totals, color)

    def summary(self) -> str:
        """How many modules are related to the vendor's in each way."""
        words = ", ".join(f"{self.relations[word]} {word}" for word in Relation if self.relations[word])
        text = f"against the vendor's modules: {words or 'nothing to compare'}"
        if self.complete:
            return text
        whose = "the vendor's" if self.unread else "these files"
        return f"{text}; what is missing is not known: not all of {whose} could be read"


def said(finding: VendorFinding | None) -> str:
    """A finding in a line; "" without one."""
    if finding is None:
        return ""
    texts = [each.text for each in faults(finding)]
    return ": ".join((finding.relation.value, "; ".join(texts))) if texts else finding.relation.value
