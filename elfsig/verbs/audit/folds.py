"""folds: faults counted by what they say, so that a thousand modules with one fault are one line.

Memory does not grow with the number of faults: of each group, the first few modules are kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from elfsig.model.json_form import path_members, readable
from elfsig.verbs.audit.rules import RULES, Fault

MOST_GROUPS: Final = 100
"""Groups that are kept for a rule; faults of further kinds are only counted."""

NAMED: Final = 3
"""Modules that are kept for a group."""

REVISITED: Final = frozenset({"stripped", "tainted"})
"""Rules with faults that belong to one file and are found at different times."""


class Group:
    """The faults of one rule that say the same. ``first`` are the first of them, one for a module."""

    __slots__ = ("faults", "first", "last", "modules")

    def __init__(self) -> None:
        self.modules: int = 0
        self.faults: int = 0
        self.first: list[Fault] = []
        self.last: str | None = None

    def add(self, fault: Fault) -> None:
        """Count ``fault``; those of one file follow each other."""
        self.faults += 1
        if fault.path == self.last:
            return
        self.last = fault.path
        self.modules += 1
        if len(self.first) < NAMED:
            self.first.append(fault)

    def to_json(self) -> dict[str, Any]:
        """The same as plain JSON values."""
        first = self.first[0]
        text = readable(first.fold or first.text)
        return {
            "text": text,
            "modules": self.modules,
            "first": [path_members(each.path) for each in self.first],
        }


class RuleFold:
    """All faults of one rule. ``others`` are the faults of groups that were not kept."""

    def __init__(self, rule: str) -> None:
        self.rule = rule
        self.groups: dict[str, Group] = {}
        self.faults: int = 0
        self.others: int = 0
        self._modules, self._last = 0, ""
        self._seen: set[int] = set()

    @property
    def modules(self) -> int:
        """How many modules have such a fault."""
        return len(self._seen) if self.rule in REVISITED else self._modules

    def add(self, fault: Fault) -> None:
        """Count ``fault``."""
        self.faults += 1
        if self.rule in REVISITED:
            self._seen.add(hash(fault.path))
        elif fault.path != self._last:
            self._modules, self._last = self._modules + 1, fault.path
        said = fault.fold or fault.text
        if said not in self.groups and len(self.groups) >= MOST_GROUPS:
            self.others += 1
            return
        self.groups.setdefault(said, Group()).add(fault)

    def to_json(self) -> dict[str, Any]:
        """An entry of ``rules``."""
        groups = [each.to_json() for each in self.groups.values()]
        return {
            "rule": self.rule,
            "modules": self.modules,
            "faults": self.faults,
            "groups": groups,
            "others": self.others,
        }


class Folds:
    """The faults of an audit, by rule and by what they say."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._rules: dict[str, RuleFold] = {}
        for fault in faults:
            self.add(fault)

    def add(self, fault: Fault) -> None:
        """Count ``fault``."""
        self._rules.setdefault(fault.rule, RuleFold(fault.rule)).add(fault)

    @property
    def rules(self) -> list[RuleFold]:
        """What was found of each rule that was broken, in the order of the rules."""
        return [self._rules[name] for name in RULES if name in self._rules]

    def to_json(self) -> list[dict[str, Any]]:
        """The member ``rules``."""
        return [each.to_json() for each in self.rules]
