"""The text of ``audit``: what was found, folded by rule and by what is said, and the table of signers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Protocol

from elfsig.cli.render.table import aligned
from elfsig.cli.render.words import plural
from elfsig.cli.settings import visible
from elfsig.verbs.audit.expected import InUse
from elfsig.verbs.audit.folds import Group, RuleFold
from elfsig.verbs.audit.ledger import Ledger
from elfsig.verbs.audit.rules import RULES, Fault

HEADINGS: Final = ("Modules", "Verdict", "Format", "Algorithm", "Key", "Signer")

SHOWN: Final = 20
"""Lines for a rule; --details lists the rest."""

ABOUT_FILES: Final = frozenset(
    {
        "unsigned", "stripped", "malformed", "compression", "stale-ima", "missing", "new", "changed", "moved",
        "unreadable", "vendor-changed", "vendor-signature", "vendor-unknown", "vendor-incomplete",
    }
)  # fmt: skip
"""Rules that also concern modules without a signature."""

UNREAD: Final = frozenset({"unreadable", "incomplete"})
"""Rules whose offset is where reading failed."""

MISSING: Final = frozenset({"missing", "vendor-missing"})
"""Rules about modules that are not there."""


class Totals(Protocol):
    """How many modules there are, and how many of them are signed."""

    @property
    def files(self) -> int:
        """All modules."""
        ...

    @property
    def signed(self) -> int:
        """Those with a signature."""
        ...


def lines(ledger: Ledger, color: bool, details: bool = False) -> Iterator[str]:
    """The violated rules with their modules, the table of signers, and the result.

    ``details``: every module has a line of its own, for which the ledger has to be recording.
    """
    for rule in ledger.folds.rules:
        faults = (each for each in ledger.faults() if each.rule == rule.rule) if details else None
        yield from rule_lines(rule, ledger, color, faults)
    if not details and any(map(_hides, ledger.folds.rules)):
        yield "--details lists every module."
        yield ""
    yield signers(ledger)
    yield ""
    yield verdict(ledger)


def rule_lines(
    rule: RuleFold, totals: Totals, color: bool, faults: Iterator[Fault] | None = None
) -> Iterator[str]:
    """One violated rule with its modules, those of which the same is said together; with ``faults`` each in a
    line of its own. What is read of ``totals`` are the numbers of modules."""
    single = None if faults is not None else _single(rule)
    head = f"{rule.rule}: {_head(rule, single, totals)}"
    yield f"\x1b[1;31m{head}\x1b[0m" if color else head
    if faults is not None:
        yield from (f"  {_where(each)}: {_text(each)}" for each in faults)
    elif single is not None:
        yield f"  {_named(single)}"
    else:
        yield from _groups(rule, totals)
    yield f"  -> {RULES[rule.rule].help}"
    yield ""


def _single(rule: RuleFold) -> Group | None:
    """The only group of several modules, which needs no heading of its own."""
    if len(rule.groups) != 1 or rule.others:
        return None
    (group,) = rule.groups.values()
    return group if group.modules > 1 else None


def _head(rule: RuleFold, single: Group | None, ledger: Totals) -> str:
    if single is not None:
        return _sentence(rule, single, ledger)
    if rule.rule == "expired-exception":
        return f"{plural(rule.faults, 'exception')} of the policy"
    return f"{plural(rule.modules, 'module')}, {RULES[rule.rule].title}"


def _sentence(rule: RuleFold, group: Group, ledger: Totals) -> str:
    """Such as: all 63 signed modules use SHA-1."""
    first = group.first[0]
    what = f" {visible(first.fold)}" if first.fold else f": {visible(first.text)}"
    return f"{_subject(rule.rule, group.modules, ledger)}{what}"


def _subject(rule: str, count: int, ledger: Totals) -> str:
    if rule in MISSING:
        return plural(count, "module")
    if count == ledger.signed and rule not in ABOUT_FILES:
        return f"all {count} signed modules"
    return f"all {count} modules" if count == ledger.files else f"{count} of {ledger.files} modules"


def _where(fault: Fault) -> str:
    """The file, after its host where that is known."""
    return f"{visible(fault.host)}: {visible(fault.path)}" if fault.host else visible(fault.path)


def _text(fault: Fault) -> str:
    """The text, with the offset of what could not be read: all else has a signature at its offset."""
    at = f" (at {fault.offset:#x})" if fault.rule in UNREAD and fault.offset is not None else ""
    return visible(fault.text) + at


def _named(group: Group) -> str:
    """The first modules, and how many more there are."""
    more = group.modules - len(group.first)
    return ", ".join(map(_where, group.first)) + (f" and {more} more" if more else "")


def _groups(rule: RuleFold, ledger: Totals) -> Iterator[str]:
    shown = list(rule.groups.values())[:SHOWN]
    for group in shown:
        if group.modules > 1:
            yield f"  {_sentence(rule, group, ledger)}: {_named(group)}"
        else:
            yield f"  {_where(group.first[0])}: {_text(group.first[0])}"
    rest = sum(each.faults for each in list(rule.groups.values())[SHOWN:]) + rule.others
    if rest:
        yield f"  and {plural(rest, 'further fault')}"


def _hides(rule: RuleFold) -> bool:
    """Whether a module of the rule is not named."""
    if (single := _single(rule)) is not None:
        return single.modules > len(single.first)
    cut = len(rule.groups) > SHOWN or bool(rule.others)
    return cut or any(each.modules > len(each.first) for each in rule.groups.values())


def signers(ledger: Ledger) -> str:
    """The table by signer, the most frequent first."""
    rows = [
        (str(count), row.verdict, row.format or "-", row.algorithm or "-", row.key_id or "-",
         visible(row.signer) or "-")
        for row, count in ledger.sorted_signers()
    ]  # fmt: skip
    return aligned([HEADINGS, *rows])


def verdict(ledger: Ledger) -> str:
    """The last line: whether it passed."""
    modules = plural(ledger.files, "module") + (f" on {plural(ledger.hosts, 'host')}" if ledger.hosts else "")
    if ledger.passed:
        return f"passed: {modules}"
    missing = any(each.rule == "missing" for each in ledger.folds.rules)
    rest = "; expected modules are missing" if missing else ""
    faults = plural(ledger.fault_count, "fault")
    return f"FAILED: {faults} in {ledger.faulty} of {modules}{rest}"


def would_be_refused(ledger: Ledger, in_use: InUse) -> str:
    """How many modules in use would be refused if signatures were enforced. Modules without a readable file
    are counted separately."""
    refused, open_ = len(ledger.refused), len(ledger.unknown - ledger.refused)
    rest = f"; unknown for {open_}, whose files are missing or unreadable" if open_ else ""
    total = len(in_use.modules)
    return f"{refused} of {total} modules in use would be refused if signatures were enforced{rest}"
