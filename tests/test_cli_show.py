"""``elfsig show``: modinfo's fields where modinfo has them, and what it hides."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import corpus
from corpus import throwaway
from corpus.recipes import MARKER
from elfsig.carriers.trailer import INFO
from elfsig.cli.render.modinfo import hex_lines, labelled
from elfsig.elf.table import SHT_NOTE
from tests.support import elf
from tests.support.debian import debian_modules
from tests.support.elf import Sec
from tests.support.run import run
from tests.support.schema import parsed
from tests.support.tools import need
from tests.support.vectors import ROOT
from tests.support.verdicts import RSA
from tests.support.verdicts import signed as signed_by

FIELDS = ("sig_id", "signer", "sig_key", "sig_hashalgo", "signature")
NOTE = ROOT / "modules" / "note-sorted-amd64-dsa.ko"
SEED = 20121207

Maker = Callable[..., Path]


@pytest.fixture
def put(tmp_path: Path) -> Maker:
    """Writes a sample, or bytes, under a name of its own."""

    def write(sample: str, data: bytes | None = None) -> Path:
        path = tmp_path / f"{sample}.ko"
        path.write_bytes(corpus.content(sample) if data is None else data)
        return path

    return write


def modinfo(path: Path, *options: str) -> str:
    """What modinfo prints, errors included, as text that keeps every byte."""
    done = subprocess.run([need("modinfo"), *options, str(path)], capture_output=True)
    return done.stdout.decode("utf-8", "surrogateescape")


def signature_lines(shown: str) -> list[str]:
    """The lines of the five fields, continuation lines with them, up to the first other field."""
    lines: list[str] = []
    for line in shown.splitlines():
        if line.startswith("\t\t") or line.split(":")[0] in FIELDS:
            lines.append(line)
        elif lines:
            break
    return lines


def crafted(sample: str, **fields: int) -> bytes:
    """A signed sample with other values in its info block."""
    data = corpus.content(sample)
    at = len(data) - len(MARKER) - INFO.size
    names = ("algo", "hash", "id_type", "signer_len", "key_id_len")
    block = bytearray(data[at : at + INFO.size])
    for name, value in fields.items():
        block[names.index(name)] = value
    return data[:at] + bytes(block) + data[at + INFO.size :]


@pytest.mark.parametrize(
    "sample",
    ["amd64.pkcs7", "i386.pkcs7-sha1", "arm64.pkcs7-ec", "s390x.pkcs7", "ppc64.pkcs7", "el7.x509",
     "el7.x509-sha512", "s390x.x509-sha1", "amd64.pkcs7-other"],
)  # fmt: skip
def test_five_fields_are_those_of_modinfo(sample: str, put: Maker) -> None:
    path = put(sample)
    theirs, mine = modinfo(path), run("show", path).out
    assert len(signature_lines(theirs)) > len(FIELDS)
    assert signature_lines(mine) == signature_lines(theirs)
    assert mine.splitlines()[0] == theirs.splitlines()[0] == f"filename:       {path}"
    for field in FIELDS:
        assert run("show", "-F", field, path).out == modinfo(path, "-F", field)
        assert run("show", "-0", "-F", field, path).out == modinfo(path, "-0", "-F", field)


def test_nul_separated_pairs_are_those_of_modinfo(put: Maker) -> None:
    path = put("el7.x509")
    theirs = [pair for pair in modinfo(path, "-0").split("\0") if pair.split("=")[0] in FIELDS]
    mine = run("show", "-0", path).out.split("\0")
    assert mine[0] == f"filename={path}" and mine[4].startswith("build-id=") and mine[5:10] == theirs


THIS_MODULE = Sec(".gnu.linkonce.this_module", bytes(64), flags=3)


def with_note(note: bytes, order: str = "<") -> bytes:
    """A module with this content in the section of its build id."""
    return elf.build([THIS_MODULE, Sec(".note.gnu.build-id", note, SHT_NOTE, 2, align=4)], order=order)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("size", [1, 8, 20, 32])
def test_the_build_id_is_shown_as_kmod_35_does(size: int, order: str, put: Maker) -> None:
    value = bytes(range(0xA0, 0xA0 + size))
    content = with_note(elf.note(b"GNU\0", 3, value, order), order)
    path = put("built", content)
    assert run("show", "-F", "build-id", path).out == hex_lines(value) + "\n"
    shown = run("show", put("signed", signed_by(RSA, content))).out
    assert shown.index("build-id:") < shown.index("sig_id:")


@pytest.mark.parametrize(
    "note",
    [
        b"", b"\4\0\0\0", elf.note(b"GNU\0", 1, bytes(20)), elf.note(b"Linux\0", 3, bytes(20)),
        elf.note(b"GNU\0", 3, b""), elf.note(b"GNU\0", 3, bytes(20))[:-1],
        elf.note(b"GNU\0", 3, bytes(20), ">"),
    ],
)  # fmt: skip
def test_what_is_not_a_build_id_is_not_shown(note: bytes, put: Maker) -> None:
    path = put("other", with_note(note))
    assert "build-id" not in run("show", path).out


@pytest.mark.parametrize(
    "fields",
    [{"hash": number} for number in range(9)] + [{"algo": 0}, {"id_type": 0}, {"id_type": 0, "algo": 0}],
    ids=str,
)
def test_info_blocks_of_the_x509_era_are_read_as_modinfo_reads_them(
    fields: dict[str, int], put: Maker
) -> None:
    path = put("crafted", crafted("el7.x509", **fields))
    assert len(theirs := signature_lines(modinfo(path))) > len(FIELDS)
    assert signature_lines(run("show", path).out) == theirs


def test_nonzero_fields_beside_pkcs7_are_shown_and_named(put: Maker) -> None:
    path = put("crafted", crafted("amd64.pkcs7", algo=1, hash=4))
    shown = run("show", path)
    assert signature_lines(shown.out) == signature_lines(modinfo(path))
    assert "status:         malformed: non-zero fields" in shown.out
    assert shown.code == 1


@pytest.mark.parametrize("arch", ["amd64", "s390x"])
def test_real_modules_show_as_modinfo_shows_them(arch: str) -> None:
    need("modinfo")
    for path in random.Random(SEED).sample(debian_modules(arch), 40):
        assert signature_lines(run("show", path).out) == signature_lines(modinfo(path)) != []


# --------------------------------------------------------------------------- what modinfo hides


def test_signers_named_by_key_id_are_hidden_by_modinfo_and_shown_here(put: Maker) -> None:
    path = put("amd64.pkcs7-keyid")
    assert signature_lines(modinfo(path)) == []
    shown = run("show", path).out
    key_id = hex_lines(throwaway.subject_key_id("signer"))
    assert f"sig_key:        {key_id}\n" in shown and f"key_id:         {key_id}\n" in shown
    assert "sig_id:         PKCS#7\n" in shown


def test_every_layer_is_shown_and_modinfo_shows_one(put: Maker) -> None:
    path = put("el7.stacked")
    assert modinfo(path, "-F", "sig_id") == "PKCS#7\n"
    assert run("show", "-F", "sig_id", path).out == "PKCS#7\nX509\n"
    first, second = run("show", path).out.split("\n\n")
    assert "layer:          0" in first and "layer:          1" in second and "filename" not in second


def test_details_of_trailer_and_cms(put: Maker) -> None:
    shown = run("show", put("amd64.pkcs7")).out
    for line in (
        "format:         pkcs7",
        "carrier:        trailer",
        f"offset:         {len(corpus.content('amd64-6.1.ko')):#x}",
        "trailer.id_type: 2",
        "envelope:       cms",
        "algorithm:      rsa",
        "key_bits:       2048",
        "cms.signer_count: 1",
        "elf:            ELF64 little-endian x86-64 REL",
    ):
        assert f"{line}\n" in shown


def test_openpgp_packets_have_their_fields() -> None:
    shown = run("show", NOTE).out
    for line in (
        "sig_id:         PGP",
        "section:        .note.module.sig",
        "section_type:   NOTE",
        "wrapper.owner:  module.sig",
        "wrapper.note_type: 100",
        "algorithm:      dsa",
        "openpgp.packet_version: 4",
    ):
        assert f"{line}\n" in shown


@pytest.mark.parametrize(
    ("sample", "code", "status"),
    [
        ("amd64-6.1.ko", 0, "unsigned"),
        ("sig-len-huge", 1, "malformed: sig_len"),
        ("byte-behind", 1, "malformed: marker not at the end"),
        ("elf-cut", 1, "malformed"),
    ],
)
def test_unsigned_and_malformed_are_told_apart(sample: str, code: int, status: str, put: Maker) -> None:
    path = put(sample)
    ran = run("show", path)
    assert f"status:         {status}" in ran.out
    assert ran.code == code
    assert signature_lines(modinfo(path)) == []


def test_several_files_are_shown_one_by_one(put: Maker, tmp_path: Path) -> None:
    ran = run("show", put("amd64.pkcs7"), tmp_path / "missing.ko", put("el7.x509"))
    assert ran.code == 5 and ran.out.count("filename:") == 2
    assert "\n\nfilename:" in ran.out and "\n\n\n" not in ran.out
    assert ran.err.startswith("elfsig: ") and "no such file" in ran.err


def test_json_has_the_facts(put: Maker) -> None:
    [file] = parsed(run("show", "--json", put("amd64.pkcs7-keyid")).out)["files"]
    [signature] = file["signatures"]
    assert signature["facts"]["signer_form"] == "skid" and len(signature["key_id"]) == 40
    assert signature["carrier"]["params"]["id_type"] == 2


def test_a_nul_in_a_name_passes_for_no_field_of_its_own(put: Maker) -> None:
    path = put("x509-control-name")
    ran = run("show", "-0", "-F", "signer", path)
    assert ran.out == "\x1b[31mevil\nsigner:        poser\\x00\t\0"
    pairs = run("show", "-0", path).out.split("\0")
    assert all("=" in pair for pair in pairs[:-1]) and not pairs[-1]


def test_an_unknown_field_is_nothing_as_with_modinfo(put: Maker) -> None:
    ran = run("show", "-F", "nonesuch", put("amd64.pkcs7"))
    assert (ran.code, ran.out) == (0, "")


def test_layout_of_labels_and_hex() -> None:
    assert labelled("sig_hashalgo", "sha1") == "sig_hashalgo:   sha1"
    assert labelled("trailer.signer_len", "0") == "trailer.signer_len: 0"
    assert hex_lines(b"") == ""
    assert hex_lines(bytes(20)).count(":") == 19
    assert hex_lines(bytes(21)) == ":".join(["00"] * 20) + ":\n\t\t00"


def test_what_cannot_be_parsed_has_the_fields_of_kmod_35(put: Maker) -> None:
    """Older releases of modinfo print nothing of a PKCS#7 that they cannot parse."""
    told = run("show", put("cms-garbage")).out.splitlines()
    assert told[4].startswith("build-id:") and told[5:9] == [
        "sig_id:         PKCS#7",
        "signer:         ",
        "sig_key:        ",
        "sig_hashalgo:   unknown",
    ]
    assert not any(line.startswith("signature:") for line in told)
