"""The HTML report of ``survey``: one self-contained file, for light and dark screens and for print."""

from __future__ import annotations

import gzip
import shlex
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from elfsig._version import __version__
from elfsig.cli.render.coverage import svg as coverage_svg
from elfsig.cli.render.page import data, page
from elfsig.cli.render.survey import chart as survey_chart
from elfsig.cli.render.survey.columns import Columns, Group, layer_words
from elfsig.cli.render.vendor import Against
from elfsig.cli.render.words import plural
from elfsig.cli.settings import visible
from elfsig.model import Verdict
from elfsig.model.json_form import dumps
from elfsig.verbs.audit.folds import RuleFold
from elfsig.verbs.survey.copies import SAME, Copies, Several

Json = dict[str, Any]

MAX_ROWS = 100
"""Rows of a table over all modules; the list below it has every module."""

VERDICTS = (*(each.value for each in Verdict), "unreadable")


@dataclass
class Page:
    """Collects the records of a survey, as JSON objects, and writes the page.

    ``maps`` are coverage maps as HTML, ``maps_left_out`` counts those that were not drawn.
    """

    columns: Columns = field(default_factory=Columns)
    copies: Copies = field(default_factory=Copies)
    containers: list[Json] = field(default_factory=list)
    kernels: list[Json] = field(default_factory=list)
    against: Against | None = None
    maps: list[str] = field(default_factory=list)
    maps_left_out: int = 0

    def add(self, record: Json) -> None:
        """Add one record."""
        if record["record"] == "module":
            self.columns.add(record)
            self.copies.add(record)
        elif record["record"] == "container":
            self.containers.append(record)
        elif record["record"] == "kernel":
            self.kernels.append(record)
        if record["record"] == "vendor" or record.get("vendor") is not None:
            self.against = self.against or Against()
        if self.against is not None:
            self.against.add(record)

    def add_map(self, drawn: str) -> None:
        """Add the coverage map, as HTML, of the module that was added last."""
        self.columns.maps[len(self.columns) - 1] = len(self.maps)
        self.maps.append(drawn)

    def text(self, run: Json, sources: Sequence[Json] = (), keys: Sequence[Json] = ()) -> str:
        """The whole page.

        ``run`` is the run record; ``sources`` are the key sources with their hashes, ``keys`` public keys as
        ``keys list --json`` has them: they date the chart.
        """
        packed = gzip.compress(dumps(self.columns.data()).encode(), 9, mtime=0)
        table = f'<script type="application/octet-stream" id="data">{b64encode(packed).decode()}</script>\n'
        return page(
            "Modules and their signatures",
            "".join(self._facts(run)),
            "".join((*self._body(run, sources, keys), data("survey.html"), *self._maps())),
            f"Made by elfsig {escape(__version__)}.",
            style=data("survey.css") + (coverage_svg.style() if self.maps else ""),
            script=f"{table}<script>\n{data('survey.js')}</script>\n",
        )

    @property
    def incomplete(self) -> list[Json]:
        """Records of containers that were not read to their end."""
        return [each for each in self.containers if not each["complete"]]

    # ------------------------------------------------------------------ the parts, in the page's order

    def _facts(self, run: Json) -> Iterator[str]:
        when = run.get("time")
        if when:
            yield f'<p class="facts">{escape(when)}, elfsig {escape(run["version"])}</p>'
        verdicts = Counter({each.text: each.modules for each in self.columns.groups("verdict")})
        tiles = [
            ("containers", len(self.containers), False),
            ("not read completely", len(self.incomplete), True),
            ("kernel images", len(self.kernels), False),
            ("modules", len(self.columns), False),
            *((word, verdicts[word], word == Verdict.INVALID.value) for word in VERDICTS if verdicts[word]),
        ]
        yield '<div class="tiles">'
        for word, count, alarming in tiles:
            mark = ' class="alarm"' if alarming and count else ""
            yield f"<div{mark}><b>{count}</b>{escape(word)}</div>"
        yield f'</div><div class="total">{_bar(verdicts)}</div>'

    def _body(self, run: Json, sources: Sequence[Json], keys: Sequence[Json]) -> Iterator[str]:
        yield from self._not_complete()
        yield from _against(self.against)
        yield from self._several()
        yield '<div class="columns">'
        for column, title in (("signer", "Signers"), ("release", "Kernel releases"), ("outer", "Files")):
            yield from _groups(title, column, self.columns.groups(column))
        yield "</div>"
        yield survey_chart.figure(self.columns, keys)
        yield from self._kernels()
        yield from _sources(sources)
        yield from _repeat(run)

    def _not_complete(self) -> Iterator[str]:
        rows = self.incomplete
        if not rows:
            yield "<p>Every container was read to its end.</p>" if self.containers else ""
            return
        yield '<section><h2>Not read completely</h2><p class="warning">These may hold modules that are not '
        yield 'listed here.</p><div class="scroll"><table><thead><tr><th>Container</th><th>Kind</th>'
        yield '<th class="n">Modules</th><th>Code</th><th class="n">Offset</th><th>Why</th></tr></thead>'
        for each in rows:
            fault = each["error"] or {}
            at = "" if fault.get("offset") is None else f"{fault['offset']:#x}"
            yield (
                f'<tr><td class="name">{_text(each["path"])}</td><td>{_text(each["kind"])}</td>'
                f'<td class="n">{each["modules"]}</td><td class="w">{_text(fault.get("code"))}</td>'
                f'<td class="n">{at}</td><td>{_text(fault.get("text"))}</td></tr>'
            )
        yield "</table></div></section>"

    def _several(self) -> Iterator[str]:
        found = list(self.copies.several())
        odd = [each for each in found if each.relation != SAME]
        if not found:
            return
        yield f"<section><h2>The same module in several places</h2><p>{plural(len(found), 'module')}, "
        yield f"{len(found) - len(odd)} of them the same everywhere.</p>"
        if odd:
            yield '<div class="scroll"><table><thead><tr><th>Module</th><th>Release</th><th>Relation</th>'
            yield "<th>Where</th></tr></thead>"
            yield from map(_copies_row, odd[:MAX_ROWS])
            yield "</table></div>"
            yield _more(len(odd))
        yield "</section>"

    def _kernels(self) -> Iterator[str]:
        if not self.kernels:
            return
        yield '<section><h2>Kernel images</h2><div class="scroll"><table><thead><tr><th>Image</th>'
        yield "<th>Release</th><th>Keys compiled in</th></tr></thead>"
        for each in self.kernels[:MAX_ROWS]:
            names = ", ".join(key["label"] for key in each["keys"]) or "none found"
            yield (
                f'<tr><td class="name">{_text(each["path"])}</td><td>{_text(each["release"])}</td>'
                f"<td>{_text(names)}</td></tr>"
            )
        yield f"</table></div>{_more(len(self.kernels))}</section>"

    def _maps(self) -> Iterator[str]:
        if not self.maps:
            return
        yield "<section><h2>What the odd signatures protect</h2>"
        if self.maps_left_out:
            yield f"<p>{plural(self.maps_left_out, 'further map')} left out: "
            yield "<code>elfsig coverage</code> draws each.</p>"
        for number, drawn in enumerate(self.maps):
            yield f'<div id="map-{number}">{drawn}</div>'
        yield "</section>"


