"""The exact editor: insert and remove undo each other, and nothing else changes; bad input is refused."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corpus.oldlayout import rewrite
from elfsig.carriers.trailer import INFO, MARKER
from elfsig.elf.check import sound_relocatable
from elfsig.elf.edit import insert_section, remove_section
from elfsig.elf.guard import NewSection, prove_inserted, prove_removed
from elfsig.elf.splice import insert, remove
from elfsig.elf.table import SHT_NOTE, SHT_PROGBITS, ElfTable
from elfsig.errors import EditRefused, ParseError, UsageError
from tests.support.elf import (
    SIGNATURE,
    Sec,
    build,
    index_of,
    many,
    note_section,
    patched,
    repatched,
    samples,
    symbol,
    toy,
    with_shared_names,
)
from tests.support.tools import need
from tests.support.vectors import module, read, vector

NOTE = NewSection(b".note.module.sig", SIGNATURE, SHT_NOTE, 0, 4)
PLAIN = NewSection(b".module_sig", SIGNATURE[:-1], SHT_PROGBITS, 3, 1)
TRAILER = b"a signature" + INFO.pack(0, 0, 2, 0, 0, bytes(3), 11) + MARKER


def old_layout(content: bytes) -> bytes:
    """``content`` with its section header table in mid-file, as it is where it has that already."""
    table = ElfTable(content)
    return rewrite(content) if table.header.shoff > max(row.end for row in table.rows) else content


LAYOUTS: dict[str, Callable[[bytes], bytes]] = {
    "as it is": lambda content: content,
    "table in mid-file": old_layout,
    "shared names": with_shared_names,
    "signed": lambda content: content + TRAILER,
    "table in mid-file, signed": lambda content: old_layout(content) + TRAILER,
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("path", samples(), ids=lambda path: path.name)
@pytest.mark.parametrize("wish", [NOTE, PLAIN], ids=lambda wish: wish.name.decode())
def test_insert_then_remove_gives_the_original_back(path: Path, layout: str, wish: NewSection) -> None:
    before = path.read_bytes()
    before = LAYOUTS[layout](before)
    after = insert_section(before, wish)
    section = ElfTable(after).sections[-1]
    assert (section.name, section.row.type, section.row.flags) == (wish.name, wish.type, wish.flags)
    assert ElfTable(after).content(section.nr) == wish.payload
    assert remove_section(after, section.nr) == before


def test_insert_moves_nothing() -> None:
    before = toy()
    after = insert(before, *NOTE)
    old, new = ElfTable(before), ElfTable(after)
    same = [new.rows[i] for i in range(len(old.rows)) if i != old.shstrndx]
    assert same == [row for i, row in enumerate(old.rows) if i != old.shstrndx]


def test_two_sections_come_out_in_either_order() -> None:
    for base in (toy(), rewrite(toy())):
        first = insert(base, *NOTE)
        both = insert(first, *PLAIN)
        assert remove(both, index_of(both, ".module_sig")) == first
        other = remove(both, index_of(both, ".note.module.sig"))
        prove_removed(both, other, index_of(both, ".note.module.sig"))
        assert ElfTable(other).content(index_of(other, ".module_sig")) == PLAIN.payload
    assert remove(other, index_of(other, ".module_sig"))[:4] == b"\x7fELF"


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_section_in_the_middle_leaves_without_a_trace(order: str) -> None:
    linked = toy(order=order, extra=[note_section(b"signature", order)])
    removed = remove_section(linked, index_of(linked, ".note.module.sig"))
    assert removed == toy(order=order)


def test_a_section_in_the_middle_of_the_old_layout() -> None:
    linked = rewrite(toy(extra=[note_section(b"signature")]))
    assert remove_section(linked, index_of(linked, ".note.module.sig")) == rewrite(toy())


VECTORS = [
    "gkh-lj-i386", "fc2-amd64-dsa-v4", "rh-i386-dsa-v3", "rh-amd64-dsa-v4", "rh-ppc64be-dsa-v4",
    "rh-s390x-dsa-v4", "note-sorted-ppc64be-dsa", "note-sorted-s390x-dsa", "edge-rh-i386", "edge-rh-amd64",
    "edge-rh-s390x", "edge-note-sorted-amd64", "edge-note-sorted-i386",
]  # fmt: skip


@pytest.mark.parametrize("name", VECTORS)
def test_what_objcopy_and_the_linker_put_in_the_middle_comes_out_exactly(name: str) -> None:
    entry = vector(name)
    content = module(entry)
    index = index_of(content, entry["section"]["name"])
    assert index < len(ElfTable(content).rows) - 3
    assert remove_section(content, index) == read(entry["unsigned"])


def test_a_name_that_others_use_stays() -> None:
    shared = build([Sec(".rela.x", b"1"), Sec("keep", b"2"), Sec("drop", b"3")])
    table = ElfTable(shared)
    suffix = patched(shared, 3, name=table.rows[1].name + 5)  # ".x", the end of ".rela.x"
    assert ElfTable(suffix).name(3) == b".x"
    for content in (suffix, patched(shared, 3, name=table.rows[2].name)):
        assert ElfTable(remove_section(content, 3)).names == table.names


def test_bytes_between_sections_are_kept() -> None:
    content = build([Sec("a", b"1"), Sec("hidden", b"secret"), Sec("sig", b"s" * 9), Sec("z", b"2", align=4)])
    content = patched(content, 2, size=0)  # what it held now belongs to no section
    removed = remove_section(content, 3)
    assert b"secret" in removed
    assert ElfTable(removed).rows[3].offset % 4 == 0


# --------------------------------------------------------------------------- numbers


@pytest.mark.parametrize("count", [0xFF00 - 5, 0xFF00 + 2])
def test_section_counts_around_the_reserved_numbers(count: int) -> None:
    before = many(count, symbol_in=1)
    after = insert(before, *NOTE)
    assert len(ElfTable(after).rows) == len(ElfTable(before).rows) + 1
    assert remove(after, len(ElfTable(after).rows) - 1) == before


def test_extended_indices_become_small_again() -> None:
    content = many(0xFF01, symbol_in=0xFF00)
    removed = remove_section(content, 5)
    table = ElfTable(removed)
    symtab = table.content(index_of(removed, ".symtab"))
    assert symtab[24 + 6 : 24 + 8] == (0xFEFF).to_bytes(2, "little")
    assert table.content(index_of(removed, ".symtab_shndx")) == bytes(8)


def test_a_far_section_leaves_with_its_symbol() -> None:
    content = many(0xFF01, symbol_in=0xFF00, info=3)
    table = ElfTable(remove_section(content, 0xFF00))
    (symtab, extended) = (table.named(name)[0] for name in (b".symtab", b".symtab_shndx"))
    assert (symtab.row.size, symtab.row.info, extended.row.size) == (24, 1, 4)


def test_an_empty_section_inside_another_moves_with_it() -> None:
    content = build([Sec("sig", b"s" * 8), Sec("data", b"d" * 8), Sec("empty")])
    content = patched(content, 3, offset=ElfTable(content).rows[2].offset + 3)
    rows = ElfTable(remove_section(content, 1)).rows
    assert rows[2].offset - rows[1].offset == 3


def test_an_empty_section_at_the_very_end_is_part_of_the_image() -> None:
    content = build([Sec("a", b"1"), Sec("empty")]) + bytes(100)
    content = patched(content, 2, offset=len(content) - 50)
    after = insert_section(content, NOTE)
    assert remove_section(after, 4) == content


# --------------------------------------------------------------------------- refusals


def _refuses(content: bytes, code: str) -> None:
    with pytest.raises((ParseError, EditRefused)) as caught:
        insert(content, *NOTE)
    assert caught.value.code == code, caught.value
    if code != "not-elf":
        assert caught.value.offset is not None
        assert caught.value.offset <= len(content)


TEXT, DATA, SYMTAB, STRTAB, RELA = 2, 3, 5, 6, 7

BAD_SECTIONS: dict[str, tuple[int, dict[str, int], str]] = {
    "beyond the file": (TEXT, {"offset": 1 << 40}, "elf-section-bounds"),
    "longer than the file": (DATA, {"size": 1 << 40}, "elf-section-bounds"),
    "in the ELF header": (DATA, {"offset": 16}, "elf-section-bounds"),
    "overlap": (DATA, {"size": 64}, "elf-overlap"),
    "odd alignment": (DATA, {"align": 12}, "elf-align"),
    "link to nowhere": (DATA, {"link": 99}, "elf-link"),
    "link to itself": (DATA, {"link": DATA}, "elf-link-cycle"),
    "info to nowhere": (RELA, {"info": 99}, "elf-info"),
    "name outside": (DATA, {"name": 4000}, "elf-name"),
    "relocation entries of another size": (RELA, {"entsize": 23}, "elf-entsize"),
    "symbols with half a record": (SYMTAB, {"size": 100}, "elf-entsize"),
    "symbols without strings": (SYMTAB, {"link": TEXT}, "elf-link"),
    "relocations without symbols": (RELA, {"link": STRTAB}, "elf-link"),
    "more local symbols than symbols": (SYMTAB, {"info": 99}, "elf-symbols"),
    "relocation against a missing symbol": (SYMTAB, {"size": 96}, "elf-relocations"),
    "symbol name outside": (STRTAB, {"size": 5}, "elf-symbols"),
    "strings without NUL": (STRTAB, {"size": 13}, "elf-strings"),
    "group signature missing": (1, {"info": 99}, "elf-group"),
    "section 0 in use": (0, {"type": 1}, "elf-section-zero"),
    "section 0 with a size": (0, {"size": 9}, "elf-section-zero"),
    "section 0 with a link": (0, {"link": 8}, "elf-section-zero"),
}


@pytest.mark.parametrize("what", BAD_SECTIONS)
def test_a_damaged_section_is_refused_by_name(what: str) -> None:
    index, fields, code = BAD_SECTIONS[what]
    _refuses(patched(toy(), index, **fields), code)


BAD_HEADERS: dict[str, tuple[dict[str, int], str]] = {
    "executable": ({"type": 2}, "not-relocatable"),
    "program headers": ({"phnum": 1}, "program-headers"),
    "no section headers": ({"shoff": 0}, "no-section-table"),
    "table beyond the file": ({"shoff": 1 << 50}, "elf-truncated"),
    "count of 0xffff": ({"shnum": 0xFFFF}, "elf-truncated"),
    "entry size": ({"shentsize": 40}, "elf-shentsize"),
    "header size": ({"ehsize": 52}, "elf-ehsize"),
    "no name table": ({"shstrndx": 0}, "elf-shstrndx"),
    "name table is text": ({"shstrndx": TEXT}, "elf-shstrndx"),
    "name table beyond": ({"shstrndx": 200}, "elf-shstrndx"),
}


@pytest.mark.parametrize("what", BAD_HEADERS)
def test_a_damaged_header_is_refused_with_its_offset(what: str) -> None:
    fields, code = BAD_HEADERS[what]
    _refuses(repatched(toy(), **fields), code)


@pytest.mark.parametrize("size", [4, 6, 15, 16, 63])
def test_a_header_that_is_cut_off_is_told_from_no_header(size: int) -> None:
    with pytest.raises(ParseError, match="ELF header is cut off") as refused:
        ElfTable(toy()[:size])
    assert (refused.value.code, refused.value.offset) == ("elf-truncated", size)
    with pytest.raises(ParseError, match="no magic"):
        ElfTable(toy()[:3])


def test_a_count_of_zero_is_read_from_section_0() -> None:
    content = repatched(toy(), shnum=0)
    _refuses(content, "no-section-table")
    count = len(ElfTable(toy()).rows)
    extended = repatched(patched(toy(), 0, size=count), shnum=0)
    assert len(ElfTable(extended).rows) == count
    after = insert(extended, *NOTE)
    assert remove(after, count) == extended
    _refuses(repatched(patched(toy(), 0, size=1 << 60), shnum=0), "elf-truncated")


def test_a_reserved_count_with_a_table_that_long_is_refused() -> None:
    content = many(0xFF10, symbol_in=1)
    _refuses(repatched(content, shnum=0xFF14), "elf-shnum")


def test_links_in_a_circle_are_refused() -> None:
    content = patched(patched(toy(), 2, link=3), 3, link=4)
    sound_relocatable(content)
    _refuses(patched(content, 4, link=2), "elf-link-cycle")


def test_names_without_an_end_are_refused() -> None:
    content = build([Sec("a" * 5000, b"1")])
    _refuses(content, "elf-name")


@pytest.mark.parametrize("name", [".text", ".data", ".symtab", ".shstrtab"])
def test_what_others_depend_on_is_not_removed(name: str) -> None:
    content = toy()
    with pytest.raises(EditRefused) as caught:
        remove(content, index_of(content, name))
    assert caught.value.code == "section-in-use"


def _poked(section: str, at: int, value: int) -> bytes:
    """The toy file with a 2-byte value in the content of one section changed."""
    content = toy()
    at += ElfTable(content).rows[index_of(content, section)].offset
    return content[:at] + value.to_bytes(2, "little") + content[at + 2 :]


def test_numbers_inside_tables_are_checked() -> None:
    _refuses(_poked(".symtab", 24 + 6, 9), "elf-symbols")  # there are sections 0 to 8
    _refuses(_poked(".symtab", 24 + 6, 0xFFFF), "elf-symbols")
    _refuses(_poked(".group", 4, 9), "elf-group")
    far = many(0xFF01, symbol_in=0xFF00)
    _refuses(patched(far, index_of(far, ".symtab_shndx"), size=4), "elf-symbols")


def test_a_group_named_after_its_symbol_keeps_a_section() -> None:
    content = toy(extra=[Sec("sig", b"s")])
    with pytest.raises(EditRefused, match="named after its symbol"):
        remove(patched(content, 1, info=3), index_of(content, "sig"))
    with pytest.raises(EditRefused, match="member of group"):
        group = ElfTable(content).rows[1].offset + 4
        remove(content[:group] + b"\x05" + content[group + 1 :], index_of(content, "sig"))


def test_inactive_section_headers_are_left_alone() -> None:
    content = build([Sec("a", b"1"), Sec("sig", b"s"), Sec("b", b"2")])
    content = patched(content, 3, type=0, offset=1 << 40)
    after = insert_section(content, NOTE)
    assert remove_section(after, 5) == content
    assert ElfTable(remove_section(content, 2)).rows[2].offset == 1 << 40


@pytest.mark.parametrize("size", [0, 3, 16, 40, 63])
def test_a_cut_header_is_a_parse_error(size: int) -> None:
    with pytest.raises(ParseError):
        insert(toy()[:size], *NOTE)


def test_a_name_table_without_nul_is_a_parse_error() -> None:
    row = ElfTable(toy()).rows[-1]
    _refuses(patched(toy(), 8, size=row.size - 1), "elf-names")


def test_a_section_with_a_symbol_of_its_own_name_is_not_removed() -> None:
    named = symbol(0, 0, 0) + symbol(1, 0, 1)
    content = build(
        [
            Sec("sig", b"s"),
            Sec(".symtab", named, 2, 0, 3, 2, 8, 24),
            Sec(".strtab", b"\0label\0", 3),
        ]
    )
    with pytest.raises(EditRefused, match="symbol 1 of section"):
        remove(content, 1)


def test_relocations_against_its_section_symbol_keep_a_section() -> None:
    content = toy(extra=[Sec("sig", b"s")])
    table = ElfTable(content)
    at = table.rows[index_of(content, ".rela.text")].offset + 8 + 4
    pointed = content[:at] + (3).to_bytes(4, "little") + content[at + 4 :]
    with pytest.raises(EditRefused, match="use its symbol"):
        remove(pointed, index_of(content, "sig"))


@pytest.mark.parametrize("index", [0, -1, 99])
def test_only_sections_that_exist_are_removed(index: int) -> None:
    with pytest.raises(EditRefused, match="no section"):
        remove(toy(), index)


@pytest.mark.parametrize(
    "wish",
    [
        NewSection(b"", b"x", 1, 0, 1),
        NewSection(b"a\0b", b"x", 1, 0, 1),
        NewSection(b"a", b"x", 1, 0, 3),
        NewSection(b"a", b"x", 1, 0, 1 << 40),
        NewSection(b"a", b"x", 0, 0, 1),
        NewSection(b"a", b"x", 1, 1 << 64, 1),
    ],
    ids=str,
)
def test_impossible_sections_are_refused(wish: NewSection) -> None:
    with pytest.raises(EditRefused) as caught:
        insert(toy(), *wish)
    assert caught.value.code == "bad-section"


def test_an_unknown_engine_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="exact, lief"):
        insert_section(toy(), NOTE, "bfd")


# --------------------------------------------------------------------------- the witness


def _tampered(content: bytes) -> list[tuple[str, bytes]]:
    """``content``, an insertion into ``toy() + TRAILER``, with one thing more changed each time."""
    table = ElfTable(content)
    at = {s.text: s.row.offset for s in table.sections}

    def flip(offset: int) -> bytes:
        return content[:offset] + bytes([content[offset] ^ 1]) + content[offset + 1 :]

    return [
        ("content", flip(at[".text"])),
        ("content", flip(at[".rela.text"] + 12)),
        ("content", flip(at[".symtab"] + 24)),
        ("flags", patched(content, DATA, flags=2)),
        ("sh_type", patched(content, DATA, type=0x70000005)),
        ("sh_addr", patched(content, DATA, addr=16)),
        ("sh_size", patched(content, 4, size=101)),
        ("sh_link", patched(content, DATA, link=1)),
        ("sh_info", patched(content, RELA, info=DATA)),
        ("sh_entsize", patched(content, TEXT, entsize=1)),
        ("sh_addralign", patched(content, TEXT, align=8)),
        ("name", patched(content, DATA, name=table.rows[TEXT].name)),
        ("header", repatched(content, flags=1)),
        ("header", repatched(content, machine=3)),
        ("e_ident", content[:7] + b"\x09" + content[8:]),
        ("after the ELF image", flip(len(content) - 1)),
        ("not the requested one", patched(content, len(table.rows) - 1, align=8)),
        ("not the requested one", flip(at[".note.module.sig"])),
        ("fields set", patched(content, len(table.rows) - 1, link=1)),
        ("instead of", repatched(content, shnum=len(table.rows) - 1)),
    ]


@pytest.mark.parametrize("nr", range(20))
def test_the_witness_sees_every_change(nr: int) -> None:
    before = toy() + TRAILER
    after = insert(before, *NOTE)
    prove_inserted(before, after, NOTE)
    what, wrong = _tampered(after)[nr]
    assert wrong != after
    with pytest.raises(EditRefused, match=what) as caught:
        prove_inserted(before, wrong, NOTE)
    assert caught.value.code == "witness-differs"


def test_the_witness_wants_numbers_renumbered() -> None:
    linked = toy(extra=[note_section(b"signature")])
    index = index_of(linked, ".note.module.sig")
    good = remove(linked, index)
    prove_removed(linked, good, index)
    table = ElfTable(good)
    symbols, relocations = (table.rows[index_of(good, n)].offset for n in (".symtab", ".rela.text"))
    group = table.rows[1].offset
    for at in (symbols + 24 + 6, symbols + 48 + 6, relocations + 12, relocations + 24 + 12, group + 4):
        wrong = good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :]
        with pytest.raises(EditRefused):
            prove_removed(linked, wrong, index)
    with pytest.raises(EditRefused, match="instead of"):
        prove_removed(linked, linked, index)


# --------------------------------------------------------------------------- hostile input


def _try_everything(content: bytes) -> None:
    started = time.perf_counter()
    with suppress(ParseError, EditRefused):
        after = insert_section(content, NOTE)
        assert remove_section(after, len(ElfTable(after).rows) - 1) == content
    for index in (1, 3, 5):
        with suppress(ParseError, EditRefused):
            remove_section(content, index)
    assert time.perf_counter() - started < 5


SEEDS = [toy(), toy(order=">"), rewrite(toy()), with_shared_names(toy()), toy(extra=[note_section(b"x")])]


@pytest.mark.timed
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), max_size=6),
    st.integers(0, 64),
)
def test_damage_gives_parse_errors_and_refusals_only(
    seed: bytes, changes: list[tuple[int, int]], lost: int
) -> None:
    content = bytearray(seed)
    for at, value in changes:
        content[at % len(content)] = value
    _try_everything(bytes(content[: len(content) - lost]))


@pytest.mark.timed
@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(SEEDS),
    st.integers(0, 9),
    st.sampled_from(["name", "type", "flags", "offset", "size", "link", "info", "align", "entsize"]),
    st.one_of(st.integers(0, 20), st.sampled_from([0xFEFF, 0xFF00, 0xFFFF, 1 << 31, (1 << 32) - 1])),
)
def test_damaged_section_headers_give_refusals_only(seed: bytes, index: int, field: str, value: int) -> None:
    _try_everything(patched(seed, index % len(ElfTable(seed).rows), **{field: value}))


@pytest.mark.timed
def test_a_dead_area_full_of_tables_is_not_searched_for_ever() -> None:
    base = build([Sec("a", bytes(2_000_000)), *[Sec("")] * 400])
    started = time.perf_counter()
    after = insert(base, *NOTE)
    assert remove(after, len(ElfTable(after).rows) - 1) == base
    assert time.perf_counter() - started < 5


# --------------------------------------------------------------------------- other tools


def _lines(*command: str) -> list[str]:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def test_objcopy_and_elfsig_agree(tmp_path: Path) -> None:
    objcopy = need("objcopy")
    for path in samples():
        if not path.name.startswith(("amd64", "toyA-64", "edgeA-64")):
            continue
        plain, signed, blob = tmp_path / "plain.ko", tmp_path / "signed.ko", tmp_path / "blob"
        blob.write_bytes(SIGNATURE)
        _lines(objcopy, str(path), str(plain))
        _lines(objcopy, "--add-section", f".module_sig={blob}", str(plain), str(signed))
        content = signed.read_bytes()
        assert remove_section(content, index_of(content, ".module_sig")) == plain.read_bytes(), path.name
        signed.write_bytes(insert_section(plain.read_bytes(), PLAIN))
        _lines(objcopy, "-R", ".module_sig", str(signed), str(tmp_path / "back.ko"))
        assert (tmp_path / "back.ko").read_bytes() == plain.read_bytes(), path.name


def test_readelf_sees_nothing_else_change(tmp_path: Path) -> None:
    readelf = need("readelf")
    for path in samples():
        before, after = tmp_path / "before.ko", tmp_path / "after.ko"
        before.write_bytes(path.read_bytes())
        after.write_bytes(insert_section(path.read_bytes(), NOTE))
        old, new = (_lines(readelf, "-SWrs", str(p)) for p in (before, after))
        gone = [line for line in old if line not in new]
        added = [line for line in new if line not in old]
        assert all(".shstrtab" in line or "There are" in line for line in gone), gone
        assert [line for line in added if ".shstrtab" not in line and "There are" not in line] == [
            line for line in new if ".note.module.sig" in line
        ]
