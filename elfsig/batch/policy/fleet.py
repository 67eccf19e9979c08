"""Audit by a policy: directories of modules, and the root directories of many hosts, in one stream.

One pool of processes works on all hosts, and nothing is kept of a module but what the ledger writes to disk,
so that memory does not grow with the number of modules.
"""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from elfsig.batch.isolation import fault_of
from elfsig.batch.policy.context import Context, Contexts, Settings
from elfsig.batch.policy.sources import Recent, Sources, inside, kernel_image
from elfsig.batch.tree import Examined
from elfsig.batch.workers import run
from elfsig.errors import ElfsigError, KeySourceError, ReadError, UsageError
from elfsig.kernels.names import module_name
from elfsig.lazy_dataclass import replace
from elfsig.model import FileReport, Remark, Verdict
from elfsig.opened.links import Links, resolved_below
from elfsig.opened.module import Module
from elfsig.opened.source import FLAGS, read_error
from elfsig.opened.walk import WalkedFile, walk
from elfsig.registry import Registry
from elfsig.verbs.audit.audit import Audited, SignerRow, audit, link_faults, unreadable
from elfsig.verbs.audit.rules import Fault
from elfsig.verbs.policy.judge import (
    Excuses,
    demand_faults,
    is_for_system,
    no_rule,
    not_checked,
    rule_for,
    signer_of,
)
from elfsig.verbs.policy.model import ModuleRule, Policy
from elfsig.verbs.policy.place import Position, position
from elfsig.verbs.verify.examine import examine
from elfsig.verbs.verify.misnamed import misnamed

TREES: Final = ("lib/modules", "usr/lib/modules")
MAX_HOST: Final = 253
"""Maximum length of the name of a host (RFC 1123, section 2.1, by way of RFC 1035)."""

MAX_ALIKE: Final = 1 << 15
"""Modules with several hard links whose result is kept: another name of the same file has the same."""

BATCH: Final = 32
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")


class Host(NamedTuple):
    """A host: its name, and the directory that is its root."""

    name: str
    root: str


class Member(NamedTuple):
    """One file to audit, and where it is."""

    entry: WalkedFile
    where: Position


# --------------------------------------------------------------------------- hosts


def find_hosts(patterns: Iterable[str]) -> list[Host]:
    """The hosts whose root directories the glob patterns match, in order, each once.

    A link to another of them is left out. A host is named by its etc/hostname, else by its directory; where
    several have one name, the directory is added to it. Raises UsageError for a pattern that matches no
    directory.
    """
    roots: dict[str, None] = {}
    for pattern in patterns:
        found = sorted(each for each in glob.glob(pattern) if os.path.isdir(each))
        if not found:
            raise UsageError(f"{pattern}: no directory matches", code="no-host")
        roots |= dict.fromkeys(each.rstrip("/") or "/" for each in found)
    roots = _different(roots)
    names = {root: _host_name(root) for root in roots}
    often = Counter(names.values())
    return [Host(n if often[n] == 1 else f"{n} ({_folder(root)})", root) for root, n in names.items()]


def _different(roots: Iterable[str]) -> dict[str, None]:
    """Each directory once, whatever leads to it; by the path that is not a link, if there is one."""
    found: dict[str, str] = {}
    for each in roots:
        real = os.path.realpath(each)
        if real not in found or (os.path.islink(found[real]) and not os.path.islink(each)):
            found[real] = each
    return dict.fromkeys(found.values())


def _folder(root: str) -> str:
    return os.path.basename(os.path.abspath(root)) or "/"


def _host_name(root: str) -> str:
    """The first line of etc/hostname that is a name (hostname(5)); else the directory's."""
    try:
        path = inside(f"{root.rstrip('/')}/etc/hostname", root)
        with open(path, "rb", opener=lambda name, _: os.open(name, FLAGS)) as file:
            lines = file.read(4096).decode("ascii", "replace").splitlines()
    except (OSError, KeySourceError):
        return _folder(root)
    words = (line.strip() for line in lines if not line.startswith("#"))
    found = next((word for word in words if word), "")
    return found if len(found) <= MAX_HOST and _NAME.fullmatch(found) else _folder(root)


