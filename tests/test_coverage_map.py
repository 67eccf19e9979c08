"""``elfsig coverage``: the map's classes and parts, how it is known, its forms, and exit codes."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import corpus
from elfsig.cli.render.coverage.text import scale
from elfsig.coverages.bytemap import Kind, Map, Run, draw, percent
from elfsig.elf.image import Image
from elfsig.model import Existing, Place
from elfsig.opened.evidence import read
from elfsig.verbs.inspect.cover import Basis, Cover, covers
from elfsig.verbs.verify.examine import Question, examine
from tests.support import vectors
from tests.support.opened import opened
from tests.support.run import run
from tests.support.schema import parsed
from tests.support.signed import CERT, made, question
from tests.support.toy_objects import Part, Relocation, build
from tests.test_prove import TINY

NOTE = vectors.ROOT / "modules" / "note-sorted-amd64-dsa.ko"
DSA = vectors.ROOT / "keys" / "dsa1024.pub.gpg"
MODULE = "amd64-6.1.ko"
UNKEYED = Question()


def one(content: bytes, asked: Question = UNKEYED, coverage: str | None = None) -> Cover:
    """The only map."""
    [cover] = covers(opened(content), asked, coverage)
    return cover


def rows(cover: Cover) -> dict[str, dict[str, int]]:
    """Bytes by kind for each part."""
    return {part.name: {kind.value: n for kind, n in part.counts.items()} for part in cover.parts}


# --------------------------------------------------------------------------- the map


@pytest.mark.parametrize("name", [s.name for s in corpus.samples().values() if "elf-cut" not in s.name])
def test_runs_and_parts_are_the_whole_file_and_nothing_twice(name: str) -> None:
    content = read(corpus.content(name)).content
    for cover in covers(opened(content), UNKEYED):
        assert sum(cover.kinds.counts().values()) == len(content)
        at = 0
        for run_ in cover.kinds.runs:
            assert run_.start == at < run_.end
            at = run_.end
        placed = [part for part in cover.parts if part.end > part.start]
        assert [part.start for part in placed] == [0, *(part.end for part in placed[:-1])]
        assert placed[-1].end == at == len(content)
        for part in cover.parts:
            assert sum(part.counts.values()) == part.end - part.start


def test_what_each_era_protects() -> None:
    """Of one module: the text under gkh; relocations and module information too under a note; then all."""
    content = corpus.content(MODULE)
    ways = (("gkh", "textdata"), ("note", "sorted"), ("pkcs7", "whole-file"))
    maps = {f: rows(one(made(content, f, c).content)) for f, c in ways}

    def kinds(name: str) -> list[str]:
        """The one kind of all bytes of a section, for each format."""
        return [kind for found in maps.values() for kind in found[name]]

    for name in (".text", ".init.text", ".rodata"):
        assert kinds(name) == ["verbatim", "verbatim", "verbatim"]
    assert kinds(".modinfo") == ["open", "verbatim", "verbatim"]
    assert kinds(".rela.text") == ["open", "derived", "verbatim"]
    assert kinds(".comment") == ["open", "open", "verbatim"]
    assert list(maps["gkh"]["module_sig"]) == list(maps["note"][".note.module.sig"]) == ["signature"]
    assert list(maps["pkcs7"]["pkcs7 signature"]) == ["signature"]


def test_a_section_without_bytes_has_a_header_that_counts() -> None:
    cover = one(made(build(TINY), "note", "sorted").content)
    [bss] = [part for part in cover.parts if part.name == ".bss"]
    assert (bss.start, bss.counts) == (bss.end, {})
    # type, flags, size and alignment are hashed, the name's offset steers; in a gkh signature nothing is.
    assert bss.entry == {Kind.DERIVED: 28, Kind.STEERING: 4, Kind.OPEN: 32}


def test_the_strongest_kind_wins() -> None:
    content = corpus.content("amd64.pkcs7")
    image = Image(content)
    cover = one(content)
    message, place = cover.message, cover.place
    assert message is not None and place is not None
    overlapping = Place("trailer", place.carrier, 0, 100, 0, b"", None)
    assert draw(image, message, overlapping, ()).kind(5) is Kind.VERBATIM
    assert draw(image, None, overlapping, ()).kind(5) is Kind.SIGNATURE
    assert draw(image, None, None, ()).kind(5) is Kind.OPEN


NOTED = made(build(TINY), "note", "sorted").content


@given(st.lists(st.tuples(st.integers(0, len(NOTED) - 1), st.integers(0, 255)), min_size=1, max_size=4))
@settings(max_examples=200, deadline=None)
def test_damaged_modules_have_whole_maps_too(changes: list[tuple[int, int]]) -> None:
    content = bytearray(NOTED)
    for at, value in changes:
        content[at] = value
    for coverage in (None, "textdata", "sorted-2012"):
        for cover in covers(opened(bytes(content)), UNKEYED, coverage):
            assert sum(cover.kinds.counts().values()) == len(content)
            assert sum(part.end - part.start for part in cover.parts) == len(content)


# --------------------------------------------------------------------------- how the coverage is known


def test_how_the_coverage_is_known() -> None:
    content = corpus.content(MODULE)
    by_key = made(content, "note", "fileorder")
    assert (one(by_key.content, question()).basis, one(by_key.content, question()).coverage) == (
        Basis.VERIFIED,
        "fileorder",
    )
    fits = one(by_key.content)
    assert (fits.basis, fits.coverage) in ((Basis.HASH16, "fileorder"), (Basis.ASSUMED, "fileorder"))
    assert one(made(content, "redhat", "fileorder").content).basis is Basis.ONLY
    asked = one(by_key.content, UNKEYED, "sorted-2012")
    assert (asked.basis, asked.coverage, asked.place is not None) == (Basis.ASKED, "sorted-2012", True)
    fresh = one(content, UNKEYED, "sorted")
    assert (fresh.found, fresh.basis) == (None, Basis.ASKED)


def test_without_a_key_the_16_bits_of_the_hash_decide_where_they_can() -> None:
    """note-sorted and note-fileorder of the vectors: the packet's bits fit one coverage alone."""
    names = ("note-sorted-amd64-dsa", "note-fileorder-amd64-dsa")
    maps = {name: one(vectors.module(vectors.vector(name))) for name in names}
    found = {name: (cover.coverage, cover.basis) for name, cover in maps.items()}
    assert found["note-sorted-amd64-dsa"] == ("sorted", Basis.HASH16)
    assert found["note-fileorder-amd64-dsa"][0] == "fileorder"


