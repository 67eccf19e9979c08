"""What the library gives out: frozen, comparable, picklable, short when shown, and never true by accident."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from collections.abc import Iterator
from pathlib import Path

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
