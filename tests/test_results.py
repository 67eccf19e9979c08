"""What the library gives out: frozen, comparable, picklable, short when shown, and never true by accident."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import corpus
import elfsig
from tests.support.cli import elfsig as command

MAX_REPR = 1500
SAMPLES = [sample.name for sample in corpus.select()]
CERTS = sorted(corpus.KEYS.glob("*.cert.pem"))


def report_on(name: str) -> elfsig.FileReport:
    return elfsig.verify(corpus.content(name), trust=corpus.KEYS / "signer.cert.pem")


def parts(report: elfsig.FileReport) -> Iterator[object]:
    """The report and everything in it that a user may print."""
    yield report
    yield from report.warnings
    for signature in report.signatures:
        yield from (signature, signature.place, signature.claims, signature.key, *signature.warnings)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_report_is_a_value(name: str) -> None:
    report, again = report_on(name), report_on(name)
    assert report == again and hash(report) == hash(again)
    assert pickle.loads(pickle.dumps(report)) == report
    assert copy.deepcopy(report) == report
    assert dataclasses.replace(report, path="other.ko") != report
    for each in parts(report):
        assert len(repr(each)) < MAX_REPR
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.verdict = elfsig.Verdict.VALID  # type: ignore[misc]


@pytest.mark.parametrize("name", SAMPLES)
def test_reports_have_no_truth_value(name: str) -> None:
    report = report_on(name)
    with pytest.raises(TypeError, match="require_valid"):
        bool(report)
    for signature in report.signatures:
        with pytest.raises(TypeError, match="truth value"):
            bool(signature)


@pytest.mark.parametrize("name", SAMPLES)
def test_require_valid_lets_valid_files_pass_and_no_others(name: str) -> None:
    report = report_on(name)
    if report.verdict is elfsig.Verdict.VALID:
        signature = report.require_valid()
        assert signature is report.effective
        assert signature.verdict is elfsig.Verdict.VALID
        return
    with pytest.raises(elfsig.VerificationError) as caught:
        report.require_valid()
    fault = caught.value
    assert fault.report is report and fault.path == report.path
    assert report.verdict is not None and fault.code == report.verdict.value
    assert report.verdict.value in fault.text
    again = pickle.loads(pickle.dumps(fault))
    assert (str(again), again.code, again.report) == (str(fault), fault.code, report)


def test_the_effective_signature_decides() -> None:
    stacked = report_on("el7.stacked")
    assert stacked.effective is stacked.signatures[0]
    assert stacked.signatures[0].verdict is stacked.verdict
    assert report_on("amd64-6.1.ko").effective is None


def test_to_json_is_what_the_command_line_writes(tmp_path: Path) -> None:
    cert = str(corpus.KEYS / "signer.cert.pem")
    for name in ("amd64.pkcs7", "amd64-6.1.ko", "el7.stacked"):
        path = tmp_path / f"{name}.ko"
        path.write_bytes(corpus.content(name))
        (written,) = command("verify", "--jsonl", "--trust", cert, path).files()
        report = elfsig.verify(path, trust=cert)
        assert report.to_json() == written
        assert [each.to_json() for each in report.signatures] == written["signatures"]


# --------------------------------------------------------------------------- keys


@pytest.mark.parametrize("path", CERTS, ids=lambda path: path.name)
def test_keys_are_values(path: Path) -> None:
    ring, again = elfsig.keyring([path]), elfsig.keyring([path])
    assert ring is not None and again is not None
    for key, other in zip(ring.keys, again.keys, strict=True):
        assert key == other and hash(key) == hash(other)
        restored = pickle.loads(pickle.dumps(key))
        assert restored == key and restored.public == key.public
        assert copy.deepcopy(key) == key
        assert dataclasses.replace(key, label="another") != key
        assert len(repr(key)) < MAX_REPR and len(repr(key.certificate)) < MAX_REPR
        assert json.loads(json.dumps(key.to_json()))["fingerprint"] == key.fingerprint


# --------------------------------------------------------------------------- results of the other functions

SIGNED, PLAIN = "amd64.pkcs7", "amd64-6.1.ko"
CERT = corpus.KEYS / "signer.cert.pem"


def results() -> dict[str, Callable[[], Any]]:
    """A call of every function that gives a result, by a name for it."""
    signed, plain = corpus.content(SIGNED), corpus.content(PLAIN)
    signer = elfsig.open_signer(corpus.KEYS / "signer.key.pem", CERT)
    part = signed[len(plain) : -40]
    return {
        "open": lambda: elfsig.open(signed),
        "verify": lambda: elfsig.verify(signed, CERT),
        "detached": lambda: elfsig.verify(plain, CERT, detached=part),
        "list_signatures": lambda: elfsig.list_signatures(signed)[0],
        "sign": lambda: elfsig.sign(plain, "pkcs7", signer),
        "strip": lambda: elfsig.strip(signed),
        "convert": lambda: elfsig.convert(signed, "x509", signer, trust=CERT),
        "convert to an argument": lambda: elfsig.convert(signed, "modarg-pgp", signer, trust=CERT),
        "attach": lambda: elfsig.attach(plain, signed, CERT),
        "compare": lambda: elfsig.compare(signed, plain),
        "compare others": lambda: elfsig.compare(signed, corpus.content("i386-6.1.ko")),
        "coverage": lambda: elfsig.coverage(signed, CERT)[0],
        "coverage of sections": lambda: elfsig.coverage(plain, coverage_id="textdata")[0],
        "digest": lambda: elfsig.digest(signed)[0],
        "predict": lambda: elfsig.predict(signed, "6.1", CERT),
        "explain": lambda: elfsig.explain(plain, "6.1", CERT, every_mode=True),
        "list_keys": lambda: elfsig.list_keys(CERT)[0],
        "keyring": lambda: elfsig.keyring(CERT),
    }


@pytest.mark.parametrize("name", list(results()))
def test_every_result_is_a_value(name: str) -> None:
    call = results()[name]
    one, other = call(), call()
    assert one == other
    assert pickle.loads(pickle.dumps(one)) == one
    assert copy.deepcopy(one) == one
    assert 10 < len(repr(one)) < MAX_REPR
    if name != "open":
        assert json.loads(json.dumps(one.to_json())) == other.to_json()


def test_an_audit_is_a_value_and_the_one_of_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "signed.ko").write_bytes(corpus.content(SIGNED))
    (tmp_path / "plain.ko").write_bytes(corpus.content(PLAIN))
    wish: dict[str, Any] = {"hashes": ["sha512"], "formats": ["pkcs7"], "kernels": ["6.1"]}
    one, other = elfsig.audit(tmp_path, CERT, **wish), elfsig.audit([str(tmp_path)], [CERT], **wish)
    assert one == other and pickle.loads(pickle.dumps(one)) == one
    assert len(repr(one)) < MAX_REPR
    assert not one.passed and one.files == 2
    with pytest.raises(TypeError, match="passed"):
        bool(one)
    words = ("--hash", "sha512", "--format", "pkcs7", "--kernel", "6.1", "--trust", str(CERT))
    written = json.loads(command("audit", "--json", *words, str(tmp_path)).out)["audit"]
    assert one.to_json() == written
    ignored = [fault.rule for fault in one.faults]
    assert elfsig.audit(tmp_path, CERT, ignore=ignored, **wish).passed


def test_an_audit_refuses_what_it_does_not_understand(tmp_path: Path) -> None:
    (tmp_path / "signed.ko").write_bytes(corpus.content(SIGNED))
    for wrong in ({"trust": ()}, {"ignore": ["nonesuch"]}, {"hashes": ["md17"]}, {"formats": ["elf"]},
                  {"kernels": ["no such"]}):  # fmt: skip
        with pytest.raises(elfsig.UsageError):
            elfsig.audit(tmp_path, **{"trust": CERT, **wrong})  # type: ignore[arg-type]
    (tmp_path / "empty").mkdir()
    empty = elfsig.audit(tmp_path / "empty", CERT)
    assert [fault.rule for fault in empty.faults] == ["unreadable"]
    with pytest.raises(elfsig.ReadError):
        elfsig.audit([], CERT)


# --------------------------------------------------------------------------- modules that are open already


def test_results_of_edits_are_open_already() -> None:
    signer = elfsig.open_signer(corpus.KEYS / "signer.key.pem", CERT)
    module = elfsig.open(corpus.content(PLAIN))
    done = elfsig.sign(module, "pkcs7", signer)
    assert done.content == corpus.content(SIGNED) == elfsig.open(done).content
    assert elfsig.open(done) is done.module
    elf = done.module.image.elf
    assert elf is not None and elfsig.open(done).image.elf is elf
    assert elfsig.verify(done, CERT).verdict is elfsig.Verdict.VALID
    again = elfsig.strip(elfsig.convert(done, "x509", signer, trust=CERT))
    assert again.content == module.content
    assert elfsig.compare(done, again).conclusion == "resigned"
    assert elfsig.attach(again, done, CERT).content == done.content


def test_existing_says_what_becomes_of_signatures() -> None:
    signer = elfsig.open_signer(corpus.KEYS / "signer.key.pem", CERT)
    signed, other = elfsig.open(corpus.content(SIGNED)), elfsig.SignOptions(hash="sha512")
    for call in (
        lambda **how: elfsig.sign(signed, "pkcs7", signer, other, **how),
        lambda **how: elfsig.attach(signed, corpus.content(SIGNED), CERT, force=True, **how),
    ):
        for how in ({}, {"existing": elfsig.Existing.REFUSE}):
            with pytest.raises(elfsig.EditRefused) as caught:
                call(**how)
            assert caught.value.code == "already-signed"
        replaced = call(existing=elfsig.Existing.REPLACE)
        assert len(elfsig.list_signatures(replaced)) == 1 and replaced.removed
        stacked = call(existing=elfsig.Existing.STACK)
        assert len(elfsig.list_signatures(stacked)) == 2 and not stacked.removed


# --------------------------------------------------------------------------- trees


def misnamed(report: elfsig.FileReport) -> list[elfsig.Remark]:
    """What is said of a file in a tree alone: the samples all call themselves "sample"."""
    return [each for each in report.warnings if each.code == "misnamed"]


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_tree_gives_the_reports_of_its_files_in_order(tmp_path: Path, jobs: int) -> None:
    names = [name for name in SAMPLES if not name.startswith("image")][:40]
    for name in names:
        (tmp_path / f"{name}.ko").write_bytes(corpus.content(name))
    (tmp_path / "fifo.ko").symlink_to("nowhere.ko")
    ring = elfsig.keyring(CERT)
    found = list(elfsig.verify_tree(tmp_path, ring, jobs=jobs))
    assert [report.path for report in found] == sorted(report.path for report in found)
    assert len(found) >= len(names)
    for report in found:
        if report.error is None:
            alone = elfsig.verify(report.path, ring)
            assert report == dataclasses.replace(alone, warnings=(*alone.warnings, *misnamed(report)))
        else:
            with pytest.raises(elfsig.VerificationError) as caught:
                report.require_valid()
            assert caught.value.code == report.error.code


def test_a_tree_streams_and_says_first_what_is_wrong_with_the_call(tmp_path: Path) -> None:
    assert list(elfsig.verify_tree([], CERT)) == []
    (report,) = elfsig.verify_tree(tmp_path / "missing", CERT)
    assert report.error is not None and report.verdict is None
    with pytest.raises(elfsig.KeySourceError):
        elfsig.verify_tree(tmp_path, tmp_path / "missing.pem")
    for paths in (7, None, [7], b"path"):
        with pytest.raises(elfsig.UsageError):
            elfsig.verify_tree(paths, CERT)  # type: ignore[arg-type]
