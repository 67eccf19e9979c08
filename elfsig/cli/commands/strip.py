"""``elfsig strip``: remove signatures, exactly the bytes that signing added."""

from __future__ import annotations

from typing import Any

import click

from elfsig.batch.edit import Output, edit
from elfsig.cli.options.common import format_type, jobs_option, limit_option, paths_argument
from elfsig.cli.options.files import WritingCommand
from elfsig.cli.options.output import output_options, report
from elfsig.cli.settings import Settings
from elfsig.opened.links import Links
from elfsig.opened.module import Module
from elfsig.verbs.edit.change import Change
from elfsig.verbs.edit.strip import strip_file


@click.command("strip", cls=WritingCommand)
@paths_argument()
@click.option("--format", "format_id", type=format_type, help="Remove only the signature of this format.")
@click.option("--all", "everything", is_flag=True, help="Remove every signature, not only the outermost one.")
@click.option(
    "--engine", type=click.Choice(["exact", "lief"]), default="exact", help="Choose what edits the ELF file."
)
@click.option("--force", is_flag=True, help="Remove it even if a remaining signature no longer matches then.")
@click.option("-q", "--quiet", is_flag=True, help="Print only problems and the summary.")
@jobs_option
@limit_option
@output_options
@click.pass_obj
def command(
    settings: Settings,
    /,
    paths: tuple[str, ...],
    output: Output,
    jobs: int,
    limit: int,
    quiet: bool,
    **how: Any,
) -> int:
    """Remove the signature that was added last, and nothing else: the outermost trailer, else a section.

    What was removed is printed. A file without a signature is left unchanged; this is not an error. In
    directories, nothing is written through a symbolic link.
    """
    registry = settings.registry
    if how["format_id"] is not None:
        how["format_id"] = registry.get(how["format_id"]).id

    def change(module: Module) -> Change:
        return strip_file(module, **how)

    links = Links(editing=True)
    done = edit(paths, change, output, registry, jobs=jobs, limit=limit, links=links)
    return report(done, quiet, links)
