"""The section coverages over objects of every shape: a second implementation, byte orders, fuzz."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elfsig.coverages import relocations
from elfsig.coverages.bytemap import Kind, draw
from elfsig.coverages.canonical import FILEORDER, FILEORDER_NOBUILDID, SORTED, SORTED_2012
from elfsig.coverages.open_bytes import open_bytes
from elfsig.coverages.textdata import TEXTDATA, TEXTDATA_2003, TEXTDATA_FC2
from elfsig.elf.image import Image
from elfsig.errors import ParseError
from elfsig.model import Coverage, Derived, FileRange, Message
from tests.support import reference_streams as reference
from tests.support.debian import debian_modules
from tests.support.toy_objects import NOBITS, Part, Relocation, Symbol, Toy, build
from tests.support.vectors import read, vectors

LAYOUTS = [(bits, order) for bits in (32, 64) for order in "<>"]
REFERENCES: list[tuple[Coverage, Callable[[bytes], bytes]]] = [
    (FILEORDER, reference.fileorder),
    (FILEORDER_NOBUILDID, lambda data: reference.fileorder(data, build_id=False)),
    (SORTED, reference.sorted_by_name),
    (TEXTDATA, reference.textdata),
    (TEXTDATA_FC2, lambda data: reference.textdata(data, nobits=True)),
    (TEXTDATA_2003, lambda data: reference.textdata(data, nobits=True, rela=True)),
]
COVERAGES: tuple[Coverage, ...] = (*(c for c, _ in REFERENCES), SORTED_2012)

NAMES = (".text", ".data", ".bss", ".modinfo", ".note.gnu.build-id", "Zupper", "_low", ".text.hot", "a", "ab")


@st.composite
def toys(draw: st.DrawFn) -> Toy:
    """Up to six sections, allocated or not, with up to eight relocations each."""
    count = draw(st.integers(1, 6))
    word = st.integers(0, (1 << 32) - 1)
    symbols = [
        Symbol(
            draw(st.sampled_from(("", "printk", "init_module", "x"))),
            draw(st.none() | st.integers(0, count - 1)),
            draw(word),
            draw(word),
            draw(st.integers(0, 255)),
            draw(st.integers(0, 3)),
            draw(st.sampled_from((None, None, None, 0xFFF1, 0xFFF2))),
        )
        for _ in range(draw(st.integers(0, 6)))
    ]
    entry = st.builds(
        Relocation,
        word,
        st.integers(0, len(symbols)),
        st.integers(0, 255),
        st.integers(-(1 << 31), (1 << 31) - 1),
    )
    part = st.builds(
        Part,
        st.sampled_from(NAMES),
        st.binary(max_size=24),
        st.sampled_from((1, 7, NOBITS)),
        st.sampled_from((2, 3, 6, 0)),
        st.sampled_from((1, 4, 16)),
        st.lists(entry, max_size=8).map(tuple),
        st.booleans(),
        st.booleans(),
    )
    return Toy(tuple(draw(part) for _ in range(count)), tuple(symbols))


def message(coverage: Coverage, data: bytes, *, large: int = relocations.LARGE) -> Message:
    """The message, with numpy from ``large`` relocations on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(relocations, "LARGE", large)
        patch.setattr(relocations, "SMALL", large)
        return coverage.message(Image(data), None)


@pytest.mark.parametrize(("bits", "order"), LAYOUTS)
@given(toy=toys())
@settings(max_examples=60, deadline=None)
def test_streams_agree_with_the_second_implementation(toy: Toy, bits: int, order: str) -> None:
    data = build(toy, bits, order)
    for coverage, second in REFERENCES:
        expected = second(data)
        assert message(coverage, data).to_bytes() == expected, coverage.id
        assert message(coverage, data, large=0).to_bytes() == expected, coverage.id


def swapped(piece: Derived, word: int, names: list[bytes], rela: bool) -> bytes:
    """A computed piece with every number's bytes turned round. ``names`` stand behind the records."""
    out, at = b"", 0

    def turn(*sizes: int) -> None:
        nonlocal out, at
        for size in sizes:
            out += piece.data[at : at + size][::-1]
            at += size

    if piece.label.startswith("header"):
        at = len(piece.data) - (4 + 3 * word)
        out = piece.data[:at]
        turn(4, word, word, word)
        return out
    turn(4)
    for name in names:
        turn(*[word] * (4 if rela else 3), *((4, 2) if word == 8 else (2, 1)), 1, 1)
        out, at = out + name, at + len(name)
    return out


