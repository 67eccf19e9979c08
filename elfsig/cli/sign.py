"""``elfsig sign``: sign modules in any era's format."""

from __future__ import annotations

from typing import Any, NamedTuple

import click

from elfsig.cli.options import jobs_option, limit_option, paths_argument
from elfsig.cli.output_options import output_options, report
from elfsig.cli.settings import Settings
from elfsig.cli.signing_options import KeyWords, jobs_for, key_options, making_options
from elfsig.errors import UsageError
from elfsig.evidence import Evidence
from elfsig.model import SignOptions
from elfsig.verbs.edit import Change, Output, edit


class Existing(NamedTuple):
    """What to do about a module that is signed already; neither: refuse it."""

    replace: bool
    stack: bool


@click.command("sign", epilog="An encrypted key takes its passphrase from KBUILD_SIGN_PIN or the terminal.")
@paths_argument()
@click.option("--format", "format_id", required=True, metavar="ID", help="What to make; see elfsig formats.")
@key_options
@making_options
@click.option("--replace", is_flag=True, help="First remove, exactly, all signatures that are there.")
@click.option("--stack", is_flag=True, help="Sign on top of the signatures that are there.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing about what went well.")
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
    format_id: str,
    key_words: KeyWords,
    options: SignOptions,
    **how: Any,
) -> int:
    """Sign modules: plain, or inside their gzip, xz or zstd compression.

    A module that is signed already is refused, unless --replace or --stack says what is meant.
    """
    from elfsig.verbs.sign import sign_file

    registry = settings.registry
    format_ = registry.get(format_id)
    existing = Existing(how["replace"], how["stack"])
    if all(existing):
        raise UsageError("--replace and --stack exclude each other")
    signers = key_words.signers([format_], options)

    def change(evidence: Evidence) -> Change:
        return sign_file(evidence, format_, signers[0], options, registry, **existing._asdict())

    jobs = jobs_for(jobs, signers)
    return report(edit(paths, change, output, jobs=jobs, limit=limit), quiet)
