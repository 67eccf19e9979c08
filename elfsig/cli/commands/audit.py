"""``elfsig audit``: a gate for CI, and for administrators before they enforce signatures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from elfsig.batch.tree import Examination, Examined, examined
from elfsig.batch.vendor.audit import AgainstVendor
from elfsig.cli.commands.audit_job import Report, against, checks_of, exit_code, fill
from elfsig.cli.commands.audit_policy import Reading, by_policy
from elfsig.cli.options.common import (
    Machine,
    all_option,
    format_type,
    hash_type,
    hash_wished,
    host_option,
    jobs_option,
    kernel_type,
    limit_option,
    links_options,
    machine_options,
    path_type,
    paths_argument,
    trust_options,
)
from elfsig.cli.options.files import WritingCommand, output_type, source_name
from elfsig.cli.options.kernel import KernelWish, question_of
from elfsig.cli.options.key_rings import key_ring
from elfsig.cli.options.policy import FleetWish, policy_options
from elfsig.cli.options.survey import against_option
from elfsig.cli.progress import watched
from elfsig.cli.reading import tell_of_links
from elfsig.cli.settings import Settings
from elfsig.errors import ReadError, UsageError
from elfsig.kernels.names import module_name
from elfsig.lazy_dataclass import replace
from elfsig.opened.links import Links
from elfsig.opened.walk import WalkedFile, walk
from elfsig.verbs.audit.audit import Gate, audit, link_faults
from elfsig.verbs.audit.expected import InUse
from elfsig.verbs.audit.ledger import Ledger
from elfsig.verbs.audit.rules import IGNORABLE
from elfsig.verbs.verify.examine import Question

if TYPE_CHECKING:
    from elfsig.verbs.audit.audit import Audited
    from elfsig.verbs.verify.kernel import KernelQuestion


def demands(callback: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options that say what is required of a module."""
    options = (
        click.option(
            "--hash", "hashes", multiple=True, type=hash_type, metavar="HASH",
            help="Require this hash; repeatable."
        ),
        click.option(
            "--format", "formats", multiple=True, type=format_type, help="Require this format; repeatable."
        ),
        click.option(
            "--kernel", "kernels", multiple=True, type=kernel_type, metavar="KERNEL",
            help="Require that this kernel loads it: an id, a release, an image, or auto; repeatable.",
        ),
        click.option(
            "--expect", metavar="WHAT", type=source_name,
            help="Require these modules: a number, a modules.order file, or a JSON output or table of elfsig."
        ),
        against_option,
        click.option(
            "--loaded", type=path_type, metavar="FILE",
            help="Audit only the modules listed in FILE (/proc/modules), as if signatures were enforced.",
        ),
        click.option(
            "--ignore", multiple=True, metavar="RULE", type=click.Choice(IGNORABLE),
            help="Skip this rule; repeatable.",
        ),
    )  # fmt: skip
    for option in reversed(options):
        callback = option(callback)
    return callback


@click.command("audit", cls=WritingCommand)
@paths_argument(required=False)
@trust_options
@demands
@policy_options
@click.option("--details", is_flag=True, help="List every module with a fault; else like faults are counted.")
@click.option("--junit", type=output_type, metavar="FILE", help="Also write JUnit XML to FILE.")
@click.option("--sarif", type=output_type, metavar="FILE", help="Also write SARIF 2.1.0 to FILE.")
@machine_options
@host_option
@all_option
@links_options
@jobs_option
@limit_option
@click.pass_obj
def command(
    settings: Settings,
    /,
    paths: tuple[str, ...],
    machine: Machine,
    all_files: bool,
    links: Links,
    details: bool,
    jobs: int,
    limit: int,
    junit: str | None,
    sarif: str | None,
    fleet: FleetWish,
    **demand: Any,
) -> int:
    """Fail when a module is not signed as it should be.

    Reports modules that are unsigned, stripped, malformed, signed twice, signed by an untrusted key or with
    a weak hash, compressed so that kernels cannot read them, or that have a stale security.ima; and missing
    modules. With a JSON output of elfsig, --expect also reports what is new, changed or moved since, lost its
    signature or has that of another signer. --against does the same with the vendor's packages, and says what
    differs. Like faults are counted together; --details lists every module.

    With --policy, rules by path say what is required, and exceptions expire; --host-root audits many hosts.

    Symbolic links to files are followed, each file once. Exit codes: 0 no faults, 1 faults, 3 only refusals
    by a kernel, 4 only what could not be checked, 5 a file or a source of --against could not be read.
    """
    report = Report(settings, machine, details, junit, sarif)
    reading = Reading(paths, all_files, links, jobs, limit)
    if fleet.wanted:
        return by_policy(report, fleet, reading, demand)
    if not paths:
        raise UsageError("no PATH given: name files or directories", code="no-path")
    return _by_options(report, reading, demand)


