"""``elfsig audit``: a gate for CI, and for administrators before they enforce signatures."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from typing import TYPE_CHECKING, Any

import click

from elfsig.batch.survey import Plan
from elfsig.batch.survey_run import check_sources
from elfsig.batch.tree import Examination, Examined, examined
from elfsig.batch.vendor import Vendor, reading_vendor
from elfsig.batch.vendor_audit import AgainstVendor
from elfsig.cli import exit_codes
from elfsig.cli.caged import cage_of
from elfsig.cli.commands.verify import keyring
from elfsig.cli.options.cage import CageWish
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
from elfsig.cli.options.kernel import KernelWish, question_of
from elfsig.cli.options.survey import MEBIBYTES, SECONDS, against_option
from elfsig.cli.progress import watched
from elfsig.cli.reading import tell_of_links
from elfsig.cli.render import audit as render_audit
from elfsig.cli.render import audit_reports as render_reports
from elfsig.cli.render.documents import line_of, write_files
from elfsig.cli.render.table import laid_out
from elfsig.cli.settings import Settings
from elfsig.errors import ReadError, UsageError
from elfsig.kernels.names import module_name
from elfsig.lazy_dataclass import replace
from elfsig.model import Remark
from elfsig.model.json_form import dumps, run_record
from elfsig.opened.atomic import write_atomic
from elfsig.opened.links import Links
from elfsig.opened.walk import WalkedFile, walk
from elfsig.verbs.audit.audit import Gate, audit, link_faults, unreadable
from elfsig.verbs.audit.expected import InUse, expected, loaded
from elfsig.verbs.audit.ledger import Ledger
from elfsig.verbs.audit.rules import RULES
from elfsig.verbs.vendor.faults import UNREAD
from elfsig.verbs.verify.examine import Question

if TYPE_CHECKING:
    from elfsig.verbs.audit.audit import Audited
    from elfsig.verbs.audit.expected import Check
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
            "--expect", metavar="WHAT",
            help="Require these modules: a number, a modules.order file, or a JSON output of elfsig."
        ),
        against_option,
        click.option(
            "--loaded", type=path_type, metavar="FILE",
            help="Audit only the modules listed in FILE (/proc/modules), as if signatures were enforced.",
        ),
        click.option(
            "--ignore", multiple=True, metavar="RULE", type=click.Choice(list(RULES)),
            help="Skip this rule; repeatable.",
        ),
    )  # fmt: skip
    for option in reversed(options):
        callback = option(callback)
    return callback


@click.command("audit")
@paths_argument()
@trust_options
@demands
@click.option("--details", is_flag=True, help="List every module with a fault; else like faults are counted.")
@click.option("--junit", type=path_type, metavar="FILE", help="Also write JUnit XML to FILE.")
@click.option("--sarif", type=path_type, metavar="FILE", help="Also write SARIF 2.1.0 to FILE.")
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
    **demand: Any,
) -> int:
    """Fail when a module is not signed as it should be.

    Reports modules that are unsigned, stripped, malformed, signed twice, signed by an untrusted key or with
    a weak hash, compressed so that kernels cannot read them, or that have a stale security.ima; and missing
    modules. With a JSON output of elfsig, --expect also reports what is new, changed or moved since, lost its
    signature or has that of another signer. --against does the same with the vendor's packages, and says what
    differs. Like faults are counted together; --details lists every module.

    Symbolic links to files are followed, each file once. Exit codes: 0 no faults, 1 faults, 3 only refusals
    by a kernel, 5 a file or a source of --against could not be read.
    """
    gate, checks = _gate(settings, demand), _checks(demand)
    recording = details or machine.wanted or junit is not None or sarif is not None
    if machine.wanted or demand["against"] or any(each.needs_hashes for each in checks):
        gate = replace(gate, states=True)
    in_use = next((each for each in checks if isinstance(each, InUse)), None)
    found = _chosen(walk(paths, all_files, settings.registry, links), in_use)
    question = replace(gate.question, any_file=all_files)
    what = Examination(settings.registry, question, limit=limit)
    names = in_use.names if in_use is not None else frozenset()
    tracking = bool(checks or demand["against"])
    with (
        closing(Ledger(gate.ignored, recording, tracking, watched=names)) as ledger,
        _against(settings, demand["against"], limit, jobs) as vendor,
    ):
        if vendor is not None:
            checks.append(check := AgainstVendor(vendor, paths))
            ledger.vendor_of = check.member
        _fill(ledger, checks, watched(examined(found, what, _auditor(gate), jobs=jobs)))
        for fault in link_faults(links):
            ledger.add_fault(fault)
        if not ledger.files and in_use is None:
            raise ReadError("no modules found", code="nothing-found")
        _write_files(ledger, junit, sarif)
        _tell(settings, machine, ledger, in_use, links, details)
        tell_of_links(links)
        return exit_code(ledger)


def _fill(ledger: Ledger, checks: Sequence[Check], results: Iterable[Audited]) -> None:
    """Take in every result, one at a time, and what the checks find at the end."""
    for result in results:
        ledger.add(result)
        for check in checks:
            check.add(result)
    for fault in (each for check in checks for each in check.faults()):
        ledger.add_fault(fault)


def exit_code(done: Ledger) -> int:
    """1 for faults, 3 if all faults are refusals by kernels, 5 if a file could not be read, 0 for none."""
    codes = {"kernel": exit_codes.REFUSED, "unreadable": exit_codes.UNREADABLE, UNREAD: exit_codes.UNREADABLE}
    return exit_codes.combined(codes.get(each.rule, exit_codes.BAD) for each in done.folds.rules)


def _checks(demand: dict[str, Any]) -> list[Check]:
    """What to find out about the tree as a whole. Raises UsageError, ReadError."""
    checks: list[Check] = []
    if demand["expect"] is not None:
        checks.append(expected(demand["expect"]))
    if demand["loaded"] is not None:
        checks.append(InUse(loaded(demand["loaded"])))
    return checks


def _against(
    settings: Settings, sources: Sequence[str], limit: int, jobs: int
) -> AbstractContextManager[Vendor | None]:
    """The modules of a vendor, whose packages are read in cages as survey reads them."""
    check_sources(sources)
    plan = Plan(Examination(settings.registry, Question(), limit=limit))
    cage = cage_of(CageWish(SECONDS, MEBIBYTES), settings) if sources else None
    return reading_vendor(sources, plan, cage=cage, jobs=jobs)


def _gate(settings: Settings, demand: dict[str, Any]) -> Gate:
    """Raises UsageError, KeySourceError for unknown names."""
    registry = settings.registry
    trust, keys = demand["trust"], demand["keys"]
    if not trust:
        raise UsageError("no trusted keys given: name them with --trust SRC", code="trust")
    return Gate(
        Question(keyring(trust, keys)),
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


def _auditor(gate: Gate) -> Callable[[Examined], Audited]:
    """The audit of one file; of one that could not be read, the fault."""

    def finish_one(found: Examined) -> Audited:
        report, module = found.report, found.module
        if module is None or report.error is not None:
            return unreadable(report.path, report.error or Remark("unreadable", "could not be read"))
        return audit(module, report, gate)

    return finish_one


def _chosen(entries: Iterator[WalkedFile], in_use: InUse | None) -> Iterator[WalkedFile]:
    """All entries, or those of modules in use; entries with errors always."""
    if in_use is None:
        yield from entries
        return

    for entry in entries:
        if entry.error is not None or module_name(entry.path) in in_use.names:
            yield entry


def _write_files(ledger: Ledger, junit: str | None, sarif: str | None) -> None:
    if junit is not None:
        write_atomic(junit, render_reports.junit(ledger))
    if sarif is not None:
        write_atomic(sarif, dumps(render_reports.sarif(ledger)).encode("ascii") + b"\n")


def _tell(
    settings: Settings, machine: Machine, ledger: Ledger, in_use: InUse | None, links: Links, details: bool
) -> None:
    if machine.form == "jsonl":
        found = render_reports.file_objects(ledger, machine.origin)
        write_files(settings, machine, (line_of(**each) for each in found))
        return
    if machine.wanted:
        run = run_record(settings.argv, machine.reproducible)
        for text in render_reports.document(ledger, links, run, machine.origin):
            sys.stdout.write(text)
        return
    for line in render_audit.lines(ledger, settings.colored(sys.stdout), details):
        click.echo(laid_out(line))
    if in_use is not None:
        click.echo(render_audit.would_be_refused(ledger, in_use))
