"""Bundles that others can check without elfsig."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from elfsig.api.guard import public
from elfsig.api.keys import KeySources, keyring
from elfsig.api.verifying import paths_of
from elfsig.batch.evidence.bundle import write_evidence
from elfsig.batch.evidence.events import WORDS, Pictures, Task
from elfsig.batch.evidence.keys import bundled_keys, path_of, source_records
from elfsig.batch.evidence.writer import BundleSummary, Seen, Writer
from elfsig.batch.survey.file import Limits, Plan
from elfsig.batch.tree import Examination
from elfsig.cage.cage import Cage
from elfsig.errors import UsageError, WriteError
from elfsig.model.json_form import run_record
from elfsig.opened.bundle import Bundle
from elfsig.opened.evidence import LIMIT
from elfsig.opened.inside import disk_path
from elfsig.opened.remote.urls import is_url, shown
from elfsig.registry import Registry, load
from elfsig.trust.given import each_of
from elfsig.verbs.bundle.shorten import Shortener
from elfsig.verbs.verify.examine import Question

EPOCH = "SOURCE_DATE_EPOCH"
"""The environment variable with the time of reproducible files (reproducible-builds.org)."""


@public
def evidence(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    trust: KeySources = (),
    keys: KeySources = (),
    *,
    only: Iterable[str] = (),
    reproducible: bool = False,
    limits: Limits | None = None,
    registry: Registry | None = None,
    limit: int = LIMIT,
) -> BundleSummary:
    """Write every module in ``paths`` into a bundle by which others can confirm its verdict without elfsig.

    ``output`` becomes a tar archive, or a new directory if it ends with a slash. ``only``: modules with these
    verdicts ("unreadable" for those that could not be read). ``reproducible``: the same bytes for the same
    files: no times but that of SOURCE_DATE_EPOCH, no folders of absolute paths. The other parameters
    are those of :func:`survey`. Files are read in this process; ``elfsig evidence`` confines the readers of
    hostile files. The pages with coverage maps are those of ``elfsig evidence`` too: here ``coverage.json``
    has the maps. Raises KeySourceError, UsageError, WriteError; then nothing is written.
    """
    ring, known = keyring(trust, keys), registry or load()
    plan = Plan(Examination(known, Question(ring, True), limit=limit), limits or Limits())
    task = Task(plan, bundled_keys(ring), wanted_verdicts(only))
    sources = source_records(each_of(trust), each_of(keys))
    given = [each for each in (*each_of(trust), *each_of(keys)) if isinstance(each, (str, os.PathLike))]
    run = run_record((), reproducible)
    return bundle_of(
        paths_of(paths), os.fspath(output), task, run, sources, [os.fspath(each) for each in given]
    )


def wanted_verdicts(words: Iterable[str]) -> frozenset[str]:
    """The verdicts that ``only`` names. Raises UsageError for an unknown word."""
    found = frozenset(words)
    unknown = sorted(found.difference(WORDS))
    if unknown:
        text = f"unknown verdict {unknown[0]!r}: choose from {', '.join(WORDS)}"
        raise UsageError(text, code="unknown-verdict")
    return found


def bundle_of(
    paths: Sequence[str],
    output: str,
    task: Task,
    run: Mapping[str, Any],
    sources: Sequence[dict[str, Any]],
    given: Sequence[str],
    *,
    cage: Cage | None = None,
    seen: Callable[[Seen], None] = lambda each: None,
) -> BundleSummary:
    """Write the bundle. ``run`` is the run record; without a time in it the bundle is reproducible, and the
    folders of absolute paths among ``paths`` and ``given`` are left out. Raises UsageError, WriteError."""
    refuse_input(paths, output)
    reproducible = run["time"] is None
    shorten = shortener(paths, given, output, reproducible)
    with Bundle(output, mtime_of(reproducible)) as bundle:
        writer = Writer(bundle, task, shorten, seen)
        try:
            write_evidence(paths, task, bundle, writer, cage=cage)
            writer.finish(dict(run), shorten(list(sources)), reproducible)
        finally:
            writer.close()
        bundle.commit()
    return BundleSummary(
        output, bundle.sha256, writer.modules, dict(writer.verdicts), dict(writer.left_out),
        writer.containers, writer.incomplete_count, tuple(writer.changes),
    )  # fmt: skip


def shortener(paths: Iterable[str], given: Iterable[str], output: str, reproducible: bool) -> Shortener:
    """How paths are written: with ``reproducible`` without the folders of those that are absolute."""
    named = [*paths, *(path for each in given if (path := path_of(each)) is not None), output]
    return Shortener(map(disk_path, named) if reproducible else ())


def refuse_input(paths: Iterable[str], output: str) -> None:
    """Raises UsageError for URLs, and where the bundle would replace a file that it is about, or be among
    such files."""
    target = os.path.realpath(output)
    for path in paths:
        if is_url(path):
            raise UsageError(
                f"{shown(path)}: evidence is read from the disk: fetch it first", code="is-a-url"
            )
        disk = os.path.realpath(disk_path(path))
        if disk == target or (os.path.isdir(disk) and target.startswith(disk.rstrip("/") + "/")):
            text = "the bundle would be among the files that it is about: write it to another place"
            raise UsageError(text, code="output-is-input")


def mtime_of(reproducible: bool) -> int:
    """The time of the files: now, or with ``reproducible`` that of SOURCE_DATE_EPOCH, else 0.

    Raises UsageError for a SOURCE_DATE_EPOCH that is not a number of seconds.
    """
    if not reproducible:
        return int(time.time())
    text = os.environ.get(EPOCH, "0")
    if not (text.isascii() and text.isdecimal() and len(text) < 12):
        raise UsageError(f"{EPOCH} is not a number of seconds: {text!r}", code="source-date-epoch")
    return int(text)


__all__ = ["BundleSummary", "Pictures", "WriteError", "bundle_of", "evidence"]
