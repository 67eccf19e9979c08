"""diff: what differs between two ELF files, and whether a loaded module is affected.

Sections are paired by name, symbols by name and place, relocations by what they say: a file whose tables
were merely renumbered or moved differs in its layout only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import islice
from typing import NamedTuple

from elfsig.elf import modinfo
from elfsig.elf.changes import MOST_CHANGES, MOST_UNLOADED, ByteChange, changes, common_start
from elfsig.elf.side import Side
from elfsig.elf.symbols import (
    Record,
    Relocation,
    Symbol,
)
from elfsig.elf.table import (
    SHT_NOBITS,
    SHT_REL,
    SHT_RELA,
    SHT_STRTAB,
    SHT_SYMTAB,
    SHT_SYMTAB_SHNDX,
    ElfTable,
)

MOST = 1000
"""Differing relocations listed for one section; all are counted."""

HEADER_FIELDS = {
    "type": True, "machine": True, "version": True, "entry": True, "flags": True, "phoff": False,
    "shoff": False, "ehsize": False, "phentsize": False, "phnum": False, "shentsize": False, "shnum": False,
    "shstrndx": False,
}  # fmt: skip
"""Fields of the ELF header, and whether they describe the module rather than the layout."""


_OSABI, _IDENT_END = 7, 16
"""Bytes of e_ident that Linux does not look at in modules: EI_OSABI, EI_ABIVERSION and EI_PAD."""


class Weight(StrEnum):
    """What a difference affects."""

    LOADED = "loaded"
    """The module in memory differs."""
    UNLOADED = "unloaded"
    """Something that is not loaded: debug data, comments, unused symbols."""
    LAYOUT = "layout"
    """Where things are and how they are numbered."""


class Difference(NamedTuple):
    """One difference between A and B. ``what`` is changed, added (in B only) or removed (in A only).

    ``kind`` is header, section (its bytes), field (of a section header), symbol, relocation, modinfo or
    layout; ``field`` names what changed in it. ``offset`` is the first differing byte in the section, or the
    relocation's own, in ``symbol`` of the section ``target``. ``changes`` are the first stretches of bytes of
    a section that differ, ``change_count`` counts all.
    """

    kind: str
    name: str
    what: str
    weight: Weight
    field: str | None = None
    old: str | int | None = None
    new: str | int | None = None
    old_size: int | None = None
    new_size: int | None = None
    offset: int | None = None
    changes: tuple[ByteChange, ...] = ()
    change_count: int = 0
    target: str | None = None
    symbol: str | None = None
    symbol_offset: int | None = None


class Differences(NamedTuple):
    """The differences, and how many of each kind there are in all."""

    differences: tuple[Difference, ...]
    totals: Mapping[str, int]


def compare_elf(a: Side, b: Side) -> Differences:
    """All differences, in the order header, modinfo, sections, symbols, relocations, layout."""
    differences = [*_header(a, b), *_modinfo(a, b), *_sections(a, b), *_symbols(a, b)]
    totals = Counter(each.kind for each in differences)
    for name in a.sections.keys() & b.sections.keys():
        if a.sections[name].row.type in (SHT_REL, SHT_RELA):
            found, total = _relocations(a, b, name)
            differences += found
            totals["relocation"] += total
    differences += _layout(a, b)
    order = ("header", "modinfo", "section", "field", "symbol", "relocation", "layout")
    differences.sort(key=lambda each: order.index(each.kind))
    return Differences(tuple(differences), {kind: totals[kind] for kind in order if totals[kind]})


# --------------------------------------------------------------------------- header and modinfo


def _header(a: Side, b: Side) -> Iterator[Difference]:
    old, new = _head(a.table), _head(b.table)
    for name, value in old.items():
        if value != new[name]:
            yield Difference("header", name, "changed", Weight.LOADED, name, value, new[name])
    one, other = (side.image.bytes()[_OSABI:_IDENT_END].hex() for side in (a, b))
    if one != other:
        yield Difference("header", "ident", "changed", Weight.UNLOADED, "ident", one, other)


def _head(table: ElfTable) -> dict[str, int | str]:
    """What the ELF header says about the module."""
    summary, fields = table.summary(), table.header._asdict()
    telling = {name: fields[name] for name, tells in HEADER_FIELDS.items() if tells}
    return {"class": summary.bits, "data": summary.data, **telling}


def _modinfo(a: Side, b: Side) -> Iterator[Difference]:
    """Changed strings of .modinfo by their names; those of equal names by their order."""
    old, new = _numbered(modinfo.fields(a.image)), _numbered(modinfo.fields(b.image))
    for name in [*old, *(name for name in new if name not in old)]:
        one, other = old.get(name), new.get(name)
        if one != other:
            what = "added" if one is None else "removed" if other is None else "changed"
            yield Difference("modinfo", name, what, Weight.LOADED, "value", one, other)


def _numbered(fields: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    seen: Counter[str] = Counter()
    found = {}
    for raw_name, value in fields:
        name = raw_name.decode("utf-8", "backslashreplace")
        seen[name] += 1
        key = name if seen[name] == 1 else f"{name} #{seen[name]}"
        found[key] = value.decode("utf-8", "backslashreplace")
    return found


# --------------------------------------------------------------------------- sections


def _sections(a: Side, b: Side) -> Iterator[Difference]:
    for name in [*a.sections, *(n for n in b.sections if n not in a.sections)]:
        if name not in b.sections:
            yield _whole(a, name, "removed")
        elif name not in a.sections:
            yield _whole(b, name, "added")
        else:
            yield from _fields(a, b, name)
            yield from _content(a, b, name)


def _whole(side: Side, name: str, what: str) -> Difference:
    size = side.sections[name].row.size
    sizes = (size, None) if what == "removed" else (None, size)
    return Difference("section", name, what, _weight(side, name), old_size=sizes[0], new_size=sizes[1])


def _weight(side: Side, name: str) -> Weight:
    if side.is_loaded(name):
        return Weight.LOADED
    kind = side.sections[name].row.type
    return Weight.LAYOUT if kind in (SHT_STRTAB, SHT_SYMTAB, SHT_SYMTAB_SHNDX) else Weight.UNLOADED


def _fields(a: Side, b: Side, name: str) -> Iterator[Difference]:
    """Type, flags and alignment; for NOBITS sections also the size, since they have no bytes to compare."""
    old, new = a.sections[name].row, b.sections[name].row
    wanted = ["type", "flags", "align"]
    if SHT_NOBITS in (old.type, new.type):
        wanted.append("size")
    weight = Weight.LOADED if a.is_loaded(name) or b.is_loaded(name) else Weight.UNLOADED
    for field in wanted:
        one, other = getattr(old, field), getattr(new, field)
        if one != other:
            yield Difference("field", name, "changed", weight, field, one, other)


def _content(a: Side, b: Side, name: str) -> Iterator[Difference]:
    old, new = a.sections[name], b.sections[name]
    if a.has_meaning(name) and b.has_meaning(name):
        return
    one, other = a.table.content(old.nr), b.table.content(new.nr)
    if one == other:
        return
    weight = Weight.LOADED if a.is_loaded(name) or b.is_loaded(name) else Weight.UNLOADED
    most = MOST_CHANGES if weight is Weight.LOADED else MOST_UNLOADED
    found = changes(one, other, a.index(name), b.index(name), most)
    yield Difference(
        "section", name, "changed", weight, "content", old_size=len(one), new_size=len(other),
        offset=first_difference(one, other), changes=found.first, change_count=found.total,
    )  # fmt: skip


def first_difference(one: bytes, other: bytes) -> int | None:
    """The first offset at which two byte strings differ, or None."""
    return None if one == other else common_start(one, other)


# --------------------------------------------------------------------------- symbols


def _symbols(a: Side, b: Side) -> Iterator[Difference]:
    """Paired by name."""
    old, new = _by_name(a.symbols - b.symbols), _by_name(b.symbols - a.symbols)
    for name in [*old, *(name for name in new if name not in old)]:
        for one, other in _paired(old.get(name, []), new.get(name, [])):
            yield _symbol(a, b, one, other)


def _by_name(found: Counter[Symbol]) -> dict[str, list[Symbol]]:
    names: dict[str, list[Symbol]] = {}
    for symbol in found.elements():
        names.setdefault(symbol.name, []).append(symbol)
    return names


def _paired(old: Sequence[Symbol], new: Sequence[Symbol]) -> Iterator[tuple[Symbol | None, Symbol | None]]:
    common = min(len(old), len(new))
    yield from zip(old[:common], new[:common], strict=True)
    yield from ((one, None) for one in old[common:])
    yield from ((None, other) for other in new[common:])


def _symbol(a: Side, b: Side, one: Symbol | None, other: Symbol | None) -> Difference:
    known = one or other
    assert known is not None
    loaded = _is_needed(one, a, b) or _is_needed(other, b, a)
    weight = Weight.LOADED if loaded else Weight.LAYOUT if known.is_bookkeeping else Weight.UNLOADED
    sizes = (one.size if one else None, other.size if other else None)
    if one is None or other is None:
        what = "added" if one is None else "removed"
        return Difference("symbol", known.name, what, weight, None, None, None, *sizes)
    changed = [name for name in Symbol._fields if getattr(one, name) != getattr(other, name)]
    old, new = (_said(each, changed) for each in (one, other))
    return Difference("symbol", known.name, "changed", weight, ", ".join(changed), old, new, *sizes)


def _said(symbol: Symbol, fields: Sequence[str]) -> str:
    """Some fields of a symbol, numbers in hex."""
    values = ((name, getattr(symbol, name)) for name in fields)
    return "; ".join(f"{name} {value if isinstance(value, str) else f'{value:#x}'}" for name, value in values)


def _is_needed(symbol: Symbol | None, here: Side, there: Side) -> bool:
    """Whether loaded content uses this symbol here, and no equivalent symbol there."""
    return symbol is not None and symbol.record in here.needed and symbol.record not in there.needed


# --------------------------------------------------------------------------- relocations


def _relocations(a: Side, b: Side, name: str) -> tuple[list[Difference], int]:
    """Differences between a section's relocations; where only their order differs, the order."""
    weight = Weight.LOADED if a.is_loaded(name) or b.is_loaded(name) else Weight.UNLOADED
    old, new = a.relocations(name), b.relocations(name)
    was, now = Counter(r.record for r in old), Counter(r.record for r in new)
    if was == now:
        moved = [r.record for r in old] != [r.record for r in new]
        return ([Difference("layout", name, "changed", Weight.LAYOUT, "order")] if moved else []), 0
    gone, come = _left(old, was - now), _left(new, now - was)
    places = sorted({*gone, *come})
    found = [d for at in places for d in _at(name, at, gone.get(at, []), come.get(at, []), weight)]
    target = a.target(name)
    return [_located(each, target, a, b) for each in islice(found, MOST)], len(found)