# --------------------------------------------------------------------------- pieces


def _text(value: str | None) -> str:
    return escape(visible(value or ""))


def _more(count: int) -> str:
    return f'<p class="dim">The first {MAX_ROWS} of {count}.</p>' if count > MAX_ROWS else ""


def _bar(verdicts: Counter[str]) -> str:
    parts = (
        f'<span style="flex:{verdicts[word]};background-color:var(--{word})" '
        f'title="{word}: {verdicts[word]}"></span>'
        for word in VERDICTS
        if verdicts[word]
    )
    return f'<div class="bar">{"".join(parts)}</div>'


def _groups(title: str, column: str, groups: Sequence[Group]) -> Iterator[str]:
    if not groups:
        return
    yield f'<section><h2>{title}</h2><div class="scroll"><table><thead><tr><th>{title}</th>'
    yield '<th class="n">Modules</th><th>Verdicts</th></tr></thead>'
    for each in groups[:MAX_ROWS]:
        words = ", ".join(f"{each.verdicts[word]} {word}" for word in VERDICTS if each.verdicts[word])
        yield (
            f'<tr><td class="name"><button type="button" data-filter="{column}" data-value="{each.number}">'
            f'{_text(each.text) or "none"}</button></td><td class="n">{each.modules}</td>'
            f"<td>{_bar(each.verdicts)}{words}</td></tr>"
        )
    yield f"</table></div>{_more(len(groups))}</section>"


