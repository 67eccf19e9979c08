"""The text of ``survey``: what verify says of each module, what was not read, and a summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from elfsig.cli import exit_codes
from elfsig.cli.render import verify as render_verify
from elfsig.cli.render.vendor import Against
from elfsig.cli.render.words import plural, remark_words
from elfsig.cli.settings import visible
from elfsig.model import Verdict
from elfsig.verbs.survey.copies import SAME, Copies, Several
from elfsig.verbs.survey.records import ContainerRecord, KernelRecord, ModuleRecord, SurveyRecord

Json = dict[str, Any]
MAX_SEVERAL = 20
"""Modules in several places that the text lists."""


def lines(record: SurveyRecord, color: bool) -> Iterator[str]:
    """The lines of one record; none for what was read completely and holds nothing to report."""
    if isinstance(record, ModuleRecord):
        if record.report.error is not None:
            yield f"{visible(record.path)}: {_said(record.report.error)}"
        yield from render_verify.lines(record.report, color)
    elif isinstance(record, ContainerRecord) and record.error is not None:
        yield f"{visible(record.path)}: {_incomplete(record)}: {_said(record.error)}"
    elif isinstance(record, KernelRecord) and record.error is not None:
        yield f"{visible(record.path)}: kernel image without readable keys: {_said(record.error)}"


def _said(error: Any) -> str:
    return "; ".join(remark_words([error]))


def _incomplete(record: ContainerRecord) -> str:
    what = "not read" if record.kind in ("file", "part") else f"{record.kind}: not read to its end"
    return f"{what} ({record.error.code})" if record.error is not None else what


@dataclass
class Tally:
    """What was found, counted as the records pass by.

    ``against`` counts what was compared with a vendor's modules. ``keyless``: no keys were given; what is
    unchecked is then not counted where the comparison is what was asked for.
    """

    against: Against | None = None
    keyless: bool = False
    containers: int = 0
    incomplete: int = 0
    kernels: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    codes: set[int] = field(default_factory=set)

    def add(self, record: Json) -> None:
        """Count one record, as a JSON object."""
        if record["record"] == "module":
            self._add_module(record)
        elif record["record"] == "container":
            self.containers += 1
            if not record["complete"]:
                self.incomplete += 1
                self.codes.add(exit_codes.UNREADABLE)
        elif record["record"] == "kernel":
            self.kernels += 1
        if self.against is not None:
            self.codes |= self.against.add(record)

    def _add_module(self, record: Json) -> None:
        word, asked = record["verdict"], record["kernel"]
        self.verdicts[word or "unreadable"] += 1
        if asked is not None:
            self.codes.add(exit_codes.GOOD if asked["accepted"] else exit_codes.REFUSED)
        else:
            self.codes.add(self._code(word))

    def _code(self, word: str | None) -> int:
        if word is None:
            return exit_codes.UNREADABLE
        if self.keyless and self.against is not None and word == Verdict.UNCHECKED:
            return exit_codes.GOOD
        return exit_codes.BY_VERDICT[Verdict(word)]

    @property
    def modules(self) -> int:
        """How many modules were found."""
        return sum(self.verdicts.values())

    @property
    def code(self) -> int:
        """The exit code: that no module was found is not success."""
        return exit_codes.combined(self.codes) if self.modules else exit_codes.UNREADABLE

    def to_json(self) -> Json:
        """The member ``summary`` of the document."""
        return {
            "containers": self.containers,
            "incomplete": self.incomplete,
            "kernels": self.kernels,
            "modules": self.modules,
            "verdicts": dict(sorted(self.verdicts.items())),
        }


def summary(tally: Tally) -> Iterator[str]:
    """The lines on stderr at the end."""
    order = (*(verdict.value for verdict in Verdict), "unreadable")
    words = ", ".join(f"{tally.verdicts[word]} {word}" for word in order if tally.verdicts[word])
    found = f"{plural(tally.modules, 'module')} in {plural(tally.containers, 'container')}"
    yield f"{found}: {words}" if words else f"no module in {plural(tally.containers, 'container')}"
    if tally.against is not None:
        yield tally.against.summary()
    if tally.incomplete:
        rest = "may hold modules that are not listed"
        yield f"{plural(tally.incomplete, 'container')} not read to the end, which {rest}"


def at_the_end(tally: Tally, copies: Copies, color: bool) -> Iterator[str]:
    """What can be said once all records are there: modules that differ between places, or from a vendor's."""
    yield from several(list(copies.several()), copies.left_out)
    if tally.against is not None:
        yield from tally.against.lines(color)


def several(found: list[Several], left_out: int) -> Iterator[str]:
    """The modules that occur in several places and are not the same everywhere."""
    odd = [each for each in found if each.relation != SAME]
    for each in odd[:MAX_SEVERAL]:
        yield f"{visible(each.name)} {visible(each.release or '')}: {each.relation}, in:"
        yield from (f"  {visible(copy.path)}: {copy.verdict or 'unreadable'}" for copy in each.copies)
    if len(odd) > MAX_SEVERAL:
        yield f"{plural(len(odd) - MAX_SEVERAL, 'further module')} differ between places: see --json"
    if left_out:
        yield f"{plural(left_out, 'module')} not compared with other places: too many"
