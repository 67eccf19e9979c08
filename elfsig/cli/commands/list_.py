"""``elfsig list``: list signatures, in the style of ``readelf -SW``."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import click

from elfsig.batch.isolation import isolated
from elfsig.batch.tree import Examination, Examined, examined
from elfsig.cli import exit_codes
from elfsig.cli.hints import hinted
from elfsig.cli.lazy import similar
from elfsig.cli.options.common import (
    Machine,
    all_option,
    host_option,
    jobs_option,
    limit_option,
    links_options,
    machine_options,
    paths_argument,
)
from elfsig.cli.options.detached import outside_of, outside_options
from elfsig.cli.reading import Result, collect, entries, finish
from elfsig.cli.render import list_ as render_list
from elfsig.cli.render.words import SECTION_TYPES, summary
from elfsig.cli.settings import Settings, complain, visible
from elfsig.crypto.hashes import HASHES
from elfsig.crypto.oids import BY_OID
from elfsig.errors import ElfsigError, UsageError
from elfsig.lazy_tuple import NamedTuple
from elfsig.model import FileReport
from elfsig.opened.links import Links
from elfsig.opened.walk import WalkedFile
from elfsig.registry import Registry
from elfsig.verbs.verify.examine import Question


class Style(NamedTuple):
    """How to print. ``single``: one file, with a heading like readelf's and a legend."""

    machine: Machine
    only: str | None
    with_path: bool
    single: bool


@click.command("list")
@paths_argument(stream=True)
@machine_options
@host_option
@all_option
@links_options
@click.option(
    "-H", "--with-path", "with_path", flag_value=True, default=None, help="Start every line with the path."
)
@click.option("-h", "--no-path", "with_path", flag_value=False, default=None, help="Omit the path.")
@click.option(
    "--only", metavar="WORD", help="Print only what matches WORD: signed, unsigned, a format, a hash..."
)
@click.option("--sections", is_flag=True, help="List all sections, and which signatures cover each.")
@outside_options
@jobs_option
@limit_option
@click.pass_obj
def command(
    settings: Settings,
    paths: tuple[str, ...],
    machine: Machine,
    all_files: bool,
    links: Links,
    with_path: bool | None,
    only: str | None,
    sections: bool,
    detached: str | None,
    modarg: str | None,
    jobs: int,
    limit: int,
) -> int:
    """List the signatures of files, one per line; directories are searched for modules, - is standard input.

    In directories, symbolic links to files are followed, each file once.

    Nothing is verified: see elfsig verify. WORD is one of signed, unsigned, malformed, the id of a format, a
    hash, an algorithm, a kind of carrier (section, note, trailer), or the name or type of a section.
    """
    registry = settings.registry
    if sections and (only or detached or modarg):
        raise UsageError("--sections cannot be combined with --only, --detached or --modarg")
    found, single = entries(paths, all_files, registry, links)
    outside = outside_of(detached, modarg, single)
    style = Style(machine, _word(only, registry), (not single) if with_path is None else with_path, single)
    if style.with_path:
        style = style._replace(single=False)
    question = Question(None, machine.wanted, False, all_files, recorded=single)
    if sections:
        return _sections(found, style, settings, links, limit)
    what = Examination(registry, question, outside, None, limit)
    results = examined(found, what, _finisher(style, registry), jobs=jobs, single=single)
    counts, code = collect(results, settings, machine, links=links)
    if not single:
        complain(summary(counts))
    return code


def _word(only: str | None, registry: Registry) -> str | None:
    """The word of ``--only``, the alias of a format replaced by its id. Raises UsageError for unknown words.

    Names of sections that begin with a dot are not looked up.
    """
    if only is None:
        return None
    word = only.lower()
    found = {name.lower(): f.id for f in registry.formats for name in (f.id, *f.aliases)}.get(word, word)
    if word.startswith(".") or found in (known := only_words(registry)):
        return found
    raise UsageError(f"--only {only}: unknown word{similar(word, known)}", code="unknown-word")


def only_words(registry: Registry) -> list[str]:
    """What ``--only`` can be: the words of a listing that are not names of the user's choice."""
    signed_by = {each.algorithm for each in BY_OID.values() if each.algorithm is not None}
    names = (*registry.envelopes, *registry.names.values(), *SECTION_TYPES.values())
    return [
        *("signed", "unsigned", "malformed", "unclaimed", "section", "note", "trailer", "detached"),
        *(each.id for each in registry.formats),
        *HASHES,
        *sorted(signed_by),
        *dict.fromkeys(name.lower() for name in names),
    ]


def _sections(found: Iterable[WalkedFile], style: Style, settings: Settings, links: Links, limit: int) -> int:
    """``--sections``: the section table of every file. Gives the exit code."""
    from elfsig.cli.render.sections import sections_object, text
    from elfsig.model.json_form import dumps
    from elfsig.verbs.inspect.sections import reaches

    origin = style.machine.origin

    def failed(entry: WalkedFile, fault: ElfsigError) -> Result:
        line = dumps({**sections_object(entry.path, fault), **origin}) if style.machine.wanted else ""
        return Result(entry.path, line, "", fault.exit_code, hinted(str(fault), fault.hint))

    def work(entry: WalkedFile) -> Result:
        module = entry.open(settings.registry, limit=limit)
        image, covered = module.image, reaches(module)
        if style.machine.wanted:
            found = sections_object(entry.path, image, covered, module)
            return Result(entry.path, dumps({**found, **origin}), "", exit_codes.GOOD)
        prefix = f"{visible(entry.path)}: " if style.with_path else ""
        return Result(entry.path, text(image, covered, prefix), "", exit_codes.GOOD)

    results = map(isolated(work, failed, settings.registry), found)
    return collect(results, settings, style.machine, links=links)[1]


def _finisher(style: Style, registry: Registry) -> Callable[[Examined], Result]:
    """What is left of a file's report: its lines, the word that it counts under, and its exit code."""

    def finish_one(found: Examined) -> Result:
        report = found.report
        code = exit_codes.UNREADABLE if report.verdict is None else exit_codes.GOOD
        return finish(report, _text(report, style, registry), render_list.kind_of(report), code)

    return finish_one


def _text(report: FileReport, style: Style, registry: Registry) -> str:
    if style.machine.wanted:
        from elfsig.model.json_form import dumps, file_object

        return dumps({**file_object(report), **style.machine.origin})
    if report.error is not None:
        return ""
    if style.single and style.only is None:
        return render_list.one_file(report, registry.names)
    prefix = f"{visible(report.path)}: " if style.with_path else ""
    lines = render_list.tree_lines(report, registry.names, prefix, style.only)
    return "".join(f"{line}\n" for line in lines)
