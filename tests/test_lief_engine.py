"""The LIEF engine: what it edits passes the witness, what it cannot do is refused, a crash costs nothing.

The expected failures pin what plain use of LIEF 1.0 does to relocatable files; when one of them passes, LIEF
was repaired and the engine can be simplified.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from contextlib import suppress
from pathlib import Path
from struct import pack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.oldlayout import rewrite
from elfsig.carriers.section import SectionCarrier
from elfsig.coverages.canonical import FILEORDER, FILEORDER_NOBUILDID, SORTED
from elfsig.coverages.textdata import TEXTDATA
from elfsig.elf import lief_engine
from elfsig.elf.edit import insert_section, remove_section
from elfsig.elf.guard import NewSection
from elfsig.elf.image import Image
from elfsig.elf.table import SHT_NOTE, SHT_PROGBITS, SHT_RELA, SHT_STRTAB, SHT_SYMTAB, ElfTable
from elfsig.errors import EditRefused, ParseError
from tests.support import lief_plain
from tests.support.elf import (
    ROOT,
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

NOTE = NewSection(b".note.module.sig", SIGNATURE, SHT_NOTE, 0, 4)
PLAIN = NewSection(b".module_sig", SIGNATURE[:-1], SHT_PROGBITS, 3, 1)
TRAILER = b"what lies behind the image"


@pytest.mark.parametrize("path", samples(), ids=lambda path: path.name)
@pytest.mark.parametrize("wish", [NOTE, PLAIN], ids=lambda wish: wish.name.decode())
def test_insert_and_remove_pass_the_witness(path: Path, wish: NewSection) -> None:
    before = path.read_bytes() + TRAILER
    after = insert_section(before, wish, "lief")
    table = ElfTable(after)
    assert table.sections[-1].name == wish.name
    assert table.header.shoff % table.layout.word == 0
    assert after.endswith(TRAILER)
    removed = remove_section(after, len(table.rows) - 1, "lief")
    table = ElfTable(removed)
    assert [s.name for s in table.sections] == [s.name for s in ElfTable(before).sections]
    assert (table.header.shoff % table.layout.word, removed[table.end :]) == (0, TRAILER)


@pytest.mark.parametrize("path", samples(), ids=lambda path: path.name)
def test_what_was_signed_is_the_same_after_an_edit(path: Path) -> None:
    carrier = SectionCarrier(".module_sig", frozenset({SHT_PROGBITS}), "last")
    before = Image(path.read_bytes())
    after = Image(carrier.attach(before, SIGNATURE, None, engine="lief"))
    (place,) = carrier.find(after)
    for coverage in (FILEORDER, FILEORDER_NOBUILDID, SORTED, TEXTDATA):
        assert coverage.message(before, None).to_bytes() == coverage.message(after, place).to_bytes()


@pytest.mark.parametrize("align", [1, 4, 16, 4096])
def test_the_alignment_asked_for_is_kept(align: int) -> None:
    after = insert_section(toy(), NOTE._replace(align=align), "lief")
    assert ElfTable(after).rows[-1].offset % align == 0


# --------------------------------------------------------------------------- refusals

REFUSED: dict[str, tuple[bytes, NewSection]] = {
    "lief-shared-names": (with_shared_names(toy()), NOTE),
    "lief-numbering": (many(0xFF01, symbol_in=1), NOTE),
    "lief-wide-field": (patched(toy(), 2, flags=6 | 1 << 40), NOTE),
    "lief-section": (toy(), NOTE._replace(type=0x70000001)),
    "elf-overlap": (patched(toy(), 3, size=64), NOTE),
}


@pytest.mark.parametrize("code", REFUSED)
def test_what_lief_would_damage_is_refused(code: str) -> None:
    content, wish = REFUSED[code]
    with pytest.raises((EditRefused, ParseError)) as caught:
        insert_section(content, wish, "lief")
    assert caught.value.code == code


@pytest.mark.parametrize(
    "wish",
    [
        NOTE._replace(name="señal".encode()),
        NOTE._replace(name=b""),
        NOTE._replace(align=3),
        NOTE._replace(flags=1 << 40),
    ],
    ids=str,
)
def test_a_section_that_lief_cannot_make_is_refused(wish: NewSection) -> None:
    with pytest.raises(EditRefused) as caught:
        insert_section(toy(), wish, "lief")
    assert caught.value.code == "lief-section"


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_section_in_the_middle_is_removed_as_the_exact_engine_does(order: str) -> None:
    """As in the modules of RHEL 6: before .symtab, with a symbol of its own, which ``ld -r`` made."""
    content = repatched(
        toy(order=order, extra=[note_section(b"x", order)]), machine=62 if order == "<" else 22
    )
    nr = index_of(content, ".note.module.sig")
    by_lief, exact = (ElfTable(remove_section(content, nr, engine)) for engine in ("lief", "exact"))
    assert nr == 5 and len(by_lief.rows) == len(exact.rows) == len(ElfTable(content).rows) - 1
    for index in range(1, len(exact.rows)):
        assert by_lief.name(index) == exact.name(index)
        if by_lief.name(index) == b".shstrtab":
            continue
        assert by_lief.content(index) == exact.content(index)
        plain, other = by_lief.rows[index], exact.rows[index]
        assert plain._replace(name=0, offset=0) == other._replace(name=0, offset=0)


@pytest.mark.parametrize(
    ("index", "code"), [(2, "section-in-use"), (-1, "section-in-use"), (0, "no-section"), (99, "no-section")]
)
def test_what_cannot_be_removed_is_refused_as_by_the_exact_engine(index: int, code: str) -> None:
    """2 is .text, to which relocations apply; -1 stands for the section names."""
    content = toy(extra=[note_section(b"x")])
    index = index if index >= 0 else len(ElfTable(content).rows) - 1
    for engine in ("lief", "exact"):
        with pytest.raises(EditRefused) as caught:
            remove_section(content, index, engine)
        assert caught.value.code == code


def test_a_dead_child_is_a_refusal_and_is_replaced() -> None:
    after = insert_section(toy(), NOTE, "lief")
    process = lief_engine._WORKER._process
    assert process is not None
    os.kill(process.pid, signal.SIGABRT)
    process.wait()
    with pytest.raises(EditRefused) as caught:
        insert_section(toy(), NOTE, "lief")
    assert caught.value.code == "lief-crashed"
    assert "signal 6" in caught.value.text
    assert insert_section(toy(), NOTE, "lief") == after


def test_a_child_that_hangs_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    lief_engine._WORKER.stop()
    monkeypatch.setattr(lief_engine, "_SECONDS", 0.001)
    with pytest.raises(EditRefused) as caught:
        insert_section(toy(), NOTE, "lief")
    assert caught.value.code == "lief-timeout"
    monkeypatch.undo()
    assert insert_section(toy(), NOTE, "lief")


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([toy(), toy(order=">"), rewrite(toy()), toy(extra=[note_section(b"x")])]),
    st.integers(0, 9),
    st.sampled_from(["name", "type", "flags", "offset", "size", "link", "info", "align", "entsize"]),
    st.one_of(st.integers(0, 20), st.sampled_from([0xFEFF, 0xFF00, 0xFFFF, 1 << 31, (1 << 32) - 1])),
)
def test_damage_gives_refusals_only(seed: bytes, index: int, field: str, value: int) -> None:
    content = patched(seed, index % len(ElfTable(seed).rows), **{field: value})
    with suppress(ParseError, EditRefused):
        after = insert_section(content, PLAIN, "lief")
        remove_section(after, len(ElfTable(after).rows) - 1, "lief")


def test_refusals_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    """How often LIEF is refused on the corpus, in every layout; printed for the record."""
    counted: Counter[str] = Counter()
    for path in samples():
        content = path.read_bytes()
        for shape in (content, with_shared_names(content)):
            try:
                insert_section(shape, NOTE, "lief")
                counted["edited"] += 1
            except EditRefused as refusal:
                counted[refusal.code] += 1
    with capsys.disabled():
        print(f"\nlief engine on {counted.total()} files: {dict(counted)}")
    assert counted == {"edited": len(samples()), "lief-shared-names": len(samples())}


# --------------------------------------------------------------------------- what LIEF does when used plainly


def _defect(reason: str) -> pytest.MarkDecorator:
    return pytest.mark.xfail(strict=True, raises=AssertionError, reason=f"LIEF 1.0: {reason}")


def _section(content: bytes, name: str) -> bytes:
    return ElfTable(content).content(index_of(content, name))


def _same_named() -> bytes:
    """Two local symbols of one name, and a relocation against each, as compilers make for string literals."""
    first = symbol(1, 0, 1)
    symbols = symbol(0, 0, 0) + first + first[:8] + pack("<QQ", 8, 0)
    relocations = pack("<QQq", 0, 1 << 32 | 1, 0) + pack("<QQq", 8, 2 << 32 | 1, 0)
    return build(
        [
            Sec(".text", bytes(16), SHT_PROGBITS, 6),
            Sec(".symtab", symbols, SHT_SYMTAB, 0, 3, 3, 8, 24),
            Sec(".strtab", b"\0.LC12\0", SHT_STRTAB),
            Sec(".rela.text", relocations, SHT_RELA, 0x40, 2, 1, 8, 24),
        ]
    )


@_defect("relocation symbols are looked up by name")
def test_lief_keeps_relocations_against_symbols_of_one_name(tmp_path: Path) -> None:
    edited = lief_plain.run("add", _same_named(), tmp_path)
    assert _section(edited, ".rela.text") == _section(_same_named(), ".rela.text")


@_defect("relocations are written without swapping bytes")
def test_lief_keeps_big_endian_relocations(tmp_path: Path) -> None:
    before = (ROOT / "samples" / "s390x-6.1.ko").read_bytes()
    edited = lief_plain.run("add", before, tmp_path)
    assert _section(edited, ".rela.text") == _section(before, ".rela.text")


@_defect("a small sound big-endian file aborts the process")
def test_lief_survives_a_small_big_endian_file(tmp_path: Path) -> None:
    lief_plain.run("parse", toy(order=">"), tmp_path)


@_defect("the section header table is written over what follows it")
def test_lief_keeps_symbols_behind_the_section_header_table(tmp_path: Path) -> None:
    before = rewrite((ROOT / "samples" / "amd64-6.1.ko").read_bytes())
    edited = lief_plain.run("add", before, tmp_path)
    symbols = ElfTable(edited).content(index_of(before, ".symtab"))
    assert symbols.startswith(bytes(24))


@_defect("sh_flags and sh_entsize go through 32 bits")
@pytest.mark.parametrize("field", ["flags", "entsize"])
def test_lief_keeps_wide_fields(field: str, tmp_path: Path) -> None:
    edited = lief_plain.run("add", patched(toy(), 3, **{field: 1 << 40 | 2}), tmp_path)
    assert getattr(ElfTable(edited).rows[3], field) == 1 << 40 | 2


@_defect("a new section's offset ignores its alignment")
def test_lief_aligns_a_new_section(tmp_path: Path) -> None:
    assert ElfTable(lief_plain.run("add", toy(), tmp_path)).rows[-1].offset % 16 == 0


@_defect("the section header table ends up unaligned")
def test_lief_aligns_the_section_header_table(tmp_path: Path) -> None:
    assert ElfTable(lief_plain.run("add", toy(), tmp_path)).header.shoff % 8 == 0


@_defect("sh_info and st_shndx are not renumbered on removal")
def test_lief_renumbers_symbols_on_removal(tmp_path: Path) -> None:
    content = toy(extra=[Sec("sig", b"s"), Sec(".more", b"m")])
    edited = lief_plain.run("remove", content, tmp_path)
    third = _section(edited, ".symtab")[4 * 24 : 5 * 24]
    assert int.from_bytes(third[6:8], "little") == index_of(edited, ".more")


@_defect("symbol and string tables are always written anew")
def test_lief_writes_an_unchanged_file_as_it_was(tmp_path: Path) -> None:
    assert lief_plain.run("parse", toy(), tmp_path) == toy()
