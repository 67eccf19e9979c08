"""What audits share: taking in the results, writing reports, the exit code."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import click

from elfsig.batch.policy.baseline import expected_modules
from elfsig.batch.survey.file import Plan
from elfsig.batch.survey.run import check_sources
from elfsig.batch.tree import Examination
from elfsig.batch.vendor.modules import Vendor, reading_vendor
from elfsig.cli import exit_codes
from elfsig.cli.caged import cage_of
from elfsig.cli.options.cage import CageWish
from elfsig.cli.options.common import Machine
from elfsig.cli.options.survey import MEBIBYTES, SECONDS
from elfsig.cli.render.audit import reports as render_reports
from elfsig.cli.render.audit import text as render_audit
from elfsig.cli.render.documents import line_of, lost, write_files
from elfsig.cli.render.reports import written
from elfsig.cli.render.table import laid_out
from elfsig.cli.settings import Settings
from elfsig.lazy_tuple import NamedTuple
from elfsig.model.json_form import Json, dumps, run_record
from elfsig.opened.links import Links
from elfsig.verbs.audit.expected import InUse, loaded
from elfsig.verbs.audit.ledger import Ledger
from elfsig.verbs.vendor.faults import UNREAD
from elfsig.verbs.verify.examine import Question

if TYPE_CHECKING:
    from elfsig.verbs.audit.audit import Audited
    from elfsig.verbs.audit.expected import Check

CODES = {
    "kernel": exit_codes.REFUSED,
    "unreadable": exit_codes.UNREADABLE,
    "incomplete": exit_codes.UNREADABLE,
    UNREAD: exit_codes.UNREADABLE,
    "not-checked": exit_codes.NO_VERDICT,
}
"""Exit codes by rule; that of all others is BAD."""


def exit_code(done: Ledger) -> int:
    """0 for no faults; 3, 4, 5 if all are refusals by kernels, not checked, or not readable; else 1."""
    return exit_codes.combined(CODES.get(each.rule, exit_codes.BAD) for each in done.folds.rules)


def checks_of(demand: dict[str, Any]) -> list[Check]:
    """What to find out about the tree as a whole. Raises UsageError, ReadError."""
    checks: list[Check] = []
    if demand["expect"] is not None:
        checks.append(expected_modules(demand["expect"]))
    if demand["loaded"] is not None:
        checks.append(InUse(loaded(demand["loaded"])))
    return checks


def against(
    settings: Settings, sources: Sequence[str], own: Sequence[str], limit: int, jobs: int
) -> AbstractContextManager[Vendor | None]:
    """The modules of a vendor, whose packages are read in cages as survey reads them; ``own`` are the paths
    of the other side."""
    check_sources(sources)
    plan = Plan(Examination(settings.registry, Question(), limit=limit), given=tuple(own))
    cage = cage_of(CageWish(SECONDS, MEBIBYTES), settings) if sources else None
    return reading_vendor(sources, plan, cage=cage, jobs=jobs)


def fill(ledger: Ledger, checks: Sequence[Check], results: Iterable[Audited]) -> None:
    """Take in every result, one at a time, and what the checks find at the end."""
    for result in results:
        ledger.add(result)
        for check in checks:
            check.add(result)
    for fault in (each for check in checks for each in check.faults()):
        ledger.add_fault(fault)


class Report(NamedTuple):
    """How the result is written: on stdout, and to files."""

    settings: Settings
    machine: Machine
    details: bool
    junit: str | None
    sarif: str | None

    @property
    def recording(self) -> bool:
        """Whether the result of every file is needed."""
        return self.details or self.machine.wanted or self.junit is not None or self.sarif is not None

    def write(
        self, ledger: Ledger, links: Links, in_use: InUse | None = None, policy: Json | None = None
    ) -> None:
        """Write everything; ``policy`` is that member of the document. Raises WriteError."""
        with written(
            (self.junit, lambda: render_reports.junit(ledger)),
            (self.sarif, lambda: dumps(render_reports.sarif(ledger)).encode("ascii") + b"\n"),
        ):
            self._print(ledger, links, in_use, policy)

    def _print(self, ledger: Ledger, links: Links, in_use: InUse | None, policy: Json | None) -> None:
        settings, machine = self.settings, self.machine
        if machine.form == "jsonl":
            found = render_reports.file_objects(ledger, machine.origin)
            write_files(settings, machine, (line_of(**each) for each in found))
            return
        if machine.wanted:
            more = {**lost(settings), **({} if policy is None else {"policy": policy})}
            run = run_record(settings.argv, machine.reproducible)
            for text in render_reports.document(ledger, links, run, machine.origin, more):
                sys.stdout.write(text)
            return
        for line in render_audit.lines(ledger, settings.colored(sys.stdout), self.details):
            click.echo(laid_out(line))
        if in_use is not None:
            click.echo(render_audit.would_be_refused(ledger, in_use))
