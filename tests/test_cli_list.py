"""``elfsig list``: the look of readelf, one line a signature, and the glance that makes it fast."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import corpus
from elfsig import registry
from elfsig.batch.like_signed import LikeSigned
from elfsig.cli.render import list_ as render_list
from elfsig.registry import Registry
from elfsig.verbs.verify.examine import Question, examine
from tests.support.opened import opened
from tests.support.run import run
from tests.support.schema import lines, parsed
from tests.support.tools import need
from tests.support.vectors import ROOT

NOTE = ROOT / "modules" / "note-sorted-amd64-dsa.ko"
VECTORS = sorted((ROOT / "modules").glob("*.ko"))

Maker = Callable[..., Path]


@pytest.fixture
def put(tmp_path: Path) -> Maker:
    """Writes a sample under a name of its own, or under another."""

    def write(sample: str, name: str | None = None) -> Path:
        path = tmp_path / (name or f"{sample}.ko")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(corpus.content(sample))
        return path

    return write


def readelf(path: Path) -> list[str]:
    """The lines of ``readelf -SW`` for sections."""
    shown = subprocess.run(
        [need("readelf"), "-SW", str(path)], capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}
    )
    return [line.rstrip() for line in shown.stdout.splitlines() if line.startswith("  [")]


@pytest.mark.parametrize("sample", ["amd64.pkcs7", "amd64.crypto-digsig"])
def test_headings_stand_above_their_columns(sample: str, put: Maker) -> None:
    """Also above serial numbers of 20 bytes and names of formats of more than 8 letters."""
    heading, row = run("list", put(sample)).out.splitlines()[3:5]
    names = ("Format", "Hash", "Key", "Signer")
    format_, hash_, key, signer = (row[heading.index(name) :] for name in names)
    assert format_.startswith(sample.partition(".")[2] + " ")
    assert re.match(r"sha\d+ ", hash_) and re.match(r"[0-9a-f]{16,} ", key) and signer.strip()
    assert all(row[heading.index(name) - 1] == " " for name in names)


def test_one_file_has_heading_columns_and_legend(put: Maker) -> None:
    path = put("amd64.pkcs7")
    shown = run("list", path).out
    assert shown.startswith(
        "There is 1 signature in an ELF64 REL file for x86-64:\n\nSignatures:\n  [Nr] Name"
    )
    assert "Key to columns:" in shown
    start, size = len(corpus.content("amd64-6.1.ko")), len(corpus.content("amd64.pkcs7"))
    where = f"{start:06x} {size - start:06x}"
    trailer = f"  [ -] ~Module sig~      TRAILER         -                {where} pkcs7    sha256 "
    assert [line for line in shown.splitlines() if line.startswith(trailer)]


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_a_section_has_the_columns_that_readelf_gives_it(path: Path) -> None:
    theirs = readelf(path)
    mine = [line for line in run("list", "--no-path", path).out.splitlines() if line.startswith("  [")][1:]
    for line in mine:
        columns = line[: len("  [16] .note.module.sig  NOTE            0000000000000000 0001c8 000078")]
        if " ELF32 " in run("list", path).out.splitlines()[0]:
            columns = columns[:-8]
        assert [each for each in theirs if each.startswith(columns.rstrip())], line


def test_grep_finds_a_note_as_it_does_behind_readelf() -> None:
    pattern = re.compile("sig.*NOTE")
    mine = run("list", NOTE).out.splitlines()
    assert len([line for line in mine if pattern.search(line)]) == 1
    assert len([line for line in readelf(NOTE) if pattern.search(line)]) == 1


@pytest.mark.parametrize(
    "path", [*VECTORS[::4], *sorted(corpus.SAMPLES.iterdir())], ids=lambda path: path.stem
)
def test_all_sections_are_those_of_readelf(path: Path) -> None:
    mine = [line for line in run("list", "--sections", path).out.splitlines() if line.startswith("  [")]
    theirs = readelf(path)
    assert len(mine) == len(theirs) > 5
    for own, other in zip(mine, theirs, strict=True):
        assert own.startswith(other)


def test_sections_tell_which_signature_takes_them_in() -> None:
    shown = run("list", "--sections", "-H", NOTE).out.splitlines()
    by_name = {line.split("] ")[1].split()[0]: line for line in shown if "] ." in line}
    assert "0:note/sorted" in by_name[".text"] and "0:note/fileorder" in by_name[".rela.text"]
    assert by_name[".comment"].endswith("-") and by_name[".note.module.sig"].endswith("-")
    assert "0:note/sorted" in by_name[".bss"] and "fileorder" not in by_name[".bss"]


def test_several_files_have_their_path_in_front_of_every_line(put: Maker, tmp_path: Path) -> None:
    signed, plain = put("el7.x509"), put("amd64-6.1.ko", "plain.ko")
    broken, stacked = put("sig-len-huge"), put("amd64.stacked")
    ran = run("list", signed, plain, broken, stacked)
    first, second, third, *rest = ran.out.splitlines()
    assert first.startswith(f"{signed}: [ -] ~Module sig~") and " x509 " in first
    assert second == f"{plain}: unsigned"
    assert third.startswith(f"{broken}: [ -] ~Module sig~") and "malformed: sig_len" in third
    assert len(rest) == 2 and all(line.startswith(f"{stacked}: ") for line in rest)
    assert ran.err == "elfsig: 4 files: 2 signed, 1 malformed, 1 unsigned\n"
    assert ran.code == 0
    assert run("list", "-h", signed, plain).out.splitlines()[1] == "unsigned"
    assert run("list", "-H", plain).out == f"{plain}: unsigned\n"


@pytest.mark.parametrize(
    ("sample", "name"),
    [("amd64.pkcs7", "~Module sig~"), ("el7.x509-rc1", "~Module sig~rc1"),
     ("amd64.crypto-pgp", "~Crypto Signed~"), ("magic-length-huge", "~Crypto Signed~"),
     ("marker-lost", "~Module sig~")],
)  # fmt: skip
def test_a_trailer_goes_by_its_markers_short_name(sample: str, name: str, put: Maker) -> None:
    path = put(sample)
    assert run("list", "-H", path).out.startswith(f"{path}: [ -] {name:<17} TRAILER ")


@pytest.mark.parametrize(
    ("content", "kind"),
    [(b"", "An empty file"), (b"\x7fELF", "A damaged ELF file"), (b"text", "Not an ELF file"),
     (corpus.content("elf-cut"), "A damaged ELF file")],
)  # fmt: skip
def test_the_heading_says_what_a_file_is(content: bytes, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "odd"
    path.write_bytes(content)
    ran = run("list", path)
    assert (ran.code, ran.out.splitlines()[0]) == (0, f"{kind}; no signatures.")


def test_a_directory_is_walked_in_order_and_links_lead_nowhere(put: Maker, tmp_path: Path) -> None:
    paths = [put("amd64.pkcs7", f"lib/{name}") for name in ("b/one.ko", "a/two.ko", "c.ko.extra")]
    os.symlink("/", tmp_path / "lib" / "loop")
    ran = run("list", tmp_path / "lib")
    assert [line.split(": ")[0] for line in ran.out.splitlines()] == [str(paths[1]), str(paths[0])]
    everything = run("list", "--all", tmp_path / "lib").out
    assert len(everything.splitlines()) == 3


def test_a_tree_without_a_module_is_an_error(tmp_path: Path) -> None:
    ran = run("list", tmp_path)
    assert (ran.code, ran.out) == (5, "")
    assert ran.err.startswith(f"elfsig: {tmp_path}: no module")


def test_what_cannot_be_read_is_said_and_the_rest_goes_on(put: Maker, tmp_path: Path) -> None:
    signed = put("amd64.pkcs7")
    os.mkfifo(tmp_path / "fifo.ko")
    ran = run("list", tmp_path / "missing.ko", tmp_path / "fifo.ko", signed)
    assert ran.code == 5
    assert ran.out.startswith(f"{signed}: [ -]")
    assert "missing.ko: no such file\n" in ran.err and "fifo.ko: is a FIFO" in ran.err


@pytest.mark.parametrize(
    ("word", "names"),
    [
        ("unsigned", ["plain"]),
        ("signed", ["cms", "note", "old"]),
        ("malformed", ["broken"]),
        ("pkcs7", ["broken", "cms"]),
        ("uek", ["note"]),
        ("x509", ["old"]),
        ("sha256", ["cms", "old"]),
        ("trailer", ["broken", "cms", "old"]),
        ("TRAILER", ["broken", "cms", "old"]),
        ("NOTE", ["note"]),
        (".note.Module.sig", ["note"]),
        ("section", []),
    ],
)
def test_only(word: str, names: list[str], put: Maker, tmp_path: Path) -> None:
    put("amd64.pkcs7", "cms.ko")
    put("el7.x509", "old.ko")
    put("amd64-6.1.ko", "plain.ko")
    put("sig-len-huge", "broken.ko")
    (tmp_path / "note.ko").write_bytes(NOTE.read_bytes())
    shown = run("list", "--only", word, tmp_path).out
    assert sorted(Path(line.split(": ")[0]).stem for line in shown.splitlines()) == names


def test_json_has_the_place_of_every_signature(put: Maker) -> None:
    path = put("el7.stacked")
    [file] = parsed(run("list", "--json", path).out)["files"]
    outer, inner = (each["carrier"] for each in file["signatures"])
    assert outer["offset"] == inner["offset"] + inner["size"]
    assert (inner["offset"], file["size"]) == (len(corpus.content("amd64-3.10-el7.ko")), path.stat().st_size)
    assert [each["verdict"] for each in file["signatures"]] == ["unchecked", "unchecked"]
    assert file["path"] == str(path) and "path_hex" not in file
    again = [{**each, "run": file["run"]} for each in lines(run("list", "--jsonl", path, path).out)]
    assert again == [file]


# --------------------------------------------------------------------------- the glance


def examined(path: Path) -> tuple[str, ...]:
    """The lines that a full look at the file gives."""
    report = examine(opened(path), Question(check=False))
    return tuple(render_list.tree_lines(report, registry.load(plugins=False).names))


def glanced(like: LikeSigned, path: Path) -> tuple[str, ...] | None:
    seen = like.report_from_ends(str(path))
    return None if seen is None else tuple(render_list.tree_lines(seen, registry.load(plugins=False).names))


def taught(*paths: Path, known: Registry | None = None) -> LikeSigned:
    """What is remembered of these files."""
    asked = Question(check=False)
    like = LikeSigned(known or registry.load(plugins=False), asked)
    for path in paths:
        module = opened(path, known)
        like.learn(module, examine(module, asked))
    return like


def test_a_glance_says_what_a_full_look_says_or_nothing(tmp_path: Path) -> None:
    paths = [tmp_path / sample for sample in corpus.samples()]
    for path in paths:
        path.write_bytes(corpus.content(path.name))
    like = taught(*paths)
    seen = {path.name: glanced(like, path) for path in paths}
    for path in paths:
        assert seen[path.name] in (None, examined(path))
    assert seen["amd64.pkcs7"] and seen["s390x.pkcs7"] and seen["el7.x509"] and seen["content-changed"]
    assert not any(seen[name] for name in ("amd64.stacked", "amd64.pkcs7.xz", "elf-cut", "byte-behind"))


@pytest.mark.parametrize("sample", ["s390x.pkcs7", "el7.x509"])
def test_a_glance_is_never_fooled_by_a_changed_byte(sample: str, tmp_path: Path) -> None:
    data, path = corpus.content(sample), tmp_path / "changed.ko"
    path.write_bytes(data)
    like = taught(path)
    assert glanced(like, path) == examined(path)
    outcomes = set()
    for at in [*range(64), *range(len(data) - 1600, len(data), 3)]:
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :])
        seen = glanced(like, path)
        outcomes.add(seen is None)
        assert seen in (None, examined(path)), f"byte {at:#x}"
    assert outcomes == {True, False}


def test_a_glance_sees_no_inner_trailer_away(tmp_path: Path) -> None:
    """An ELF file whose section header table ends in a marker: whoever reads it all peels that one, too."""
    from corpus.recipes import MARKER

    data, plain = corpus.content("amd64.pkcs7"), len(corpus.content("amd64-6.1.ko"))
    path = tmp_path / "inner.ko"
    path.write_bytes(data)
    like = taught(path)
    path.write_bytes(data[: plain - len(MARKER)] + MARKER + data[plain:])
    assert glanced(like, path) is None
    assert len(examined(path)) == 2


def test_no_glance_where_a_third_party_has_trailers_of_its_own(tmp_path: Path) -> None:
    from tests.plugin_package.elfsig_seal import SEAL

    path = tmp_path / "everyday.ko"
    path.write_bytes(corpus.content("amd64.pkcs7"))
    known = registry.load(plugins=False)
    for formats, quick in ((known.formats, True), ((*known.formats, SEAL), False)):
        like = taught(path, known=Registry(formats))
        assert (like.report_from_ends(str(path)) is not None) is quick


def test_a_glance_sees_no_signature_section_away(tmp_path: Path) -> None:
    signed, trailer = NOTE.read_bytes(), corpus.content("amd64.pkcs7")[len(corpus.content("amd64-6.1.ko")) :]
    path = tmp_path / "both.ko"
    path.write_bytes(corpus.content("amd64.pkcs7"))
    like = taught(path)
    path.write_bytes(signed + trailer)
    assert glanced(like, path) is None
    assert len(examined(path)) == 2


def test_many_files_give_the_same_lines_as_each_alone(put: Maker, tmp_path: Path) -> None:
    names = ["amd64.pkcs7", "content-changed", "amd64-6.1.ko", "sig-len-huge", "el7.x509", "arm64.pkcs7-ec"]
    for number in range(60):
        put(names[number % len(names)], f"{number:03}.ko")
    ran = run("list", tmp_path, "-j", "2")
    alone = [
        line for path in sorted(tmp_path.iterdir()) for line in (f"{path}: {each}" for each in examined(path))
    ]
    assert ran.out.splitlines() == alone
    assert ran.err == "elfsig: 60 files: 40 signed, 10 malformed, 10 unsigned\n"