def _located(each: Difference, target: str | None, a: Side, b: Side) -> Difference:
    """A relocation's difference with the section that it relocates, and the symbol there."""
    at = each.offset
    if target is None or at is None:
        return each
    symbol, inside = a.index(target).at(at) or b.index(target).at(at) or (None, None)
    return each._replace(target=target, symbol=symbol, symbol_offset=inside)


def _left(found: Iterable[Relocation], wanted: Mapping[Record, int]) -> dict[int, list[Relocation]]:
    """Those of ``found`` that are counted in ``wanted``, by offset."""
    rest = dict(wanted)
    left: dict[int, list[Relocation]] = {}
    for each in found:
        if rest.get(each.record, 0) > 0:
            rest[each.record] -= 1
            left.setdefault(each.offset, []).append(each)
    return left


def _at(
    name: str, at: int, gone: Sequence[Relocation], come: Sequence[Relocation], weight: Weight
) -> Iterator[Difference]:
    for number in range(max(len(gone), len(come))):
        old = str(gone[number]) if number < len(gone) else None
        new = str(come[number]) if number < len(come) else None
        what = "added" if old is None else "removed" if new is None else "changed"
        yield Difference("relocation", name, what, weight, None, old, new, offset=at)


# --------------------------------------------------------------------------- layout