# --------------------------------------------------------------------------- text, JSON, pictures


def test_text_of_a_valid_note() -> None:
    ran = run("coverage", NOTE, "--trust", DSA)
    assert (ran.code, ran.err) == (0, "")
    heading, *rest = ran.out.splitlines()
    assert heading.endswith(
        "layer 0: note signature (dsa-1024 sha1), valid; coverage sorted, with which it matches a key"
    )
    letters = "".join(line.split()[1] for line in rest if re.match(r"  [0-9a-f]{8} ", line))
    assert len(letters) == -(-NOTE.stat().st_size // 4) and set(letters) == set("#S+~.")
    text = next(line for line in rest if "]  .text " in line)
    assert re.search(r"\[ 1\]  \.text +40 +62 +100 % +- +- +- +-  40 of 64", text)
    assert "\x1b[34m#" in run("coverage", NOTE, "--color=always").out


def test_what_the_coverage_remarks_on_is_said(tmp_path: Path) -> None:
    """Relocations for debug data: kernels of fileorder tested uninitialised memory for these."""
    debug = Part(".debug_info", bytes(16), flags=0, relocations=(Relocation(0, 1, 1),))
    path = tmp_path / "debug.ko"
    path.write_bytes(made(build(replace(TINY, parts=(*TINY.parts, debug))), "redhat", "fileorder").content)
    words = "their answer depended on what the heap held"
    assert words in run("coverage", path).out and words in run("coverage", path, "--html", "-").out
    [told] = parsed(run("coverage", path, "--json").out)["maps"]
    assert [each["code"] for each in told["warnings"]] == ["heap-dependent-kernels"]


def test_json_agrees_with_the_map() -> None:
    document = parsed(run("coverage", NOTE, "--trust", DSA, "--json", "--prove", "--seed", "7").out)
    [told] = document["maps"]
    assert (told["coverage"], told["basis"], told["verdict"], told["layer"]) == (
        "sorted",
        "verified",
        "valid",
        0,
    )
    sizes = {kind: sum(end - start for start, end in ranges) for kind, ranges in told["ranges"].items()}
    assert sizes == told["bytes"]
    assert sum(sizes.values()) == document["content_size"] == NOTE.stat().st_size
    assert (told["proof"]["seed"], told["proof"]["holds"], told["proof"]["verified"]) == (7, True, True)


def test_the_picture_is_sound_xml_and_names_every_section(tmp_path: Path) -> None:
    picture, page = tmp_path / "map.svg", tmp_path / "map.html"
    ran = run("coverage", NOTE, "--trust", DSA, "--svg", picture, "--html", page)
    assert ran.code == 0
    root = ET.fromstring(picture.read_text())
    titles = {each.text or "" for each in root.iter("{http://www.w3.org/2000/svg}title")}
    for name in (".text", ".rela.text", ".symtab", ".note.module.sig", "ELF header", "section headers"):
        assert any(f"{name}: " in title for title in titles), name
    for text in (picture.read_text(), page.read_text()):
        links = re.findall(r"(?:https?:)?//[^\s\"'<>]+", text)
        assert set(links) <= {"http://www.w3.org/2000/svg", "//www.w3.org/2000/svg"}
        assert not re.search(r"<(?:link|img|iframe|script)[^>]+(?:src|href)=[\"'](?!data:)", text)


def test_names_from_the_file_cannot_speak_html(tmp_path: Path) -> None:
    hostile = b".<b>&\"'$x"
    content = build(TINY).replace(b".comment\0", hostile.ljust(8, b"_")[:8] + b"\0")
    module = tmp_path / "hostile <i>$name.ko"
    module.write_bytes(made(content, "note", "sorted").content)
    for option in ("--html", "--svg"):
        out = run("coverage", module, option, "-").out
        assert "<i>" not in out and "<b>&" not in out and "&lt;b&gt;" in out
    assert ".<b>&" in run("coverage", module).out


def test_a_picture_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "none" / "x.html"
    ran = run("coverage", NOTE, "--html", missing)
    assert ran.code == 2 and f"{missing}: there is no such directory" in ran.err


def test_stdout_takes_one_picture_and_nothing_else(tmp_path: Path) -> None:
    assert run("coverage", NOTE, "--svg", "-").out.startswith("<svg ")
    assert run("coverage", NOTE, "--html", "-").out.startswith("<!DOCTYPE html>")
    assert run("coverage", NOTE, "--html", "-", "--svg", "-").code == 2
    copy = tmp_path / "copy.ko"
    copy.write_bytes(NOTE.read_bytes())
    assert run("coverage", copy, "--svg", copy).code == 2
    assert copy.read_bytes() == NOTE.read_bytes()


# --------------------------------------------------------------------------- proof and exit codes


def test_prove_tells_its_seed_and_repeats_itself(tmp_path: Path) -> None:
    first = run("coverage", "--prove", NOTE, "--trust", DSA)
    assert first.code == 0 and "the map and the verifier agree" in first.out
    found = re.search(r"\(seed (\d+)\)", first.out)
    assert found is not None
    assert run("coverage", NOTE, "--trust", DSA, "--prove", "--seed", found[1]).out == first.out
    small = tmp_path / "small.ko"
    small.write_bytes(made(build(TINY), "pkcs7", "whole-file").content)
    size = small.stat().st_size
    assert f"proof: {size} bytes changed" in run("coverage", small, "--trust", CERT, "--prove=all").out
    assert "the hashed bytes compared" in run("coverage", small, "--prove=3").out


@pytest.mark.parametrize(
    ("sample", "options", "code"),
    [
        ("amd64.pkcs7", [], 0),
        ("amd64-6.1.ko", [], 0),
        ("amd64-6.1.ko", ["--prove"], 1),
        ("amd64-6.1.ko", ["--coverage", "fileorder", "--prove"], 0),
        ("sig-len-huge", [], 1),
        ("content-changed", ["--trust", str(CERT), "--prove"], 0),
        ("amd64.pkcs7", ["--prove=some"], 2),
        ("amd64.pkcs7", ["--coverage", "nonesuch"], 2),
    ],
)
def test_exit_codes(sample: str, options: list[str], code: int, tmp_path: Path) -> None:
    path = tmp_path / "module.ko"
    path.write_bytes(corpus.content(sample))
    assert run("coverage", path, *options).code == code


def test_a_signature_that_does_not_hold_is_called_a_claim(tmp_path: Path) -> None:
    path = tmp_path / "changed.ko"
    path.write_bytes(corpus.content("content-changed"))
    assert "layer 0: pkcs7 signature" in run("coverage", path, "--trust", CERT).out
    assert ", invalid; coverage whole-file" in run("coverage", path, "--trust", CERT).out
    assert "What it covers is its claim." in run("coverage", path, "--trust", CERT, "--html", "-").out


def test_an_argument_outside_of_the_file_has_a_map_too() -> None:
    content = corpus.content(MODULE)
    signed = made(content, "modarg-pgp", "whole-file")
    [cover] = covers(opened(content), question(), None, signed.outside)
    assert cover.is_good and cover.kinds.counts() == {Kind.VERBATIM: len(content)}


# --------------------------------------------------------------------------- small things


def test_shares_never_say_all_or_nothing_wrongly() -> None:
    assert [percent(*pair) for pair in ((0, 9), (9, 9), (1, 10**6), (10**6 - 1, 10**6), (1, 3))] == [
        "-", "100 %", "0.1 %", "99.9 %", "33.3 %",
    ]  # fmt: skip


def test_a_cell_takes_a_power_of_two_and_the_file_fits() -> None:
    for size in (1, 1024, 1025, 4097, 19_462_545):
        step = scale(size, 1024)
        assert step & (step - 1) == 0 and step * 1024 >= size and (step == 1 or step * 512 < size)


def test_kinds_of_single_bytes_and_cuts() -> None:
    kinds = Map([Run(0, 4, Kind.OPEN), Run(4, 6, Kind.VERBATIM), Run(6, 9, Kind.OPEN)])
    assert [kinds.kind(at) for at in (0, 3, 4, 5, 6, 8)] == [Kind.OPEN] * 2 + [Kind.VERBATIM] * 2 + [
        Kind.OPEN
    ] * 2
    assert list(kinds.within(3, 5)) == [Run(3, 4, Kind.OPEN), Run(4, 5, Kind.VERBATIM)]
    assert list(kinds.within(5, 5)) == []
    assert json.dumps(kinds.counts(1, 7)) == '{"verbatim": 2, "open": 4}'


@pytest.mark.parametrize("outer", [None, "pkcs7"])
@pytest.mark.parametrize(
    ("format_id", "coverage"), [("gkh", "textdata"), ("redhat", "fileorder"), ("note", "sorted")]
)
def test_verify_names_the_share_that_coverage_computes(
    format_id: str, coverage: str, outer: str | None
) -> None:
    """The unprotected bytes, to the digit; also under an outer trailer."""
    content = made(corpus.content(MODULE), format_id, coverage).content
    if outer is not None:
        content = made(content, outer, "whole-file", existing=Existing.STACK).content
    asked = question()
    [cover] = [each for each in covers(opened(content), asked) if each.coverage == coverage]
    unprotected = cover.kinds.counts()[Kind.OPEN]
    warnings = [w for sig in examine(opened(content), asked).signatures for w in sig.warnings]
    (said,) = (w.text for w in warnings if w.code == "not-covered")
    assert f": {100 * unprotected / len(content):.1f} % of the file is not protected" in said
