"""A chart of the signers of a survey over time: when their certificates are valid, when they signed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Any, NamedTuple

from elfsig.cli.render.survey.columns import Columns
from elfsig.cli.settings import visible

Json = dict[str, Any]

ROW, NAMES, WIDTH, TOP = 22, 330, 1000, 26
MAX_SIGNERS = 30
MAX_LABELS = 12


class Span(NamedTuple):
    """One row: years as decimal numbers. ``signed`` is what the signatures say of their own time."""

    text: str
    modules: int
    valid: tuple[float, float] | None
    signed: tuple[float, float] | None


def figure(columns: Columns, keys: Sequence[Json]) -> str:
    """The chart as HTML, "" where no signer has a date."""
    rows = [span for span in _spans(columns, keys) if span.valid or span.signed][:MAX_SIGNERS]
    if not rows:
        return ""
    years = [year for span in rows for pair in (span.valid, span.signed) if pair for year in pair]
    first, last = int(min(years)), min(int(max(years)) + 1, 2200)
    height = TOP + ROW * len(rows) + 6
    drawn = "".join(_rows(rows, first, last))
    return (
        "<section><h2>Signers over time</h2><p>Light: the certificate is valid. Dark: the signatures say "
        'that they were made then.</p><figure class="scroll"><svg class="chart" role="img" '
        f'aria-label="signers over time" viewBox="0 0 {NAMES + WIDTH} {height}">'
        f"{_axis(first, last, height)}{drawn}</svg></figure></section>"
    )


def _spans(columns: Columns, keys: Sequence[Json]) -> Iterator[Span]:
    known = {key["fingerprint"]: key for key in keys}
    for group in columns.groups("signer"):
        key = known.get(columns.fingerprints.get(group.number, ""))
        certificate = (key or {}).get("certificate")
        valid = certificate and _years(certificate["not_before"], certificate["not_after"])
        signed = columns.created.get(group.number)
        yield Span(group.text, group.modules, valid, signed and _years(*signed))


def _years(first: str, last: str) -> tuple[float, float] | None:
    """Two times as years; None for one beyond the calendar."""
    try:
        return _year(first), _year(last)
    except ValueError:
        return None


def _year(when: str) -> float:
    year, month, day = (int(part) for part in when[:10].split("-"))
    return year + (month - 1) / 12 + (day - 1) / 372


def _axis(first: int, last: int, height: int) -> str:
    step = max(1, -(-(last - first) // MAX_LABELS))
    marks = range(first, last + 1, step)
    return "".join(
        f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="18" y2="{height}"/>'
        f'<text x="{x:.1f}" y="13" text-anchor="middle">{year}</text>'
        for year in marks
        for x in [_x(year, first, last)]
    )


def _x(year: float, first: int, last: int) -> float:
    inside = min(max(year, first), last)
    return NAMES + 16 + (inside - first) / (last - first) * (WIDTH - 40)


def _rows(rows: Sequence[Span], first: int, last: int) -> Iterator[str]:
    for number, span in enumerate(rows):
        y = TOP + number * ROW
        name = span.text if len(span.text) <= 48 else f"{span.text[:47]}…"
        yield f"<g><title>{escape(visible(span.text))}: {span.modules} modules</title>"
        yield f'<text x="0" y="{y + 13}">{escape(visible(name))}</text>'
        for pair, style, thick in ((span.valid, "span", 12), (span.signed, "signed", 6)):
            if pair:
                start, end = (_x(year, first, last) for year in pair)
                yield (
                    f'<rect class="{style}" x="{start:.1f}" y="{y + 9 - thick / 2}" '
                    f'width="{max(3.0, end - start):.1f}" height="{thick}"/>'
                )
        yield "</g>"
