"""``elfsig verify``: verify signatures against the given keys."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from elfsig.batch.tree import Examination, Examined, examined
from elfsig.cli import exit_codes
from elfsig.cli.hints import hinted
from elfsig.cli.options.cage import CageWish, cage_options
from elfsig.cli.options.common import (
    Machine,
    all_option,
    format_type,
    host_option,
    jobs_option,
    limit_option,
    links_options,
    machine_options,
    paths_argument,
    trust_options,
)
from elfsig.cli.options.detached import outside_of, outside_options
from elfsig.cli.options.kernel import KernelWish, kernel_options, question_of
from elfsig.cli.options.key_rings import quiet_ring
from elfsig.cli.options.legacy import Variants, legacy_options
from elfsig.cli.progress import watched
from elfsig.cli.reading import Result, collect, entries, finish
from elfsig.cli.render import verify as render_verify
from elfsig.cli.render.table import laid_out
from elfsig.cli.render.words import failed_word, summary
from elfsig.cli.settings import Settings, complain
from elfsig.errors import UsageError
from elfsig.lazy_dataclass import replace
from elfsig.lazy_tuple import NamedTuple
from elfsig.model import FileReport, Keyring
from elfsig.opened.links import Links
from elfsig.opened.walk import WalkedFile
from elfsig.verbs.verify.examine import Question

if TYPE_CHECKING:
    from elfsig.batch.confined import ConfinedExaminer
    from elfsig.verbs.verify.kernel import KernelQuestion


@click.command("verify")
@paths_argument(stream=True)
@trust_options
@click.option(
    "--require", type=format_type, metavar="FORMAT", help="Require a valid signature of this format."
)
@outside_options
@legacy_options
@kernel_options
@machine_options
@host_option
@all_option
@links_options
@jobs_option
@limit_option
@cage_options
@click.pass_obj
def command(
    settings: Settings,
    paths: tuple[str, ...],
    trust: tuple[str, ...],
    keys: tuple[str, ...],
    require: str | None,
    detached: str | None,
    modarg: str | None,
    variants: Variants,
    wish: KernelWish,
    machine: Machine,
    all_files: bool,
    links: Links,
    jobs: int,
    limit: int,
    cage: CageWish | None,
) -> int:
    """Verify the signatures of files; directories are searched for modules, - is standard input.

    In directories, symbolic links to files are followed, each file once.

    SRC is a certificate or public key, a key ring, a kernel image, an EFI signature list, or a directory of
    these; the kind is detected. Keys of --trust are trusted; keys of --keys are only tried.

    \b
    valid            matches a trusted key
    untrusted        matches a key of --keys only
    unknown-key      not made by any of the given keys
    invalid          names a given key, but does not match it
    unsupported      the algorithm or form cannot be checked
    not-a-signature  proves nothing even if intact
    malformed        remains of a signature, or a damaged file
    unsigned         no trace of a signature
    unchecked        no keys were given

    With --kernel the exit code is about that kernel only: 0 it loads the module, 3 it refuses it. Keys
    without a keyring prefix (builtin:, secondary:, machine:, platform:, revoked:) count as compiled in.
    """
    registry = settings.registry
    required = registry.get(require).id if require is not None else None
    asked = asked_kernel(wish, trust, keys, modarg)
    registry = variants(registry)
    found, single = entries(paths, all_files, registry, links)
    outside = outside_of(detached, modarg, single)
    style = Style(machine, required, settings.colored(sys.stdout))
    what = Examination(registry, Question(None, machine.wanted, any_file=all_files), outside, asked, limit)
    if single or asked is not None or outside is not None or cage is not None:
        what = with_keys(what, ring_for(asked, trust, keys))
    else:
        what, found = _ahead(what, found, trust, keys, jobs)
    finisher = _finisher(style) if asked is None else _judge(style)
    caged = _confined(cage, settings, machine)
    results = examined(found, what, finisher, jobs=jobs, single=single, confined=caged)
    counts, code = collect(watched(results), settings, machine, links=links)
    if not single:
        complain(summary(counts))
    return code


IMAGE_SIZE = 1 << 20
"""Key sources from this size on may be kernel images, which take long to read."""


def with_keys(what: Examination, keys: Keyring | None) -> Examination:
    """``what``, with the keys to verify with."""
    return replace(what, question=replace(what.question, keys=keys))


def _ahead(
    what: Examination, found: Iterator[WalkedFile], trust: tuple[str, ...], keys: tuple[str, ...], jobs: int
) -> tuple[Examination, Iterator[WalkedFile]]:
    """``what`` with the keys, and the files; they are looked at already while a large source is read."""
    if not any(map(_is_large, (*trust, *keys))):
        return with_keys(what, quiet_ring(trust, keys)), found
    from elfsig.batch.ahead import Reading, look_ahead

    how = Reading(what.registry, what.question.hashes, what.limit)
    ring, found, prepared = look_ahead(found, lambda: quiet_ring(trust, keys), how, jobs)
    return replace(with_keys(what, ring), prepared=prepared), found


def _is_large(source: str) -> bool:
    """Whether a key source, with or without a prefix that names its keyring, is a large file."""
    for path in (source, source.partition(":")[2]):
        with suppress(OSError, ValueError):
            if os.stat(path).st_size >= IMAGE_SIZE and os.path.isfile(path):
                return True
    return False


def _confined(wish: CageWish | None, settings: Settings, machine: Machine) -> ConfinedExaminer[Result] | None:
    """What examines files in cages; None without ``--cage``."""
    if wish is None:
        return None
    from elfsig.cli.caged import examiner

    return examiner(wish, settings, machine)


def asked_kernel(
    wish: KernelWish, trust: tuple[str, ...], keys: tuple[str, ...], modarg: str | None
) -> KernelQuestion | None:
    """The question to a kernel, None without --kernel. Raises UsageError, ReadError, KeySourceError."""
    if wish.only_modes:
        raise UsageError(
            "--enforce, --lockdown, --fips, --secure-boot, --all-modes, --cmdline and --config need --kernel"
        )
    if wish.kernel is None:
        return None
    question: KernelQuestion = question_of(wish, trust, keys, modarg, reported=True)
    return question


def ring_for(asked: KernelQuestion | None, trust: tuple[str, ...], keys: tuple[str, ...]) -> Keyring | None:
    """The keys to verify with: those of the kernel, unless it is an image, whose keys are only tried."""
    if asked is not None and not asked.image_keys:
        return asked.ring
    return quiet_ring(trust, keys if asked is None else (*keys, asked.chosen.image or ""))


class Style(NamedTuple):
    """How to print results, and which format is required."""

    machine: Machine
    require: str | None
    color: bool


def _finisher(style: Style) -> Callable[[Examined], Result]:
    """A function that turns the report on a file into its text, its word, and its exit code."""

    def finish_one(found: Examined) -> Result:
        report = found.report
        word = failed_word(report) if report.verdict is None else report.verdict.value
        return finish(report, _text(report, style), word, exit_codes.of_report(report, style.require))

    return finish_one


def _judge(style: Style) -> Callable[[Examined], Result]:
    """Like :func:`_finisher`, with a kernel's response, which alone determines the exit code."""
    from elfsig.cli.render.kernel import brief

    def finish_one(found: Examined) -> Result:
        report, asked = found.report, found.asked
        text = _text(report, style)
        if asked is None:
            done = finish(report, text, failed_word(report), exit_codes.UNREADABLE)
            fault = found.fault
            known = report.error is not None
            return done if known or fault is None else done._replace(complaint=hinted(fault.text, fault.hint))
        if not style.machine.wanted:
            text += "".join(f"{laid_out(line)}\n" for line in brief(report.path, asked))
        word, code = ("accepted", exit_codes.GOOD) if asked.accepted else ("refused", exit_codes.REFUSED)
        return finish(report, text, word, code)

    return finish_one


def _text(report: FileReport, style: Style) -> str:
    if style.machine.wanted:
        from elfsig.model.json_form import dumps, file_object

        return dumps({**file_object(report), **style.machine.origin})
    lines = render_verify.lines(report, style.color, style.require)
    return "".join(f"{laid_out(line)}\n" for line in lines)
