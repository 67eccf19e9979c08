"""``elfsig show``: every field of every signature."""

from __future__ import annotations

from typing import NamedTuple

import click

from elfsig.batch.tree import Examination, Examined, examined
from elfsig.cli import exit_codes
from elfsig.cli.options.common import Machine, limit_option, machine_options, path_type, paths_argument
from elfsig.cli.options.detached import outside_of, outside_options
from elfsig.cli.reading import Result, collect, entries, finish
from elfsig.cli.render import show as render_show
from elfsig.cli.settings import Settings
from elfsig.errors import UsageError
from elfsig.model import FileReport, Verdict
from elfsig.model.json_form import dumps, file_object
from elfsig.registry import Registry
from elfsig.verbs.verify.examine import Question


class ShownFields(NamedTuple):
    """How to show a file: its fields, or the elements of its signatures."""

    field: str | None
    nul: bool
    asn1: bool
    packets: bool
    dump: bool


@click.command("show")
@paths_argument("FILE...", stream=True)
@machine_options
@click.option("-F", "--field", metavar="FIELD", help="Print only the values of this field, one per line.")
@click.option("-0", "--null", "nul", is_flag=True, help="End each FIELD=VALUE with NUL instead of a newline.")
@click.option("--asn1", is_flag=True, help="Print the ASN.1 of signatures, in openssl asn1parse style.")
@click.option("--packets", is_flag=True, help="Print the OpenPGP packets, in gpg --list-packets style.")
@click.option("--dump", is_flag=True, help="Print each signature's elements, in the terms of its encoding.")
@click.option(
    "--extract",
    "folder",
    type=path_type,
    metavar="DIR",
    help="Write every part of the signatures to a file in DIR.",
)
@click.option("--force", is_flag=True, help="With --extract: overwrite existing files.")
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
    """Show every field of every signature: modinfo's fields first, then what modinfo does not show.

    Names, times and ids are what the file claims: nothing is verified. Directories are searched for modules.
    """
    wish = ShownFields(**look)  # type: ignore[arg-type]  # click's options are named as the fields
    _check(machine, wish, folder)
    if folder is not None and (detached or modarg):
        raise UsageError(
            "--extract works on signatures in the file: it cannot be combined with --detached or --modarg"
        )
    question = Question(None, machine.wanted, False, recorded=True)
    found, single = entries(paths, False)
    outside = outside_of(detached, modarg, single)
    what = Examination(settings.registry, question, outside, None, limit)
    if folder is not None:
        from elfsig.cli.commands.show_parts import extract

        return extract(found, paths, folder, what, force=force, code_of=_code)
    between = "" if machine.wanted or any(wish) else "\n"
    first = True

    def finish_one(done: Examined) -> Result:
        nonlocal first
        report = done.report
        text = dumps(file_object(report)) if machine.wanted else _text(done, wish, settings.registry)
        lead, first = ("" if first or not text else between), first and not text
        return finish(report, lead + text, "", _code(report))

    return collect(examined(found, what, finish_one, single=True), settings, machine)[1]


def _check(machine: Machine, wish: ShownFields, folder: str | None) -> None:
    """Raises UsageError for options that exclude each other."""
    wanted = (
        machine.wanted,
        wish.field is not None or wish.nul,
        wish.asn1 or wish.packets or wish.dump,
        folder is not None,
    )
    if sum(wanted) > 1:
        text = (
            "use only one of: fields (-F, -0), elements (--asn1, --packets, --dump), parts (--extract), JSON"
        )
        raise UsageError(text)


def _text(done: Examined, wish: ShownFields, registry: Registry) -> str:
    report, names = done.report, registry.modinfo_names
    if report.error is not None:
        return ""
    if wish.asn1 or wish.packets or wish.dump:
        from elfsig.cli.commands.show_parts import dumped

        return dumped(report, registry, asn1=wish.asn1, packets=wish.packets, own=wish.dump)
    if wish.field is None and not wish.nul:
        return render_show.text(report, names, done.module)
    return render_show.picked(report, names, wish.field, wish.nul, done.module)


def _code(report: FileReport) -> int:
    if report.verdict is None:
        return exit_codes.UNREADABLE
    return exit_codes.BAD if report.verdict is Verdict.MALFORMED else exit_codes.GOOD