def _copies_row(each: Several) -> str:
    places = "<br>".join(
        f"{_text(copy.path)}: {_text(copy.verdict or 'unreadable')}" for copy in each.copies[:10]
    )
    rest = len(each.copies) - 10
    more = f"<br>and {plural(rest, 'further place')}" if rest > 0 else ""
    return (
        f'<tr><td class="w">{_text(each.name)}</td><td class="w">{_text(each.release)}</td>'
        f'<td class="w">{_text(each.relation)}</td><td class="name">{places}{more}</td></tr>'
    )


def _against(against: Against | None) -> Iterator[str]:
    """What differs from the vendor's modules, like things together."""
    if against is None:
        return
    yield f"<section><h2>Against the vendor</h2><p>{_text(against.summary())}.</p>"
    if against.folds.rules:
        yield '<div class="scroll"><table><thead><tr><th>Rule</th><th class="n">Modules</th><th>What</th>'
        yield "<th>Where</th></tr></thead>"
        for rule in against.folds.rules:
            yield from _fold_rows(rule)
        yield "</table></div>"
    yield "</section>"


def _fold_rows(rule: RuleFold) -> Iterator[str]:
    for group in rule.groups.values():
        first = group.first[0]
        said = f"{group.modules} {first.fold}" if first.fold and group.modules > 1 else first.text
        rest = group.modules - len(group.first)
        where = "<br>".join(_text(each.path) for each in group.first) + (
            f"<br>and {rest} more" if rest else ""
        )
        yield (
            f'<tr><td class="w">{_text(rule.rule)}</td><td class="n">{group.modules}</td>'
            f'<td>{_text(said)}</td><td class="name">{where}</td></tr>'
        )
    if rule.others:
        yield f'<tr><td class="w">{_text(rule.rule)}</td><td class="n">{rule.others}</td>'
        yield "<td>others</td><td></td></tr>"


def _sources(sources: Sequence[Json]) -> Iterator[str]:
    if not sources:
        return
    yield '<section><h2>Key sources</h2><div class="scroll"><table><thead><tr><th>Source</th><th>Use</th>'
    yield '<th class="n">Keys</th><th>SHA-256</th></tr></thead>'
    for each in sources:
        yield (
            f'<tr><td class="name">{_text(each["source"])}</td><td class="w">{_text(each["use"])}</td>'
            f'<td class="n">{each["keys"]}</td><td class="mono name">{_text(each["sha256"])}</td></tr>'
        )
    yield "</table></div></section>"


def _repeat(run: Json) -> Iterator[str]:
    argv: Iterable[str] = run.get("argv") or ()
    words = shlex.join(["elfsig", *argv]) if argv else ""
    if words:
        yield f"<section><h2>To repeat it</h2><pre>{_text(words)}</pre></section>"


__all__ = ["Page", "layer_words"]