def host_members(
    host: Host, registry: Registry, follow: bool, all_files: bool, late: list[Fault]
) -> Iterator[Member]:
    """The modules of a host, by their releases. A host without any has an entry with that error.

    ``late`` gets the faults of links, when all modules were given.
    """
    links = Links(follow, host.root)
    empty = True
    for release, folder, error in _releases(host.root):
        if error is not None:
            empty = False
            yield Member(WalkedFile(folder, host.root, error), Position(host.root, release, "", host.name))
            continue
        for entry in walk([folder], all_files, registry, links):
            if entry.error is not None and entry.path == folder and entry.error.code == "nothing-found":
                continue  # a release's directory without modules is what a removed kernel leaves
            empty = False
            below = entry.path[len(folder) + 1 :]
            yield Member(entry, Position(host.root, release, below, host.name))
    if empty:
        fault = ReadError("no modules below lib/modules or usr/lib/modules", code="nothing-found")
        yield Member(WalkedFile(host.root, host.root, fault), Position(host.root, None, "", host.name))
    late += (each._replace(host=host.name) for each in link_faults(links))


class Release(NamedTuple):
    """A release of a host and its directory, or why that cannot be read (``name`` None: all of them)."""

    name: str | None
    folder: str
    error: ReadError | None = None


def _releases(root: str) -> Iterator[Release]:
    """The releases of a host, each directory once; no link leads out of the root. A directory goes before
    links to it: the release of its modules is its own name."""
    base = os.path.realpath(root)
    seen: set[str] = set()
    for tree in TREES:
        try:
            top = resolved_below(base, f"/{tree}")
            found = sorted(os.scandir(top), key=lambda each: (each.is_symlink(), each.name))
        except FileNotFoundError:
            continue
        except OSError as reason:
            yield Release(None, f"{root.rstrip('/')}/{tree}", read_error(reason))
            continue
        for each in found:
            release = _release(root, base, each)
            if release is not None and release.folder not in seen:
                seen.add(release.folder)
                yield release


def _release(root: str, base: str, entry: os.DirEntry[str]) -> Release | None:
    """The release that an entry of lib/modules is the directory of; None for other files."""
    below = entry.path[len(base.rstrip("/")) :]
    try:
        real = resolved_below(base, below)
    except OSError as reason:
        return Release(entry.name, root.rstrip("/") + below, read_error(reason))
    if real == base or not os.path.isdir(real):
        return None
    return Release(entry.name, root.rstrip("/") + real[len(base.rstrip("/")) :])


def tree_members(
    paths: Sequence[str], registry: Registry, links: Links, host: str | None, all_files: bool = False
) -> Iterator[Member]:
    """The modules in directories, and files as named."""
    for entry in walk(paths, all_files, registry, links):
        path, top = os.path.abspath(entry.path), None if entry.root is None else os.path.abspath(entry.root)
        yield Member(entry, position(path, top, host))


# --------------------------------------------------------------------------- the audit


