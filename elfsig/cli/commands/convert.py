"""``elfsig convert``: convert signatures to another format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from elfsig.batch.edit import Output, edit
from elfsig.batch.records import record_of, recording
from elfsig.batch.up_to_date import has_all, wanted_signature
from elfsig.cli import exit_codes
from elfsig.cli.options.common import (
    Machine,
    format_type,
    jobs_option,
    limit_option,
    machine_options,
    path_type,
    paths_argument,
)
from elfsig.cli.options.detached import outside_of
from elfsig.cli.options.files import output_type, source_name
from elfsig.cli.options.key_rings import key_ring
from elfsig.cli.options.legacy import legacy_options
from elfsig.cli.options.needs import ConvertCommand
from elfsig.cli.options.output import Messages, output_options, report
from elfsig.cli.options.signing import KeyWords, jobs_for, key_options, making_options, refuse_unused
from elfsig.cli.reading import tell_of_links
from elfsig.cli.render.documents import write_files
from elfsig.cli.render.links_object import links_object
from elfsig.cli.render.table import aligned
from elfsig.cli.settings import Settings
from elfsig.model import PacketSigner, Signer, SignOptions
from elfsig.model.json_form import dumps
from elfsig.opened.links import Links
from elfsig.opened.module import Module
from elfsig.registry import Registry
from elfsig.verbs.edit.change import Change, Done
from elfsig.verbs.edit.convert import Target, options_for, plan
from elfsig.verbs.edit.convert_record import convert_file, left_file

if TYPE_CHECKING:
    from elfsig.batch.up_to_date import WantedSignature
    from elfsig.verbs.edit.convert import Plan


@click.command("convert", cls=ConvertCommand)
@paths_argument()
@click.option("--to", "ids", multiple=True, type=format_type, help="Convert to this format; repeatable.")
@key_options
@click.option(
    "--trust",
    multiple=True,
    metavar="SRC",
    type=source_name,
    help="Convert signatures by the keys in SRC; repeatable.",
)
@click.option(
    "--unverified", is_flag=True, help="Also convert modules that are not valid; the record says so."
)
@click.option("--keep", is_flag=True, help="Keep existing signatures, and add the new one.")
@click.option("--detached", metavar="FILE", type=path_type, help="Read the old signature from FILE.")
@click.option(
    "--modarg", metavar="STRING", help="Read the old signature from a module argument (modsign=...)."
)
@making_options
@legacy_options
@click.option(
    "--record",
    "record_file",
    type=output_type,
    metavar="FILE",
    help="Write the records to FILE, as JSON lines.",
)
@click.option("-q", "--quiet", is_flag=True, help="Print only problems and the summary.")
@machine_options
@jobs_option
@limit_option
@output_options
@click.pass_obj
def command(
    settings: Settings,
    /,
    paths: tuple[str, ...],
    ids: tuple[str, ...],
    key_words: KeyWords,
    options: SignOptions,
    output: Output,
    machine: Machine,
    jobs: int,
    limit: int,
    quiet: bool,
    record_file: str | None,
    **how: Any,
) -> int:
    """Verify the old signature, remove it, and sign in another format, inside any compression.

    A module that is not valid under the keys of --trust is refused. With several --to, each may have its own
    --key, in the same order; signatures are created in the order that they require. A module that already
    has exactly these signatures by these keys is left unchanged (--force converts it again), so that an
    interrupted run can be repeated. --json, --jsonl and --record write a record of each file: what it was,
    what it is, and what was changed; --record adds to the records of an earlier run.
    """
    registry = how["variants"](settings.registry)
    plan, signers = _plan(registry, paths, ids, key_words, options, how, output.dry)
    wanted = [] if options.force else wanted_signatures(plan)

    def change(module: Module) -> Change:
        if has_all(module, wanted, beside_others=plan.keep):
            return left_file(module, plan)
        return convert_file(module, plan)

    links = Links(editing=True)
    done = edit(paths, change, output, registry, jobs=jobs_for(jobs, signers), limit=limit, links=links)
    with recording(done, record_file, output.dry) as recorded:
        if machine.wanted:
            codes: list[int] = []
            write_files(
                settings, machine, _lines(recorded, codes), more=lambda: {"links": links_object(links)}
            )
            tell_of_links(links)
            return exit_codes.combined(codes)
        counts: Counter[tuple[str, ...]] = Counter()
        code = report(_counted(recorded, counts), quiet, links)
        if counts.total() > 1 and not quiet:
            rows = [(*words, str(count)) for words, count in sorted(counts.items())]
            click.echo(aligned([HEADINGS, *rows]))
        return code


HEADINGS = ("Before", "Verdict", "After", "Files")


def wanted_signatures(plan: Plan) -> list[WantedSignature]:
    """The signatures that a converted file has; none where one of them cannot be compared with."""
    wanted = [wanted_signature(each.format, each.signer, each.options) for each in plan.targets]
    known = [each for each in wanted if each is not None]
    return known if len(known) == len(wanted) else []


def _counted(done: Iterable[Done], counts: Counter[tuple[str, ...]]) -> Iterator[Done]:
    """Yield ``done`` unchanged, counting by old formats, verdict, and new formats."""
    for each in done:
        record = each.record
        if record is None:
            counts["?", "-", "failed"] += 1
        else:
            after = record["after"]
            new = _formats(after) if after is not None else record["action"]
            counts[_formats(record["before"]), record["verdict"], new] += 1
        yield each


def _formats(side: Mapping[str, Any]) -> str:
    return "+".join(each["format"] or "unknown" for each in side["signatures"]) or "-"


def _lines(done: Iterable[Done], codes: list[int]) -> Iterator[str]:
    """The records as JSON; warnings and errors still go to stderr."""
    messages = Messages()
    for each in done:
        codes.append(each.code)
        messages.tell(each, quiet=True)
        yield dumps(record_of(each))
    messages.tell_rest()


def _plan(
    registry: Registry,
    paths: tuple[str, ...],
    ids: tuple[str, ...],
    key_words: KeyWords,
    options: SignOptions,
    how: dict[str, Any],
    dry: bool,
) -> tuple[Plan, Sequence[Signer | PacketSigner]]:
    """The plan, and the signers in the order of ``--to``."""
    formats = [registry.get(name) for name in ids]
    refuse_unused(formats)
    keys = key_ring(how["trust"], ())
    outside = outside_of(how["detached"], how["modarg"], len(paths) == 1)
    signers = key_words.signers(formats, options, dry=dry)
    targets = [
        Target(format_, signer, options_for(format_, options, formats))
        for format_, signer in zip(formats, signers, strict=True)
    ]
    wish = {"unverified": how["unverified"], "keep": how["keep"], "outside": outside}
    return plan(targets, registry, keys, **wish), signers
