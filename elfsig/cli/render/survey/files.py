"""The reports of ``survey`` that are written to files: the HTML page, the SARIF log, the Parquet table."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from html import escape
from pathlib import Path
from typing import Any

from elfsig.batch.survey.file import Surveyed
from elfsig.batch.survey.run import Line
from elfsig.batch.survey.tables import table_writer
from elfsig.cli.render.coverage.page import coverage_defs, signature_map
from elfsig.cli.render.reports import written
from elfsig.cli.render.safe_html import rewritten
from elfsig.cli.render.survey import sarif as survey_sarif
from elfsig.cli.render.survey.page import Page
from elfsig.cli.settings import visible
from elfsig.errors import ElfsigError
from elfsig.lazy_dataclass import replace
from elfsig.model import Keyring, Verdict
from elfsig.model.json_form import dumps, run_record
from elfsig.trust.ring import Ring
from elfsig.verbs.inspect.cover import Cover, covers
from elfsig.verbs.survey.records import ModuleRecord
from elfsig.verbs.verify.examine import Question

Json = dict[str, Any]

MAX_MAPS = 50
"""Coverage maps in one page; each takes some 30 KB."""

ODD = frozenset({Verdict.INVALID, Verdict.UNKNOWN_KEY, Verdict.UNTRUSTED, Verdict.UNSUPPORTED})
"""Verdicts of modules whose coverage map the page has."""


def picture(found: Surveyed) -> str:
    """The coverage maps of an odd module as HTML, "" for all others."""
    record = found.record
    if not isinstance(record, ModuleRecord) or found.module is None or record.report.verdict not in ODD:
        return ""
    try:
        maps = covers(found.module, Question())
        return "".join(signature_map(_as_reported(each, record), None) for each in maps)
    except ElfsigError:
        return ""


def _as_reported(cover: Cover, record: ModuleRecord) -> Cover:
    """The map with the verdict of the record: it was made without keys."""
    for each in record.report.signatures:
        own = cover.signature
        if own is not None and (each.place, each.claims) == (own.place, own.claims):
            return replace(cover, signature=each)
    return cover


@contextmanager
def report_files(html: str | None, sarif: str | None, parquet: str | None, origin: Json) -> Iterator[Files]:
    """The files to write; the table takes its place when the body ends. Its records have the members
    ``origin``, too. Raises UsageError, WriteError."""
    with nullcontext() if parquet is None else table_writer(parquet) as table:
        yield Files(html, sarif, table and (lambda record: table({**record, **origin})))


class Files:
    """Collects the records for the page and the log, which are written at the end, and fills the table."""

    html: str | None
    sarif: str | None
    page: Page
    log: survey_sarif.Log

    def __init__(
        self, html: str | None, sarif: str | None, table: Callable[[Json], None] | None = None
    ) -> None:
        self.html, self.sarif, self._table = html, sarif, table
        self.page, self.log = Page(), survey_sarif.Log()

    def add(self, line: Line) -> None:
        """Add one record."""
        if self._table is not None:
            self._table(line.record)
        if self.sarif is not None:
            self.log.add(line.record)
        if self.html is not None:
            self.page.add(line.record)
            if line.drawn.picture:
                self._add_map(line.record["path"], line.drawn.picture)

    def _add_map(self, path: str, drawn: str) -> None:
        if len(self.page.maps) >= MAX_MAPS:
            self.page.maps_left_out += 1
            return
        try:
            title = f"<h3>{escape(visible(path))}</h3>"
            self.page.add_map(coverage_defs() * (not self.page.maps) + title + rewritten(drawn))
        except ValueError:
            self.page.maps_left_out += 1

    def written(
        self, argv: Sequence[str], reproducible: bool, keys: Keyring | None, sources: Sequence[str]
    ) -> AbstractContextManager[None]:
        """Write the files; the body prints the summary. Raises WriteError."""

        def page() -> bytes:
            ring = keys if isinstance(keys, Ring) else None
            public = [each.to_json() for each in ring.keys] if ring is not None else []
            run = run_record(argv, reproducible)
            return self.page.text(run, list(_sources(sources, public)), public).encode()

        return written((self.html, page), (self.sarif, lambda: dumps(self.log.log()).encode("ascii") + b"\n"))


def _sources(sources: Sequence[str], keys: Sequence[Json]) -> Iterator[Json]:
    """The key sources, with the SHA-256 of those that are files."""
    for each in dict.fromkeys(sources):
        path = Path(each.partition(":")[2] if not Path(each).exists() and ":" in each else each)
        held = [key for key in keys if key["source"].startswith(str(path))]
        yield {
            "source": each,
            "use": "trusted" if any(key["trusted"] for key in held) else "tried",
            "keys": len(held),
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None,
        }
