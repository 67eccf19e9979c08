"""What the section coverages refuse, what they remark on, and what their map of a file claims."""

from __future__ import annotations

import struct
import time
from dataclasses import replace

import pytest

from elfsig.coverages import records_numpy, relocations
from elfsig.coverages.bytemap import Kind, draw
from elfsig.coverages.canonical import FILEORDER, SORTED, SORTED_2012
from elfsig.coverages.open_bytes import open_bytes
from elfsig.coverages.textdata import TEXTDATA, TEXTDATA_2003
from elfsig.elf.image import Image
from elfsig.errors import ParseError
from elfsig.model import Coverage, Derived, Place
from tests.support.toy_objects import Part, Relocation, Row, Symbol, Toy, build
from tests.support.vectors import module, vector

TEXT = Part(".text", b"\x90" * 16, flags=6, relocations=(Relocation(4, 1, 2, -4), Relocation(8, 2, 2)))
SMALL = Toy((TEXT, Part(".bss", bytes(8), type=8)), (Symbol("printk"), Symbol("init", 0, 3, 5)))
ROW64 = 64

either = pytest.mark.parametrize("large", [0, 1 << 30], ids=["numpy", "struct"])


@pytest.fixture
def refuses(monkeypatch: pytest.MonkeyPatch) -> Refusal:
    return Refusal(monkeypatch)


