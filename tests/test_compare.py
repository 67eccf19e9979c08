"""``elfsig compare``: on pairs whose difference is known, exactly that is found, and the conclusion drawn."""

from __future__ import annotations

import lzma
import os
import random
import subprocess
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from struct import pack_into
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import given, settings
from hypothesis import strategies as st

import corpus
from elfsig.elf.changes import MOST_BYTES, MOST_CHANGES, Changes, SymbolIndex, changes
from elfsig.elf.diff import Difference, Weight, first_difference
from elfsig.elf.image import Image
from elfsig.elf.table import SHF_ALLOC, SHT_RELA, ElfTable
from elfsig.verbs.edit.strip import strip
from elfsig.verbs.inspect.compare import compare
from elfsig.verbs.inspect.comparison import Comparison, Conclusion
from tests.support.debian import debian_modules, rebuilt_modules
from tests.support.elf import index_of, patched, repatched, toy, with_shared_names
from tests.support.notes import Note
from tests.support.opened import opened
from tests.support.run import run
from tests.support.schema import lines, parsed
from tests.support.signed import WAYS, made
from tests.support.tools import need
from tests.support.toy_objects import NOBITS, Part, Relocation, Symbol, Toy, build

MODULE = corpus.content("amd64-6.1.ko")
OBJECT = Toy(
    (
        Part(".text", b"\x90" * 16, flags=6, relocations=(Relocation(4, 1, 2, -4), Relocation(8, 2, 2))),
        Part(".data", b"data", flags=3),
        Part(".modinfo", b"license=GPL\0vermagic=one\0"),
        Part(".bss", bytes(8), type=NOBITS, flags=3),
        Part(".comment", b"compiler", flags=0),
    ),
    (Symbol("printk"), Symbol("init", 0, 3, 5), Symbol("unused", 0, 1, 1)),
)
PLAIN = build(OBJECT)


def between(a: bytes, b: bytes) -> Comparison:
    return compare(opened(a), opened(b))


def said(found: Comparison, *weights: Weight) -> list[tuple[str, str, str, str | None]]:
    """(kind, name, what, field) of the differences of these weights, of all but the layout without any."""
    wanted = weights or (Weight.LOADED, Weight.UNLOADED)
    return [(d.kind, d.name, d.what, d.field) for d in found.differences if d.weight in wanted]


def profiles(found: Comparison) -> dict[str, bool | None]:
    return {each.coverage: each.same for each in found.profiles}


def with_byte(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 0x55]) + content[at + 1 :]


def inside(content: bytes, name: str, at: int) -> int:
    """File offset of a byte of a section."""
    return ElfTable(content).rows[index_of(content, name)].offset + at


# --------------------------------------------------------------------------- the same module


def test_identical_and_repacked() -> None:
    assert between(MODULE, MODULE).conclusion is Conclusion.IDENTICAL
    packed = lzma.compress(MODULE)
    assert between(MODULE, packed).conclusion is Conclusion.REPACKED
    assert between(packed, packed).conclusion is Conclusion.IDENTICAL
    signed = made(MODULE, "pkcs7", "whole-file").content
    assert between(packed, signed).conclusion is Conclusion.RESIGNED


@pytest.mark.parametrize(("format_id", "coverage"), [w for w in WAYS if w[0] != "modarg-pgp"])
def test_the_same_content_under_another_signature(format_id: str, coverage: str) -> None:
    signed = made(MODULE, format_id, coverage).content
    other = made(MODULE, "pkcs7" if format_id != "pkcs7" else "x509", "whole-file").content
    for a, b, text in (
        (MODULE, signed, "the same content; only B is signed"),
        (signed, MODULE, "the same content; only A is signed"),
        (signed, other, "the same content with different signatures"),
    ):
        found = between(a, b)
        assert (found.conclusion, found.sentence, found.is_same) == (Conclusion.RESIGNED, text, True)
        assert set(profiles(found).values()) == {True}
        assert found.differences == ()


# --------------------------------------------------------------------------- one change, one difference


def changed_relocation(
    content: bytes, entry: int, *, symbol: int | None = None, addend: int | None = None
) -> bytes:
    """A 64-bit module with one entry of .rela.text changed."""
    out, at = bytearray(content), inside(content, ".rela.text", 24 * entry)
    if symbol is not None:
        pack_into("<I", out, at + 12, symbol)
    if addend is not None:
        pack_into("<q", out, at + 16, addend)
    return bytes(out)


