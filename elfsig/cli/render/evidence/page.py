"""The HTML report on a bundle: one self-contained page without scripts, for people and for print."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from elfsig._version import __version__
from elfsig.batch.evidence.writer import BundleSummary, Seen, versions_used
from elfsig.cli.render.coverage import svg as coverage_svg
from elfsig.cli.render.coverage.page import coverage_defs
from elfsig.cli.render.page import data, page
from elfsig.cli.render.safe_html import rewritten
from elfsig.cli.settings import visible
from elfsig.coverages.bytemap import percent
from elfsig.model import Verdict
from elfsig.verbs.bundle.module import UNREADABLE
from elfsig.verbs.bundle.readme import MEANINGS

Json = Mapping[str, Any]

MAX_ROWS = 5000
"""Modules in the table; the bundle's index has all."""

MAX_DETAILS, MAX_MAPS = 200, 20
"""Modules that are not valid, and coverage maps of such modules, on the page."""

GOOD = frozenset({Verdict.VALID.value, Verdict.UNTRUSTED.value})


@dataclass
class Page:
    """Collects the modules of a bundle, and makes the page."""

    rows: list[str] = field(default_factory=list)
    details: list[str] = field(default_factory=list)
    maps: list[str] = field(default_factory=list)
    modules: int = 0
    not_good: int = 0

    def add(self, seen: Seen) -> None:
        """Add one module."""
        self.modules += 1
        word = seen.record["verdict"] or UNREADABLE
        if len(self.rows) < MAX_ROWS:
            self.rows.append(_row(seen, word))
        if word in GOOD or word == Verdict.UNSIGNED.value:
            return
        self.not_good += 1
        if len(self.details) < MAX_DETAILS:
            self.details.append("".join(_detail(seen, word)))
            self._add_map(seen)

    def _add_map(self, seen: Seen) -> None:
        word = seen.record["verdict"]
        if seen.drawn and word != Verdict.MALFORMED.value and len(self.maps) < MAX_MAPS:
            try:
                drawn = rewritten(seen.drawn)
            except ValueError:
                return
            path = escape(visible(seen.record["path"]))
            self.maps.append(f"<h3>{seen.folder} {path}</h3>{drawn}")

    def text(self, run: Json, sources: Sequence[Json], keys: Sequence[Json], done: BundleSummary) -> str:
        """The whole page. ``keys`` are public keys as ``keys list --json`` has them."""
        return page(
            "Evidence on module signatures",
            "".join(_facts(run, done)),
            "".join((*self._body(run, sources, keys, done), *self._maps())),
            f"Made by elfsig {escape(__version__)}.",
            style=data("survey.css") + coverage_svg.style() + data("evidence.css"),
        )

    def _body(
        self, run: Json, sources: Sequence[Json], keys: Sequence[Json], done: BundleSummary
    ) -> Iterator[str]:
        if done.incomplete:
            yield '<section><h2>Not read completely</h2><p class="warning">'
            yield f"{done.incomplete} of {done.containers} files and containers were not read to their end: "
            yield "they may hold modules that are not in the bundle. README in the bundle names them.</p>"
            yield "</section>"
        yield from _meanings(done)
        if self.details:
            yield "<section><h2>Modules with a bad or unknown signature</h2>"
            yield from self.details
            yield _more(len(self.details), self.not_good)
            yield "</section>"
        yield from _changes(done)
        yield '<section><h2>All modules</h2><div class="scroll"><table id="modules"><thead><tr>'
        yield '<th>Folder</th><th>Module</th><th>Verdict</th><th class="wide">Format</th>'
        yield '<th class="wide">Signer</th>'
        yield "<th>Left open</th></tr></thead><tbody>"
        yield from self.rows
        yield f"</tbody></table></div>{_more(len(self.rows), self.modules)}</section>"
        yield from _sources(sources)
        yield from _keys(keys)
        yield from _confirm(run, done)

    def _maps(self) -> Iterator[str]:
        if self.maps:
            yield f"<section><h2>What these signatures cover</h2>{coverage_defs()}"
            yield from self.maps
            yield "</section>"


# --------------------------------------------------------------------------- pieces


def _text(value: str | None) -> str:
    return escape(visible(value or ""))


def _more(shown: int, every: int) -> str:
    return f'<p class="dim">The first {shown} of {every}; the bundle has all.</p>' if shown < every else ""


