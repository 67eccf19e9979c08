"""What contradicts itself in a policy, or is there twice."""

from __future__ import annotations

from collections.abc import Iterator

from elfsig.verbs.policy.model import Exemption, ModuleRule, Policy


def contradictions(policy: Policy) -> Iterator[tuple[int, str]]:
    """The line and the text of each contradiction and repetition."""
    yield from _unreached(policy.rules)
    for rule in policy.rules:
        yield from _ignored_demands(rule)
    yield from _repeated(policy.exceptions)


def _unreached(rules: tuple[ModuleRule, ...]) -> Iterator[tuple[int, str]]:
    """Patterns that earlier rules leave nothing for."""
    taken: dict[str, int] = {}
    everything: int | None = None
    for rule in rules:
        for each in rule.paths:
            said = f"path: {each.written} is"
            if everything is not None:
                yield rule.line, f"{said} never reached: the rule of line {everything} is for all modules"
            elif each.written in taken:
                yield rule.line, f"{said} that of the rule of line {taken[each.written]} already"
        if rule.hosts or rule.releases:
            continue
        for each in rule.paths:
            taken.setdefault(each.written, rule.line)
            if each.matches_all and everything is None:
                everything = rule.line


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
