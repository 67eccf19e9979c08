"""The text and the JSON of ``compare``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from elfsig.cli.render.table import aligned
from elfsig.cli.render.words import plural, remark_words
from elfsig.cli.settings import visible
from elfsig.elf.changes import ByteChange
from elfsig.elf.diff import Difference, Weight
from elfsig.verbs.inspect.comparison import ComparedFile, Comparison, CoverageComparison

MOST = 20
"""Lines printed for one kind of difference; JSON has all of them."""

SHOWN = 16
"""Bytes printed of a stretch of changed bytes."""

FEW = 8
"""Sections named for one coverage."""

TITLES = {
    Weight.LOADED: "Loaded content:",
    Weight.UNLOADED: "Content that is not loaded:",
    Weight.LAYOUT: "Layout only:",
}


def lines(found: Comparison) -> Iterator[str]:
    """Two files in full."""
    yield from (_side(name, part) for name, part in (("A", found.a), ("B", found.b)))
    yield f"{found.conclusion.value}: {visible(found.sentence)}"
    yield ""
    rows = [("Coverage", f"{'Bytes of A':>10}", f"{'Bytes of B':>10}", "")]
    yield aligned([*rows, *(_profile(each) for each in found.profiles)])
    for weight, title in TITLES.items():
        here = [each for each in found.differences if each.weight is weight]
        if here:
            yield ""
            yield title
            yield aligned([*_table(here, found.totals)], "  ")
            yield from _changes(here)
    for name, part in (("A", found.a), ("B", found.b)):
        yield from (f"{name}: warning: {text}" for text in remark_words(part.remarks))


def _side(name: str, part: ComparedFile) -> str:
    signers = [f"{each.format or 'unknown'} signature{_by(each.claims)}" for each in part.signatures]
    size = plural(len(part.module.raw), "byte")
    packed = f" {part.module.compression}" if part.module.compression else ""
    return f"{name}: {visible(part.module.path)}: {size}{packed}, {', '.join(signers) or 'no signature'}"


def _by(signature: Any) -> str:
    return f' by "{visible(signature.signer)}"' if signature is not None and signature.signer else ""


def _profile(each: CoverageComparison) -> tuple[str, ...]:
    sizes = tuple(f"{'-' if size is None else size:>10}" for size in each.sizes)
    if each.same is None:
        return (each.coverage, *sizes, f"unknown: {visible(each.fault or '')}")
    if each.same:
        return (each.coverage, *sizes, "same")
    where = ", ".join(map(visible, each.sections[:FEW]))
    if len(each.sections) > FEW:
        where += f" and {len(each.sections) - FEW} more"
    if each.offset is not None:
        where = f"first at {each.offset:#x}"
    return (each.coverage, *sizes, f"different: {where or 'the order of its sections'}")


def _table(found: Sequence[Difference], totals: Mapping[str, int]) -> Iterator[tuple[str, ...]]:
    """One line for each difference, up to MOST of each kind."""
    for kind in dict.fromkeys(each.kind for each in found):
        here = [each for each in found if each.kind == kind]
        for each in here[:MOST]:
            yield (kind, visible(each.name), each.what, visible(_words(each)))
        rest = len(here) - MOST
        if rest > 0:
            more = " or more" if totals.get(kind, 0) > sum(d.kind == kind for d in found) else ""
            yield (kind, "...", "", f"{rest}{more} not shown, see --json")


def _changes(found: Sequence[Difference]) -> Iterator[str]:
    """The bytes of sections that differ, up to MOST stretches of each."""
    for each in found:
        for change in each.changes[:MOST]:
            place = _place(each.name, change.offset, change.symbol, change.symbol_offset)
            yield f"    {place}: {_stretch(change)}"
        rest = each.change_count - min(MOST, len(each.changes))
        if rest > 0:
            yield f"    {visible(each.name)}: {plural(rest, 'further change')}, see --json"


def _place(section: str, offset: int, symbol: str | None, inside: int | None) -> str:
    """Such as ``.text+0x1234 (ext4_foo+0x14)``."""
    within = f" ({visible(symbol)}+{inside:#x})" if symbol is not None else ""
    return f"{visible(section)}+{offset:#x}{within}"


def _stretch(change: ByteChange) -> str:
    """The old and the new bytes, of long stretches the first SHOWN."""
    sizes = dict.fromkeys((change.old_size, change.new_size))
    old, new = (_hex(data) for data in (change.old, change.new))
    size = " -> ".join(map(str, sizes))
    return f"{size} byte{'' if size == '1' else 's'}: {old} -> {new}"


def _hex(data: bytes) -> str:
    return f"{data[:SHOWN].hex() or 'nothing'}{'...' if len(data) > SHOWN else ''}"


def _words(each: Difference) -> str:
    """The old and the new value."""
    if each.kind == "section":
        return _sizes(each)
    at = f"at {each.offset:#x}: " if each.offset is not None else ""
    if each.offset is not None and each.symbol is not None and each.target is not None:
        at = f"at {_place(each.target, each.offset, each.symbol, each.symbol_offset)}: "
    field = f"{each.field} " if each.field and each.kind not in ("symbol", "modinfo", "header") else ""
    values = [_value(value) for value in (each.old, each.new) if value is not None]
    return f"{at}{field}{' -> '.join(values)}".rstrip()


def _sizes(each: Difference) -> str:
    old, new = each.old_size, each.new_size
    if old is None or new is None:
        return plural(old or new or 0, "byte")
    size = plural(old, "byte") if old == new else f"{old} -> {plural(new, 'byte')}"
    return f"{size}, first at {each.offset:#x}" if each.offset is not None else size


def _value(value: str | int) -> str:
    return f"{value:#x}" if isinstance(value, int) else value
