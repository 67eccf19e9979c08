"""The HTML page of ``coverage``: self-contained, for light and dark screens and for print."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from html import escape

from elfsig._version import __version__
from elfsig.cli.render.coverage import svg as coverage_svg
from elfsig.cli.render.coverage.text import MEANINGS, heading, proof_lines
from elfsig.cli.render.page import data
from elfsig.cli.render.page import page as framed
from elfsig.cli.render.words import remark_words
from elfsig.cli.settings import visible
from elfsig.coverages.bytemap import KINDS, Kind, percent
from elfsig.model import Verdict
from elfsig.opened.module import Module
from elfsig.verbs.inspect.bytemap import FilePart
from elfsig.verbs.inspect.cover import Cover
from elfsig.verbs.inspect.prove import Proof

IDLE = "Point at the map or at a row of the table to see its name here."


def page(module: Module, covers: Sequence[Cover], proofs: Sequence[Proof | None]) -> str:
    """The whole page."""
    maps = "\n".join(signature_map(c, p) for c, p in zip(covers, proofs, strict=True))
    maps = maps or "<p>No signature: nothing in this file is protected.</p>"
    return page_of(module.path, "".join(_facts(module)), maps, f"elfsig {__version__}")


def page_of(path: str, facts: str, maps: str, program: str) -> str:
    """The page of the module ``path`` with these facts and maps, which are HTML."""
    name = escape(visible(os.path.basename(path)))
    return framed(
        f"{name}: coverage",
        facts,
        coverage_defs() + maps,
        f"Computed by {escape(program)} from the bytes that are hashed.",
        heading=f"What is protected in <code>{name}</code>",
        style=coverage_svg.style() + data("coverage_page.css"),
        script=f"<script>\n{data('coverage.js')}</script>\n",
    )


def coverage_defs() -> str:
    """The fill patterns that all maps of a page share."""
    hidden = '<svg width="0" height="0" style="position:absolute" aria-hidden="true">'
    return f"{hidden}{coverage_svg.PATTERNS}</svg>"


def _facts(module: Module) -> Iterator[str]:
    packed = ""
    if module.compression is not None:
        packed = f", {module.compression} ({len(module.raw)} bytes); offsets are in what it unpacks to"
    elf = module.image.elf.summary() if module.image.elf else None
    kind = f", ELF{elf.bits} {elf.machine}, {elf.data}-endian" if elf else ""
    size = f"{len(module.content)} bytes{escape(packed + kind)}"
    yield f'<p class="facts">{escape(visible(module.path))}: {size}'
    yield f'<br>SHA-256 <span class="mono">{module.sha256}</span></p>'


def signature_map(cover: Cover, proof: Proof | None) -> str:
    """The map of one signature, its legend and its table."""
    parts = [f'<section class="signature-map"><h2>{escape(heading(cover))}</h2>']
    parts += _warnings(cover)
    if cover.message is None:
        parts.append(f"<p>Coverage unknown: {escape(visible(cover.fault or ''))}</p></section>")
        return "".join(parts)
    counts, size = cover.kinds.counts(), cover.kinds.size
    drawn, height = coverage_svg.figure(cover)
    width = coverage_svg.LEFT + coverage_svg.WIDTH + coverage_svg.RIGHT
    parts += [
        f'<div class="total">{_bar(counts, size)}</div>',
        f'<ul class="legend">{"".join(_legend(counts, size))}</ul>',
        f'<figure class="scroll"><svg class="map" viewBox="0 0 {width} {height}" role="img"',
        f' aria-label="map of the file, {escape(heading(cover))}">{drawn}</svg></figure>',
        f'<div class="readout" role="status">{IDLE}</div>',
        f'<div class="scroll"><table><thead>{_head()}</thead><tbody>',
        *(_row(index, part) for index, part in enumerate(cover.parts) if part.what != "padding"),
        "</tbody></table></div>",
    ]
    if proof is not None:
        lines = "\n".join(line.removeprefix("  ") for line in proof_lines(proof))
        parts.append(f"<h3>Proof</h3><pre>{escape(lines)}</pre>")
    return "".join([*parts, "</section>"])


def _warnings(cover: Cover) -> Iterator[str]:
    """Reasons why the map may not hold."""
    sig = cover.signature
    if sig is not None and sig.verdict not in (Verdict.VALID, Verdict.UNTRUSTED):
        reason = f": {sig.reason}" if sig.reason else ""
        text = f"This signature is {sig.verdict.value}{reason}. What it covers is its claim."
        yield f'<p class="warning">{escape(visible(text))}</p>'
    for words in remark_words(cover.message.remarks if cover.message else ()):
        yield f'<p class="warning">Warning: {escape(words)}</p>'


def _bar(counts: Mapping[Kind, int], size: int) -> str:
    return "".join(
        f'<span class="{kind.value}" style="flex:{n}" title="{kind.value}: {percent(n, size)}"></span>'
        for kind, n in counts.items()
    )


def _legend(counts: Mapping[Kind, int], size: int) -> Iterator[str]:
    for kind in KINDS:
        n = counts.get(kind, 0)
        much = f"{n} bytes, {percent(n, size)}".replace(" %", "&nbsp;%") if n else "none"
        yield (
            f'<li><span class="swatch {kind.value}"></span>'
            f"<span><b>{kind.value}</b> {much}: {MEANINGS[kind]}</span></li>"
        )


def _head() -> str:
    shares = "".join(f'<th class="n share">{kind.value}</th>' for kind in KINDS)
    return (
        '<tr><th class="n">Nr</th><th>Name</th><th class="n">Offset</th><th class="n">Bytes</th>'
        f'<th class="bars">Map</th>{shares}<th class="n share">Header entry</th></tr>'
    )


def _row(index: int, part: FilePart) -> str:
    size = part.end - part.start
    text = escape(coverage_svg.description(part))
    shares = "".join(f'<td class="n share">{percent(part.counts.get(kind, 0), size)}</td>' for kind in KINDS)
    entry, whole = part.entry, sum(part.entry.values())
    decides = f"{whole - entry.get(Kind.OPEN, 0)} of {whole}" if whole else ""
    return (
        f'<tr data-part="{index}" data-text="{text}"><td class="n">{"" if part.nr is None else part.nr}</td>'
        f'<td class="name">{escape(visible(part.name))}</td><td class="n">{part.start:x}</td>'
        f'<td class="n">{size}</td><td class="bars"><div class="bar">{_bar(part.counts, size)}</div></td>'
        f'{shares}<td class="n share">{decides}</td></tr>'
    )
