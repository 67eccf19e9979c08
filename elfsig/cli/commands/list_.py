"""``elfsig list``: where signatures lie, in the look of ``readelf -SW``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import click

from elfsig.batch.like_trailers import Templates
from elfsig.cli import exit_codes
from elfsig.cli.hints import hinted
from elfsig.cli.options.common import (
    Machine,
    all_option,
    jobs_option,
    limit_option,
    machine_options,
    paths_argument,
)
from elfsig.cli.options.detached import outside_of, outside_options
from elfsig.cli.reading import BATCH, Result, collect, entries, finish, report_on, spread
from elfsig.cli.render import list_ as render_list
from elfsig.cli.render.words import summary
from elfsig.cli.settings import Settings, complain, visible
from elfsig.errors import ReadError, UsageError
from elfsig.model import FileReport
from elfsig.opened.module import open_module
from elfsig.opened.walk import Entry
from elfsig.registry import Registry
from elfsig.verbs.verify.examine import Outside, Question


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
@outside_options
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
    detached: str | None,
    modarg: str | None,
    jobs: int,
    limit: int,
) -> int:
    """List the signatures of files, one line each; directories are walked for modules.

    Nothing is checked: see verify. WORD may be signed, unsigned, malformed, the id of a format, a hash, an
    algorithm, a kind of carrier (section, note, trailer), or the name or type of a section.
    """
    registry = settings.registry
    if sections and (only or detached or modarg):
        raise UsageError("--sections is for all sections, and for what is in the file")
    found, single = entries(paths, all_files, settings.registry)
    outside = outside_of(detached, modarg, single)
    look = Look(machine, _word(only, registry), (not single) if with_path is None else with_path, single)
    if look.with_path:
        look = look._replace(single=False)
    question = Question(None, machine.wanted, False)
    if sections:
        return _sections(found, look, settings, limit)
    lister = Lister(look, registry, question, limit, outside)
    results = spread(lister, found, 1 if single else jobs, BATCH if lister.quick else 1)
    counts, code = collect(results, settings, machine)
    if not single:
        complain(summary(counts))
    return code


def _word(only: str | None, registry: Registry) -> str | None:
    """The word of ``--only``; a format's alias stands for the format."""
    if only is None:
        return None
    alias = {name: f.id for f in registry.formats for name in f.aliases}
    return alias.get(only, only.lower())


def _sections(found: Iterable[Entry], look: Look, settings: Settings, limit: int) -> int:
    """``--sections``: the section table of every file. Gives the exit code."""
    from elfsig.cli.render.sections import sections_object, text
    from elfsig.model.json_form import dumps
    from elfsig.verbs.inspect.sections import reaches

    def work(entry: Entry) -> Result:
        try:
            if entry.error is not None:
                raise entry.error
            module = open_module(entry.path, settings.registry, limit=limit)
        except ReadError as fault:
            line = dumps(sections_object(entry.path, fault)) if look.machine.wanted else ""
            return Result(entry.path, line, "", fault.exit_code, hinted(str(fault), fault.hint))
        image, covered = module.image, reaches(module)
        if look.machine.wanted:
            return Result(entry.path, dumps(sections_object(entry.path, image, covered)), "", exit_codes.GOOD)
        prefix = f"{visible(entry.path)}: " if look.with_path else ""
        return Result(entry.path, text(image, covered, prefix), "", exit_codes.GOOD)

    return collect(map(work, found), settings, look.machine)[1]


class Lister:
    """The work on a batch of files; it remembers trailers, so that most files need not be read in full."""

    def __init__(
        self, look: Look, registry: Registry, question: Question, limit: int, outside: Outside | None = None
    ) -> None:
        self.look, self.question, self.limit, self.outside = look, question, limit, outside
        self.registry, self.names = registry, registry.names
        self.templates = Templates[render_list.Parts](registry)
        self.quick = not (look.machine.wanted or look.single or look.only or outside)

    def __call__(self, batch: Sequence[Entry]) -> list[Result]:
        """One result for each file, but one for all neighbours that a glance was enough for."""
        results: list[Result] = []
        run: list[str] = []
        for entry in batch:
            line = self._glance(entry) if self.quick and entry.error is None else None
            if line is not None:
                run.append(line)
                continue
            results += _joined(run)
            run = []
            results.append(self._examine(entry))
        return results + _joined(run)

    def _glance(self, entry: Entry) -> str | None:
        seen = self.templates.look(entry.path)
        if seen is None:
            return None
        parts, start, bits = seen
        address = render_list.NO_ADDRESS[bits]
        return f"{self._prefix(entry.path)}{parts.lead} {address} {start:06x} {parts.tail}\n"

    def _prefix(self, path: str) -> str:
        return f"{visible(path)}: " if self.look.with_path else ""

    def _examine(self, entry: Entry) -> Result:
        module, report = report_on(entry, self.registry, self.question, self.limit, self.outside)
        word = render_list.kind_of(report)
        if self.quick and module is not None and word == "signed":
            self.templates.learn(report, module, render_list.parts(report.signatures[0], self.names))
        code = exit_codes.UNREADABLE if report.verdict is None else exit_codes.GOOD
        return finish(report, self._text(report), word, code)

    def _text(self, report: FileReport) -> str:
        if self.look.machine.wanted:
            from elfsig.model.json_form import dumps, file_object

            return dumps(file_object(report))
        if report.error is not None:
            return ""
        if self.look.single and self.look.only is None:
            return render_list.one_file(report, self.names)
        lines = render_list.tree_lines(report, self.names, self._prefix(report.path), self.look.only)
        return "".join(f"{line}\n" for line in lines)


def _joined(run: Sequence[str]) -> list[Result]:
    """What a glance was enough for, as one result: all of them are signed."""
    return [Result("", "".join(run), "signed", exit_codes.GOOD, files=len(run))] if run else []