def _facts(run: Json, done: BundleSummary) -> Iterator[str]:
    when = f"{escape(run['time'])}, " if run.get("time") else ""
    yield f'<p class="facts">{when}bundle {_text(done.output)}'
    if done.sha256 is not None:
        yield f'<br>SHA-256 <span class="mono">{done.sha256}</span>'
    yield "</p>"
    counts = Counter(done.verdicts)
    tiles = [
        ("modules", sum(counts.values()), False),
        ("different", done.modules, False),
        ("not read completely", done.incomplete, True),
        *((word, counts[word], word == Verdict.INVALID.value) for word in MEANINGS if counts[word]),
    ]
    yield '<div class="tiles">'
    for word, count, alarming in tiles:
        mark = ' class="alarm"' if alarming and count else ""
        yield f"<div{mark}><b>{count}</b>{escape(word)}</div>"
    yield '</div><div class="total"><div class="bar">'
    for word in MEANINGS:
        if counts[word]:
            yield f'<span style="flex:{counts[word]};background-color:var(--{word})" title="{word}"></span>'
    yield "</div></div>"


def _meanings(done: BundleSummary) -> Iterator[str]:
    yield '<section><h2>What the verdicts mean</h2><dl class="parts">'
    for word, meaning in MEANINGS.items():
        if done.verdicts.get(word):
            yield f"<dt>{_verdict(word)}</dt><dd>{escape(meaning)}</dd>"
    yield "</dl>"
    if done.left_out:
        words = ", ".join(f"{count} {word}" for word, count in sorted(done.left_out.items()))
        yield f"<p>Found, but not asked for, and not in the bundle: {escape(words)}.</p>"
    yield "<p>A signature says nothing about the bytes that it leaves open: they may change without notice. "
    yield "That a signature is valid rests on the key sources below.</p></section>"


def _verdict(word: str) -> str:
    return f'<span class="verdict" style="--word:var(--{word})">{escape(word)}</span>'


def _effective(record: Json) -> Json | None:
    return next((each for each in record["signatures"] if each["effective"]), None)


def _row(seen: Seen, word: str) -> str:
    record, sig = seen.record, _effective(seen.record)
    format_ = _text(sig["format"] if sig is not None else "")
    signer = "" if sig is None else (sig["key"] or {}).get("name") or sig["signer"]
    return (
        f'<tr><td class="w">{seen.folder}</td><td class="name">{_text(record["path"])}</td>'
        f'<td class="w">{_verdict(word)}</td><td class="wide w">{format_}</td>'
        f'<td class="wide">{_text(signer)}</td><td class="left-open">{_left_open(seen, word)}</td></tr>'
    )


def _left_open(seen: Seen, word: str) -> str:
    """How many bytes a good signature leaves open, and a bar of the share."""
    first = next((each for each in seen.left_open if each["layer"] is not None), None)
    if word not in GOOD or first is None or first["open"] is None:
        return "everything" if word == Verdict.UNSIGNED.value else "not established"
    left, size = first["open"], first["size"]
    share = (
        f'<div class="share"><span class="covered" style="flex:{size - left}"></span>'
        f'<span class="left" style="flex:{left}"></span></div>'
    )
    return f"{left} of {size} bytes, {percent(left, size)}{share}" if left else f"nothing{share}"


def _detail(seen: Seen, word: str) -> Iterator[str]:
    """What is known about a module that is not good."""
    record, sig = seen.record, _effective(seen.record)
    yield f'<h3>{seen.folder} {_text(record["path"])}</h3><dl class="parts"><dt>Verdict</dt>'
    yield f"<dd>{_verdict(word)}</dd>"
    rows = [("File, SHA-256", record["sha256"])]
    if sig is not None:
        found = sig.get("cause")  # the record may come from a process that was taken over
        cause = found if isinstance(found, dict) else {}
        rows += [
            ("Reason", sig["reason"]),
            ("Format", sig["format"]),
            ("Key", (sig["key"] or {}).get("name")),
            ("Key, SHA-256", (sig["key"] or {}).get("fingerprint")),
            ("Signed digest", cause.get("signed_digest")),
            ("Digest of this content", cause.get("digest")),
        ]
    every = (*(sig["warnings"] if sig is not None else ()), *record["warnings"])
    warnings = [each["text"] for each in every if sig is None or each["text"] != sig["reason"]]
    rows += [("Error", record["error"] and record["error"]["text"]), ("Warnings", "; ".join(warnings[:8]))]
    for name, value in rows:
        if isinstance(value, str) and value:
            yield f"<dt>{name}</dt><dd>{_text(value)}</dd>"
    yield "</dl>"