def test_another_symbol_in_a_relocation_is_the_hole_in_gkh() -> None:
    """What calls printk now calls something else; the text and data stay, and so does the signature."""
    found = between(PLAIN, changed_relocation(PLAIN, 0, symbol=2))
    assert found.conclusion is Conclusion.RELOCATIONS
    assert profiles(found)["textdata"] is True and profiles(found)["sorted"] is False
    assert said(found) == [("relocation", ".rela.text", "changed", None)]
    [change] = [d for d in found.differences if d.kind == "relocation"]
    assert (change.offset, change.old, change.new) == (4, "type 2 printk-0x4", "type 2 init-0x4 (.text)")
    assert found.totals["relocation"] == 1
    signed = made(PLAIN, "gkh", "textdata").content
    again = between(signed, changed_relocation(signed, 0, symbol=2))
    assert again.conclusion is Conclusion.RELOCATIONS


def test_another_addend() -> None:
    found = between(PLAIN, changed_relocation(PLAIN, 1, addend=16))
    [change] = [d for d in found.differences if d.weight is Weight.LOADED]
    assert (change.kind, change.offset, change.old) == ("relocation", 8, "type 2 init (.text)")
    assert change.new == "type 2 init+0x10 (.text)"


def test_a_symbol_that_is_looked_up_by_another_name() -> None:
    found = between(PLAIN, PLAIN.replace(b"\0printk\0", b"\0printx\0"))
    assert found.conclusion is Conclusion.RELOCATIONS
    assert said(found) == [
        ("symbol", "printk", "removed", None),
        ("symbol", "printx", "added", None),
        ("relocation", ".rela.text", "changed", None),
    ]


def test_a_symbol_that_nothing_needs() -> None:
    found = between(PLAIN, PLAIN.replace(b"\0unused\0", b"\0UNUSED\0"))
    assert found.conclusion is Conclusion.UNLOADED
    assert {(d.name, d.what, d.weight) for d in found.differences if d.kind == "symbol"} == {
        ("unused", "removed", Weight.UNLOADED),
        ("UNUSED", "added", Weight.UNLOADED),
    }


@pytest.mark.parametrize(
    ("name", "at", "conclusion", "same"),
    [
        (".text", 5, Conclusion.DIFFERENT, {"textdata": False, "fileorder": False, "sorted": False}),
        (".data", 3, Conclusion.DIFFERENT, {"textdata": False, "fileorder": False, "sorted": False}),
        (".comment", 0, Conclusion.RELINKED, {"textdata": True, "fileorder": True, "sorted": True}),
    ],
)
def test_one_byte_of_a_section(name: str, at: int, conclusion: Conclusion, same: dict[str, bool]) -> None:
    found = between(PLAIN, with_byte(PLAIN, inside(PLAIN, name, at)))
    assert found.conclusion is conclusion
    assert said(found) == [("section", name, "changed", "content")]
    assert found.differences[0].offset == at
    assert {coverage: profiles(found)[coverage] for coverage in same} == same
    assert profiles(found)["whole-file"] is False
    [whole] = [p for p in found.profiles if p.coverage == "whole-file"]
    assert whole.offset == inside(PLAIN, name, at)


def test_module_information_is_named() -> None:
    found = between(PLAIN, PLAIN.replace(b"vermagic=one", b"vermagic=two"))
    assert found.conclusion is Conclusion.SAME_TEXTDATA
    [change] = [d for d in found.differences if d.kind == "modinfo"]
    assert (change.name, change.old, change.new) == ("vermagic", "one", "two")
    [sorted_] = [p for p in found.profiles if p.coverage == "sorted"]
    assert sorted_.sections == (".modinfo",)


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [(".bss", "size", 4096), (".data", "align", 64), (".data", "flags", 2), (".text", "type", 7)],
)
def test_a_field_of_a_section_header(name: str, field: str, value: int) -> None:
    found = between(PLAIN, patched(PLAIN, index_of(PLAIN, name), **{field: value}))
    assert said(found, Weight.LOADED) == [("field", name, "changed", field)]
    assert found.differences[0].new == value
    assert profiles(found)["sorted"] is False


def test_a_field_of_the_elf_header() -> None:
    found = between(PLAIN, repatched(PLAIN, flags=5))
    assert said(found) == [("header", "flags", "changed", "flags")]
    assert found.conclusion is Conclusion.SAME_TEXTDATA