class Auditor:
    """Audits one module after the other, by the rules of a policy. One instance is used in one process."""

    policy: Policy
    excuses: Excuses
    settings: Settings
    contexts: Contexts

    def __init__(self, policy: Policy, excuses: Excuses, settings: Settings, sources: Sources) -> None:
        self.policy, self.excuses, self.settings = policy, excuses, settings
        self.contexts = Contexts(policy, settings, sources)
        self._alike: Recent[tuple[object, ...], Audited] = Recent(MAX_ALIKE)

    def __call__(self, member: Member) -> Audited:
        """The result for one file. Never raises because of the file."""
        entry, where = member
        try:
            found = self._audited(entry, where)
        except Exception as bug:  # an error of ours at this file must not cost the results of the others
            found = unreadable(entry.path, Remark.of(fault_of(bug, self.settings.registry)))
        return self._placed(found, where)

    def _audited(self, entry: WalkedFile, where: Position) -> Audited:
        if entry.error is not None:
            return unreadable(entry.path, Remark.of(entry.error))
        number = rule_for(self.policy, where)
        if number is None:
            row = SignerRow("", "", "", "", "")
            return Audited(entry.path, None, row, (no_rule(entry.path, self.policy),))
        context = self.contexts.context(number, where)
        key = self._key(entry, context)
        kept = None if key is None else self._alike.get(key)
        if kept is not None:
            return kept._replace(path=entry.path)
        done = self._examined(context.examiner(entry), context)
        if key is not None and not done.faults:
            self._alike.put(key, done)
        return done

    @staticmethod
    def _key(entry: WalkedFile, context: Context) -> tuple[object, ...] | None:
        """What identifies a file with several hard links, and all that its result depends on."""
        if not entry.is_plain:
            return None
        about = os.stat(entry.path)
        if about.st_nlink < 2:
            return None
        stamp = (about.st_dev, about.st_ino, about.st_size, about.st_ctime_ns)
        return (*context.identity, stamp, module_name(entry.path))

    def module(self, module: Module, report: FileReport, where: Position) -> Audited:
        """The result for a module in a container, which has been opened; ``report`` may be without keys."""
        try:
            found = self._opened(module, report, where)
        except Exception as bug:  # as above
            found = unreadable(report.path, Remark.of(fault_of(bug, self.settings.registry)))
        return self._placed(found, where)

    def _placed(self, found: Audited, where: Position) -> Audited:
        placed = self.excuses.apply(found, where).at(where.host, where.release)
        losses = self.contexts.new_losses()
        return placed._replace(losses=losses) if losses else placed

    def learned(self, results: Iterable[Audited]) -> Iterator[Audited]:
        """The results, after what they say about key sources was noted in :attr:`contexts`."""
        for each in results:
            if each.losses:
                self.contexts.learn(each.losses)
                each = each._replace(losses=())
            yield each

    def _opened(self, module: Module, report: FileReport, where: Position) -> Audited:
        number = rule_for(self.policy, where)
        if number is None:
            row = SignerRow("", "", "", "", "")
            return Audited(report.path, None, row, (no_rule(report.path, self.policy),))
        context = self.contexts.context(number, where)
        report = examine(module, context.gate.question)
        if (named := misnamed(module, report)) is not None:
            report = replace(report, warnings=(*report.warnings, named))
        return self._examined(Examined(report, module), context)

    def _examined(self, done: Examined, context: Context) -> Audited:
        report, module = done.report, done.module
        found = audit(module, report, context.gate)
        if module is None or report.error is not None:
            return found
        more = list(demand_faults(report.path, context.rule, signer_of(report), report.verdict))
        faults = list(found.faults)
        if context.no_keys is not None and report.verdict is Verdict.UNCHECKED:
            faults = [each for each in faults if each.rule != "other-key"]
            more.append(not_checked(report.path, context.no_keys))
        if context.no_kernel is not None:
            more.append(not_checked(report.path, context.no_kernel))
        return found._replace(
            faults=(*faults, *(each for each in more if each.rule not in context.gate.ignored))
        )


def audited(members: Iterable[Member], auditor: Auditor, jobs: int = 0) -> Iterator[Audited]:
    """The results for all files, in order, in ``jobs`` processes (0: one for each processor)."""

    def work(batch: Sequence[Member]) -> list[Audited]:
        return [auditor(each) for each in batch]

    def lost(batch: Sequence[Member], how: str) -> list[Audited]:
        if len(batch) > 1:  # one of them was the cause: try each in turn, never in this process
            return [one for each in run(work, [[m] for m in batch], 2, lost=lost, few=0) for one in each]
        fault = ReadError(f"no result: {how}", code="process-died")
        return [auditor(batch[0]._replace(entry=batch[0].entry._replace(error=fault)))]

    for results in run(work, _batches(members), jobs, lost=lost):
        yield from auditor.learned(results)


def _batches(members: Iterable[Member]) -> Iterator[list[Member]]:
    """Small batches first, so that few are shared out evenly."""
    batch: list[Member] = []
    given = 0
    for each in members:
        batch.append(each)
        if len(batch) >= min(BATCH, 1 + given // 64):
            given += len(batch)
            yield batch
            batch = []
    if batch:
        yield batch


def warm(hosts: Iterable[Host], auditor: Auditor) -> None:
    """Read the key sources of all hosts before processes are started: what hosts share is then read once.

    What cannot be read is left for the host's modules, which are then not checked.
    """
    rules = [(n, each) for n, each in enumerate(auditor.policy.rules) if _depends_on_host(each)]
    for host in hosts:
        for release, _, error in _releases(host.root):
            if error is not None:
                continue
            where = Position(host.root, release, "", host.name)
            for number, rule in rules:
                if is_for_system(rule, where):
                    auditor.contexts.context(number, where)


def _depends_on_host(rule: ModuleRule) -> bool:
    """Whether a rule has a key source or a kernel with a placeholder."""
    return any("{" in each for each in (*rule.trust, *rule.keys, rule.kernel or ""))


__all__ = [
    "Auditor",
    "ElfsigError",
    "Host",
    "Member",
    "audited",
    "find_hosts",
    "host_members",
    "kernel_image",
]