class Refusal:
    """Expects a ParseError and hands it on."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch

    def __call__(
        self, data: bytes, coverage: Coverage = SORTED, large: int = 0, end: int | None = None
    ) -> ParseError:
        self._patch.setattr(relocations, "LARGE", large)
        self._patch.setattr(relocations, "SMALL", large)
        with pytest.raises(ParseError) as caught:
            coverage.message(Image(data, end), None)
        assert caught.value.offset is not None
        return caught.value


def row_at(data: bytes, nr: int, field: int = 0) -> int:
    """File offset of a field (by its offset) of a 64-bit little-endian section header."""
    return int.from_bytes(data[40:48], "little") + nr * ROW64 + field


def patched(data: bytes, at: int, value: int, size: int = 4) -> bytes:
    return data[:at] + value.to_bytes(size, "little") + data[at + size :]


@either
@pytest.mark.parametrize(("bits", "order"), [(32, "<"), (32, ">"), (64, "<"), (64, ">")])
def test_symbol_index_out_of_range(refuses: Refusal, bits: int, order: str, large: int) -> None:
    bad = replace(TEXT, relocations=(*TEXT.relocations, Relocation(0, 3, 1)))
    data = build(replace(SMALL, parts=(bad, *SMALL.parts[1:])), bits, order)
    fault = refuses(data, large=large)
    assert "relocation 2 of section [2] .rela.text: symbol 3 does not exist, there are 3" in fault.text
    word = bits // 8
    at = fault.offset or 0
    assert data[at + word : at + 2 * word] == struct.pack(
        order + ("Q" if bits == 64 else "I"), 3 << (32 if bits == 64 else 8) | 1
    )


@either
@pytest.mark.parametrize("name", [4, 0xFFFFFF])
def test_name_of_an_undefined_symbol_outside_the_string_table(
    refuses: Refusal, name: int, large: int
) -> None:
    """Without the final NUL, or beyond the table; names of defined symbols are not looked at."""
    data = build(SMALL)
    strings = data.index(b"\0printk\0init\0")
    entry = data.index(struct.pack("<IBBHQQ", 1, 0x12, 0, 0, 0, 0))
    cut = patched(data, row_at(data, 5, 32), 4, 8)
    fault = refuses(patched(cut, entry, name), large=large)
    assert "the name of symbol 1 reaches beyond its string table" in fault.text
    assert data[strings + 1 : strings + 7] == b"printk"


@pytest.mark.parametrize("name", [b".symtab", b".strtab"])
def test_without_a_symbol_or_string_table(refuses: Refusal, name: bytes) -> None:
    fault = refuses(build(SMALL).replace(name + b"\0", b".xxxxxx\0"))
    assert fault.code == "elf-symbols"
    assert "section [2] .rela.text" in fault.text


def test_without_relocations_no_symbol_table_is_needed() -> None:
    plain = replace(TEXT, relocations=())
    data = build(replace(SMALL, parts=(plain,))).replace(b".symtab\0", b".xxxxxx\0")
    assert SORTED.message(Image(data), None).size == len(b".text") + 4 + 3 * 8 + 16


@pytest.mark.parametrize("coverage", [SORTED, FILEORDER, TEXTDATA], ids=lambda c: c.id)
@pytest.mark.parametrize(("field", "value"), [(24, 1 << 40), (32, 1 << 20)], ids=["offset", "size"])
def test_contents_outside_the_file(refuses: Refusal, coverage: Coverage, field: int, value: int) -> None:
    data = build(SMALL)
    fault = refuses(patched(data, row_at(data, 1, field), value, 8), coverage)
    assert fault.code == "elf-section-bounds"
    assert "section [1] .text" in fault.text
    assert fault.offset == row_at(data, 1)


def test_contents_must_lie_in_front_of_the_trailers(refuses: Refusal) -> None:
    """A section may not reach into what was cut off after the ELF image."""
    data = build(SMALL)
    long = patched(data, row_at(data, 1, 24), len(data) - 8, 8) + bytes(100)
    assert SORTED.message(Image(long), None).size
    assert refuses(long, end=len(data)).code == "elf-section-bounds"
    assert refuses(long, end=len(data) - 1).code == "elf-truncated"


def test_relocations_for_no_section(refuses: Refusal) -> None:
    data = build(SMALL)
    for coverage in (SORTED, FILEORDER):
        fault = refuses(patched(data, row_at(data, 2, 44), 99), coverage)
        assert fault.code == "elf-relocation-target"
        assert fault.offset == row_at(data, 2, 44)


@pytest.mark.parametrize(("machine", "bits", "odd"), [(8, 64, True), (43, 64, True), (8, 32, False)])
def test_odd_machines(refuses: Refusal, machine: int, bits: int, odd: bool) -> None:
    data = build(replace(SMALL, machine=machine), bits, ">")
    if odd:
        assert refuses(data).code == "unsupported-relocations"
        assert TEXTDATA.message(Image(data), None).size == 16
    else:
        assert SORTED.message(Image(data), None).size


@pytest.mark.parametrize("count", [0, 0xFFFF])
def test_extended_section_numbering(refuses: Refusal, count: int) -> None:
    """e_shnum 0 takes the number from section 0, which these formats' kernels refuse."""
    data = build(SMALL)
    rows = int.from_bytes(data[60:62], "little")
    data = patched(patched(data, 60, count, 2), row_at(data, 0, 32), rows, 8)
    for coverage in (SORTED, FILEORDER):
        assert refuses(data, coverage).code in ("elf-shnum", "elf-truncated")


@pytest.mark.parametrize("data", [b"", b"#!/bin/sh\n", b"\x7fELF", b"\x7fELF\2\1\1" + bytes(60)])
def test_no_sections_at_all(refuses: Refusal, data: bytes) -> None:
    refuses(data)
    refuses(data, TEXTDATA)


@pytest.mark.timed
def test_overlapping_sections_do_not_make_it_slow(refuses: Refusal) -> None:
    """Two thousand sections that all show the whole file, and one long name named again and again."""
    rows = tuple(Row("dup.data", 1, 2, b"", 1) for _ in range(2000))
    toy = Toy((Part(".data", bytes(1 << 16)), Part("x")), extra=rows)
    data = bytearray(build(toy))
    for nr in range(3, 2003):
        struct.pack_into("<QQ", data, row_at(bytes(data[:64]), nr, 24), 0, len(data))
    started = time.perf_counter()
    for coverage in (SORTED, FILEORDER, TEXTDATA):
        assert refuses(bytes(data), coverage).code == "stream-too-long"
    assert time.perf_counter() - started < 2