def _by_options(report: Report, reading: Reading, demand: dict[str, Any]) -> int:
    """Audit by what the options require, and write the results. Gives the exit code."""
    settings, machine, (paths, all_files, links, jobs, limit) = report.settings, report.machine, reading
    gate, checks = _gate(settings, demand), checks_of(demand)
    if machine.wanted or demand["against"] or any(each.needs_hashes for each in checks):
        gate = replace(gate, states=True)
    in_use = next((each for each in checks if isinstance(each, InUse)), None)
    found = _chosen(walk(paths, all_files, settings.registry, links), in_use)
    question = replace(gate.question, any_file=all_files)
    what = Examination(settings.registry, question, limit=limit)
    names = in_use.names if in_use is not None else frozenset()
    tracking = bool(checks or demand["against"])
    with (
        closing(Ledger(gate.ignored, report.recording, tracking, watched=names)) as ledger,
        against(settings, demand["against"], paths, limit, jobs) as vendor,
    ):
        if vendor is not None:
            checks.append(check := AgainstVendor(vendor, paths))
            ledger.vendor_of = check.member
        fill(ledger, checks, watched(examined(found, what, _auditor(gate, machine.host), jobs=jobs)))
        for fault in link_faults(links):
            ledger.add_fault(fault._replace(host=machine.host))
        if not ledger.files and in_use is None:
            raise ReadError("no modules found", code="nothing-found")
        report.write(ledger, links, in_use)
        tell_of_links(links)
        return exit_code(ledger)


def _gate(settings: Settings, demand: dict[str, Any]) -> Gate:
    """Raises UsageError, KeySourceError for unknown names."""
    registry = settings.registry
    trust, keys = demand["trust"], demand["keys"]
    if not trust:
        raise UsageError("no trusted keys given: name them with --trust SRC", code="trust")
    return Gate(
        Question(key_ring(trust, keys)),
        frozenset(hash_wished(name).name for name in demand["hashes"]),
        frozenset(registry.get(name).id for name in demand["formats"]),
        tuple(_kernels(settings, demand)),
        frozenset(demand["ignore"]),
    )


def _kernels(settings: Settings, demand: dict[str, Any]) -> Iterator[KernelQuestion]:
    enforce = demand["loaded"] is not None
    for kernel in demand["kernels"]:
        wish = KernelWish(kernel, enforce=enforce)
        yield question_of(wish, demand["trust"], demand["keys"])


def _auditor(gate: Gate, host: str | None) -> Callable[[Examined], Audited]:
    """The audit of one file of a host."""

    def finish_one(found: Examined) -> Audited:
        return audit(found.module, found.report, gate).at(host, None)

    return finish_one


def _chosen(entries: Iterator[WalkedFile], in_use: InUse | None) -> Iterator[WalkedFile]:
    """All entries, or those of modules in use; entries with errors always."""
    if in_use is None:
        yield from entries
        return

    for entry in entries:
        if entry.error is not None or module_name(entry.path) in in_use.names:
            yield entry