def names_behind(toy: Toy, part: Part) -> list[bytes]:
    """What follows each record of a part's relocations: the names of undefined symbols."""
    symbols = (Symbol(""), *toy.symbols)
    undefined = [s.part is None and not s.shndx for s in symbols]
    return [symbols[r.symbol].name.encode() + b"\0" if undefined[r.symbol] else b"" for r in part.relocations]


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("coverage", [FILEORDER, SORTED], ids=lambda c: c.id)
@given(toy=toys())
@settings(max_examples=60, deadline=None)
def test_big_endian_is_little_endian_turned_round(coverage: Coverage, toy: Toy, bits: int) -> None:
    parts = tuple(replace(p, name=f"{p.name}{i}") for i, p in enumerate(toy.parts))
    toy = replace(toy, parts=parts)
    owners = {f".rel{'a' * p.rela}{p.name}": p for p in parts}
    little, big = (message(coverage, build(toy, bits, order)) for order in "<>")
    assert len(little.pieces) == len(big.pieces)
    for one, other in zip(little.pieces, big.pieces, strict=True):
        assert one.section == other.section
        if isinstance(one, FileRange) or isinstance(other, FileRange):
            assert little.data[slice(*one[:2])] == big.data[slice(*other[:2])]
            continue
        owner = owners.get(one.label.partition(" of ")[2])
        names = names_behind(toy, owner) if owner else []
        assert swapped(one, bits // 8, names, bool(owner and owner.rela)) == other.data


@pytest.mark.parametrize("arch", ["amd64", "i386", "arm64", "s390x"])
def test_real_modules_agree_with_the_second_implementation(arch: str) -> None:
    small = [p for p in debian_modules(arch) if p.stat().st_size < 24_000 and p.suffix == ".ko"]
    assert len(small) > 100
    for path in small[:: len(small) // 8]:
        data = path.read_bytes()
        for coverage, second in REFERENCES:
            expected = second(data)
            for large in (0, 1 << 30):
                assert message(coverage, data, large=large).to_bytes() == expected, (path, coverage.id)


SEEDS = [read(v["module"]["path"]) for v in vectors() if v["id"].startswith("edge-")]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A toy module with a few fields overwritten, sometimes cut off."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 6))):
        size = draw(st.sampled_from((1, 2, 4, 8)))
        at = draw(st.integers(0, len(data) // size - 1)) * size
        value = draw(st.sampled_from((0, 1, 2, 4, 9, 0xFF, (1 << 8 * size) - 1)) | st.integers(0, 1 << 16))
        data[at : at + size] = (value % (1 << 8 * size)).to_bytes(
            size, draw(st.sampled_from(("little", "big")))
        )
    return bytes(data[: draw(st.integers(0, len(data)))] if draw(st.integers(0, 9)) == 0 else data)


def outcome(coverage: Coverage, data: bytes, large: int) -> bytes | None:
    """The stream, None for a ParseError; any other exception is a fault of the code."""
    try:
        found = message(coverage, data, large=large)
    except ParseError:
        return None
    for piece in found.pieces:
        if isinstance(piece, Derived):
            assert all(0 <= r.start < r.end <= len(data) for r in piece.depends)
    assert all(0 <= r.start < r.end <= len(data) for r in found.steering)
    image = Image(data)
    assert open_bytes(image, found, None, ()) == draw(image, found, None, ()).counts().get(Kind.OPEN, 0)
    return found.to_bytes()


@given(data=damaged())
@settings(max_examples=300, deadline=None)
def test_damage_gives_a_parse_error_or_a_stream(data: bytes) -> None:
    for coverage in COVERAGES:
        assert outcome(coverage, data, 0) == outcome(coverage, data, 1 << 30), coverage.id


def test_the_seeds_are_there() -> None:
    assert len(SEEDS) == 7
