"""The text and the JSON of ``coverage``: a strip, the totals by kind, and a table of the file's parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from elfsig.cli.render.table import aligned, laid_out
from elfsig.cli.render.words import algorithm_words, plural, remark_words
from elfsig.cli.settings import visible
from elfsig.coverages.bytemap import KINDS, Kind, Map, percent
from elfsig.verbs.inspect.bytemap import FilePart
from elfsig.verbs.inspect.cover import Basis, Cover
from elfsig.verbs.inspect.prove import Proof, Trial

LETTERS = {Kind.VERBATIM: "#", Kind.SIGNATURE: "S", Kind.DERIVED: "+", Kind.STEERING: "~", Kind.OPEN: "."}
PAINT = {Kind.VERBATIM: "34", Kind.SIGNATURE: "1", Kind.DERIVED: "36", Kind.STEERING: "35", Kind.OPEN: "33"}

MEANINGS = {
    Kind.VERBATIM: "hashed as is: any change breaks the signature",
    Kind.SIGNATURE: "the signature itself",
    Kind.DERIVED: "determines a computed part of what is hashed",
    Kind.STEERING: "determines what is hashed, or where it is found",
    Kind.OPEN: "not covered: no change is noticed",
}

HOW_KNOWN = {
    Basis.VERIFIED: "with which it matches a key",
    Basis.HASH16: "which matches the 16 bits of the hash in it",
    Basis.ONLY: "the only one of its format",
    Basis.ASSUMED: "assumed: {others} is possible too; a key with --trust decides",
    Basis.ASKED: "as requested",
}

COLUMNS, ROWS = 64, 16
"""Characters per line of the strip, and maximum number of lines."""


def heading(cover: Cover) -> str:
    """Which signature a map is of, and how its coverage is known."""
    how = HOW_KNOWN[cover.basis].format(others=", ".join(cover.others))
    if cover.found is None or cover.signature is None:
        return f"a new signature, coverage {cover.coverage}"
    sig = cover.signature
    what = f"layer {cover.found.layer}: {sig.format or 'unknown'} signature"
    if sig.claims is not None:
        what += f" ({algorithm_words(sig)})"
    what += f", {sig.verdict.value}"
    return what if cover.coverage is None else f"{what}; coverage {cover.coverage}, {how}"


def text(cover: Cover, proof: Proof | None, color: bool) -> Iterator[str]:
    """The lines for one map."""
    yield heading(cover)
    if cover.message is None:
        yield f"  coverage unknown: {visible(cover.fault or '')}"
        return
    yield ""
    yield from strip(cover.kinds, color)
    yield ""
    yield aligned([*_totals(cover.kinds)], "  ")
    yield from (laid_out(f"  warning: {words}") for words in remark_words(cover.message.remarks))
    yield ""
    yield aligned([*_table(cover.parts)], "  ")
    if proof is not None:
        yield ""
        yield from proof_lines(proof)


def strip(kinds: Map, color: bool) -> Iterator[str]:
    """The file from first to last byte; each character stands for a number of bytes."""
    step = scale(kinds.size, COLUMNS * ROWS)
    for start in range(0, kinds.size, step * COLUMNS):
        end = min(start + step * COLUMNS, kinds.size)
        row = [_letter(kinds, at, min(at + step, end)) for at in range(start, end, step)]
        yield f"  {start:08x} {_painted(row, color)}"
    yield f"  each character is {plural(step, 'byte')}"


def scale(size: int, cells: int) -> int:
    """Bytes per cell, a power of two, so that ``size`` bytes take at most ``cells`` cells."""
    step = 1
    while step * cells < size:
        step *= 2
    return step


def _letter(kinds: Map, start: int, end: int) -> Kind:
    """The kind of most of the bytes."""
    counts = kinds.counts(start, end)
    return max(counts, key=lambda kind: counts[kind])


def _painted(row: Sequence[Kind], color: bool) -> str:
    if not color:
        return "".join(LETTERS[kind] for kind in row)
    return "".join(f"\x1b[{PAINT[kind]}m{LETTERS[kind]}\x1b[0m" for kind in row)


def _totals(kinds: Map) -> Iterator[tuple[str, ...]]:
    counts = kinds.counts()
    for kind in KINDS:
        size = counts.get(kind, 0)
        yield LETTERS[kind], kind.value, f"{size:>9}", f"{percent(size, kinds.size):>7}", MEANINGS[kind]


def _table(parts: Sequence[FilePart]) -> Iterator[tuple[str, ...]]:
    titles = (kind.value.capitalize() for kind in KINDS)
    yield ("[Nr]", "Name", f"{'Offset':>8}", f"{'Bytes':>8}", *(f"{t:>9}" for t in titles), "Header")
    padding = [part for part in parts if part.what == "padding"]
    for part in parts:
        if part.what != "padding":
            yield _row(part, part.name)
    if padding:
        yield _row(_together(padding), f"padding ({plural(len(padding), 'place')})")


def _together(parts: Sequence[FilePart]) -> FilePart:
    """Several parts as one, without an offset."""
    counts: dict[Kind, int] = {}
    for part in parts:
        for kind, size in part.counts.items():
            counts[kind] = counts.get(kind, 0) + size
    return FilePart("padding", "", None, -1, -1 + sum(counts.values()), counts, {})


def _row(part: FilePart, name: str) -> tuple[str, ...]:
    size = part.end - part.start
    shares = (f"{percent(part.counts.get(kind, 0), size):>9}" for kind in KINDS)
    number = "" if part.nr is None else f"[{part.nr:2}]"
    offset = "" if part.start < 0 else f"{part.start:8x}"
    return (number, visible(name), f"{offset:>8}", f"{size:8}", *shares, _entry(part.entry))


def _entry(entry: Mapping[Kind, int]) -> str:
    """How many bytes of the section's header entry affect the hash."""
    size = sum(entry.values())
    return f"{size - entry.get(Kind.OPEN, 0)} of {size}" if size else ""


