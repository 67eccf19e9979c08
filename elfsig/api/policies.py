"""Policies of audits: reading them, and auditing by them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from datetime import date
from itertools import chain

from elfsig.api.guard import public
from elfsig.batch.policy.baseline import expected_modules
from elfsig.batch.policy.containers import audited_in, is_container
from elfsig.batch.policy.context import Settings, needs
from elfsig.batch.policy.fleet import Auditor, audited, find_hosts, host_members, tree_members, warm
from elfsig.batch.policy.records import RecordAuditor, RecordFile, audited_records
from elfsig.batch.policy.sources import Sources
from elfsig.errors import ReadError, UsageError
from elfsig.lazy_dataclass import replace
from elfsig.lazy_tuple import NamedTuple
from elfsig.opened.evidence import read
from elfsig.opened.links import Links
from elfsig.registry import Registry, load
from elfsig.verbs.audit.audit import Audited, AuditResult, link_faults, outcome
from elfsig.verbs.audit.rules import Fault
from elfsig.verbs.policy.judge import Excuses
from elfsig.verbs.policy.model import Policy
from elfsig.verbs.policy.read import folder_of
from elfsig.verbs.policy.read import read_policy as _read_policy


@public
def read_policy(
    source: str | os.PathLike[str] | bytes, *, name: str = "<bytes>", registry: Registry | None = None
) -> Policy:
    """Read a policy for :func:`audit`: the path of a TOML file, or its content as bytes.

    Relative key sources start from the file's directory; for bytes, which ``name`` names in messages, from
    the current one. Raises PolicyError (a UsageError) with every mistake, ReadError.
    """
    known = registry or load()
    if isinstance(source, bytes):
        return _read_policy(source, name, known)
    path = os.fsdecode(source)
    return _read_policy(read(path).content, path, known, folder_of(path))


class PolicyAudit(NamedTuple):
    """What to audit by a policy: see :func:`elfsig.audit`."""

    policy: Policy
    paths: list[str]
    host_roots: list[str]
    records: str | None
    host: str | None
    ignore: frozenset[str]
    expect: str | None
    jobs: int
    all_files: bool
    registry: Registry
    limit: int
    follow_links: bool

    def run(self) -> AuditResult:
        """Audit everything. Raises ReadError (there is nothing to audit), KeySourceError, UsageError."""
        hosts = find_hosts(self.host_roots)
        if self.host is None and not hosts and (lines := sorted(needs(self.policy, "host"))):
            raise UsageError(f"{self.policy.source}: line {lines[0]}: the host is not known", code="policy")
        excuses = Excuses(self.policy, date.today())
        wanted = None if self.expect is None else expected_modules(self.expect)
        states = excuses.needs_hashes or (wanted is not None and wanted.needs_hashes)
        rules = Settings(self.registry, self.ignore, states, self.all_files, self.limit)
        auditor = Auditor(self.policy, excuses, rules, Sources())
        late: list[Fault] = []
        results = list(self._results(auditor, late))
        if not results:
            raise ReadError("nothing to examine", code="nothing-found")
        if wanted is not None:
            for each in results:
                wanted.add(each)
            late += wanted.faults()
        late += excuses.expired()
        found = outcome(results, [each for each in late if each.rule not in self.ignore])
        used = [each.number for one in results for each in one.excused]
        lost, unused = auditor.contexts.losses, tuple(excuses.unused(used))
        return replace(found, excused=len(used), unused=unused, losses=lost)

    def _results(self, auditor: Auditor, late: list[Fault]) -> Iterator[Audited]:
        """The results for all files; ``late`` gets faults that are known at the end."""
        hosts, links = find_hosts(self.host_roots), Links(self.follow_links)
        warm(hosts, auditor)
        members = (
            host_members(each, self.registry, self.follow_links, self.all_files, late) for each in hosts
        )
        yield from audited(chain.from_iterable(members), auditor, self.jobs)
        trees = [each for each in self.paths if not is_container(each)]
        walked = tree_members(trees, self.registry, links, self.host, self.all_files)
        yield from audited(walked, auditor, self.jobs)
        yield from audited_in(filter(is_container, self.paths), auditor, self.host, jobs=self.jobs)
        if self.records is not None:
            records = RecordFile(self.records)
            judge = RecordAuditor(self.policy, auditor.excuses, auditor.contexts, records.kernels)
            yield from audited_records(records, judge, self.host)
        late += link_faults(links)


def no_options(**given: Iterable[object]) -> None:
    """Raises UsageError where something is given that a policy says."""
    for name, value in given.items():
        if value:
            raise UsageError(f"{name} cannot be combined with a policy, which says it", code="policy")
