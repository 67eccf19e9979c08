"""Modules against a vendor's: packages, trees and mirrors of the vendor's are read first, as survey does.

Memory is bounded: the vendor's modules are in a database on disk, and the records of the other side pass
through, some hundreds at a time.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from elfsig.batch.survey.file import Plan, Surveyed
from elfsig.batch.survey.run import Drawn, Line, Outermost, is_in, outermost, survey_batches
from elfsig.batch.vendor.compare import Comparer, Pair
from elfsig.containers.registry import BUILTIN
from elfsig.lazy_dataclass import replace
from elfsig.model import Remark
from elfsig.model.json_form import readable
from elfsig.opened.links import REASONS, Links
from elfsig.verbs.vendor.index import VendorIndex
from elfsig.verbs.vendor.relation import KnownModule, Relation, VendorFinding, known, missing_record
from elfsig.verbs.vendor.sources import VendorSource
from elfsig.verbs.verify.examine import Question

if TYPE_CHECKING:
    from elfsig.cage.cage import Cage

Json = dict[str, Any]

HELD_BACK = 1000
"""Records after which changed modules are compared: the vendor's package is read once for all of them."""

COMPARED = frozenset({Relation.CHANGED, Relation.UNCERTAIN})
"""Relations of which a comparison says more."""


_SPANNING = frozenset(each.id for each in BUILTIN if each.spans)
"""Kinds of containers of which one may hold nothing, because it is a part of what another file has."""


class Looked(NamedTuple):
    """A module that was looked up: where it is, and the vendor's, None without one."""

    own: Outermost
    size: int
    finding: VendorFinding
    vendor: Outermost | None