def proof_lines(proof: Proof) -> Iterator[str]:
    """The result of changing bytes."""
    tried = sum(count.tried for count in proof.counts.values())
    how = (
        "verified again"
        if proof.keyed
        else "the hashed bytes compared (no key matches: pass one with --trust)"
    )
    yield f"  proof: {plural(tried, 'byte')} changed one at a time, {how} (seed {proof.seed})"
    rows = []
    for kind in KINDS:
        if count := proof.counts.get(kind):
            good = "" if count.good is None else f"{count.good} still valid"
            rows.append((kind.value, f"{count.tried} changed", f"{count.changed} changed the message", good))
    yield aligned(rows, "    ") if rows else ""
    for trial in proof.against:
        yield f"    WRONG at {_contradiction(trial)}"
    yield f"  the map and the verifier {'agree' if proof.holds else 'DISAGREE: please report it'}"


def _contradiction(trial: Trial) -> str:
    message = "stays the same" if trial.same else "changes"
    verdict = "" if trial.good is None else f", the signature {'still holds' if trial.good else 'breaks'}"
    where = f"{trial.offset:#x} (xor {trial.mask:#04x})"
    return f"{where}: {trial.kind.value}, yet the message {message}{verdict}"


# --------------------------------------------------------------------------- JSON


def map_object(cover: Cover, proof: Proof | None) -> dict[str, Any]:
    """One entry of ``maps``."""
    return {**cover.to_json(), "proof": proof_object(proof) if proof else None}


def proof_object(proof: Proof) -> dict[str, Any]:
    """The result of changing bytes."""
    return {
        "seed": proof.seed,
        "verified": proof.keyed,
        "holds": proof.holds,
        "kinds": {kind.value: proof.counts[kind]._asdict() for kind in KINDS if kind in proof.counts},
        "against": [{**trial._asdict(), "kind": trial.kind.value} for trial in proof.against],
    }