@pytest.mark.parametrize("at", [7, 8, 9, 15])
def test_a_byte_of_the_identification_that_kernels_do_not_look_at(at: int) -> None:
    found = between(PLAIN, PLAIN[:at] + b"\x41" + PLAIN[at + 1 :])
    assert [each[:2] for each in said(found)] == [("header", "ident")]
    assert found.conclusion is Conclusion.UNLOADED and found.sentence.endswith("differs: the ELF header")


def test_bytes_that_are_in_no_section_are_no_layout() -> None:
    found = between(PLAIN, PLAIN + b"\0" * 16)
    assert found.conclusion is Conclusion.RELINKED
    found = between(PLAIN, PLAIN + b"\0" * 16 + b"hidden")
    assert found.conclusion is Conclusion.UNLOADED
    assert found.sentence.endswith("what is not loaded differs: bytes outside sections")


def test_layout_alone_is_relinked() -> None:
    """Names moved into one string table, as LLVM writes them: other offsets, the same module."""
    content = toy()
    found = between(content, with_shared_names(content))
    assert found.conclusion is Conclusion.RELINKED
    assert said(found) == []
    assert profiles(found)["sorted"] is True


def test_sections_added_and_removed() -> None:
    more = Toy((*OBJECT.parts, Part(".extra", b"12345")), OBJECT.symbols)
    found = between(PLAIN, build(more))
    assert ("section", ".extra", "added", None) in said(found)
    assert ("section", ".extra", "removed", None) in said(between(build(more), PLAIN))
    twice = Toy((*OBJECT.parts, Part(".data", b"two", flags=3)), OBJECT.symbols)
    assert ("section", ".data #2", "added", None) in said(between(PLAIN, build(twice)))


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_the_first_difference(one: bytes, other: bytes) -> None:
    expected = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), None)
    if expected is None and len(one) != len(other):
        expected = min(len(one), len(other))
    assert first_difference(one, other) == expected


# --------------------------------------------------------------------------- real tools


SOURCE = "static int counter = 3; int init_module(void) { return counter; } void cleanup_module(void) {}\n"


@pytest.fixture
def debuggable(tmp_path: Path) -> Path:
    """An object with debug data."""
    source, target = tmp_path / "module.c", tmp_path / "module.ko"
    source.write_text(SOURCE)
    subprocess.run([need("gcc"), "-g", "-O1", "-fno-pic", "-c", source, "-o", target], check=True)
    return target


