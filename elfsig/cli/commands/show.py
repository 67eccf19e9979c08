"""``elfsig show``: every field of every signature."""

from __future__ import annotations

from typing import NamedTuple

import click

from elfsig.batch.tree import Examination, Examined, examined
from elfsig.cli import exit_codes
from elfsig.cli.options.common import Machine, limit_option, machine_options, path_type, paths_argument
from elfsig.cli.options.detached import outside_of, outside_options
from elfsig.cli.reading import Result, collect, debugging, entries, finish
from elfsig.cli.render import show as render_show
from elfsig.cli.settings import Settings
from elfsig.errors import UsageError
from elfsig.model import FileReport, Verdict
from elfsig.model.json_form import dumps, file_object
from elfsig.registry import Registry
from elfsig.verbs.verify.examine import Question


class Look(NamedTuple):
    """How a file is shown: fields, or the elements of its signatures."""

    field: str | None
    nul: bool
    asn1: bool
    packets: bool
    dump: bool


@click.command("show")
@paths_argument("FILE...")
@machine_options
@click.option("-F", "--field", metavar="FIELD", help="Only the values of this field, one a line.")
@click.option("-0", "--null", "nul", is_flag=True, help="NUL instead of newline, FIELD=VALUE.")
@click.option("--asn1", is_flag=True, help="The ASN.1 of signatures, in the look of openssl asn1parse.")
@click.option("--packets", is_flag=True, help="The OpenPGP packets, in the look of gpg --list-packets.")
@click.option("--dump", is_flag=True, help="Each signature's elements, as its own encoding has them.")
@click.option("--extract", "folder", type=path_type, metavar="DIR", help="Write every part to a file in DIR.")
@click.option("--force", is_flag=True, help="With --extract: replace files that are there.")
@outside_options
@limit_option
@click.pass_obj
def command(
    settings: Settings,
    /,
    paths: tuple[str, ...],
    machine: Machine,
    folder: str | None,
    force: bool,
    detached: str | None,
    modarg: str | None,
    limit: int,
    **look: bool | str | None,
) -> int:
    """Show every field of every signature: modinfo's own first, then what modinfo hides.

    Names, times and ids are the file's own claims: nothing is checked here. Directories are walked.
    """
    wish = Look(**look)  # type: ignore[arg-type]  # click's options are named as the fields
    _check(machine, wish, folder)
    if folder is not None and (detached or modarg):
        raise UsageError("--extract takes apart what is in the file, and not --detached or --modarg")
    question = Question(None, machine.wanted, False)
    found, single = entries(paths, False)
    outside = outside_of(detached, modarg, single)
    what = Examination(settings.registry, question, outside, None, limit, debugging())
    if folder is not None:
        from elfsig.cli.commands.show_parts import extract

        return extract(
            found, folder, Examination(settings.registry, question, limit=limit), force=force, code_of=_code
        )
    between = "" if machine.wanted or any(wish) else "\n"
    first = True

    def finish_one(done: Examined) -> Result:
        nonlocal first
        report = done.report
        text = dumps(file_object(report)) if machine.wanted else _text(report, wish, settings.registry)
        lead, first = ("" if first or not text else between), first and not text
        return finish(report, lead + text, "", _code(report))

    return collect(examined(found, what, finish_one, single=True), settings, machine)[1]


def _check(machine: Machine, wish: Look, folder: str | None) -> None:
    """Raises UsageError for what cannot be had at once."""
    wanted = (
        machine.wanted,
        wish.field is not None or wish.nul,
        wish.asn1 or wish.packets or wish.dump,
        folder is not None,
    )
    if sum(wanted) > 1:
        text = "one at a time: fields (-F, -0), elements (--asn1, --packets, --dump), parts (--extract), JSON"
        raise UsageError(text)


def _text(report: FileReport, wish: Look, registry: Registry) -> str:
    if report.error is not None:
        return ""
    if wish.asn1 or wish.packets or wish.dump:
        from elfsig.cli.commands.show_parts import dumped

        return dumped(report, registry, asn1=wish.asn1, packets=wish.packets, own=wish.dump)
    if wish.field is None and not wish.nul:
        return render_show.text(report, registry.modinfo_names)
    return render_show.picked(report, registry.modinfo_names, wish.field, wish.nul)


def _code(report: FileReport) -> int:
    if report.verdict is None:
        return exit_codes.UNREADABLE
    return exit_codes.BAD if report.verdict is Verdict.MALFORMED else exit_codes.GOOD
