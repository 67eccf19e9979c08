"""The library's verbs, and the examples of README and of the manual's page as they are there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import corpus
import elfsig
from tests.support.cli import CHECKOUT, environment
from tests.support.openpgp import signer as throwaway

CERT, OTHER = corpus.KEYS / "signer.cert.pem", corpus.KEYS / "other.cert.pem"
SIGNED, PLAIN = corpus.content("amd64.pkcs7"), corpus.content("amd64-6.1.ko")
DOCUMENTS = (CHECKOUT / "README.md", CHECKOUT / "elfsig/manual/docs/jobs/library.md")
EXAMPLES = [
    example
    for document in DOCUMENTS
    for example in re.findall(r"^```python\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL)
]
VERBS = (
    "open", "list_signatures", "verify", "verify_tree", "sign", "strip", "convert", "compare", "coverage",
    "attach", "digest", "list_keys", "predict", "audit",
)  # fmt: skip


def signer() -> Any:
    return elfsig.open_signer(str(corpus.KEYS / "signer.key.pem"), str(CERT))


# --------------------------------------------------------------------------- the README


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory with the files that the examples speak of."""
    other = elfsig.open_signer(str(corpus.KEYS / "other.key.pem"), str(OTHER))
    shipped = elfsig.sign(PLAIN, "pkcs7", other).content
    (tmp_path / "driver.ko").write_bytes(shipped)
    (tmp_path / "driver.ko.xz").write_bytes(elfsig.open(corpus.content("amd64.pkcs7.xz")).raw)
    (tmp_path / "rebuilt.ko").write_bytes(PLAIN)
    (tmp_path / "vendor.pem").write_bytes(OTHER.read_bytes())
    (tmp_path / "mok.key").write_bytes((corpus.KEYS / "signer.key.pem").read_bytes())
    (tmp_path / "mok.pem").write_bytes(CERT.read_bytes())
    return tmp_path


def test_the_documents_have_an_example_of_every_verb() -> None:
    for verb in VERBS:
        assert any(f"elfsig.{verb}(" in example for example in EXAMPLES), verb


def test_the_examples_run_and_their_results_verify(folder: Path) -> None:
    for example in EXAMPLES:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-W", "ignore::ResourceWarning", "-c", example],
            capture_output=True,
            text=True,
            cwd=folder,
            env=environment(),
        )
        assert done.returncode == 0, example + done.stderr
        assert done.stdout or "print" not in example
    for name, trust, format_id in (
        ("signed.ko", CERT, "pkcs7"),
        ("converted.ko", CERT, "x509"),
        ("shipped.ko", OTHER, "pkcs7"),
    ):
        report = elfsig.verify(folder / name, trust=trust)
        assert report.verdict is elfsig.Verdict.VALID
        assert report.signatures[0].format == format_id
    assert (folder / "shipped.ko").read_bytes() == (folder / "driver.ko").read_bytes()


@pytest.mark.parametrize("kind", ["unsigned", "malformed"])
def test_the_examples_run_on_modules_that_are_not_signed_or_damaged(kind: str, folder: Path) -> None:
    """An error of the library's own is the only way in which an example may end early."""
    content = PLAIN if kind == "unsigned" else SIGNED[:-1]
    for name in ("driver.ko", "driver.ko.xz", "rebuilt.ko"):
        (folder / name).write_bytes(content)
    for example in EXAMPLES:
        words = [sys.executable, "-W", "error", "-W", "ignore::ResourceWarning", "-c", example]
        done = subprocess.run(words, capture_output=True, text=True, cwd=folder, env=environment())
        last = (done.stderr.splitlines() or [""])[-1]
        assert done.returncode == 0 or last.startswith("elfsig.errors."), example + done.stderr


# --------------------------------------------------------------------------- convert, attach


def test_convert_verifies_first() -> None:
    done = elfsig.convert(SIGNED, "x509", signer(), trust=CERT)
    assert (done.before.verdict, done.after.verdict) == (elfsig.Verdict.VALID, elfsig.Verdict.VALID)
    assert elfsig.convert(done.content, "cms", signer(), trust=CERT).content == SIGNED
    for source, trust in ((SIGNED, OTHER), (PLAIN, CERT), (SIGNED[:-1], CERT)):
        with pytest.raises(elfsig.EditRefused) as caught:
            elfsig.convert(source, "x509", signer(), trust=trust)
        assert caught.value.code == "not-valid"
    with pytest.raises(elfsig.UsageError):
        elfsig.convert(SIGNED, "x509", signer())
    anyhow = elfsig.convert(SIGNED, "x509", signer(), unverified=True)
    assert "unverified" in [remark.code for remark in anyhow.remarks]


def test_convert_from_and_to_signatures_that_lie_elsewhere(tmp_path: Path) -> None:
    from elfsig.envelopes.openpgp.make import make_ring

    ring = tmp_path / "ring"
    ring.write_bytes(make_ring(signer(), "Test"))
    out = elfsig.convert(SIGNED, "modarg-pgp", signer(), trust=CERT)
    assert out.content == PLAIN
    ((name, argument),) = out.parts
    assert name == "modarg-pgp"
    back = elfsig.convert(out.content, "pkcs7", signer(), trust=ring, modarg=argument.decode())
    assert back.content == SIGNED
    part = SIGNED[len(PLAIN) : -40]
    assert elfsig.convert(PLAIN, "x509", signer(), trust=CERT, detached=part).before.verdict == "valid"


def test_keep_adds() -> None:
    note = elfsig.SignOptions(coverage="sorted")
    inner = elfsig.sign(PLAIN, "note", throwaway("dsa1024"), note).content
    both = elfsig.convert(inner, "pkcs7", signer(), unverified=True, keep=True).content
    assert [each.format for each in elfsig.list_signatures(both)] == ["pkcs7", "note"]


def test_attach_takes_signatures_from_modules_and_files() -> None:
    part = SIGNED[len(PLAIN) : -40]
    for signature in (SIGNED, part):
        assert elfsig.attach(PLAIN, signature, trust=CERT).content == SIGNED
    with pytest.raises(elfsig.EditRefused) as caught:
        elfsig.attach(PLAIN, SIGNED, trust=OTHER)
    assert caught.value.code == "does-not-verify"
    assert elfsig.attach(PLAIN, SIGNED).verdict is None


# --------------------------------------------------------------------------- compare, coverage


def test_compare_says_what_two_files_are_to_each_other() -> None:
    assert elfsig.compare(SIGNED, PLAIN).conclusion == "resigned"
    assert elfsig.compare(PLAIN, bytearray(PLAIN)).conclusion == "identical"
    assert not elfsig.compare(PLAIN, corpus.content("i386-6.1.ko")).is_same


def test_coverage_gives_a_map_for_each_signature() -> None:
    (cover,) = elfsig.coverage(SIGNED, trust=CERT)
    assert cover.coverage == "whole-file" and cover.is_good
    assert cover.kinds.size == len(SIGNED)
    (asked,) = elfsig.coverage(PLAIN, coverage_id="textdata")
    assert asked.found is None and asked.coverage == "textdata"


@pytest.mark.parametrize("first", ["elfsig", "elfsig.coverages.whole_file", "elfsig.api"])
def test_coverage_is_a_verb_whatever_was_imported_before(first: str, tmp_path: Path) -> None:
    module = tmp_path / "a.ko"
    module.write_bytes(SIGNED)
    look = f"len(elfsig.coverage({str(module)!r}))"
    code = f"import {first}, elfsig; print({look}, {look})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment())
    assert done.stdout == "1 1\n", done.stderr
