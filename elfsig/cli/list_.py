"""``elfsig list``: where signatures lie, in the look of ``readelf -SW``."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import click

from elfsig.cli import exit_codes, render_list
from elfsig.cli.options import Machine, all_option, jobs_option, limit_option, machine_options, paths_argument
from elfsig.cli.reading import Result, collect, entries, finish, report_on, spread
from elfsig.cli.settings import Settings, complain, visible
from elfsig.cli.words import summary
from elfsig.evidence import Entry
from elfsig.jsonform import dumps, file_object
from elfsig.model import FileReport
from elfsig.registry import Registry
from elfsig.verbs.verify import Question


class Look(NamedTuple):
    """How lines are made. ``single``: one file, with readelf's heading and legend."""

    machine: Machine
    only: str | None
    with_path: bool
    single: bool


@click.command("list")
@paths_argument()
@machine_options
@all_option
@click.option(
    "-H", "--with-path", "with_path", flag_value=True, default=None, help="Lead every line by the path."
)
@click.option("-h", "--no-path", "with_path", flag_value=False, default=None, help="Leave the path out.")
@click.option(
    "--only", metavar="WORD", help="Only what has this word: signed, unsigned, malformed, a format..."
)
@click.option("--sections", is_flag=True, help="All sections, and which signatures cover each.")
@jobs_option
@limit_option
@click.pass_obj
def command(
    settings: Settings,
    paths: tuple[str, ...],
    machine: Machine,
    all_files: bool,
    with_path: bool | None,
    only: str | None,
    sections: bool,
    jobs: int,
    limit: int,
) -> int:
    """List the signatures of files, one line each; directories are walked for modules.

    Nothing is checked: see verify. WORD may be signed, unsigned, malformed, the id of a format, a hash, an
    algorithm, or a kind of carrier (section, note, trailer).
    """
    registry = settings.registry
    found, single = entries(paths, all_files)
    look = Look(machine, _word(only, registry), (not single) if with_path is None else with_path, single)
    if look.with_path:
        look = look._replace(single=False)
    question = Question(registry, None, machine.wanted, False)
    work = _worker(look, question, limit)
    counts, code = collect(spread(work, found, jobs), settings, machine)
    if not single:
        complain(summary(counts))
    return code


def _word(only: str | None, registry: Registry) -> str | None:
    """The word of ``--only``; a format's alias stands for the format."""
    if only is None:
        return None
    alias = {name: f.id for f in registry.formats for name in f.aliases}
    return alias.get(only, only.lower())


def _worker(look: Look, question: Question, limit: int) -> Callable[[Entry], Result]:
    def work(entry: Entry) -> Result:
        report = report_on(entry, question, limit)
        code = exit_codes.UNREADABLE if report.verdict is None else exit_codes.GOOD
        return finish(report, _text(report, look), render_list.kind_of(report), code)

    return work


def _text(report: FileReport, look: Look) -> str:
    if look.machine.wanted:
        return dumps(file_object(report))
    if report.error is not None:
        return ""
    if look.single and look.only is None:
        return render_list.one_file(report)
    prefix = f"{visible(report.path)}: " if look.with_path else ""
    return "".join(f"{line}\n" for line in render_list.tree_lines(report, prefix, look.only))
