"""What contradicts itself in a policy, or is there twice."""

from __future__ import annotations

import re
from collections.abc import Iterator

from elfsig.verbs.policy.model import Exemption, ModuleRule, Policy
from elfsig.verbs.policy.pattern import Pattern


def contradictions(policy: Policy) -> Iterator[tuple[int, str]]:
    """The line and the text of each contradiction and repetition."""
    yield from _unreached(policy.rules)
    for rule in policy.rules:
        yield from _ignored_demands(rule)
    yield from _repeated(policy.exceptions)


def _unreached(rules: tuple[ModuleRule, ...]) -> Iterator[tuple[int, str]]:
    """Patterns that earlier rules leave nothing for."""
    for number, rule in enumerate(rules):
        for each in rule.paths:
            if (by := _taken(each, rule, rules[:number])) is None:
                continue
            first, pattern = by
            said = f"path: {each.written} is"
            if pattern.written == each.written and not pattern.matches_all:
                yield rule.line, f"{said} that of the rule of line {first.line} already"
            else:
                what = "all modules" if pattern.matches_all else pattern.written
                yield rule.line, f"{said} never reached: the rule of line {first.line} is for {what}"


def _taken(
    wanted: Pattern, rule: ModuleRule, earlier: tuple[ModuleRule, ...]
) -> tuple[ModuleRule, Pattern] | None:
    """The earlier rule, and its pattern, that is for all modules of a pattern; None without one."""
    for first in earlier:
        if _holds(first.hosts, rule.hosts) and _holds(first.releases, rule.releases):
            for each in first.paths:
                if each.covers(wanted):
                    return first, each
    return None


def _holds(wide: tuple[re.Pattern[str], ...], narrow: tuple[re.Pattern[str], ...]) -> bool:
    """Whether every name that ``narrow`` allows is allowed by ``wide``, which allows all if it is empty."""
    return not wide or (bool(narrow) and {n.pattern for n in narrow} <= {w.pattern for w in wide})


def _ignored_demands(rule: ModuleRule) -> Iterator[tuple[int, str]]:
    """Demands whose violation the same rule ignores."""
    pairs = (
        ("formats", "other-format", bool(rule.formats)),
        ("hashes", "other-hash", bool(rule.hashes)),
        ("min-key-bits", "key-size", rule.key_bits is not None),
        ("signer", "required-signer", bool(rule.signers)),
        ("kernel", "kernel", rule.kernel is not None),
    )
    for key, name, given in pairs:
        if given and name in rule.ignore:
            yield rule.line, f"ignore: {name} contradicts {key}, which requires it"


def _repeated(exceptions: tuple[Exemption, ...]) -> Iterator[tuple[int, str]]:
    """Exceptions for the same modules and rules."""
    seen: dict[tuple[object, ...], int] = {}
    for each in exceptions:
        for rule in sorted(each.rules):
            key = (rule, frozenset(p.written for p in each.paths), each.names, each.sha256,
                   frozenset(h.pattern for h in each.hosts))  # fmt: skip
            if key in seen:
                yield each.line, f"exception: {rule} is excepted for {each.text} in line {seen[key]} already"
            else:
                seen[key] = each.line
