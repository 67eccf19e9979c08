"""``elfsig survey``: the modules in packages, archives, file systems and disk images."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import click

from elfsig.batch.parts.question import PartsQuestion
from elfsig.batch.parts.run import PartsJob
from elfsig.batch.parts.store import store_at
from elfsig.batch.survey.file import Plan, Surveyed
from elfsig.batch.survey.run import Drawn, Line, Outermost, check_sources, outermost, survey_batches
from elfsig.batch.survey.tables import check_tables
from elfsig.batch.tree import Examination
from elfsig.batch.vendor.modules import Vendor, reading_vendor
from elfsig.cage.cage import Cage
from elfsig.cli.caged import cage_of, safe_lines
from elfsig.cli.commands.verify import asked_kernel, ring_for
from elfsig.cli.options.cage import CageWish
from elfsig.cli.options.common import (
    Machine,
    host_option,
    jobs_option,
    machine_options,
    path_type,
    trust_options,
)
from elfsig.cli.options.files import WritingCommand
from elfsig.cli.options.kernel import KernelWish, kernel_options
from elfsig.cli.options.legacy import Variants, legacy_options
from elfsig.cli.options.parts import PartsWish, parts_options
from elfsig.cli.options.survey import (
    FOUND,
    Reports,
    SurveyWish,
    against_option,
    budget_options,
    report_options,
)
from elfsig.cli.parts import check_parts, options_asked, run_parts
from elfsig.cli.progress import watched
from elfsig.cli.reading import tell_of_links
from elfsig.cli.render.documents import write_files
from elfsig.cli.render.links_object import links_object
from elfsig.cli.render.survey import text as render_survey
from elfsig.cli.render.survey.files import Files, picture, report_files
from elfsig.cli.render.table import laid_out, terminal_width
from elfsig.cli.render.vendor import Against
from elfsig.cli.settings import Settings, complain
from elfsig.errors import UsageError
from elfsig.lazy_dataclass import replace
from elfsig.model.json_form import dumps
from elfsig.opened.evidence import LIMIT
from elfsig.opened.links import Links
from elfsig.registry import Registry
from elfsig.verbs.survey.copies import Copies
from elfsig.verbs.verify.examine import Question


@click.command("survey", cls=WritingCommand)
@click.argument("paths", nargs=-1, metavar="PATH...", type=path_type)
@parts_options
@trust_options
@legacy_options
@kernel_options
@machine_options
@host_option
@against_option
@report_options
@budget_options
@jobs_option
@click.pass_obj
def command(
    settings: Settings,
    paths: tuple[str, ...],
    parts: PartsWish | None,
    trust: tuple[str, ...],
    keys: tuple[str, ...],
    variants: Variants,
    wish: KernelWish,
    machine: Machine,
    against: tuple[str, ...],
    reports: Reports,
    budget: SurveyWish,
    jobs: int,
) -> int:
    """Verify the modules in packages, archives, initramfs files, file systems and disk images.

    PATH is a file of any of these kinds, one in another to any depth, a directory of files, or a URL of
    either (s3://, https://). Nothing is unpacked to the disk. Modules get the verdicts of verify; a container
    that could not be read to its end is named, and the exit code is then 5: it may hold modules that are not
    listed.

    --keys found tries the keys of the kernel images in the same file: such a match is untrusted, since who
    could change a module there could change the kernel too.

    --against compares every module with the vendor's for the same kernel: same, repacked, signed by another,
    changed, unknown or missing. Differences are exit code 1; a source that could not be read to its end is 5,
    since nothing can then be said to be unknown or missing.

    Paths in the output, such as disk.qcow2!/p1!/lib/modules/6.1/x.ko.xz, are accepted by list, show, verify,
    explain, digest, coverage, compare, and as key sources.

    --parts N -o DIR writes the records to N files, each by itself: parts that are there are not made again,
    so that a run can be resumed, and --part K makes one of them, on any machine.
    """
    if parts is not None and parts.check:
        return check_parts(store_at(parts.output), parts, machine)
    if not paths:
        raise click.MissingParameter(param_hint="'PATH...'", param_type="argument")
    check_sources((*paths, *against))
    plan = replace(_plan(variants(settings.registry), trust, keys, wish, budget), given=paths)
    cage = cage_of(CageWish(budget.seconds, budget.mebibytes), settings) if budget.caged else None
    if parts is not None:
        job = _job(paths, parts, plan, cage, machine, any(reports) or bool(against))
        return run_parts(settings, machine, parts, job, jobs)
    links = Links()
    draw = _drawing(settings.colored(sys.stdout), machine, reports.html is not None)
    tally, copies = render_survey.Tally(Against() if against else None, not trust and not keys), Copies()
    with (
        report_files(*reports, dict(machine.origin)) as files,
        reading_vendor(against, plan, cage=cage, jobs=jobs) as vendor,
    ):
        batches = survey_batches(outermost(paths, links), plan, draw, cage=cage, jobs=jobs)
        lines = _counted(watched(_lines(batches, vendor, links), "records"), tally, copies, files)
        _write(settings, machine, lines, tally, copies, links)
        given = (*trust, *(each for each in keys if each != FOUND))
        with files.written(settings.argv, machine.reproducible, plan.examination.question.keys, given):
            tell_of_links(links)
            return _ended(settings, machine, tally, copies)


def _ended(settings: Settings, machine: Machine, tally: render_survey.Tally, copies: Copies) -> int:
    """Print what is said when all records are there; the exit code."""
    if not machine.wanted:
        for line in render_survey.at_the_end(tally, copies, settings.colored(sys.stdout)):
            click.echo(laid_out(line))
    for line in render_survey.summary(tally):
        complain(line)
    return tally.code


def _plan(
    registry: Registry, trust: tuple[str, ...], keys: tuple[str, ...], wish: KernelWish, budget: SurveyWish
) -> Plan:
    """What to find out of every module. Raises UsageError, ReadError, KeySourceError."""
    sources = tuple(each for each in keys if each != FOUND)
    asked = asked_kernel(wish, trust, sources, None)
    question = Question(ring_for(asked, trust, sources), True)
    limit = min(LIMIT, budget.limits.output or LIMIT)
    return Plan(Examination(registry, question, None, asked, limit), budget.limits, FOUND in keys)


def _lines(
    batches: Iterable[tuple[Sequence[Outermost], list[Line]]], vendor: Vendor | None, links: Links
) -> Iterator[Line]:
    if vendor is not None:
        return vendor.records(batches, links)
    return (line for _, lines in batches for line in lines)


def _job(
    paths: tuple[str, ...],
    wish: PartsWish,
    plan: Plan,
    cage: Cage | None,
    machine: Machine,
    more: bool,
) -> PartsJob:
    """The survey in parts that was asked for. Raises UsageError, also for ``more``: other output, or a
    comparison, which needs all records at once."""
    if more:
        raise UsageError("--html, --sarif, --parquet and --against cannot be combined with --parts")
    if wish.form == "parquet":
        check_tables()
    options = options_asked(click.get_current_context().params)
    known = [each.id for each in plan.examination.registry.formats]
    question = PartsQuestion(
        paths, wish.parts or 1, wish.form, plan.examination.question.keys, {**options, "formats": known}
    )
    store = store_at(wish.output)
    return PartsJob(paths, plan, question, store, cage, machine.host, machine.reproducible)


def _drawing(color: bool, machine: Machine, pictures: bool) -> Callable[[Surveyed], Drawn]:
    """How a record is drawn, in the process that reads the file."""
    if machine.wanted and not pictures:
        return lambda found: Drawn()

    width = terminal_width()  # here: what draws has no terminal

    def draw(found: Surveyed) -> Drawn:
        text = ""
        if not machine.wanted:
            text = "".join(f"{laid_out(line, width)}\n" for line in render_survey.lines(found.record, color))
        return Drawn(text, picture(found) if pictures else "")

    return draw


def _counted(
    lines: Iterable[Line], tally: render_survey.Tally, copies: Copies, files: Files
) -> Iterator[Line]:
    """``lines``, counted and collected as they pass by."""
    for line in lines:
        tally.add(line.record)
        if line.record["record"] == "module":
            copies.add(line.record)
        files.add(line)
        yield line


def _write(
    settings: Settings,
    machine: Machine,
    lines: Iterator[Line],
    tally: render_survey.Tally,
    copies: Copies,
    links: Links,
) -> None:
    """Write every record as it comes."""
    if not machine.wanted:
        for line in lines:
            sys.stdout.write(safe_lines(line.drawn.text))
        return

    def more() -> dict[str, Any]:
        compared = {} if tally.against is None else {"against": tally.against.to_json()}
        several = [each.to_json() for each in copies.several()]
        found = {"several_places": several, "links": links_object(links)}
        return {"summary": tally.to_json(), **found, **compared}

    write_files(
        settings, machine, (dumps({**line.record, **machine.origin}) for line in lines), "records", more
    )
