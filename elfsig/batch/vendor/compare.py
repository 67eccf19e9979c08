"""Compare changed modules with the vendor's: both are read once more, in one confined process for many.

Only the content of the changed modules is in memory, at most :data:`HELD` bytes as they are stored; the
vendor's are compared as they are met.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

from elfsig.batch.survey.file import Limits, context_of
from elfsig.batch.survey.run import Outermost, needed, with_companions
from elfsig.containers.walk import Found, walk
from elfsig.errors import ContainerError, ElfsigError, Killed, ReadError
from elfsig.model.json_form import path_members
from elfsig.opened.evidence import LIMIT
from elfsig.opened.inside import outermost
from elfsig.opened.module import Module, open_module
from elfsig.opened.remote.urls import is_url
from elfsig.registry import Registry
from elfsig.verbs.survey.recognise import what_it_is
from elfsig.verbs.vendor.differences import differences, is_comparison, not_compared

if TYPE_CHECKING:
    from elfsig.cage.cage import Cage

Json = dict[str, Any]

HELD = 256 << 20
"""Bytes of changed modules, as they are stored, that one process holds."""

MOST = 1000
"""Changed modules that one process compares."""


class Pair(NamedTuple):
    """A changed module, at ``path`` in the file ``own``, and the vendor's at ``vendor_path`` in ``vendor``.

    The paths are those of records. ``size`` is that of the changed module as it is stored, in bytes.
    """

    own: Outermost
    path: str
    size: int
    vendor: Outermost
    vendor_path: str


class Comparer(NamedTuple):
    """How pairs are read: the formats, the limits of each file and module, and the cage, None for none.

    ``own`` and ``vendor`` are the paths that were given for the two sides: images may need several of them.
    """

    registry: Registry
    limits: Limits = Limits()
    limit: int = LIMIT
    cage: Cage | None = None
    own: tuple[str, ...] = ()
    vendor: tuple[str, ...] = ()

    def compare(self, pairs: Sequence[Pair]) -> dict[str, Json]:
        """The comparison of every pair, by the path of the changed module. Nothing is raised."""
        elsewhere = [each for each in pairs if each.own.remote is not None or is_url(each.vendor.path)]
        fault = ReadError("what is at a URL is not read a second time", code="remote")
        found = {each.path: not_compared(fault) for each in elsewhere}
        for group in _groups([each for each in pairs if each.path not in found]):
            wanted = {each.path for each in group}
            failed: ElfsigError = ReadError("not found when it was read again", code="changed-meanwhile")
            try:
                for path, comparison in self._reports(group):
                    if path in wanted:
                        found[path] = comparison
            except ElfsigError as reason:
                failed = reason
            for path in wanted - found.keys():
                found[path] = not_compared(failed)
        return found

    def _reports(self, group: Sequence[Pair]) -> Iterator[tuple[str, Json]]:
        group = self._whole(group)
        if self.cage is None:
            reports: list[tuple[str, Json]] = []
            self._work(group, reports.append)
            yield from reports
            return
        files = {path for each in group for path in (*needed(each.own), *needed(each.vendor))}
        try:
            for item in self.cage.run(lambda report: self._work(group, report), list(files)):
                if not (isinstance(item, list) and len(item) == 2 and is_comparison(item[1])):
                    raise Killed("what it reported is not a comparison", limit="records")
                yield str(item[0]), item[1]
        except OSError as reason:
            raise ReadError(f"no process for it: {reason.strerror}", code="no-process") from None

    def _whole(self, group: Sequence[Pair]) -> Sequence[Pair]:
        """The pairs, with the files that reading theirs may need."""
        own = {each.own: with_companions(each.own, self.own) for each in group}
        vendor = {each.vendor: with_companions(each.vendor, self.vendor) for each in group}
        return [each._replace(own=own[each.own], vendor=vendor[each.vendor]) for each in group]

    def _work(self, group: Sequence[Pair], report: Callable[[Any], None]) -> None:
        """Read the changed modules, then the vendor's, and report every comparison."""
        own: dict[str, bytes] = {}
        for file, here in _by_file(group, lambda each: each.own):
            own.update(self._contents(file, {each.path for each in here}))
        for file, here in _by_file(group, lambda each: each.vendor):
            wanted: dict[str, list[str]] = {}
            for each in here:
                wanted.setdefault(each.vendor_path, []).append(each.path)
            for vendor_path, data in self._contents(file, set(wanted)):
                for path in wanted[vendor_path]:
                    if path in own:
                        report((path, self._differences(vendor_path, data, path, own[path])))

    def _differences(self, vendor_path: str, data: bytes, path: str, own: bytes) -> Json:
        try:
            return differences(self._module(vendor_path, data), self._module(path, own))
        except ElfsigError as reason:
            return not_compared(reason)

    def _module(self, path: str, data: bytes) -> Module:
        return open_module(data, self.registry, limit=self.limit).renamed(path)

    def _contents(self, file: Outermost, wanted: set[str]) -> Iterator[tuple[str, bytes]]:
        """The modules at the paths ``wanted`` in a file, until all were found. What cannot be read is not
        there."""
        left = set(wanted)
        try:
            with ExitStack() as stack:
                context = context_of(stack, self.limits, file.path, file.further, file.around)
                reader, chain = stack.enter_context(outermost(file.path, context))
                for each in walk(reader, chain, context, what_it_is):
                    if not isinstance(each, Found) or each.what is None or each.member.reader is None:
                        continue
                    path = path_members(each.path)["path"]
                    if path in left:
                        left.discard(path)
                        yield path, each.member.reader.all(self.limit)
                    if not left:
                        return
        except (ReadError, ContainerError):
            return


def _by_file(
    pairs: Iterable[Pair], file: Callable[[Pair], Outermost]
) -> Iterator[tuple[Outermost, list[Pair]]]:
    found: dict[str, tuple[Outermost, list[Pair]]] = {}
    for each in pairs:
        found.setdefault(file(each).path, (file(each), []))[1].append(each)
    yield from found.values()


def _groups(pairs: Sequence[Pair]) -> Iterator[Sequence[Pair]]:
    """Pairs that one process compares."""
    group: list[Pair] = []
    held = 0
    for each in pairs:
        if group and (len(group) >= MOST or held + each.size > HELD):
            yield group
            group, held = [], 0
        group.append(each)
        held += each.size
    if group:
        yield group
