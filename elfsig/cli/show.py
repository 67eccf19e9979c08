"""``elfsig show``: every field of every signature."""

from __future__ import annotations

import click

from elfsig.cli import exit_codes, render_show
from elfsig.cli.options import Machine, limit_option, machine_options, paths_argument
from elfsig.cli.reading import Result, collect, entries, finish, report_on
from elfsig.cli.settings import Settings
from elfsig.evidence import Entry
from elfsig.jsonform import dumps, file_object
from elfsig.model import FileReport, Verdict
from elfsig.verbs.verify import Question


@click.command("show")
@paths_argument("FILE...")
@machine_options
@click.option("-F", "--field", metavar="FIELD", help="Only the values of this field, one a line.")
@click.option("-0", "--null", "nul", is_flag=True, help="NUL instead of newline, FIELD=VALUE.")
@limit_option
@click.pass_obj
def command(
    settings: Settings, paths: tuple[str, ...], machine: Machine, field: str | None, nul: bool, limit: int
) -> int:
    """Show every field of every signature: modinfo's own first, then what modinfo hides.

    Names, times and ids are the file's own claims: nothing is checked here. Directories are walked.
    """
    question = Question(settings.registry, None, machine.wanted, False)
    between = "" if field is not None or nul or machine.wanted else "\n"
    first = True

    def work(entry: Entry) -> Result:
        nonlocal first
        report = report_on(entry, question, limit).report
        text = dumps(file_object(report)) if machine.wanted else _text(report, field, nul)
        lead, first = ("" if first or not text else between), first and not text
        return finish(report, lead + text, "", _code(report))

    found, _ = entries(paths, False)
    return collect(map(work, found), settings, machine)[1]


def _text(report: FileReport, field: str | None, nul: bool) -> str:
    if report.error is not None:
        return ""
    if field is None and not nul:
        return render_show.text(report)
    return render_show.picked(report, field, nul)


def _code(report: FileReport) -> int:
    if report.verdict is None:
        return exit_codes.UNREADABLE
    return exit_codes.BAD if report.verdict is Verdict.MALFORMED else exit_codes.GOOD
