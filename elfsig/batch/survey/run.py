"""survey of many outermost files, each in a cage of its own: what it found so far is kept if it is ended."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from elfsig.batch.survey.below import files_below
from elfsig.batch.survey.file import Plan, Surveyed, companions, survey_file, unreadable
from elfsig.batch.survey.image_layout import files_of, is_layout, layout_record
from elfsig.batch.workers import run
from elfsig.containers.contract import Member
from elfsig.containers.names import expected_by_name
from elfsig.containers.registry import load
from elfsig.errors import ElfsigError, Killed, ReadError
from elfsig.model.json_form import readable
from elfsig.opened.evidence import MODULE_SUFFIXES
from elfsig.opened.inside import disk_path
from elfsig.opened.inside import outermost as opened
from elfsig.opened.links import Links
from elfsig.opened.remote import client
from elfsig.opened.remote.client import RemoteContent
from elfsig.opened.remote.urls import RemoteFile, is_url, shown
from elfsig.opened.several import descriptor_of, extents_of, goes_on
from elfsig.verbs.survey.recognise import what_it_is
from elfsig.verbs.survey.shapes import FOUND, is_record

if TYPE_CHECKING:
    from elfsig.cage.cage import Cage

Json = dict[str, Any]

TOGETHER = 64
"""Plain modules that share a child: a child for each would cost more than the work."""


class Outermost(NamedTuple):
    """A file to survey; ``root`` is the directory that led to it, None for one that was named.

    ``further`` are the files in which an image goes on, in order; ``around`` those among which others that it
    needs are looked for: see :func:`elfsig.batch.survey.file.companions`. For one at a URL, ``path`` is the
    URL without credentials, and ``remote`` is what to open.
    """

    path: str
    root: str | None = None
    error: ReadError | None = None
    further: tuple[str, ...] = ()
    remote: RemoteFile | None = None
    around: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """The file, and those in which it goes on."""
        return self.path, *self.further


class Drawn(NamedTuple):
    """What a record looks like: its text for people, and where one is wanted a picture as HTML."""

    text: str = ""
    picture: str = ""


class Line(NamedTuple):
    """One record as a JSON object, and what it looks like."""

    record: Json
    drawn: Drawn


def outermost(paths: Iterable[str], links: Links | None = None) -> Iterator[Outermost]:
    """The files that ``paths`` select: as given, and every file below directories, sorted.

    Symbolic links below a directory are followed to files outside that are called like something to survey;
    ``links`` keeps account of them. What cannot be listed is an entry with its error. URLs are listed
    likewise; :func:`check_sources` says beforehand whether they can be. Files in which an image goes on
    belong to its first file, if they follow it; the extents of a VMDK to the descriptor that names them, if
    both were given.
    """
    first: Outermost | None = None
    for each in _whole(list(paths), links or Links()):
        if first is not None and _goes_on(first, each):
            first = first._replace(further=(*first.further, each.path))
            continue
        if first is not None:
            yield first
        first = each
    if first is not None:
        yield first


def _goes_on(first: Outermost, following: Outermost) -> bool:
    """Whether an image that starts in ``first`` goes on in ``following``, by their names."""
    if first.remote is not None or following.remote is not None or following.error is not None:
        return False
    return goes_on(first.path, len(first.files) + 1, following.path)


def _whole(paths: Sequence[str], links: Links) -> Iterator[Outermost]:
    """The files, without extents that belong to a descriptor; descriptors with theirs."""
    named = frozenset(map(os.path.normpath, paths))

    def given(path: str, beside: Outermost) -> bool:
        below = beside.root is not None and os.path.isfile(path) and not os.path.islink(path)
        return below or os.path.normpath(path) in named

    for each in _each(paths, links):
        if each.error is not None or each.remote is not None:
            yield each
            continue
        descriptor = descriptor_of(each.path)
        if descriptor is None or not given(descriptor, each):
            yield each._replace(further=tuple(path for path in extents_of(each.path) if given(path, each)))


def _each(paths: Sequence[str], links: Links) -> Iterator[Outermost]:
    links.expect(path for path in paths if not is_url(path))
    for path in paths:
        if is_url(path):
            yield from _listed(path)
        elif os.path.isdir(path):
            yield from (Outermost(found, path, error) for found, error in files_below(path, links))
        else:
            yield Outermost(path)


def check_sources(paths: Iterable[str]) -> None:
    """Raises UsageError for URLs of a kind that is not known, or needs a package that is not installed."""
    for path in paths:
        if is_url(path):
            client.check(path)


def _listed(url: str) -> Iterator[Outermost]:
    root = shown(url)
    try:
        for each in client.entries(url):
            error = None if each.error is None else ReadError(each.error[1], code=each.error[0])
            below = None if each.file.path is None else root
            yield Outermost(each.shown, below, error, (), each.file)
    except ReadError as fault:
        yield Outermost(root, None, fault)


def selected(files: Iterable[Outermost]) -> Iterator[Outermost]:
    """Those of ``files`` that were named, could not be listed, are elsewhere, or are of a kind that a survey
    reads."""
    for each in files:
        known = each.error is not None or each.root is None or each.remote is not None
        if known or is_layout(each.path, each.root) or _of_interest(each.path):
            yield each


def records_of(each: Outermost, plan: Plan) -> Iterator[Surveyed]:
    """The records of one of :func:`outermost`; none for a file below a directory that is of no known kind."""
    for one in selected([each]):
        if one.error is not None:
            yield Surveyed(unreadable(one.path, one.error))
        elif one.remote is None:
            yield from _records_on_disk(one, plan)
        else:
            yield from _read_remote(one, one.remote, plan)


def _records_on_disk(each: Outermost, plan: Plan) -> Iterator[Surveyed]:
    if is_layout(each.path, each.root):
        yield Surveyed(layout_record(each.path, plan.limits.budget()))
    else:
        yield from survey_file(each.path, plan, each.root, each.further, each.around)


def _read_remote(each: Outermost, remote: RemoteFile, plan: Plan) -> Iterator[Surveyed]:
    try:
        with client.opened(remote) as content:
            yield from survey_file(each.path, plan, each.root, content=content)
    except ReadError as fault:
        yield Surveyed(unreadable(each.path, fault))


def with_companions(each: Outermost, given: Sequence[str]) -> Outermost:
    """``each`` with the files that reading it may need, of those ``given``; they are found before a child is
    confined."""
    if each.error is not None or each.remote is not None or each.path.endswith(MODULE_SUFFIXES):
        return each
    if is_layout(each.path, each.root):
        return each._replace(around=files_of(each.path))
    return each._replace(around=companions(each.path, each.root, given))


def needed(each: Outermost) -> list[str]:
    """The files on disk that reading this one may need."""
    return [] if each.remote is not None else [disk_path(path) for path in (*each.files, *each.around)]


def survey_all(
    files: Iterable[Outermost],
    plan: Plan,
    draw: Callable[[Surveyed], Drawn],
    *,
    cage: Cage | None = None,
    jobs: int = 0,
) -> Iterator[Line]:
    """The records of all files, in order, each drawn by ``draw``; in ``jobs`` processes (0: one a processor).

    With ``cage`` every container is read in a child of its own, and plain modules in one for many. Files
    below a directory that are of no known kind are passed over.
    """
    for _, lines in survey_batches(files, plan, draw, cage=cage, jobs=jobs):
        yield from lines


def survey_batches(
    files: Iterable[Outermost],
    plan: Plan,
    draw: Callable[[Surveyed], Drawn],
    *,
    cage: Cage | None = None,
    jobs: int = 0,
) -> Iterator[tuple[Sequence[Outermost], list[Line]]]:
    """The same, for each container or for some plain modules together: these files, and their records."""
    worker = _Worker(plan, draw, cage)
    begun: deque[Sequence[Outermost]] = deque()

    def supply() -> Iterator[Sequence[Outermost]]:
        for batch in batches(files):
            begun.append(batch)
            yield batch

    for lines in run(worker, supply(), jobs, lost=worker.lost, few=1):
        yield begun.popleft(), lines


def batches(files: Iterable[Outermost]) -> Iterator[tuple[Outermost, ...]]:
    """Plain modules on disk together, by their names; everything else alone."""
    together: list[Outermost] = []
    for each in files:
        plain = each.remote is None and each.path.endswith(MODULE_SUFFIXES)
        if plain:
            together.append(each)
        if len(together) >= TOGETHER or (together and together[-1] is not each):
            yield tuple(together)
            together = []
        if not plain:
            yield (each,)
    if together:
        yield tuple(together)


class _Worker:
    """Surveys a batch of files, in this process or in cages; ``content`` is that of one at a URL."""

    def __init__(
        self,
        plan: Plan,
        draw: Callable[[Surveyed], Drawn],
        cage: Cage | None,
        content: RemoteContent | None = None,
    ) -> None:
        self.plan, self.draw, self.cage, self.content = plan, draw, cage, content

    def __call__(self, batch: Sequence[Outermost]) -> list[Line]:
        if batch[0].remote is not None and batch[0].error is None:
            return self._read_remote(batch[0], batch[0].remote)
        lines: list[Line] = []
        rest = list(batch)
        while rest:
            done, found, fault = self._attempt(rest)
            lines += found
            if fault is not None:  # even of a child that had reported everything
                lines.append(self._failed(rest[min(done, len(rest) - 1)], fault, found))
                done += 1
            rest = rest[done:]
        return lines

    def lost(self, batch: Sequence[Outermost], how: str) -> list[Line]:
        """The records for a batch whose worker died."""
        fault = ReadError(f"no result: {how}", code="process-died")
        return [self._failed(each, fault, ()) for each in batch]

    def _read_remote(self, each: Outermost, remote: RemoteFile) -> list[Line]:
        """The records of a file at a URL: its hash, which is known at its end, is put into all of them."""
        try:
            with client.opened(remote) as content:
                cage, descriptor = self.cage, content.descriptor
                if cage is not None and descriptor is not None:
                    cage = cage.keeping(descriptor)
                _, found, fault = _Worker(self.plan, self.draw, cage, content)._attempt([each])
        except ReadError as reason:
            found, fault = [], reason
        if fault is not None:
            return [*found, self._failed(each, fault, found)]
        for line in found:
            line.record["chain"][0]["sha256"] = found[-1].record["chain"][0]["sha256"]
        return found

    def _attempt(self, batch: Sequence[Outermost]) -> tuple[int, list[Line], ElfsigError | None]:
        """How many files were finished, what was found, and what ended the next one."""
        found: list[Line] = []
        batch = [with_companions(each, self.plan.given) for each in batch]
        if self.cage is None:
            for each in batch:
                found += map(self._line, self._records(each))
            return len(batch), found, None
        done = 0
        try:
            allowed = [path for each in batch for path in needed(each)]
            for item in self.cage.run(lambda report: self._work(batch, report), allowed):
                line = line_of(item, *batch[done].files) if item is not None else None
                if line is None:
                    done += 1
                else:
                    found.append(line)
        except ElfsigError as fault:
            return done, found, fault
        except (ValueError, IndexError):
            return done, found, Killed("what it reported is not a record", limit="records")
        except OSError as reason:
            return done, found, ReadError(f"no process for it: {reason.strerror}", code="no-process")
        return done, found, None

    def _work(self, batch: Sequence[Outermost], report: Callable[[Any], None]) -> None:
        """In the child: every record as [object, text, picture], and None after each file."""
        for each in batch:
            for found in self._records(each):
                line = self._line(found)
                report([line.record, *line.drawn])
            report(None)

    def _records(self, each: Outermost) -> Iterator[Surveyed]:
        if self.content is None:
            return records_of(each, self.plan)
        return survey_file(each.path, self.plan, each.root, content=self.content)

    def _line(self, found: Surveyed) -> Line:
        return Line(found.record.to_json(), self.draw(found))

    def _failed(self, each: Outermost, fault: ElfsigError, found: Sequence[Line]) -> Line:
        """The record of a file that was not finished; the modules found in it are counted."""
        modules = sum(
            line.record["record"] == "module" and line.record["path"].startswith(f"{readable(each.path)}!/")
            for line in found
        )
        error = ReadError(fault.text, code=fault.code, offset=fault.offset, hint=fault.hint)
        return self._line(Surveyed(unreadable(each.path, error, modules)))


def line_of(item: Any, *paths: str) -> Line:
    """What a child reported about the files ``paths``. Raises ValueError for anything that is not that."""
    if not isinstance(item, list) or len(item) != 3:
        raise ValueError("not a line")
    record, text, picture = item
    if not is_record(record) or record["record"] not in FOUND:
        raise ValueError("not a record of what is in a file")
    if not any(is_in(record["path"], readable(path)) for path in paths):
        raise ValueError("not a record of this file")
    if not (isinstance(text, str) and isinstance(picture, str)):
        raise ValueError("not drawn")
    if record["record"] == "module":
        record["vendor"] = None  # which its parent finds out
    return Line(record, Drawn(text, picture))


def is_in(path: str, outermost_file: str) -> bool:
    """Whether a record's path is that of this file, or of something in it; both in readable form."""
    return path == outermost_file or path.startswith(f"{outermost_file}!/")


def _of_interest(path: str) -> bool:
    """Whether a file below a directory is of a kind that a survey reads. True for what cannot be opened."""
    try:
        with opened(path) as (reader, chain):
            member = Member(chain[-1].name, "file", reader)
            known = what_it_is(member) is not None or load().find(reader) is not None
            return known or (expected_by_name(member.name) is not None and bool(reader.peek(1)))
    except ReadError:
        return True
