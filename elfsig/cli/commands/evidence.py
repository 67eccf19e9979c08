"""``elfsig evidence``: a bundle by which others can confirm verdicts without elfsig."""

from __future__ import annotations

from collections.abc import Callable

import click

from elfsig.api.bundling import bundle_of, shortener, wanted_verdicts
from elfsig.batch.evidence.events import WORDS, Task
from elfsig.batch.evidence.keys import bundled_keys, source_records
from elfsig.batch.evidence.writer import BundleSummary, Seen
from elfsig.batch.survey.file import Plan
from elfsig.batch.tree import Examination
from elfsig.cli import exit_codes
from elfsig.cli.caged import cage_of
from elfsig.cli.options.cage import CageWish
from elfsig.cli.options.common import paths_argument, trust_options
from elfsig.cli.options.files import OutputType, WritingCommand, output_type
from elfsig.cli.options.key_rings import key_ring
from elfsig.cli.options.legacy import Variants, legacy_options
from elfsig.cli.options.survey import SurveyWish, budget_options
from elfsig.cli.render.evidence.page import Page
from elfsig.cli.render.evidence.pictures import PICTURES
from elfsig.cli.render.reports import written
from elfsig.cli.render.words import plural
from elfsig.cli.settings import Settings, complain, visible
from elfsig.lazy_dataclass import replace
from elfsig.model import Verdict
from elfsig.model.json_form import run_record
from elfsig.opened.evidence import LIMIT
from elfsig.trust.ring import Ring
from elfsig.verbs.bundle.module import UNREADABLE
from elfsig.verbs.verify.examine import Question


@click.command("evidence", cls=WritingCommand)
@paths_argument()
@click.option(
    "-o",
    "--output",
    required=True,
    type=OutputType(found=True),
    metavar="FILE",
    help="Write the bundle to FILE, a tar archive, or with a slash at the end to a new directory.",
)
@trust_options
@click.option(
    "--only",
    multiple=True,
    type=click.Choice(WORDS),
    metavar="VERDICT",
    help="Include only modules with this verdict, or unreadable ones; repeatable.",
)
@click.option("--html", type=output_type, metavar="F", help="Also write a report as one HTML page to F.")
@click.option(
    "--reproducible",
    is_flag=True,
    help="Make the same bytes from the same files: no time, command line or absolute paths.",
)
@legacy_options
@budget_options
@click.pass_obj
def command(
    settings: Settings,
    paths: tuple[str, ...],
    output: str,
    trust: tuple[str, ...],
    keys: tuple[str, ...],
    only: tuple[str, ...],
    html: str | None,
    reproducible: bool,
    variants: Variants,
    budget: SurveyWish,
) -> int:
    """Write a bundle by which another expert can confirm the verdicts on modules without elfsig.

    PATH is what survey takes: modules, packages, disk images, directories, paths into containers. For each
    module the bundle has the file, the exact bytes that were signed, the signature, the key, the hashes of
    every layer that it came from, its record and a map of what is protected. The script recheck.sh confirms
    every verdict with openssl, gpgv and sha256sum; README says what each file is and what verdicts leave
    open.

    The exit code is 0 when the bundle is written, whatever the verdicts are, and 5 where a file could not be
    read to its end or there is no module.
    """
    registry = variants(settings.registry)
    ring = key_ring(trust, keys)
    question = Question(ring, True)
    limit = min(LIMIT, budget.limits.output or LIMIT)
    plan = Plan(Examination(registry, question, None, None, limit), budget.limits)
    task = Task(plan, bundled_keys(ring), wanted_verdicts(only), PICTURES)
    run, sources = run_record(settings.argv, reproducible), source_records(trust, keys)
    page = Page() if html is not None else None
    cage = cage_of(CageWish(budget.seconds, budget.mebibytes), settings) if budget.caged else None
    seen: Callable[[Seen], None] = page.add if page is not None else lambda each: None
    done = bundle_of(paths, output, task, run, sources, (*trust, *keys), cage=cage, seen=seen)

    def report() -> bytes:
        found = [each.to_json() for each in ring.keys] if isinstance(ring, Ring) else []
        shorten = shortener(paths, (*trust, *keys), output, reproducible)
        last = replace(done, output=shorten.text(output))
        text = (page or Page()).text(run, shorten(sources), shorten(found), last)
        return text.encode("utf-8", "backslashreplace")

    with written((html, report)):
        return _said(done)


def _said(done: BundleSummary) -> int:
    """Print what was written. Returns the exit code."""
    words = (*(each.value for each in Verdict), UNREADABLE)
    counts = ", ".join(f"{done.verdicts[word]} {word}" for word in words if done.verdicts.get(word))
    found = plural(sum(done.verdicts.values()), "module")
    click.echo(f"{visible(done.output)}: {found}" + (f": {counts}" if counts else ""))
    if done.sha256 is not None:
        click.echo(f"SHA-256 {done.sha256}")
    if done.incomplete:
        complain(f"{plural(done.incomplete, 'container')} not read to the end: see README in the bundle")
    if not done.verdicts and not done.left_out:
        complain("no modules found")
    incomplete = done.incomplete or not (done.verdicts or done.left_out)
    return exit_codes.UNREADABLE if incomplete else exit_codes.GOOD