@pytest.mark.timed
@either
def test_one_long_name_does_not_make_it_slow(refuses: Refusal, large: int) -> None:
    part = replace(TEXT, relocations=(Relocation(0, 1, 1),) * 3000)
    data = build(Toy((part,), (Symbol("n" * 20000),)))
    started = time.perf_counter()
    assert refuses(data, large=large).code == "stream-too-long"
    assert time.perf_counter() - started < 2


# ---------------------------------------------------------------------- the 2011-12 series


def series_2012(toy: Toy) -> bytes:
    return SORTED_2012.message(Image(build(toy)), None).to_bytes()


def plain_sorted(toy: Toy) -> bytes:
    return SORTED.message(Image(build(toy)), None).to_bytes()


@either
def test_2012_writes_zero_for_absolute_symbols(large: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In RELA records only."""
    monkeypatch.setattr(relocations, "LARGE", large)
    monkeypatch.setattr(relocations, "SMALL", large)
    assert series_2012(SMALL) == plain_sorted(SMALL)
    absolute = replace(SMALL, symbols=(SMALL.symbols[0], Symbol("abs", shndx=0xFFF1)))
    one, other = plain_sorted(absolute), series_2012(absolute)
    assert [(a, b) for a, b in zip(one, other, strict=True) if a != b] == [(0xF1, 0), (0xFF, 0)]
    rel = replace(absolute, parts=(replace(TEXT, rela=False), *SMALL.parts[1:]))
    assert series_2012(rel) == plain_sorted(rel)


@either
def test_2012_refuses_symbols_in_sections_that_are_not_loaded(refuses: Refusal, large: int) -> None:
    toy = Toy((TEXT, Part(".comment", b"x", flags=0)), (Symbol("printk"), Symbol("local", 1)))
    fault = refuses(build(toy), SORTED_2012, large)
    assert "relocation 1 of section [2] .rela.text: symbol 2 is in section [3]" in fault.text
    assert [r.code for r in SORTED.message(Image(build(toy)), None).remarks] == ["heap-dependent-kernels"]


def test_2012_follows_sh_link(refuses: Refusal) -> None:
    data = build(SMALL)
    renamed = data.replace(b".symtab\0", b".xxxxxx\0")
    assert SORTED_2012.message(Image(renamed), None).to_bytes() == plain_sorted(SMALL)
    assert refuses(patched(data, row_at(data, 2, 40), 1), SORTED_2012).code == "elf-symbols"


# ---------------------------------------------------------------------- remarks


def test_remarks_on_relocations_that_are_passed_over() -> None:
    toy = replace(SMALL, parts=(TEXT, replace(TEXT, name=".debug_info", flags=0)))
    (remark,) = FILEORDER.message(Image(build(toy)), None).remarks
    assert (remark.code, remark.offset) == ("heap-dependent-kernels", row_at(build(toy), 4))
    assert ".rela.debug_info" in remark.text
    assert not SORTED.message(Image(build(toy)), None).remarks
    toy = replace(SMALL, parts=(TEXT, replace(TEXT, name=".data", type=8)))
    (remark,) = FILEORDER.message(Image(build(toy)), None).remarks
    assert remark.code == "relocations-not-covered"
    assert remark.text.endswith(".rela.data")


@either
def test_names_may_be_the_last_bytes_of_a_file(monkeypatch: pytest.MonkeyPatch, large: int) -> None:
    data = build(SMALL)
    expected = SORTED.message(Image(data), None).to_bytes()
    table = Image(data).elf
    assert table is not None
    (strings,) = table.named(b".strtab")
    moved = patched(data, row_at(data, strings.nr, 24), len(data), 8) + table.content(strings.nr)
    monkeypatch.setattr(relocations, "LARGE", large)
    monkeypatch.setattr(relocations, "SMALL", large)
    assert SORTED.message(Image(moved), None).to_bytes() == expected


@either
def test_a_fault_names_its_entry_wherever_it_is(monkeypatch: pytest.MonkeyPatch, large: int) -> None:
    monkeypatch.setattr(relocations, "LARGE", large)
    monkeypatch.setattr(relocations, "SMALL", large)
    monkeypatch.setattr(records_numpy, "AT_ONCE", 2)
    many = replace(TEXT, relocations=(*TEXT.relocations * 3, Relocation(8, 99, 2)))
    with pytest.raises(ParseError, match=r"relocation 6 of .*symbol 99 does not exist"):
        SORTED.message(Image(build(replace(SMALL, parts=(many, *SMALL.parts[1:])))), None)


def test_records_that_are_written_in_parts_are_those_that_are_written_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    many = replace(TEXT, relocations=TEXT.relocations * 3)
    data = build(replace(SMALL, parts=(many, *SMALL.parts[1:])))
    monkeypatch.setattr(records_numpy, "AT_ONCE", 4)
    streams = set()
    for large in (0, 1 << 30):
        monkeypatch.setattr(relocations, "LARGE", large)
        monkeypatch.setattr(relocations, "SMALL", large)
        streams.add(SORTED.message(Image(data), None).to_bytes())
    assert len(streams) == 1


# ---------------------------------------------------------------------- the map

OPEN, STEERING, DERIVED, VERBATIM = range(4)


def classes(coverage: Coverage, image: Image, place: Place) -> bytes:
    """One class for every byte of the file, the strongest that applies."""
    found = coverage.message(image, place)
    out = bytearray(len(image.data))
    ranges = [(r.start, r.end, STEERING) for r in found.steering]
    for piece in found.pieces:
        if isinstance(piece, Derived):
            ranges += [(r.start, r.end, DERIVED) for r in piece.depends]
        else:
            ranges.append((piece.start, piece.end, VERBATIM))
    for start, end, kind in sorted(ranges, key=lambda r: r[2]):
        out[start:end] = bytes([kind]) * (end - start)
    return bytes(out)


@pytest.mark.parametrize(
    ("name", "coverage"),
    [
        ("edge-rh-i386", FILEORDER),
        ("edge-rh-i386", TEXTDATA_2003),
        ("rh-s390x-dsa-v4", SORTED),
        ("rh-s390x-dsa-v4", SORTED_2012),
        ("rh-s390x-dsa-v4", TEXTDATA),
    ],
    ids=lambda value: str(getattr(value, "id", value)),
)
def test_the_map_is_fair(name: str, coverage: Coverage) -> None:
    """Flipping an open byte never changes the stream, any other class always can: byte by byte."""
    entry = vector(name)
    data = module(entry)
    place = Place("section", "", 0, 0, 0, b"", None, index=entry["section"]["index"])
    kinds = classes(coverage, Image(data), place)
    before = coverage.message(Image(data), place).to_bytes()

    def changes(at: int, mask: int) -> bool:
        try:
            flipped = data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]
            return coverage.message(Image(flipped), place).to_bytes() != before
        except ParseError:
            return True

    steering = []
    for at, kind in enumerate(kinds):
        seen = [changes(at, mask) for mask in (0x01, 0x08, 0xFF)]
        if kind == OPEN:
            assert not any(seen), hex(at)
        elif kind == STEERING:
            steering.append(any(seen))
        else:
            assert any(seen), hex(at)
            assert kind == DERIVED or all(seen), hex(at)
    assert sum(steering) > len(steering) / 3


@pytest.mark.parametrize(
    "coverage", [FILEORDER, SORTED, SORTED_2012, TEXTDATA, TEXTDATA_2003], ids=lambda c: c.id
)
@pytest.mark.parametrize("name", ["edge-rh-i386", "rh-s390x-dsa-v4"])
def test_open_bytes_are_counted_as_the_map_shows_them(name: str, coverage: Coverage) -> None:
    entry = vector(name)
    image = Image(module(entry))
    place = Place("section", "", 0, 0, 0, b"", None, index=entry["section"]["index"])
    found = coverage.message(image, place)
    counted = open_bytes(image, found, place, ())
    assert 0 < counted == draw(image, found, place, ()).counts()[Kind.OPEN]