def _changes(done: BundleSummary) -> Iterator[str]:
    """The bytes that differ from a copy with a good signature."""
    if not done.changes:
        return
    yield "<section><h2>Changed bytes</h2><p>Modules with a bad signature, and a copy with a good one, which "
    yield "has the same name and is for the same kernel. Offsets are in the decompressed module.</p>"
    yield '<div class="scroll"><table><thead><tr><th>Bad</th><th>Good</th><th class="n">Bytes</th>'
    yield "<th>Where</th></tr></thead>"
    for each in done.changes[:MAX_DETAILS]:
        spans = ", ".join(_span(*run) for run in each.ranges)
        mine, its = each.sizes
        sizes = "" if mine == its else f"; it has {mine} bytes, the good one {its}"
        yield f'<tr><td class="w">{each.folder}</td><td class="w">{each.good}</td>'
        yield f'<td class="n">{each.bytes}</td><td class="name">{spans}{sizes}</td></tr>'
    yield f"</table></div>{_more(min(MAX_DETAILS, len(done.changes)), len(done.changes))}</section>"


def _span(start: int, end: int) -> str:
    return f"{start:#x}" if end == start + 1 else f"{start:#x}-{end - 1:#x}"


def _sources(sources: Sequence[Json]) -> Iterator[str]:
    yield "<section><h2>Key sources</h2>"
    if not sources:
        yield "<p>None was given: no signature was checked.</p></section>"
        return
    yield '<div class="scroll"><table><thead><tr><th>Source</th><th>Use</th><th>SHA-256</th></tr></thead>'
    for each in sources:
        yield f'<tr><td class="name">{_text(each["source"])}</td><td class="w">{_text(each["use"])}</td>'
        yield f'<td class="mono name">{_text(each["sha256"])}</td></tr>'
        for file in each["files"]:
            yield f'<tr><td class="name">{_text(file["name"])}</td><td></td>'
            yield f'<td class="mono name">{_text(file["sha256"])}</td></tr>'
    yield "</table></div></section>"


def _keys(keys: Sequence[Json]) -> Iterator[str]:
    if not keys:
        return
    yield '<section><h2>Keys</h2><div class="scroll"><table><thead><tr><th>Key</th><th>Kind</th>'
    yield "<th>Trusted</th><th>SHA-256 of the public key</th></tr></thead>"
    for each in keys[:MAX_ROWS]:
        kind = f"{each['algorithm']} {each['curve'] or each['bits'] or ''}"
        yield f'<tr><td class="name">{_text(each["label"])}</td><td class="w">{_text(kind)}</td>'
        yield f"<td>{'yes' if each['trusted'] else 'no'}</td>"
        yield f'<td class="mono name">{_text(each["fingerprint"])}</td></tr>'
    yield "</table></div></section>"


def _confirm(run: Json, done: BundleSummary) -> Iterator[str]:
    versions = ", ".join(f"{name} {version}" for name, version in versions_used().items())
    folder = done.output.rstrip("/") if done.sha256 is None else "evidence"
    unpack = [] if done.sha256 is None else [shlex.join(["tar", "-xf", done.output])]
    script = f"{'./' if folder.startswith('-') else ''}{folder}/recheck.sh"
    commands = [*unpack, shlex.join(["sh", script])]
    yield "<section><h2>To confirm it without elfsig</h2><pre>"
    yield "\n".join(_text(line) for line in commands)
    yield "</pre><p>recheck.sh needs a POSIX shell and the GNU coreutils; openssl, gpgv, gzip, xz and zstd "
    yield "for what is checked with them: without them that is not confirmed. A bad signature is confirmed "
    yield "as bad: openssl or gpgv must refuse it. README in the bundle says what each file is.</p>"
    yield f"<h2>Versions</h2><p>{_text(versions)}</p>"
    if run.get("argv"):
        words = shlex.join(["elfsig", *run["argv"]])
        yield f"<h2>To repeat it</h2><pre>{_text(words)}</pre>"
    yield "</section>"
