"""``elfsig sign --prepare`` and ``--attach``: signing by a service that elfsig has no connection to."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from elfsig.batch.edit import edit
from elfsig.batch.up_to_date import is_done, wanted_signature
from elfsig.cli.options.output import report
from elfsig.cli.options.signing import public_half, refuse_unused
from elfsig.errors import UsageError
from elfsig.model import Existing
from elfsig.opened.module import Module
from elfsig.signers.deferred import Recorder, Replayer
from elfsig.verbs.edit.change import Change, Done
from elfsig.verbs.remote.complete import Answers, answer_file
from elfsig.verbs.remote.prepare import Manifest, prepare_file, read_manifest

if TYPE_CHECKING:
    from elfsig.batch.up_to_date import WantedSignature
    from elfsig.cli.commands.sign_job import Job
    from elfsig.verbs.remote.prepare import Form


def run(job: Job, to_prepare: str | None, to_attach: str | None, form: Form) -> int:
    """Do the one of the two that was requested. Returns the exit code."""
    if to_prepare is not None:
        return prepare(job, to_prepare, form)
    return attach(job, to_attach or "")


def prepare(job: Job, folder: str, form: Form) -> int:
    """Write the data to sign, and the manifest, to ``folder``. Raises UsageError, SigningError."""
    if job.format_id is None:
        raise UsageError("--prepare needs --format", code="format")
    format_ = job.registry.get(job.format_id)
    refuse_unused([format_])
    half = public_half(job.key_words.certs)
    options = job.options
    if options.created is None:
        options = options._replace(created=int(time.time()))

    read_manifest(folder)  # the manifest of an earlier run is replaced, and no other file of its name
    decide = job.decision()

    def change(module: Module) -> Change:
        return prepare_file(module, format_, half, options, form=form, existing=decide(module.path))

    manifest = Manifest(folder, format_, half, options)
    known = wanted_signature(format_, Recorder(half), options)
    results = _edited(job, job.sparing(change, format_, known.keys if known is not None else None))
    return report(manifest.kept(results) if not job.output.dry else results, job.quiet, job.links)


def attach(job: Job, folder: str) -> int:
    """Attach the signatures in ``folder`` to the modules. Raises UsageError, SigningError."""
    answers = _answers(job, folder)
    known = _known(answers)
    wanted = None if answers.options.force else known

    decide = job.decision()

    def change(module: Module) -> Change:
        if wanted is not None and is_done(module, wanted, beside_others=job.existing is Existing.STACK):
            return Change(None, "unchanged", "already signed like this by this key")
        return answer_file(module, answers, existing=decide(module.path))

    # Where the key is not known, each complete signature was named for its module: there is nothing to spare.
    work = change if known is None else job.sparing(change, answers.format, known.keys)
    return report(_edited(job, work), job.quiet, job.links)


def _edited(job: Job, change: Callable[[Module], Change]) -> Iterator[Done]:
    return edit(job.paths, change, job.output, job.registry, jobs=job.jobs, limit=job.limit, links=job.links)


def _answers(job: Job, folder: str) -> Answers:
    """From the manifest if there is one, else from the options."""
    if not os.path.isdir(folder):
        raise UsageError(f"{folder}: no such directory", code="no-answers")
    order = read_manifest(folder)
    half = public_half(job.key_words.certs) if job.key_words.certs else order.half if order else None
    if order is not None:
        format_ = job.registry.get(order.format)
        if job.format_id is not None and job.registry.get(job.format_id) is not format_:
            raise UsageError(f"the manifest in {folder} is for {format_.id}, not {job.format_id}")
        force = job.options.force or order.options.force
        return Answers(folder, format_, order.options._replace(force=force), half, order, job.paths)
    if job.format_id is None:
        raise UsageError(f"there is no manifest in {folder}: name the format of the signatures with --format")
    return Answers(folder, job.registry.get(job.format_id), job.options, half, None, job.paths)


def _known(answers: Answers) -> WantedSignature | None:
    """The signature to compare modules with; None where its key is not known."""
    if answers.half is None:
        return None
    signer = Replayer(answers.folder, answers.half, b"")
    return wanted_signature(answers.format, signer, answers.options)
