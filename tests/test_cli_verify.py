"""``elfsig verify``: words, sentences and exit codes, for each verdict that there is."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

import corpus
from elfsig.cli import exit_codes
from elfsig.cli.render.words import PAINT
from elfsig.model import FileReport, Verdict
from tests.support import vectors
from tests.support.cli import Ran
from tests.support.run import run
from tests.support.schema import lines, parsed
from tests.support.vectors import ROOT

SIGNER, OTHER = (corpus.KEYS / f"{name}.cert.pem" for name in ("signer", "other"))
NOTE, DSA = ROOT / "modules" / "note-sorted-amd64-dsa.ko", ROOT / "keys" / "dsa1024.pub.gpg"

Maker = Callable[..., Path]


@pytest.fixture
def put(tmp_path: Path) -> Maker:
    """Writes a sample under a name of its own, or under another."""

    def write(sample: str, name: str | None = None) -> Path:
        path = tmp_path / (name or f"{sample}.ko")
        path.write_bytes(corpus.content(sample))
        return path

    return write


def verify(*words: str | Path) -> Ran:
    return run("verify", *words)


@pytest.mark.parametrize(
    ("sample", "options", "code", "expected"),
    [
        ("amd64.pkcs7", ["--trust", SIGNER], 0, 'valid: pkcs7 signature (rsa-2048 sha256) matches "'),
        ("el7.x509", ["--trust", SIGNER], 0, "valid: x509 signature (rsa-2048 sha256) matches"),
        ("amd64.pkcs7", ["--keys", SIGNER], 4, "which is not trusted"),
        ("amd64.pkcs7", ["--trust", OTHER], 4, "unknown-key: pkcs7 signature"),
        ("amd64.pkcs7", [], 4, "unchecked: pkcs7 signature"),
        ("content-changed", ["--trust", SIGNER], 1, "invalid: pkcs7 signature"),
        ("amd64-6.1.ko", ["--trust", SIGNER], 1, "unsigned: no trace of a signature"),
        ("sig-len-huge", ["--trust", SIGNER], 1, "malformed: pkcs7: sig_len"),
        ("newline-lost", ["--trust", SIGNER], 1, "the kernel treats it as unsigned"),
        ("byte-behind", ["--trust", SIGNER], 1, "malformed: pkcs7: marker not at the end"),
        ("signed-compressed", ["--trust", SIGNER], 1, "signed after compression"),
        ("id-type-unknown", ["--trust", SIGNER], 4, "unsupported: unknown form"),
        ("elf-cut", ["--trust", SIGNER], 1, "malformed: damaged ELF"),
    ],
)
def test_word_sentence_and_exit_code(
    sample: str, options: list[str | Path], code: int, expected: str, put: Maker
) -> None:
    path = put(sample)
    ran = verify(path, *options)
    assert ran.out.startswith(f"{path}: ")
    assert expected in ran.out
    assert (ran.code, ran.err, len(ran.out.splitlines())) == (code, "", 1)


@pytest.mark.parametrize(
    ("sample", "cert", "once"),
    [("amd64.pkcs7", OTHER, "any of the given keys"), ("content-changed", SIGNER, "key signer"),
     ("x509-content-changed", SIGNER, "key signer")],
)  # fmt: skip
def test_no_line_says_a_thing_twice(sample: str, cert: Path, once: str, put: Maker) -> None:
    assert verify(put(sample), "--trust", cert).out.count(once) == 1


def test_the_key_that_matched_and_its_source_are_named(put: Maker) -> None:
    out = verify(put("amd64.pkcs7"), "--trust", SIGNER, "--trust", OTHER).out
    assert "THROW-AWAY test key signer" in out and f"(from {SIGNER})" in out and "other" not in out


def test_warnings_stand_on_the_same_line() -> None:
    [line] = verify(NOTE, "--trust", DSA).out.splitlines()
    assert ": valid: note signature (dsa-1024 sha1) over sorted matches" in line
    assert "; warning: SHA-1" in line and "1024-bit key" in line and "are not covered" in line


def test_inner_layers_have_lines_of_their_own(put: Maker) -> None:
    path = put("el7.stacked")
    first, second = verify(path, "--trust", SIGNER, "--trust", OTHER).out.splitlines()
    assert first.startswith(f"{path}: valid: pkcs7") and second.startswith(f"{path}: layer 1: valid: x509")


@pytest.mark.parametrize(
    ("sample", "code", "text"),
    [("amd64.pkcs7-two", "other-signer", "another signer of the same pkcs7: unknown-key"),
     ("amd64.stacked", "other-layer", "layer 1, pkcs7: valid")],
)  # fmt: skip
def test_signatures_that_do_not_decide_give_the_file_a_warning(
    sample: str, code: str, text: str, put: Maker
) -> None:
    [file] = lines(verify(put(sample), "--trust", SIGNER, "--jsonl").out)
    assert [(w["code"], w["text"]) for w in file["warnings"]] == [(code, text)]
    assert text not in verify(put(sample), "--trust", SIGNER).out
    assert not lines(run("list", "--jsonl", put(sample)).out)[0]["warnings"]


def test_require_is_met_by_a_valid_signature_of_that_format_only(put: Maker) -> None:
    path = put("amd64.pkcs7")
    assert verify(path, "--trust", SIGNER, "--require", "cms").code == 0
    ran = verify(path, "--trust", SIGNER, "--require", "x509")
    assert (ran.code, ran.out.splitlines()[1]) == (1, f"{path}: no valid x509 signature, which is required")
    assert verify(path, "--trust", OTHER, "--require", "pkcs7").code == 4
    assert verify(path, "--trust", SIGNER, "--require", ".module_sig").code == 2


def test_the_most_serious_exit_code_wins(put: Maker, tmp_path: Path) -> None:
    good, bad, unknown = put("amd64.pkcs7"), put("content-changed"), put("amd64.pkcs7-other")
    missing = tmp_path / "missing.ko"
    trust = ("--trust", SIGNER)
    assert verify(good, *trust).code == 0
    assert verify(good, unknown, *trust).code == 4
    assert verify(good, unknown, missing, *trust).code == 5
    ran = verify(good, unknown, missing, bad, *trust)
    assert ran.code == 1
    assert ran.err == (
        f"elfsig: {missing}: no such file\nelfsig: 4 files: 1 valid, 1 unknown-key, 1 invalid, 1 unreadable\n"
    )


def test_precedence_of_exit_codes_is_a_total_order() -> None:
    for several in itertools.product(range(6), repeat=3):
        known = [code for code in several if code != exit_codes.USAGE]
        expected = next((code for code in (1, 3, 5, 4) if code in known), 0)
        assert exit_codes.combined(known) == expected


def test_every_verdict_has_an_exit_code_and_a_colour() -> None:
    assert set(exit_codes.BY_VERDICT) == set(PAINT) == set(Verdict)
    unread = FileReport("x", None, None, None, None, None, (), None)
    assert exit_codes.of_report(unread) == exit_codes.UNREADABLE


@pytest.mark.parametrize("option", ["--trust", "--keys"])
def test_a_source_without_a_key_is_never_success(option: str, put: Maker, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for source in (empty, tmp_path / "nothing", put("amd64-6.1.ko"), corpus.KEYS / "signer.key.pem"):
        ran = verify(put("amd64.pkcs7"), option, source)
        assert (ran.code, ran.out) == (2, "")
        assert ran.err.startswith("elfsig: ") and len(ran.err.splitlines()) == 1


def test_json_says_the_same(put: Maker) -> None:
    path = put("amd64.pkcs7")
    [file] = parsed(verify(path, "--trust", SIGNER, "--json").out)["files"]
    [signature] = file["signatures"]
    assert (file["verdict"], signature["verdict"], signature["coverage"]) == ("valid", "valid", "whole-file")
    assert signature["key"]["source"] == str(SIGNER) and signature["key"]["role"] == "user"
    assert file["content_sha256"] == corpus.samples()["amd64-6.1.ko"].sha256
    assert file["sha256"] == corpus.samples()["amd64.pkcs7"].sha256


def test_json_of_what_cannot_be_read_has_an_error_and_no_verdict(put: Maker, tmp_path: Path) -> None:
    ran = verify(tmp_path / "missing.ko", put("amd64.pkcs7"), "--jsonl", "--trust", SIGNER)
    missing, good = lines(ran.out)
    assert (missing["verdict"], missing["error"]["code"]) == (None, "not-found")
    assert (good["verdict"], good["error"]) == ("valid", None)
    assert ran.code == 5 and "missing.ko: no such file" in ran.err


def test_content_hash_is_null_where_strip_would_refuse(put: Maker) -> None:
    [file] = lines(verify(put("sig-len-huge"), "--jsonl").out)
    assert file["content_sha256"] is None and file["verdict"] == "malformed"


def test_many_files_are_told_in_order_whatever_the_number_of_jobs(put: Maker, tmp_path: Path) -> None:
    names = ["amd64.pkcs7", "el7.x509", "content-changed", "amd64-6.1.ko", "amd64.pkcs7.xz"]
    for number in range(40):
        put(names[number % len(names)], f"{number:02}.ko")
    one = verify(tmp_path, "--trust", SIGNER, "-j", "1")
    assert verify(tmp_path, "--trust", SIGNER, "-j", "3") == one
    assert [line.split(": ")[1] for line in one.out.splitlines()[:5]] == [
        "valid", "valid", "invalid", "unsigned", "valid",
    ]  # fmt: skip


# --------------------------------------------------------------------------- signatures kept elsewhere


def detached(tmp_path: Path, sample: str, base: str) -> Path:
    """The CMS of a signed sample in a file of its own."""
    path = tmp_path / "part.p7s"
    path.write_bytes(corpus.content(sample)[len(corpus.content(base)) : -40])
    return path


def test_a_detached_signature_is_verified_over_the_whole_file(put: Maker, tmp_path: Path) -> None:
    part = detached(tmp_path, "amd64.pkcs7", "amd64-6.1.ko")
    ran = verify(put("amd64-6.1.ko"), "--detached", part, "--trust", SIGNER)
    assert ran.code == 0 and ": valid: pkcs7 signature" in ran.out
    ran = verify(put("i386-6.1.ko"), "--detached", part, "--trust", SIGNER)
    assert ran.code == 1 and ": invalid: pkcs7 signature" in ran.out


def test_a_detached_signature_comes_before_those_in_the_file(put: Maker, tmp_path: Path) -> None:
    part = detached(tmp_path, "amd64.pkcs7", "amd64-6.1.ko")
    ran = verify(put("amd64.pkcs7"), "--detached", part, "--trust", SIGNER, "--json")
    outer, inner = parsed(ran.out)["files"][0]["signatures"]
    assert (outer["carrier"]["kind"], outer["verdict"], outer["layer"]) == ("detached", "invalid", 0)
    assert (inner["carrier"]["kind"], inner["verdict"], inner["layer"]) == ("trailer", "valid", 1)
    assert ran.code == 1


@pytest.mark.parametrize(
    ("name", "option", "format_id"),
    [
        ("wholefile-2012-modsign-arg", "--modarg", "modarg-pgp"),
        ("wholefile-2012-appended", "--detached", "crypto-pgp"),
    ],
)
def test_openpgp_beside_the_module(name: str, option: str, format_id: str, tmp_path: Path) -> None:
    entry = vectors.vector(name)
    path, key = tmp_path / "module.ko", ROOT / entry["key"]
    path.write_bytes(vectors.package_module())
    given = ROOT / entry["signature"] if option == "--detached" else vectors.read(entry["argument"]).decode()
    ran = verify(path, option, given, "--trust", key)
    assert ran.code == 0 and f": valid: {format_id} signature (rsa-2048 sha256)" in ran.out
    path.write_bytes(vectors.package_module() + b"\0")
    assert ": invalid: " in verify(path, option, given, "--trust", key).out


def test_what_is_no_signature_is_not_taken_for_one(put: Maker, tmp_path: Path) -> None:
    (tmp_path / "garbage").write_bytes(b"\x00" * 64)
    ran = verify(put("amd64-6.1.ko"), "--detached", tmp_path / "garbage", "--trust", SIGNER)
    assert ran.code in (1, 4) and ": valid" not in ran.out
    (tmp_path / "garbage").write_bytes(b"")
    ran = verify(put("amd64-6.1.ko"), "--detached", tmp_path / "garbage", "--trust", SIGNER)
    assert ran.code == 1 and "malformed: unknown form: the signature's file is empty\n" in ran.out


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--modarg", "modsign=3,zz"], 1),
        (["--modarg", "parm=1"], 1),
        (["--modarg", "modsign=1,00", "--detached", "x"], 2),
        (["--detached", "/nonexistent"], 5),
    ],
)
def test_bad_requests_for_outside_signatures(options: list[str], code: int, put: Maker) -> None:
    ran = verify(put("amd64-6.1.ko"), *options)
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (code, "", 1)


def test_an_outside_signature_is_for_one_file(put: Maker, tmp_path: Path) -> None:
    part = detached(tmp_path, "amd64.pkcs7", "amd64-6.1.ko")
    assert verify(put("amd64-6.1.ko"), put("amd64.pkcs7"), "--detached", part).code == 2
    assert verify(tmp_path, "--detached", part).code == 2
