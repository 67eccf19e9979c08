"""Check a tree of modules against rules."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from elfsig.api.guard import public
from elfsig.api.inspecting import hash_of
from elfsig.api.keys import KeySources, keyring
from elfsig.api.policies import PolicyAudit, no_options, read_policy
from elfsig.api.verifying import paths_of
from elfsig.batch.isolation import isolated
from elfsig.batch.policy.baseline import expected_modules
from elfsig.batch.tree import Examination, Examiner
from elfsig.batch.workers import run
from elfsig.errors import ElfsigError, ReadError, UsageError
from elfsig.lazy_dataclass import replace
from elfsig.model import Remark
from elfsig.opened.evidence import LIMIT
from elfsig.opened.links import Links
from elfsig.opened.walk import WalkedFile, walk
from elfsig.registry import Registry, load
from elfsig.trust.given import each_of
from elfsig.verbs.audit.audit import Audited, AuditResult, Gate, link_faults, outcome, unreadable
from elfsig.verbs.audit.audit import audit as _audit
from elfsig.verbs.audit.expected import Check
from elfsig.verbs.audit.rules import IGNORABLE, Fault
from elfsig.verbs.policy.model import Policy
from elfsig.verbs.verify.examine import Question
from elfsig.verbs.verify.kernel_question import kernel_question


@public
def audit(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] = (),
    trust: KeySources = (),
    keys: KeySources = (),
    *,
    policy: str | os.PathLike[str] | bytes | Policy | None = None,
    host_roots: str | Iterable[str] = (),
    records: str | os.PathLike[str] | None = None,
    host: str | None = None,
    hashes: Iterable[str] = (),
    formats: Iterable[str] = (),
    kernels: Iterable[str] = (),
    ignore: Iterable[str] = (),
    expect: str | os.PathLike[str] | None = None,
    jobs: int = 1,
    all_files: bool = False,
    registry: Registry | None = None,
    limit: int = LIMIT,
    follow_links: bool = True,
) -> AuditResult:
    """Find what is wrong with the signatures of every module below ``paths``.

    Each must be signed once, by a key of ``trust``; with one of ``hashes`` and in one of ``formats`` where
    they are given; and each of ``kernels`` (as :func:`elfsig.predict` takes them) must load it. ``ignore``
    are ids of rules to ignore. ``expect`` says what must be present: a number of modules, or the path of a
    modules.order or of a JSON output of elfsig, with which the modules are compared. ``jobs`` and
    ``follow_links`` are those of :func:`elfsig.verify_tree`.

    ``policy`` takes the place of ``trust``, ``keys``, ``hashes``, ``formats`` and ``kernels``: the path of a
    policy in TOML, its bytes, or what :func:`elfsig.read_policy` returns. ``paths`` may then be containers
    too, which are read in this process. ``host_roots`` are glob patterns of the root directories of hosts,
    ``records`` the records of a survey, ``host`` is the host of all else. ``expect`` may also be a survey.
    Raises ReadError (there is nothing to examine), KeySourceError, UsageError.
    """
    known, expected = registry or load(), _path(expect)
    vouched, tried = each_of(trust), each_of(keys)
    if policy is not None:
        no_options(trust=vouched, keys=tried, hashes=hashes, formats=formats, kernels=kernels)
        rules = policy if isinstance(policy, Policy) else read_policy(policy, registry=known)
        return PolicyAudit(
            rules, paths_of(paths), _patterns(host_roots), _path(records), host, _ignored(ignore), expected,
            jobs, all_files, known, limit, follow_links,
        ).run()  # fmt: skip
    _check_without_policy(vouched, host_roots, records, host)
    gate = Gate(
        Question(keyring(vouched, tried)),
        frozenset(hash_of(name).name for name in hashes),
        frozenset(known.get(name).id for name in formats),
        tuple(kernel_question(kernel, vouched, tried) for kernel in kernels),
        _ignored(ignore),
    )
    links, what = Links(follow_links), Examination(known, gate.question, limit=limit)
    found = _by_gate(walk(paths_of(paths), all_files, known, links), links, gate, expected, what, jobs)
    return replace(found, losses=tuple(gate.question.keys.losses if gate.question.keys else ()))


def _check_without_policy(vouched: Iterable[object], *only_with_policy: object) -> None:
    """Raises UsageError where something is missing, or needs a policy."""
    if any(only_with_policy):
        raise UsageError("host_roots, records and host need a policy", code="policy")
    if not vouched:
        raise UsageError("an audit needs to know whose signatures count", code="trust", hint="trust")


def _path(path: str | os.PathLike[str] | None) -> str | None:
    return None if path is None else os.fsdecode(path)


def _by_gate(
    found: Iterable[WalkedFile], links: Links, gate: Gate, expect: str | None, what: Examination, jobs: int
) -> AuditResult:
    """The audit of all files of a walk. Raises ReadError, UsageError."""
    wanted = None if expect is None else expected_modules(expect)
    if wanted is not None and wanted.needs_hashes:
        gate = replace(gate, states=True)
    results = _each(found, what, gate, jobs)
    if not results:
        raise ReadError("nothing to examine", code="nothing-found")
    more = [*link_faults(links), *([] if wanted is None else _drift(wanted, results))]
    return outcome(results, [fault for fault in more if fault.rule not in gate.ignored])


def _patterns(patterns: str | Iterable[str]) -> list[str]:
    return [patterns] if isinstance(patterns, str) else list(patterns)


def _drift(wanted: Check, results: Iterable[Audited]) -> Iterator[Fault]:
    """What is not there as ``wanted`` says."""
    for each in results:
        wanted.add(each)
    return wanted.faults()


def _ignored(ignore: Iterable[str]) -> frozenset[str]:
    """The rules to ignore. Raises UsageError for unknown ones."""
    ignored = frozenset(ignore)
    if unknown := ignored.difference(IGNORABLE):
        raise UsageError(
            f"unknown rule {min(unknown)!r}: choose from {', '.join(IGNORABLE)}", code="unknown-rule"
        )
    return ignored


def _each(found: Iterable[WalkedFile], what: Examination, gate: Gate, jobs: int) -> list[Audited]:
    """The audit of every file; an error in one is the fault ``unreadable`` of that file."""
    examiner = Examiner(what)

    def work(entry: WalkedFile) -> Audited:
        done = examiner(entry)
        return _audit(done.module, done.report, gate)

    def failed(entry: WalkedFile, fault: ElfsigError) -> Audited:
        return unreadable(entry.path, Remark.of(fault))

    def lost(entry: WalkedFile, how: str) -> Audited:
        return unreadable(entry.path, Remark("process-died", f"no result: {how}"))

    return list(run(isolated(work, failed, what.registry), found, jobs, lost=lost))
