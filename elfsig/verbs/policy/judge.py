"""What a policy says of one module: which rule is for it, what that demands, and which faults are excused."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import date
from fnmatch import translate
from functools import lru_cache

from elfsig.kernels.names import module_name
from elfsig.lazy_tuple import NamedTuple
from elfsig.model import FileReport, Key, SignatureReport, Verdict
from elfsig.model.key import certificate_fingerprints
from elfsig.verbs.audit.audit import Audited, Excused
from elfsig.verbs.audit.rules import BY_VERDICT, Fault
from elfsig.verbs.policy.model import Exemption, ModuleRule, Policy, SignerDemand
from elfsig.verbs.policy.place import Position


def rule_for(policy: Policy, where: Position) -> int | None:
    """The number of the first rule that is for a module; None where none is."""
    for number, rule in enumerate(policy.rules):
        if is_for_system(rule, where) and any(each.matches(where.below) for each in rule.paths):
            return number
    return None


def is_for_system(rule: ModuleRule, where: Position) -> bool:
    """Whether a rule is for modules of this host and this release."""
    return _fits(rule.hosts, where.host) and _fits(rule.releases, where.release)


def _fits(patterns: tuple[re.Pattern[str], ...], name: str | None) -> bool:
    """Whether one of the patterns fits; no pattern fits a name that is not known."""
    return not patterns or (name is not None and any(each.match(name) for each in patterns))


# --------------------------------------------------------------------------- demands


class Signer(NamedTuple):
    """What was established about the key that made a valid signature, and how large it is.

    ``fingerprints``: SHA-256 of the public key, SHA-256 and SHA-1 of the certificate, in hex.
    """

    names: frozenset[str]
    fingerprints: frozenset[str]
    serial: str | None
    algorithm: str | None
    bits: int | None


def signer_of(report: FileReport) -> Signer | None:
    """The signer of a valid module, None for every other."""
    sig = report.effective
    if report.verdict is not Verdict.VALID or sig is None or sig.key is None:
        return None
    return _signer(sig, sig.key)


def _signer(sig: SignatureReport, key: Key) -> Signer:
    certificate, claims = key.certificate, sig.claims
    prints = {key.fingerprint, *(certificate_fingerprints(certificate).values() if certificate else ())}
    names = {key.label, *((certificate.subject_text,) if certificate else ())}
    serial = f"{certificate.serial:x}" if certificate else None
    if serial is None and claims is not None and claims.serial:
        serial = claims.serial.hex().lstrip("0")
    return Signer(frozenset(names), frozenset(prints), serial, key.algorithm, key.bits or None)


def demand_faults(
    path: str, rule: ModuleRule, signer: Signer | None, verdict: Verdict | None
) -> Iterator[Fault]:
    """How the signer of a module is not the one that its rule demands.

    Of a module without a valid signature there is a fault already, unless the rule ignores that.
    """
    if signer is None and (verdict is None or BY_VERDICT.get(verdict, "") not in rule.ignore):
        return
    if rule.signers and not (signer and any(_is_met(each, signer) for each in rule.signers)):
        wanted = " or ".join(each.text for each in rule.signers)
        found = f"signed by {', '.join(sorted(signer.names))}" if signer else "not established who signed it"
        text = f"{found}; the policy requires {wanted} (line {rule.line})"
        yield Fault("required-signer", path, text, fold=f"are {text}")
    yield from _size_faults(path, rule, signer)


def _size_faults(path: str, rule: ModuleRule, signer: Signer | None) -> Iterator[Fault]:
    if rule.key_bits is None or (signer is not None and signer.algorithm not in rule.key_bits):
        return
    if signer is None or signer.bits is None:
        yield Fault("key-size", path, "the size of its key is not established")
        return
    least = rule.key_bits[signer.algorithm or ""]
    if signer.bits < least:
        text = f"{signer.bits} bits ({signer.algorithm}); the policy requires {least} (line {rule.line})"
        yield Fault("key-size", path, text, fold=f"have a key of {text}")


def _is_met(demand: SignerDemand, signer: Signer) -> bool:
    named = demand.name is None or any(_expression(demand.name).match(each) for each in signer.names)
    printed = demand.fingerprint is None or demand.fingerprint in signer.fingerprints
    return named and printed and (demand.serial is None or demand.serial == signer.serial)


@lru_cache(maxsize=256)
def _expression(name: str) -> re.Pattern[str]:
    return re.compile(translate(name))


def no_rule(path: str, policy: Policy) -> Fault:
    """The fault of a module that no rule is for."""
    return Fault(
        "no-rule", path, f"no rule of {policy.source} is for it", fold=f"have no rule in {policy.source}"
    )


def not_checked(path: str, why: str) -> Fault:
    """The fault of a module of which something could not be established."""
    return Fault("not-checked", path, why, fold=f"were not checked: {why}")


# --------------------------------------------------------------------------- exceptions


class Excuses:
    """The exceptions of a policy on a day. Expired ones excuse nothing."""

    policy: Policy
    today: date
    needs_hashes: bool

    def __init__(self, policy: Policy, today: date) -> None:
        self.policy, self.today = policy, today
        holding = [(n, each) for n, each in enumerate(policy.exceptions) if each.expires >= today]
        self._by_rule: dict[str, list[tuple[int, Exemption]]] = {}
        for number, each in holding:
            for rule in each.rules:
                self._by_rule.setdefault(rule, []).append((number, each))
        self.needs_hashes = any(each.sha256 for _, each in holding)

    def expired(self) -> Iterator[Fault]:
        """A fault for each exception that has expired."""
        source = self.policy.source
        for each in self.policy.exceptions:
            if each.expires < self.today:
                what = f"{', '.join(sorted(each.rules))} of {each.text}"
                text = f"line {each.line}: expired on {each.expires.isoformat()}: {what} ({each.reason})"
                yield Fault("expired-exception", source, text)

    def apply(self, each: Audited, where: Position) -> Audited:
        """``each`` without the faults that an exception excuses."""
        if not self._by_rule or not each.faults:
            return each
        sha256 = each.state.sha256 if each.state is not None else None
        kept: list[Fault] = []
        excused: list[Excused] = []
        for fault in each.faults:
            number = self.number(fault.rule, where, sha256)
            if number is None:
                kept.append(fault)
            else:
                by = self.policy.exceptions[number]
                excused.append(Excused(fault.rule, number, by.reason, by.expires.isoformat()))
        return each._replace(faults=tuple(kept), excused=tuple(excused)) if excused else each

    def number(self, rule: str, where: Position, sha256: str | None) -> int | None:
        """The number of the exception that excuses a fault; None where it counts."""
        for number, each in self._by_rule.get(rule, ()):
            if _names(each, where, sha256):
                return number
        return None

    def unused(self, used: Iterable[int]) -> Iterator[Exemption]:
        """The exceptions that hold and excused nothing."""
        seen = frozenset(used)
        for number, each in enumerate(self.policy.exceptions):
            if number not in seen and each.expires >= self.today:
                yield each


def _names(each: Exemption, where: Position, sha256: str | None) -> bool:
    """Whether an exception names a module."""
    if each.sha256 and (sha256 is None or sha256 not in each.sha256):
        return False
    if each.names and module_name(where.below) not in each.names:
        return False
    if each.paths and not any(path.matches(where.below) for path in each.paths):
        return False
    return _fits(each.hosts, where.host)
