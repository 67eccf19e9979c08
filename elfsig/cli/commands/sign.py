"""``elfsig sign``: sign modules, in any format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from elfsig.batch.edit import Output, edit
from elfsig.batch.journal import Journal, asked
from elfsig.batch.up_to_date import is_done, wanted_signature
from elfsig.cli.commands.sign_elsewhere import run
from elfsig.cli.commands.sign_job import Job, Work, existing_of
from elfsig.cli.options.common import format_type, jobs_option, limit_option, paths_argument
from elfsig.cli.options.files import answers_type, folder_type, output_type
from elfsig.cli.options.needs import SignCommand
from elfsig.cli.options.output import output_options, report
from elfsig.cli.options.signing import KeyWords, jobs_for, key_options, making_options, refuse_unused
from elfsig.cli.progress import watched
from elfsig.cli.settings import Settings
from elfsig.errors import UsageError
from elfsig.model import Existing, SignOptions
from elfsig.opened.links import Links
from elfsig.opened.module import Module
from elfsig.opened.walk import walk
from elfsig.verbs.edit.change import Change
from elfsig.verbs.edit.sign import sign_file

if TYPE_CHECKING:
    from elfsig.batch.up_to_date import WantedSignature
    from elfsig.model.json_form import Json


@click.command(
    "sign",
    cls=SignCommand,
    epilog="The passphrase of an encrypted key is read from KBUILD_SIGN_PIN, or from the terminal.",
)
@paths_argument()
@click.option(
    "--format", "format_id", type=format_type, help="Create a signature of this format; see elfsig formats."
)
@key_options
@making_options
@click.option("--replace", is_flag=True, help="Remove all existing signatures first.")
@click.option("--stack", is_flag=True, help="Keep existing signatures, and add one after them.")
@click.option(
    "--prepare", type=folder_type, metavar="DIR",
    help="Do not sign: write to DIR what a signing service needs; needs --cert.",
)  # fmt: skip
@click.option(
    "--prepare-as", "form", type=click.Choice(["digest", "bytes"]), default="digest",
    help="With --prepare: write digests to sign, or the bytes that the service hashes.",
)  # fmt: skip
@click.option(
    "--attach", type=answers_type, metavar="DIR",
    help="Attach signatures from DIR: raw values or complete ones (.p7s), named like the modules.",
)  # fmt: skip
@click.option(
    "--report", "report_file", type=output_type, metavar="FILE",
    help="Write what was done to FILE, as JSON; run again with it to continue.",
)  # fmt: skip
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
    format_id: str | None,
    key_words: KeyWords,
    options: SignOptions,
    report_file: str | None,
    prepare: str | None,
    attach: str | None,
    **how: Any,
) -> int:
    """Sign modules, inside their gzip, xz or zstd compression if they have one.

    In directories, modules that already have such a signature by this key are left unchanged (--force signs
    them again), and those that others signed are left alone and counted; --replace replaces all signatures.
    A signed module that is named itself is refused unless --replace or --stack is given. Nothing is written
    through a symbolic link that is found in a directory.
    """
    existing = existing_of(how["replace"], how["stack"])
    words = (format_id, key_words, options, existing, jobs, limit, quiet, Links(editing=True))
    job = Job(paths, output, settings.registry, *words)
    if prepare is None and attach is None:
        return _sign(job, report_file, settings.argv)
    if report_file is not None:
        raise UsageError("--report cannot be combined with --prepare or --attach")

    return run(job, prepare, attach, how["form"])


def _sign(job: Job, report_file: str | None, argv: Sequence[str]) -> int:
    """Sign with the given key. Returns the exit code."""
    if job.format_id is None:
        raise click.UsageError("Missing option '--format'.")
    format_, options, output = job.registry.get(job.format_id), job.options, job.output
    refuse_unused([format_])
    (signer,) = job.key_words.signers([format_], options, dry=output.dry)

    decide = job.decision()

    def make(module: Module) -> Change:
        return sign_file(module, format_, signer, options, existing=decide(module.path))

    comparable = wanted_signature(format_, signer, options)
    spared = job.sparing(make, format_, comparable.keys if comparable is not None else None)
    work = _unless_done(spared, None if options.force else comparable, job)
    journal = None
    if report_file is not None:
        asked_for = asked(format_.id, signer, options, output)
        journal = _journal(report_file, asked_for, argv, job, comparable)
        output = replace(output, never=(*output.never, journal.partial))
        work = _journaled(work, journal)
    jobs = jobs_for(job.jobs, [signer])
    results = edit(job.paths, work, output, job.registry, jobs=jobs, limit=job.limit, links=job.links)
    kept = results if journal is None else journal.kept(results)
    return report(watched(kept, total=lambda: sum(1 for _ in walk(job.paths))), job.quiet, job.links)


def _unless_done(make: Work, wanted: WantedSignature | None, job: Job) -> Work:
    """``make``, except for modules in directories that already have this signature."""
    named = frozenset(job.paths)

    def work(module: Module) -> Change:
        found = wanted if module.path not in named else None
        if found is not None and is_done(module, found, beside_others=job.existing is Existing.STACK):
            return Change(None, "unchanged", "already signed like this by this key")
        return make(module)

    return work


def _check(wanted: WantedSignature | None, job: Job) -> Callable[[Module], bool]:
    """Whether a module has the requested signature; False where this is not known."""
    beside = job.existing is Existing.STACK
    return lambda module: wanted is not None and is_done(module, wanted, beside_others=beside)


def _journal(
    path: str, asked_for: Json, argv: Sequence[str], job: Job, wanted: WantedSignature | None
) -> Journal:
    if job.output.dry:
        raise UsageError("--report and --dry-run cannot be combined")
    keys = wanted.keys.keys if wanted is not None else ()
    check = _check(wanted, job)
    return Journal(path, asked_for, argv, is_done=check, keys=keys[:1], again=job.options.force)


def _journaled(make: Work, journal: Journal) -> Work:
    """``make``, except for modules that an earlier run finished; adds a record of each."""

    def work(module: Module) -> Change:
        return journal.known(module) or journal.entry(module, make(module))

    return work
