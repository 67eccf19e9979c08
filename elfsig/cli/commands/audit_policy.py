"""``elfsig audit --policy``: rules by path, exceptions that expire, hosts of a fleet, records of a survey."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from datetime import date
from hashlib import sha256
from itertools import chain
from typing import TYPE_CHECKING, Any

from elfsig.batch.policy.containers import audited_in, is_container
from elfsig.batch.policy.context import Settings as Rules
from elfsig.batch.policy.context import needs
from elfsig.batch.policy.fleet import Auditor, Host, audited, find_hosts, host_members, tree_members, warm
from elfsig.batch.policy.records import RecordAuditor, RecordFile, audited_records
from elfsig.batch.policy.sources import Sources
from elfsig.batch.vendor.audit import AgainstVendor
from elfsig.cli.caged import cage_of
from elfsig.cli.commands.audit_job import Report, against, checks_of, exit_code, fill
from elfsig.cli.options.cage import CageWish
from elfsig.cli.options.common import hash_wished
from elfsig.cli.options.key_rings import tell_of_losses
from elfsig.cli.options.policy import FleetWish
from elfsig.cli.options.survey import MEBIBYTES, SECONDS
from elfsig.cli.progress import watched
from elfsig.cli.reading import tell_of_links
from elfsig.cli.render.audit.reports import policy_object
from elfsig.cli.render.words import plural
from elfsig.cli.settings import complain
from elfsig.errors import ReadError, UsageError
from elfsig.lazy_tuple import NamedTuple
from elfsig.opened.evidence import read
from elfsig.opened.links import Links
from elfsig.registry import Registry
from elfsig.verbs.audit.audit import link_faults
from elfsig.verbs.audit.ledger import Ledger
from elfsig.verbs.policy.implied import implied_policy
from elfsig.verbs.policy.judge import Excuses
from elfsig.verbs.policy.model import Policy
from elfsig.verbs.policy.read import PolicyError, folder_of, read_policy

if TYPE_CHECKING:
    from elfsig.verbs.audit.audit import Audited
    from elfsig.verbs.audit.rules import Fault


OPTIONS = {
    "trust": "--trust",
    "keys": "--keys",
    "hashes": "--hash",
    "formats": "--format",
    "kernels": "--kernel",
    "loaded": "--loaded",
}
"""Options that a policy takes the place of."""


class Reading(NamedTuple):
    """Which files to read, and how."""

    paths: tuple[str, ...]
    all_files: bool
    links: Links
    jobs: int
    limit: int


class Given(NamedTuple):
    """A policy, and the SHA-256 of its file; None for one that options describe."""

    policy: Policy
    digest: str | None


def by_policy(report: Report, wish: FleetWish, reading: Reading, demand: dict[str, Any]) -> int:
    """Audit, and write the results. Gives the exit code."""
    if not (reading.paths or wish.host_roots or wish.records):
        raise UsageError("nothing to audit: give PATH, --host-root or --from", code="no-path")
    given = _given(wish, report.settings.registry, demand)
    hosts = find_hosts(wish.host_roots)
    if not hosts and report.machine.host is None and (lines := sorted(needs(given.policy, "host"))):
        text = f"{given.policy.source}: line {lines[0]}: {{host}} needs --host or --host-root"
        raise UsageError(text, code="policy")
    excuses, checks = Excuses(given.policy, date.today()), checks_of(demand)
    auditor = _auditor(report, excuses, reading, demand, any(each.needs_hashes for each in checks))
    records = None if wish.records is None else RecordFile(wish.records, sys.stdin.buffer)
    late: list[Fault] = []
    results = _results(auditor, hosts, records, report, reading, late)
    tell_of_losses(auditor.contexts)
    tracking = bool(checks or demand["against"])
    with (
        closing(Ledger(auditor.settings.ignore, report.recording, tracking)) as ledger,
        against(report.settings, demand["against"], reading.paths, reading.limit, reading.jobs) as vendor,
    ):
        if vendor is not None:
            checks.append(check := AgainstVendor(vendor, (*reading.paths, *(host.root for host in hosts))))
            ledger.vendor_of = check.member
        fill(ledger, checks, watched(results))
        for fault in (*late, *link_faults(reading.links), *excuses.expired()):
            ledger.add_fault(fault)
        if not ledger.files:
            raise ReadError("no modules found", code="nothing-found")
        tell_of_losses(auditor.contexts)  # of sources that were read for the modules
        _finish(report, ledger, reading.links, given, excuses)
        return exit_code(ledger)


def _auditor(
    report: Report, excuses: Excuses, reading: Reading, demand: dict[str, Any], compared: bool
) -> Auditor:
    """What audits a module. ``compared``: the hashes of all modules are needed. Raises KeySourceError for a
    source of the policy that cannot be read."""
    states = compared or report.machine.wanted or bool(demand["against"]) or excuses.needs_hashes
    registry, ignore = report.settings.registry, frozenset(demand["ignore"])
    rules = Rules(registry, ignore, states, reading.all_files, reading.limit)
    return Auditor(excuses.policy, excuses, rules, Sources())


def _given(wish: FleetWish, registry: Registry, demand: dict[str, Any]) -> Given:
    """The policy of the file, or the one that options describe. Raises UsageError, ReadError."""
    if wish.policy is None:
        hashes = [hash_wished(name).name for name in demand["hashes"]]
        formats = [registry.get(name).id for name in demand["formats"]]
        if len(demand["kernels"]) > 1:
            raise UsageError("--host-root and --from take one --kernel", code="kernel")
        kernel = demand["kernels"][0] if demand["kernels"] else None
        own = bool(wish.host_roots)
        if not own and not demand["trust"]:
            raise UsageError("no trusted keys given: name them with --trust SRC", code="trust")
        return Given(implied_policy(demand["trust"], demand["keys"], hashes, formats, kernel, own), None)
    for name, option in OPTIONS.items():
        if demand[name]:
            raise UsageError(f"--policy and {option} cannot be combined: the policy says it", code="policy")
    data = _content(wish.policy)
    try:
        policy = read_policy(data, wish.policy, registry, folder_of(wish.policy))
    except PolicyError as fault:
        *first, last = fault.lines
        for line in first:
            complain(line)
        raise UsageError(last, code=fault.code) from None
    return Given(policy, sha256(data).hexdigest())


def _content(path: str) -> bytes:
    """The bytes of a policy. Raises UsageError where it cannot be read."""
    try:
        return read(path).content
    except ReadError as fault:
        raise UsageError(f"{path}: {fault.text}", code="policy", offset=fault.offset) from None


def _results(
    auditor: Auditor,
    hosts: Sequence[Host],
    records: RecordFile | None,
    report: Report,
    reading: Reading,
    late: list[Fault],
) -> Iterator[Audited]:
    """The results for all that is to be audited, one after the other. ``late`` gets faults of links."""
    rules, links, host = auditor.settings, reading.links, report.machine.host
    found: list[Iterable[Audited]] = []
    if hosts:
        warm(hosts, auditor)
        members = chain.from_iterable(
            host_members(each, rules.registry, links.follow, rules.all_files, late) for each in hosts
        )
        found.append(audited(members, auditor, reading.jobs))
    trees = [each for each in reading.paths if not is_container(each)]
    if trees:
        walked = tree_members(trees, rules.registry, links, host, rules.all_files)
        found.append(audited(walked, auditor, reading.jobs))
    if packed := [each for each in reading.paths if is_container(each)]:
        cage = cage_of(CageWish(SECONDS, MEBIBYTES), report.settings)
        found.append(audited_in(packed, auditor, host, cage=cage, jobs=reading.jobs))
    if records is not None:
        judge = RecordAuditor(auditor.policy, auditor.excuses, auditor.contexts, records.kernels)
        found.append(audited_records(records, judge, host))
    return chain.from_iterable(found)


def _finish(report: Report, ledger: Ledger, links: Links, given: Given, excuses: Excuses) -> None:
    policy = policy_object(given.policy, given.digest, ledger.excused, excuses.today)
    report.write(ledger, links, policy=policy)
    tell_of_links(links)
    _tell_of_unused(excuses, ledger)


def _tell_of_unused(excuses: Excuses, ledger: Ledger) -> None:
    """What exceptions did: how many faults they excused, and which of them excused nothing."""
    total = sum(ledger.excused.values())
    if total:
        verb = "is" if total == 1 else "are"
        complain(f"{plural(total, 'fault')} {verb} excused by exceptions of the policy")
    for each in excuses.unused(ledger.excused):
        source = excuses.policy.source
        complain(f"{source}: line {each.line}: the exception for {each.text} excuses nothing", word="note: ")