def test_strip_g(debuggable: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.ko"
    subprocess.run([need("strip"), "-g", debuggable, "-o", bare], check=True)
    for a, b, less, more in ((debuggable, bare, "B", "A"), (bare, debuggable, "A", "B")):
        found = compare(opened(a), opened(b))
        assert found.conclusion is Conclusion.STRIPPED
        assert found.sentence.startswith(f"{less} is {more} without debug data")
        assert profiles(found)["sorted"] is True and profiles(found)["whole-file"] is False
    gone = {d.name for d in compare(opened(debuggable), opened(bare)).differences if d.what == "removed"}
    names = {"before": debuggable, "after": bare}
    listed = {
        key: set(subprocess.run([need("readelf"), "-SW", p], capture_output=True, text=True).stdout.split())
        for key, p in names.items()
    }
    debug = {name for name in listed["before"] - listed["after"] if "debug" in name}
    assert debug and debug <= gone


LINKERS = {"amd64": "x86_64", "i386": "i686", "s390x": "s390x", "arm64": "aarch64"}


@pytest.mark.parametrize("arch", LINKERS)
def test_ld_r(arch: str, tmp_path: Path, note: Note) -> None:
    """A relinked module is the same once loaded. GNU ld aligns arm64's empty .plt anew: that is found."""
    linked, linker = tmp_path / "linked.ko", need(f"{LINKERS[arch]}-linux-gnu-ld")
    small = [path for path in debian_modules(arch) if path.stat().st_size < 100_000]
    chosen = random.Random(arch).sample(small, 8)
    for path in chosen:
        subprocess.run([linker, "-r", "-o", linked, path], check=True)
        found = compare(opened(path), opened(linked))
        loaded = said(found, Weight.LOADED)
        if arch == "arm64":
            assert loaded == [("field", ".plt", "changed", "align")], path
        else:
            assert (found.conclusion, loaded) == (Conclusion.RELINKED, []), path
            assert profiles(found)["sorted"] is True
    note(f"{arch}: {len(chosen)} modules relinked, nothing else found")


@pytest.mark.parametrize("arch", ["amd64", "s390x"])
def test_resigned_real_modules(arch: str) -> None:
    for path in debian_modules(arch)[::600]:
        signed = path.read_bytes()
        again = made(strip(opened(signed)).content, "x509", "whole-file").content
        assert between(signed, again).sentence == "the same content with different signatures"


def loaded_contents(content: bytes) -> dict[str, bytes]:
    """Contents of loaded sections as pyelftools reads them."""
    import io

    sections = list(ELFFile(io.BytesIO(content)).iter_sections())
    return {
        s.name: s.data()
        for s in sections
        if s["sh_flags"] & SHF_ALLOC and s["sh_type"] not in ("SHT_RELA", "SHT_NOBITS")
    }


def test_two_builds_of_the_same_modules(note: Note) -> None:
    """Debian's cloud kernel, two builds: what is found is what pyelftools and modinfo see."""
    pairs = [p for p in rebuilt_modules() if p[0].stat().st_size < 120_000]
    chosen = random.Random(6).sample(pairs, 40)
    words: dict[str, int] = {}
    for old, new in chosen:
        found = compare(opened(old), opened(new))
        before, after = (loaded_contents(part.bare) for part in (found.a, found.b))
        expected = {n for n in {*before, *after} if before.get(n) != after.get(n)}
        sections = [d for d in found.differences if d.kind == "section" and d.weight is Weight.LOADED]
        assert {d.name for d in sections if not d.name.startswith(".rel")} == expected, new
        for change in sections:
            if change.what == "changed":
                assert_first_difference(change, before[change.name], after[change.name])
        [vermagic] = [d for d in found.differences if (d.kind, d.name) == ("modinfo", "vermagic")]
        assert [vermagic.old, vermagic.new] == [_vermagic(old), _vermagic(new)]
        words[found.conclusion.value] = words.get(found.conclusion.value, 0) + 1
    assert words.keys() <= {"same-textdata", "relocations", "different"}
    note(f"two builds of {len(chosen)} modules: {words}")


def assert_first_difference(change: Difference, old: bytes, new: bytes) -> None:
    assert (change.old_size, change.new_size) == (len(old), len(new))
    at = change.offset
    assert at is not None and old[:at] == new[:at] and old[at : at + 1] != new[at : at + 1]


def _vermagic(path: Path) -> str:
    done = subprocess.run(
        [need("modinfo"), "-F", "vermagic", path], capture_output=True, text=True, check=True
    )
    return done.stdout.removesuffix("\n")


def test_relocations_of_a_real_module_are_compared_one_by_one() -> None:
    """Redirect one call of a module: that one relocation is found among all of them."""
    path = next(p for p in debian_modules("amd64") if p.name == "nf_tables.ko")
    content = strip(opened(path.read_bytes())).content
    section = ElfTable(content).named(b".rela.text")[0]
    assert section.row.type == SHT_RELA
    count = section.row.size // 24
    for entry in (0, count // 2, count - 1):
        out = bytearray(content)
        pack_into("<q", out, section.row.offset + 24 * entry + 16, 0x1234)
        found = between(content, bytes(out))
        assert found.conclusion is Conclusion.RELOCATIONS
        assert [d[0] for d in said(found)] == ["relocation"] and found.totals["relocation"] == 1


# --------------------------------------------------------------------------- what is no sound ELF file


@pytest.mark.parametrize("other", [b"", b"#!/bin/sh\n", MODULE[:1000], corpus.content("elf-cut")])
def test_what_is_no_module_is_different_and_nothing_is_raised(other: bytes) -> None:
    found = between(MODULE, other)
    assert found.conclusion is Conclusion.DIFFERENT
    assert profiles(found)["whole-file"] is False
    assert "B" in found.sentence
    assert between(other, other).conclusion is Conclusion.IDENTICAL


@given(st.lists(st.tuples(st.integers(0, len(PLAIN) - 1), st.integers(0, 255)), min_size=1, max_size=4))
@settings(max_examples=300, deadline=None)
def test_damaged_modules_never_raise(changes: list[tuple[int, int]]) -> None:
    content = bytearray(PLAIN)
    for at, value in changes:
        content[at] = value
    found = between(PLAIN, bytes(content))
    assert found.is_same is (bytes(content) == PLAIN)


def test_a_damaged_signature_is_left_in_and_said() -> None:
    found = between(MODULE, corpus.content("sig-len-huge"))
    assert found.b.remarks and not found.a.remarks
    assert "could not all be removed" in found.b.remarks[0].text
    assert Image(found.b.bare).end > len(MODULE)


# --------------------------------------------------------------------------- the command


def put(folder: Path, **files: bytes) -> Path:
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


@pytest.fixture
def trees(tmp_path: Path) -> tuple[Path, Path]:
    signed = made(MODULE, "pkcs7", "whole-file").content
    a = put(tmp_path / "a", same_ko=MODULE, net__x_ko=MODULE, net__y_ko=PLAIN, gone_ko=PLAIN)
    b = put(
        tmp_path / "b", same_ko=MODULE, net__x_ko_xz=lzma.compress(signed),
        net__y_ko=changed_relocation(PLAIN, 0, symbol=2), new_ko=PLAIN,
    )  # fmt: skip
    return a, b


def test_trees_by_relative_path(trees: tuple[Path, Path]) -> None:
    ran = run("compare", *trees)
    assert ran.code == 1
    assert [line.partition(": ")[0::2] for line in ran.out.splitlines()] == [
        ("gone.ko", "only in A"),
        (f"net{os.sep}x.ko", "resigned: the same content; only B is signed"),
        (f"net{os.sep}y.ko", ran.out.splitlines()[2].partition(": ")[2]),
        ("new.ko", "only in B"),
    ]
    assert "y.ko: relocations: the same under textdata" in ran.out
    summary = "elfsig: 5 files: 1 identical, 1 resigned, 1 relocations, 1 only in A, 1 only in B\n"
    assert ran.err == summary


def test_trees_in_json(trees: tuple[Path, Path]) -> None:
    document = parsed(run("compare", "--json", *trees).out)
    found = {each["path"]: each for each in document["comparisons"]}
    assert {path: each["conclusion"] for path, each in found.items()} == {
        "gone.ko": "only-in-a", "net/x.ko": "resigned", "net/y.ko": "relocations", "new.ko": "only-in-b",
        "same.ko": "identical",
    }  # fmt: skip
    assert [each["same"] for each in found.values()] == [False, True, False, False, True]
    assert found["net/x.ko"]["a"]["content_sha256"] == found["net/x.ko"]["b"]["content_sha256"]
    assert found["net/x.ko"]["b"]["compression"] == "xz"
    assert [s["format"] for s in found["net/x.ko"]["b"]["signatures"]] == ["pkcs7"]
    assert lines(run("compare", "--jsonl", *trees).out) == list(found.values())


@pytest.mark.parametrize(
    ("change", "options", "code"),
    [
        (lambda c: c, (), 0),
        (lambda c: made(c, "x509", "whole-file").content, (), 0),
        (lambda c: changed_relocation(c, 0, symbol=2), (), 1),
        (lambda c: changed_relocation(c, 0, symbol=2), ("--coverage", "textdata"), 0),
        (lambda c: changed_relocation(c, 0, symbol=2), ("--coverage", "sorted"), 1),
        (lambda c: c[:200], ("--coverage", "sorted"), 4),
        (lambda c: c, ("--coverage", "nonesuch"), 2),
        (None, (), 5),
    ],
)  # fmt: skip
def test_exit_codes(change: object, options: Sequence[str], code: int, tmp_path: Path) -> None:
    a, b = tmp_path / "a.ko", tmp_path / "b.ko"
    a.write_bytes(PLAIN)
    if callable(change):
        b.write_bytes(change(PLAIN))
    ran = run("compare", a, b, *options)
    assert ran.code == code, ran.out + ran.err


def test_text_of_a_pair(tmp_path: Path) -> None:
    put(tmp_path, a_ko=PLAIN, b_ko=changed_relocation(PLAIN, 0, symbol=2))
    out = run("compare", tmp_path / "a.ko", tmp_path / "b.ko").out
    assert f"A: {tmp_path}/a.ko: {len(PLAIN)} bytes, no signature\n" in out
    assert "\nrelocations: the same under textdata, but the relocations differ" in out
    assert "\ntextdata " in out and "  same\n" in out and "  different: .rela.text\n" in out
    relocation = "  relocation  .rela.text  changed  at .text+0x4 (init+0x1): type 2 printk-0x4 -> "
    assert relocation + "type 2 init-0x4 (.text)\n" in out


def test_a_directory_that_cannot_be_read_costs_no_other_pair(
    trees: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for tree in trees:
        put(tree, locked__inside_ko=MODULE)
    before = {each["path"] for each in parsed(run("compare", *trees, "--json").out)["comparisons"]}
    locked, scandir = str(trees[0] / "locked"), os.scandir

    def refused(path: str) -> Any:
        if path == locked:
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    ran = run("compare", *trees, "--json")
    found = {each["path"]: each for each in parsed(ran.out)["comparisons"]}
    assert ran.code == 1 and found.keys() == before - {"locked/inside.ko"} | {"locked"}
    assert found["locked"]["error"]["text"] == "permission denied"
    assert f"{locked}: permission denied" in run("compare", *trees).err


def test_a_file_and_a_directory_are_no_pair(tmp_path: Path) -> None:
    put(tmp_path, a_ko=PLAIN)
    assert run("compare", tmp_path, tmp_path / "a.ko").code == 2
    (tmp_path / "empty").mkdir()
    ran = run("compare", tmp_path, tmp_path / "empty")
    assert ran.code == 5 and "no module" in ran.err


# --------------------------------------------------------------------------- which bytes, and where they are


FUNCTIONS = Toy(
    (
        Part(".text", bytes(range(64)), flags=6, relocations=(Relocation(20, 2, 1),)),
        Part(".data", b"data" * 8, flags=3),
    ),
    (
        Symbol("printk"), Symbol("first", 0, 0, 16), Symbol("second", 0, 16, 24),
        Symbol("inner", 0, 20, 4, 0x10), Symbol("label", 0, 50, 0, 0x10), Symbol("table", 1, 4, 8, 0x11),
    ),
)  # fmt: skip


def test_the_bytes_and_the_function_that_they_are_in(tmp_path: Path) -> None:
    content = build(FUNCTIONS)
    changed = bytearray(content)
    at = inside(content, ".text", 0)
    changed[at + 30 : at + 33] = bytes.fromhex("9090c3")
    changed[at + 21] = 0xFF
    changed[at + 52] ^= 1
    changed[inside(content, ".data", 6)] = 0
    found = between(content, bytes(changed))
    text, data = (d for d in found.differences if d.kind == "section")
    assert [(c.offset, c.old.hex(), c.new.hex(), c.symbol, c.symbol_offset) for c in text.changes] == [
        (21, "15", "ff", "inner", 1),
        (30, "1e1f20", "9090c3", "second", 14),
        (52, "34", "35", None, None),
    ]
    assert text.change_count == 3
    assert [(c.symbol, c.symbol_offset) for c in data.changes] == [("table", 2)]
    put(tmp_path, a_ko=content, b_ko=bytes(changed))
    out = run("compare", tmp_path / "a.ko", tmp_path / "b.ko").out
    assert "    .text+0x1e (second+0xe): 3 bytes: 1e1f20 -> 9090c3\n" in out
    assert "    .text+0x34: 1 byte: 34 -> 35\n" in out
    [comparison] = parsed(run("compare", "--json", tmp_path / "a.ko", tmp_path / "b.ko").out)["comparisons"]
    [listed] = [d for d in comparison["differences"] if d["name"] == ".data"]
    assert listed["changes"] == [
        {
            "offset": 6,
            "old_size": 1,
            "new_size": 1,
            "old": "74",
            "new": "00",
            "symbol": "table",
            "symbol_offset": 2,
        }
    ]


def test_a_relocation_says_where_it_is() -> None:
    content = build(FUNCTIONS)
    out = bytearray(content)
    pack_into("<q", out, inside(content, ".rela.text", 16), 0x30)
    [change] = [d for d in between(content, bytes(out)).differences if d.kind == "relocation"]
    assert (change.target, change.symbol, change.symbol_offset) == (".text", "inner", 0)


def test_bytes_that_were_put_in_are_one_stretch() -> None:
    longer = Toy(
        (Part(".text", bytes(range(20)) + b"new" + bytes(range(20, 64)), flags=6), *FUNCTIONS.parts[1:])
    )
    shorter = Toy((Part(".text", bytes(range(64)), flags=6), *FUNCTIONS.parts[1:]))
    found = between(build(shorter), build(longer))
    [text] = [d for d in found.differences if d.kind == "section" and d.name == ".text"]
    [change] = text.changes
    assert (change.offset, change.old, change.new, change.new_size) == (20, b"", b"new", 3)


@given(st.binary(max_size=300), st.lists(st.tuples(st.integers(0, 299), st.integers(0, 255)), max_size=30))
def test_stretches_are_what_a_loop_finds(one: bytes, edits: list[tuple[int, int]]) -> None:
    other = bytearray(one)
    for at, value in edits:
        if at < len(other):
            other[at] = value
    differing = [at for at, (a, b) in enumerate(zip(one, other, strict=True)) if a != b]
    found = changes(one, bytes(other), SymbolIndex(()), SymbolIndex(()), 1000)
    assert [at for c in found.first for at in range(c.offset, c.offset + c.old_size)] == differing
    ends = [(c.offset, c.offset + c.old_size) for c in found.first]
    assert all(end < start for (_, end), (start, _) in pairwise(ends))


def test_output_is_bounded_and_all_is_counted() -> None:
    """A stretch across the boundary of what is compared at once is one; every other byte is counted."""
    one = bytes(1 << 18)
    other = bytearray(one)
    other[65_530:65_545] = b"x" * 15
    assert [(c.offset, c.old_size) for c in _changes(one, other).first] == [(65_530, 15)]
    other[::2] = b"y" * (1 << 17)
    found = _changes(one, other)
    assert len(found.first) == MOST_CHANGES and found.total > 100_000
    assert all(len(c.new) <= MOST_BYTES for c in _changes(one, b"z" * len(one)).first)


def _changes(one: bytes, other: bytes | bytearray) -> Changes:
    return changes(one, bytes(other), SymbolIndex(()), SymbolIndex(()))


def test_symbols_are_those_of_readelf(debuggable: Path, tmp_path: Path) -> None:
    """A byte of each function of a real object: readelf's symbol table says which function it is in."""
    content = debuggable.read_bytes()
    listing = subprocess.run([need("readelf"), "-sW", debuggable], capture_output=True, text=True, check=True)
    functions = [line.split() for line in listing.stdout.splitlines() if " FUNC " in line]
    assert len(functions) == 2
    for words in functions:
        start, size, name = int(words[1], 16), int(words[2], 0), words[7]
        at = inside(content, ".text", start + size - 1)
        [text] = [d for d in between(content, with_byte(content, at)).differences if d.name == ".text"]
        assert [(c.symbol, c.symbol_offset) for c in text.changes] == [(name, size - 1)]


# --------------------------------------------------------------------------- signatures by value


def stripped(content: bytes, folder: Path) -> bytes:
    """``content`` after GNU strip -g, which writes sections that are not loaded at other places."""
    (folder / "in.ko").write_bytes(content)
    subprocess.run([need("strip"), "-g", folder / "in.ko", "-o", folder / "out.ko"], check=True)
    return (folder / "out.ko").read_bytes()


@pytest.mark.parametrize(
    ("format_id", "coverage"), [("gkh", "textdata"), ("note", "sorted"), ("redhat", "fileorder")]
)
def test_a_signature_that_only_moved_is_the_same(format_id: str, coverage: str, tmp_path: Path) -> None:
    """Its value counts, not its place: strip -g of what has no debug data moves the section."""
    bare = stripped(MODULE, tmp_path)
    signed = made(bare, format_id, coverage).content
    again = stripped(signed, tmp_path)
    found = between(signed, again)
    [one], [other] = found.a.signatures, found.b.signatures
    assert one.place.blob == other.place.blob and one.place.start != other.place.start
    assert (found.conclusion, found.is_same) == (Conclusion.MOVED, True)
    assert found.sentence.startswith("the same content with the same signatures")
    (tmp_path / "signed.ko").write_bytes(signed)
    ran = run("compare", tmp_path / "signed.ko", tmp_path / "out.ko")
    assert ran.code == 0 and "\nmoved: the same content" in ran.out
    value = bytearray(again)
    value[other.place.blob_start + len(other.place.blob) - 1] ^= 1
    assert between(signed, bytes(value)).conclusion is Conclusion.RESIGNED


def test_strip_g_with_debug_data(tmp_path: Path) -> None:
    signed = made(MODULE, "gkh", "textdata").content
    found = between(signed, stripped(signed, tmp_path))
    assert found.conclusion is Conclusion.STRIPPED and "different signatures" not in found.sentence