def _layout(a: Side, b: Side) -> Iterator[Difference]:
    """Where things are: one entry for each kind of change, with the number of sections affected."""
    old, new = a.table.header._asdict(), b.table.header._asdict()
    for name, telling in HEADER_FIELDS.items():
        if not telling and old[name] != new[name]:
            yield Difference("layout", "ELF header", "changed", Weight.LAYOUT, name, old[name], new[name])
    common = [name for name in a.sections if name in b.sections]
    if common != [name for name in b.sections if name in a.sections]:
        yield Difference("layout", "section table", "changed", Weight.LAYOUT, "order")
    for field in ("addr", "offset", "entsize"):
        moved = sum(getattr(a.sections[n].row, field) != getattr(b.sections[n].row, field) for n in common)
        if moved:
            yield Difference("layout", f"{moved} section{'s' * (moved > 1)}", "changed", Weight.LAYOUT, field)
    one, other = _between(a), _between(b)
    if one != other:
        sizes = (len(one), len(other))
        yield Difference(
            "layout", "bytes outside sections", "changed", Weight.UNLOADED, None, None, None, *sizes
        )
    for name in common:
        if a.has_meaning(name) and b.has_meaning(name) and _bytes(a, name) != _bytes(b, name):
            sizes = (a.sections[name].row.size, b.sections[name].row.size)
            yield Difference("layout", name, "changed", Weight.LAYOUT, "numbering", None, None, *sizes)


def _between(side: Side) -> bytes:
    """What is in neither the header, a section nor a table of headers, without the zeros of alignment."""
    head, data = side.table.header, side.image.bytes()
    taken = [(0, head.ehsize), (head.phoff, head.phoff + head.phnum * head.phentsize)]
    taken.append((head.shoff, head.shoff + len(side.table.rows) * head.shentsize))
    taken += [(row.offset, row.offset + row.file_size) for row in side.table.rows if row.file_size]
    found, at = [], 0
    for start, end in sorted(taken):
        if start > at:
            found.append(data[at:start].strip(b"\0"))
        at = max(at, end)
    return b"".join([*found, data[at:].strip(b"\0")])


def _bytes(side: Side, name: str) -> bytes:
    return side.table.content(side.sections[name].nr)