class Vendor:
    """The vendor's modules, and the comparison with them. ``sources`` are what was given.

    ``own_complete``: everything of the other side was read to its end, without which nothing is missing.
    """

    sources: list[VendorSource]
    own_complete: bool

    def __init__(self, comparer: Comparer) -> None:
        self._comparer = comparer
        self._index = VendorIndex()
        self.sources, self.own_complete = [], True

    def close(self) -> None:
        """Remove what was kept on disk."""
        self._index.close()

    @property
    def complete(self) -> bool:
        """Whether everything was read to its end, so that it can be said what is unknown and missing."""
        return self._index.complete and self.own_complete

    # ------------------------------------------------------------------ the vendor's side

    def read(self, paths: Sequence[str], plan: Plan, jobs: int = 0) -> VendorSource:
        """Take in a package, a tree or a mirror of the vendor's: the first of ``paths``. The others are files
        in which it goes on. What links that are not followed lead to was not read. Nothing is raised because
        of its content."""
        path = paths[0]
        source, spans = VendorSource(path, 0, 0), False
        links = Links()
        files = outermost(paths, links)
        batches = survey_batches(files, plan, _undrawn, cage=self._comparer.cage, jobs=jobs)
        for batch, lines in batches:
            for each in batch:
                records = [line.record for line in lines]
                source = self._take(source, each, records)
                spans = spans or any(record.get("kind") in _SPANNING for record in records)
        for link in links.not_followed.first:
            source = _unread(
                source, link.path, Remark("not-followed", f"a link that {REASONS[link.why or '']}")
            )
        if not source.modules and source.error is None and not spans:
            source = _unread(source, path, Remark("nothing-found", "there is no module in it"))
        self._index.complete = self._index.complete and source.complete
        self.sources.append(source)
        return source

    def _take(self, source: VendorSource, file: Outermost, records: Iterable[Json]) -> VendorSource:
        """Take in the records of one file."""
        number: int | None = None
        modules = 0
        name = readable(file.path)
        own = [each for each in records if is_in(each["path"], name)]
        for each in own:
            if each.get("error") is not None:
                error = each["error"]
                fault = Remark(error["code"], error["text"], error["offset"])
                if each["record"] != "kernel":
                    source = _unread(source, each["path"], fault)
            elif each["record"] == "module" and each.get("elf") is None:
                fault = Remark("malformed", "not a readable ELF file, so that its module is not known")
                source = _unread(source, each["path"], fault)
            elif each["record"] == "module" and (module := known(each)) is not None:
                number = self._index.add_file(file.path, file.further) if number is None else number
                self._index.add(module, number)
                modules += 1
        digest = own[-1]["chain"][0]["sha256"] if own and file.path == source.path else source.sha256
        files = source.files + bool(own)
        return replace(source, files=files, modules=source.modules + modules, sha256=digest)

    # ------------------------------------------------------------------ the other side

    def look_up(self, module: KnownModule, own: Outermost, size: int) -> Looked:
        """The finding for one module, which is in the file ``own``, without a comparison."""
        # One module that was named itself does not stand for all modules of its kernel.
        alone = own.root is None and module.path == readable(own.path)
        found = self._index.look_up(module, installed=not alone)
        vendor = None if found.file is None else self._file(*self._index.file(found.file))
        return Looked(own, size, found.finding, vendor)

    def _file(self, path: str, further: tuple[str, ...]) -> Outermost:
        """A file of the vendor's, with the directory that led to it."""
        roots = (each for each in self._comparer.vendor if path.startswith(f"{each.rstrip('/')}/"))
        return Outermost(path, next(roots, None), None, further)

    def compared(self, looked: Sequence[Looked]) -> dict[str, VendorFinding]:
        """The findings by path, with what differs in those that changed."""
        pairs = [
            Pair(each.own, each.finding.path, each.size, each.vendor, each.finding.vendor_path)
            for each in looked
            if each.vendor is not None and each.finding.vendor_path is not None
            if each.finding.relation in COMPARED
        ]
        comparisons = self._comparer.compare(pairs) if pairs else {}
        return {
            each.finding.path: replace(each.finding, comparison=comparisons.get(each.finding.path))
            for each in looked
        }

    def _annotated(self, batches: Iterable[tuple[Sequence[Outermost], list[Line]]]) -> Iterator[Line]:
        held: list[Line] = []
        looked: list[Looked] = []
        for batch, lines in batches:
            held += lines
            looked += self.looked_up(batch, lines)
            if len(held) >= HELD_BACK:
                yield from self._told(held, looked)
                held, looked = [], []
        yield from self._told(held, looked)

    def looked_up(self, batch: Sequence[Outermost], lines: Sequence[Line]) -> Iterator[Looked]:
        """The findings for the module records of some files of a survey, without comparisons."""
        for record in (line.record for line in lines):
            if record["record"] == "container":
                self.own_complete = self.own_complete and record["complete"]
            elif record["record"] == "module":
                module = known(record)
                own = next((each for each in batch if is_in(record["path"], readable(each.path))), None)
                if module is None or own is None:
                    self.own_complete = False
                else:
                    yield self.look_up(module, own, record["size"] or 0)

    def _told(self, lines: Sequence[Line], looked: Sequence[Looked]) -> Iterator[Line]:
        found = self.compared(looked)
        for line in lines:
            finding = found.get(line.record["path"]) if line.record["record"] == "module" else None
            if finding is not None:
                line.record["vendor"] = finding.to_json()
            yield line

    def records(
        self, batches: Iterable[tuple[Sequence[Outermost], list[Line]]], links: Links
    ) -> Iterator[Line]:
        """The records of the sources, the lines of a survey with the member ``vendor`` of every module
        record, and records of the modules that are missing. ``links`` are those that the survey meets."""
        yield from (Line(each.to_json(), Drawn()) for each in self.sources)
        yield from self._annotated(batches)
        self.own_complete = self.own_complete and not links.not_followed.count
        yield from (Line(missing_record(each), Drawn()) for each in self.missing())

    def missing(self) -> Iterator[VendorFinding]:
        """The vendor's modules that are not there, for the kernels whose modules were looked up. Nothing is
        missing unless everything of both sides was read to its end."""
        if self.complete:
            yield from self._index.missing()


@contextmanager
def reading_vendor(
    paths: Sequence[str], plan: Plan, *, cage: Cage | None = None, jobs: int = 0
) -> Iterator[Vendor | None]:
    """The vendor's modules in ``paths``; None without any."""
    if not paths:
        yield None
        return
    what = plan.examination
    plan = replace(
        plan, examination=replace(what, question=Question(None, True), kernel=None), found_keys=False
    )
    vendor = Vendor(Comparer(what.registry, plan.limits, what.limit, cage, plan.given, tuple(paths)))
    plan = replace(plan, given=tuple(paths))
    try:
        for source in _sources(paths):
            vendor.read(source, plan, jobs)
        yield vendor
    finally:
        vendor.close()


def _sources(paths: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """What was given, each with the files in which it goes on."""
    files = [each for each in paths if os.path.isfile(each)]
    whole = {each.path: each.files for each in outermost(files)}
    yield from (whole.get(each, (each,)) for each in paths if each in whole or each not in files)


def _undrawn(found: Surveyed) -> Drawn:
    return Drawn()


def _unread(source: VendorSource, path: str, fault: Remark) -> VendorSource:
    source = replace(source, unread=source.unread + 1)
    return source if source.error is not None else replace(source, error=fault, error_path=path)
