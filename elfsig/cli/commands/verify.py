"""``elfsig verify``: what every signature is worth, given keys."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

import click

from elfsig.batch.like_verified import Again
from elfsig.cli import exit_codes
from elfsig.cli.hints import hinted
from elfsig.cli.options.common import (
    Machine,
    all_option,
    format_type,
    jobs_option,
    limit_option,
    machine_options,
    paths_argument,
    trust_options,
)
from elfsig.cli.options.detached import outside_of, outside_options
from elfsig.cli.options.kernel import KernelWish, kernel_options, question_of
from elfsig.cli.options.legacy import Variants, legacy_options
from elfsig.cli.progress import watched
from elfsig.cli.reading import Result, collect, entries, finish, report_on, spread
from elfsig.cli.render import verify as render_verify
from elfsig.cli.render.words import summary
from elfsig.cli.settings import Settings, complain, visible
from elfsig.errors import ElfsigError, ReadError, UsageError
from elfsig.model import FileReport, Keyring
from elfsig.opened.module import Module, open_module
from elfsig.opened.walk import Entry
from elfsig.registry import Registry
from elfsig.verbs.verify.examine import Outside, Question

if TYPE_CHECKING:
    from elfsig.verbs.verify.kernel import KernelQuestion


@click.command("verify")
@paths_argument()
@trust_options
@click.option(
    "--require", type=format_type, metavar="FORMAT", help="Only a valid signature of this format will do."
)
@outside_options
@legacy_options
@kernel_options
@machine_options
@all_option
@jobs_option
@limit_option
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
    jobs: int,
    limit: int,
) -> int:
    """Verify the signatures of files; directories are walked for modules.

    SRC: a certificate or public key, a key ring, a kernel image, an EFI signature list, a directory of
    these; the kind is detected. A key of --trust is vouched for by you; one of --keys is merely tried.

    \b
    valid            matches a key that you vouch for
    untrusted        matches a key of --keys only
    unknown-key      none of the keys given is the one
    invalid          a given key should match and does not
    unsupported      algorithm or form cannot be checked
    not-a-signature  proves nothing even when intact
    malformed        remains of a signature, or a damaged file
    unsigned         no trace of a signature
    unchecked        no key source was given

    With --kernel the exit code answers for that kernel alone: 0 it loads, 3 it is refused. Keys given
    without a keyring (builtin:, secondary:, machine:, platform:, revoked:) count as compiled in.
    """
    registry = settings.registry
    required = registry.get(require).id if require is not None else None
    asked = _kernel(wish, trust, keys, modarg)
    tried = (*keys, asked.chosen.image) if asked and asked.chosen.image else keys
    registry = variants(registry)
    question = Question(keyring(trust, tried), machine.wanted, True)
    found, single = entries(paths, all_files, registry)
    outside = outside_of(detached, modarg, single)
    style = Style(machine, required, settings.colored(sys.stdout))
    work = (
        _worker(registry, question, outside, style, limit)
        if asked is None
        else _judge(registry, question, outside, style, limit, asked)
    )
    results = spread(lambda batch: [work(each) for each in batch], found, 1 if single else jobs)
    counts, code = collect(watched(results), settings, machine)
    if not single:
        complain(summary(counts))
    return code


def _kernel(
    wish: KernelWish, trust: tuple[str, ...], keys: tuple[str, ...], modarg: str | None
) -> KernelQuestion | None:
    """What is asked of a kernel, None where nothing is. Raises UsageError, ReadError, KeySourceError."""
    if wish.only_modes:
        raise UsageError(
            "--enforce, --lockdown, --fips, --secure-boot, --all-modes, --cmdline and --config need --kernel"
        )
    if wish.kernel is None:
        return None
    question: KernelQuestion = question_of(wish, trust, keys, modarg)
    return question


def keyring(trust: Iterable[str], keys: Iterable[str]) -> Keyring | None:
    """The ring of the sources given, None where none was. Raises KeySourceError."""
    trust, keys = tuple(trust), tuple(keys)
    if not trust and not keys:
        return None
    from elfsig.trust.keyring import load

    return load(trust, keys)


class Style(NamedTuple):
    """How results are told, and which format is demanded."""

    machine: Machine
    require: str | None
    color: bool


def _worker(
    registry: Registry, question: Question, outside: Outside | None, style: Style, limit: int
) -> Callable[[Entry], Result]:
    again = Again[Result](registry)
    keys = question.keys
    told = keys is not None and (keys.revokes_files or keys.losses)  # each file is told of these
    quick = not style.machine.wanted and outside is None and not told

    def work(entry: Entry) -> Result:
        opened = _opened(entry, registry, limit) if quick else None
        if opened is not None and (like := _like(entry, opened, again)) is not None:
            return like
        module, report = report_on(entry, registry, question, limit, outside, opened)
        word = "unreadable" if report.verdict is None else report.verdict.value
        text = _text(report, style)
        result = finish(report, text, word, exit_codes.of_report(report, style.require))
        if quick and module is not None:
            again.learn(report, module, result)
        return result

    return work


def _opened(entry: Entry, registry: Registry, limit: int) -> Module | None:
    """The module; None where it cannot be read, of which the full look tells."""
    try:
        return open_module(entry.path, registry, limit=limit) if entry.error is None else None
    except ReadError:
        return None


def _like(entry: Entry, module: Module, again: Again[Result]) -> Result | None:
    """The result for a file whose signature is like one before, but for the path that leads each line."""
    made = again.check(module)
    if made is None:
        return None
    told = made.text.replace(f"{visible(made.path)}: ", f"{visible(entry.path)}: ", 1)
    return made._replace(path=entry.path, text=told)


def _judge(
    registry: Registry,
    question: Question,
    outside: Outside | None,
    style: Style,
    limit: int,
    kernel: KernelQuestion,
) -> Callable[[Entry], Result]:
    """As :func:`_worker`, with the answer of a kernel, which alone decides the exit code."""
    from elfsig.cli.render.kernel import brief
    from elfsig.verbs.verify.kernel import ask, with_kernel

    def work(entry: Entry) -> Result:
        module, report = report_on(entry, registry, question, limit, outside)
        if module is None:
            return finish(report, _text(report, style), "unreadable", exit_codes.UNREADABLE)
        try:
            asked = ask(module, kernel)
        except ElfsigError as fault:
            return Result(
                report.path,
                _text(report, style),
                "unreadable",
                exit_codes.UNREADABLE,
                hinted(fault.text, fault.hint),
            )
        report = with_kernel(report, asked)
        text = _text(report, style)
        if not style.machine.wanted:
            text += "".join(f"{line}\n" for line in brief(report.path, asked))
        word, code = ("accepted", exit_codes.GOOD) if asked.accepted else ("refused", exit_codes.REFUSED)
        return finish(report, text, word, code)

    return work


def _text(report: FileReport, style: Style) -> str:
    if style.machine.wanted:
        from elfsig.model.json_form import dumps, file_object

        return dumps(file_object(report))
    lines = render_verify.lines(report, style.color, style.require)
    return "".join(f"{line}\n" for line in lines)
