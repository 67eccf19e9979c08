"""The map of ``coverage`` as SVG: the file from first to last byte, in rows. Kinds can be distinguished
without colour: derived is hatched, steering is dotted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from importlib.resources import files
from itertools import groupby
from typing import NamedTuple

from elfsig.cli.render.coverage.text import heading, scale
from elfsig.cli.settings import visible
from elfsig.coverages.bytemap import KINDS, Kind, Map, percent
from elfsig.opened.module import Module
from elfsig.verbs.inspect.bytemap import FilePart
from elfsig.verbs.inspect.cover import Cover

COLUMNS, ROWS = 128, 32
"""Cells per row, and maximum number of rows."""

LEFT, WIDTH, RIGHT = 72, 1000, 8
BAND, NAMES, STEP = 12, 11, 26
"""Height of the cells, of the names below them, and of a complete row."""

LEVELS = 6
"""A cell with bytes of several kinds is divided into this many levels."""

LETTER = 5.3
"""Width of a small letter: a name that does not fit into its section is only in the table."""

FILL = {
    Kind.VERBATIM: "#1f5fa8", Kind.SIGNATURE: "#1d1d1f", Kind.DERIVED: "#7db2e0", Kind.STEERING: "#c9b6ea",
    Kind.OPEN: "#f6bd72",
}  # fmt: skip
"""For programs that ignore style sheets; the style sheet has the same colours."""

PATTERNS = (
    '<defs><pattern id="hatched" width="4" height="4" patternUnits="userSpaceOnUse">'
    '<path class="hatch" d="M0 4L4 0" stroke="#1f5fa8" stroke-width="1"/></pattern>'
    '<pattern id="dotted" width="4" height="4" patternUnits="userSpaceOnUse">'
    '<circle class="dots" cx="2" cy="2" r=".8" fill="#5b3fa0"/></pattern></defs>'
)
OVER = {Kind.DERIVED: "hatched", Kind.STEERING: "dotted"}


class Rect(NamedTuple):
    """A rectangle of one kind."""

    x: float
    y: float
    width: float
    height: float

    @property
    def path(self) -> str:
        x, y, width, height = (f"{value:.2f}".rstrip("0").rstrip(".") for value in self)
        return f"M{x} {y}h{width}v{height}h-{width}z"


def style() -> str:
    """The style sheet that the picture and the page share."""
    return files("elfsig").joinpath("data/coverage.css").read_text(encoding="utf-8")


def document(module: Module, covers: Sequence[Cover]) -> str:
    """An SVG file with one map below the other."""
    body, y = [], 8
    for cover in covers:
        drawn, height = figure(cover)
        words = f"{visible(module.path)}: {heading(cover)}"
        body.append(f'<text class="heading" x="{LEFT}" y="{y + 12}">{escape(words)}</text>')
        body.append(f'<g transform="translate(0 {y + 20})">{drawn}</g>')
        y += height + 40
    if not covers:
        words = f"{visible(module.path)}: no signature found: nothing is protected"
        body.append(f'<text class="heading" x="{LEFT}" y="{y + 12}">{escape(words)}</text>')
        y += 30
    width = LEFT + WIDTH + RIGHT
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="map" viewBox="0 0 {width} {y}" width="{width}"'
        f' height="{y}" role="img"><title>{escape(visible(module.path))}</title>'
        f"<style>{style()}</style>{PATTERNS}{''.join(body)}</svg>\n"
    )


def figure(cover: Cover) -> tuple[str, int]:
    """The map and its legend, without a heading; and its height."""
    if cover.message is None:
        words = f"coverage unknown: {visible(cover.fault or '')}"
        return f'<text class="note" x="{LEFT}" y="14">{escape(words)}</text>', 20
    kinds = cover.kinds
    step = scale(kinds.size, COLUMNS * ROWS)
    rows = -(-kinds.size // (step * COLUMNS))
    pieces = [*_offsets(rows, step), *_cells(kinds, step), *_parts(cover.parts, step)]
    legend, height = _legend(kinds, step, rows * STEP + 8)
    return "".join([*pieces, *legend]), height


def _offsets(rows: int, step: int) -> Iterator[str]:
    for row in range(rows):
        y = row * STEP + BAND - 2
        text = f"{row * step * COLUMNS:08x}"
        yield f'<text class="offset" x="{LEFT - 8}" y="{y}" text-anchor="end">{text}</text>'


# --------------------------------------------------------------------------- cells


def _cells(kinds: Map, step: int) -> Iterator[str]:
    """One SVG path for each kind."""
    paths: dict[Kind, list[str]] = {kind: [] for kind in KINDS}
    for row, start in enumerate(range(0, kinds.size, step * COLUMNS)):
        for kind, rect in _row(kinds, start, step, row * STEP):
            paths[kind].append(rect.path)
    for kind, found in paths.items():
        if found:
            d = "".join(found)
            yield f'<path class="{kind.value}" fill="{FILL[kind]}" d="{d}"/>'
            if kind in OVER:
                yield f'<path style="fill:url(#{OVER[kind]})" d="{d}"/>'


def _row(kinds: Map, start: int, step: int, y: int) -> Iterator[tuple[Kind, Rect]]:
    """Neighbouring cells that are divided alike are merged into one rectangle."""
    end = min(start + step * COLUMNS, kinds.size)
    cells = [_divided(kinds, at, min(at + step, end)) for at in range(start, end, step)]
    x, unit = float(LEFT), WIDTH / COLUMNS
    for division, same in groupby(cells):
        width, top = sum(1 for _ in same) * unit, float(y)
        for kind, level in division:
            height = BAND * level / LEVELS
            yield kind, Rect(x, top, width, height)
            top += height
        x += width


def _divided(kinds: Map, start: int, end: int) -> tuple[tuple[Kind, int], ...]:
    """(kind, number of LEVELS) for the bytes of a cell; every kind in it gets at least one."""
    counts = kinds.counts(start, end)
    if len(counts) == 1:
        return ((next(iter(counts)), LEVELS),)
    levels = {kind: max(1, round(LEVELS * size / (end - start))) for kind, size in counts.items()}
    most = max(levels, key=lambda kind: levels[kind])
    levels[most] += LEVELS - sum(levels.values())
    return tuple(levels.items())


# --------------------------------------------------------------------------- sections


def _parts(parts: Sequence[FilePart], step: int) -> Iterator[str]:
    for number, part in enumerate(p for p in parts if p.end > p.start and p.what != "padding"):
        yield from _part(parts.index(part), part, step, "odd" if number % 2 else "even")


def _part(index: int, part: FilePart, step: int, parity: str) -> Iterator[str]:
    """The stripe and the name of a part, below the cells of every row that it reaches."""
    line = step * COLUMNS
    title = escape(description(part))
    widest = max(_segments(part, line), key=lambda s: s[2])
    for row, x, width in _segments(part, line):
        y = row * STEP
        place = f'x="{x:.2f}" y="{y + BAND}" width="{width:.2f}" height="2"'
        yield f'<rect class="band {parity}" fill="#9aa0a8" {place}/>'
        if x > LEFT and row == part.start // line:
            yield f'<rect class="edge" fill="#fff" x="{x - 0.5:.2f}" y="{y}" width="1" height="{BAND}"/>'
        name = visible(part.name)
        if (row, x, width) == widest and len(name) * LETTER < width:
            yield f'<text class="small" x="{x + 1:.2f}" y="{y + BAND + NAMES - 1}">{escape(name)}</text>'
        yield (
            f'<rect class="part" fill-opacity="0" data-part="{index}" x="{x:.2f}" y="{y}" width="{width:.2f}"'
            f' height="{BAND + NAMES}"><title>{title}</title></rect>'
        )


def _segments(part: FilePart, line: int) -> list[tuple[int, float, float]]:
    """(row, x, width) of a part in every row that it reaches; wide enough to be visible."""
    found = []
    for row in range(part.start // line, (part.end - 1) // line + 1):
        start, end = max(part.start, row * line), min(part.end, (row + 1) * line)
        x = LEFT + WIDTH * (start - row * line) / line
        found.append((row, x, max(WIDTH * (end - start) / line, 1.0)))
    return found


def description(part: FilePart) -> str:
    """A part in one line: its name, its place, and how much of it is covered."""
    size = part.end - part.start
    number = "" if part.nr is None else f"[{part.nr}] "
    where = f"{size} bytes at {part.start:#x}" if size else "no bytes in the file"
    shares = ", ".join(f"{percent(n, size)} {kind.value}" for kind, n in part.counts.items())
    return f"{number}{visible(part.name)}: {where}{': ' if shares else ''}{shares}"


# --------------------------------------------------------------------------- legend


def _legend(kinds: Map, step: int, y: int) -> tuple[list[str], int]:
    """One entry for each kind, and the scale; and the y coordinate of its end."""
    counts, out = kinds.counts(), []
    for number, kind in enumerate(KINDS):
        x = LEFT + number * 176
        words = f"{kind.value} {percent(counts.get(kind, 0), kinds.size)}"
        box = f'x="{x}" y="{y}" width="14" height="12"'
        out.append(f'<rect class="{kind.value}" fill="{FILL[kind]}" {box}/>')
        if kind in OVER:
            out.append(f'<rect style="fill:url(#{OVER[kind]})" {box}/>')
        out.append(f'<text x="{x + 20}" y="{y + 10}">{words}</text>')
    cell = f"{step} byte{'s' if step > 1 else ''} per column"
    out.append(f'<text class="note" x="{LEFT + WIDTH}" y="{y + 10}" text-anchor="end">{cell}</text>')
    return out, y + 20
