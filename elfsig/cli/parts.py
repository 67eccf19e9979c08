"""``elfsig survey --parts``: what it prints, its exit code, and the command lines for the workers of a
cluster."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import click

from elfsig.batch.parts import manifest
from elfsig.batch.parts.receipt import UNREADABLE, PartCounts, PartReceipt
from elfsig.batch.parts.run import PartOutcome, PartsJob, begin, end, finished, survey_parts
from elfsig.batch.parts.store import Store
from elfsig.cli import exit_codes
from elfsig.cli.hints import hinted
from elfsig.cli.options.common import Machine
from elfsig.cli.options.parts import PartsWish
from elfsig.cli.progress import watched
from elfsig.cli.render.documents import write_files
from elfsig.cli.render.words import plural
from elfsig.cli.settings import Settings, complain, visible
from elfsig.errors import UsageError
from elfsig.model import Verdict
from elfsig.model.json_form import dumps
from elfsig.opened.extras import adapter

_NEUTRAL = frozenset({
    "paths", "parts", "output", "part", "form", "scheduler", "check", "jobs", "as_json", "as_jsonl", "trust",
    "keys",
})  # fmt: skip
"""Options that change no record, or that the question has in another form."""

_NAMED = 5
"""Directories that could not be listed and are named, at most."""


def options_asked(params: Mapping[str, Any]) -> dict[str, Any]:
    """The options of the command line that may change a record, for the question of the parts."""
    found = {name: value for name, value in sorted(params.items()) if name not in _NEUTRAL}
    return {"options": {**found, "keys_found": "found" in params.get("keys", ())}}


def run_parts(settings: Settings, machine: Machine, wish: PartsWish, job: PartsJob, jobs: int) -> int:
    """Make the parts, and the manifest when all are there. Returns the exit code."""
    count = job.question.parts
    wanted = range(count) if wish.part is None else (wish.part,)
    try:
        if wish.scheduler is None:
            outcomes = survey_parts(job, wanted, jobs)
        else:
            outcomes = _on_cluster(settings, wish.scheduler, job, wanted)
        first = next(outcomes)  # a usage error comes before any output
        done = _printed(settings, machine, watched(chain([first], outcomes), "parts"), count)
        totals = manifest.close(job.store, count, job.question.digest)
    finally:
        end()
    return _ended(done, totals, count, whole=wish.part is None)


def _ended(done: list[PartOutcome], totals: PartCounts | None, count: int, whole: bool) -> int:
    """What is said at the end, and the exit code."""
    codes = {each.error.exit_code for each in done if each.error is not None}
    counts = sum((each.receipt.counts for each in done if each.receipt is not None), PartCounts({}))
    codes |= set(_codes(counts))
    if whole and totals is not None:
        complain(f"all of {plural(count, 'part')}: {_words(totals)}")
        if not totals.modules:
            codes.add(exit_codes.UNREADABLE)
    if counts.incomplete:
        text = f"{plural(counts.incomplete, 'container')} not read to the end, which may hold modules"
        complain(f"{text} that are not listed")
    codes |= set(_unlisted([each.receipt for each in done if each.receipt is not None]))
    if failed := sum(each.error is not None for each in done):
        complain(f"{plural(failed, 'part')} not finished: run it again to make what is missing")
    return exit_codes.combined(codes)


def _unlisted(receipts: Sequence[PartReceipt]) -> Iterator[int]:
    """Say which directories could not be listed; the exit code, if there are any."""
    found = sorted({path for each in receipts for path in each.unlisted})
    if not found:
        return
    named = ", ".join(map(visible, found[:_NAMED])) + (", ..." if len(found) > _NAMED else "")
    what = "1 directory" if len(found) == 1 else f"{len(found)} directories"
    complain(f"{what} could not be listed: {named}")
    if any(set(each.unlisted) != set(found) for each in receipts):
        complain("not all parts lack the same directories: each receipt says which ones its part lacks")
    yield exit_codes.UNREADABLE


def _on_cluster(
    settings: Settings, scheduler: str, job: PartsJob, wanted: Sequence[int]
) -> Iterator[PartOutcome]:
    begin(job)
    done = finished(job, wanted)
    yield from (PartOutcome(part, receipt, resumed=True) for part, receipt in done.items())
    missing = [part for part in wanted if part not in done]
    if missing:
        cluster = adapter("cluster", "elfsig.batch.parts.cluster", "Dask clusters")
        words = worker_words(settings.argv)
        yield from cluster.parts_there(scheduler, lambda part: [*words, "--part", str(part)], missing)


def worker_words(argv: Sequence[str]) -> list[str]:
    """The words of a command line with ``--scheduler`` as a worker gets them, without ``--part K``.

    Words after ``--`` are moved to the front, so that options can follow.
    """
    front, rest, skip = list(argv), [], 0
    if "--" in front:
        at = front.index("--")
        front, rest = front[:at], front[at + 1 :]
    words: list[str] = []
    for word in front:
        if skip:
            skip -= 1
        elif word == "--scheduler":
            skip = 1
        elif not word.startswith("--scheduler=") and word not in ("--json", "--jsonl"):
            words.append(word)
    more = [] if any(word.startswith(("-j", "--jobs")) for word in words) else ["-j1"]
    return [*words, *map(_as_path, rest), *more, "--jsonl"]


def _as_path(word: str) -> str:
    return f"./{word}" if word.startswith("-") else word


# --------------------------------------------------------------------------- output


def _printed(
    settings: Settings, machine: Machine, outcomes: Iterator[PartOutcome], count: int
) -> list[PartOutcome]:
    """Print every part as it is done; returns them all."""
    done: list[PartOutcome] = []

    def objects() -> Iterator[str]:
        for each in outcomes:
            done.append(each)
            _complain_of(each, count)
            if each.receipt is not None:
                yield dumps(each.receipt.to_json())

    if machine.wanted:
        write_files(settings, machine, objects(), "parts")
        return done
    for each in outcomes:
        done.append(each)
        _complain_of(each, count)
        if each.receipt is not None:
            already = " (already there)" if each.resumed else ""
            sys.stdout.write(f"part {each.part} of {count}: {_words(each.receipt.counts)}{already}\n")
            sys.stdout.flush()
    return done


def _complain_of(each: PartOutcome, count: int) -> None:
    if each.error is not None:
        where = f"{each.error.path}: " if each.error.path else ""
        complain(hinted(f"part {each.part} of {count}: {where}{each.error}", each.error.hint))


def _words(counts: PartCounts) -> str:
    order = (*(verdict.value for verdict in Verdict), UNREADABLE)
    words = ", ".join(f"{counts.verdicts[word]} {word}" for word in order if counts.verdicts.get(word))
    where = f"in {plural(counts.containers, 'container')}, {plural(counts.files, 'file')}"
    found = f"{plural(counts.modules, 'module')} {where}"
    return f"{found}: {words}" if words else found


def _codes(counts: PartCounts) -> Iterator[int]:
    if counts.incomplete:
        yield exit_codes.UNREADABLE
    if counts.refused is not None:
        yield exit_codes.REFUSED if counts.refused else exit_codes.GOOD
        if counts.verdicts.get(UNREADABLE):
            yield exit_codes.UNREADABLE
        return
    for word in counts.verdicts:
        yield exit_codes.UNREADABLE if word == UNREADABLE else exit_codes.BY_VERDICT[Verdict(word)]


def check_parts(store: Store, wish: PartsWish, machine: Machine) -> int:
    """Print what is missing or was changed; the exit code is 0 where nothing is, 1 where something was
    changed, else 5."""
    if machine.wanted:
        raise UsageError("--check prints lines, not JSON: the receipts are JSON already")
    codes = {exit_codes.GOOD}
    try:
        for each in manifest.problems(store, wish.part):
            click.echo(f"{visible(store.label)}/{visible(each.file)}: {each.code}: {visible(each.text)}")
            codes.add(exit_codes.BAD if each.code == "changed" else exit_codes.UNREADABLE)
    finally:
        end()
    return exit_codes.combined(codes)
