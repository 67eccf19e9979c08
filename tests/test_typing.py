"""The types of the library: what pyright finds complete, and what mypy and pyright infer for callers.

The functions below are checked by mypy with the rest of the tests; they are run, too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, assert_type

import pytest

import corpus
import elfsig
from tests.support.cli import CHECKOUT, environment
from tests.support.tools import need

CERT = corpus.KEYS / "signer.cert.pem"
SIGNED, PLAIN = corpus.content("amd64.pkcs7"), corpus.content("amd64-6.1.ko")


def signer() -> elfsig.Signer | elfsig.PacketSigner:
    return elfsig.open_signer(corpus.KEYS / "signer.key.pem", CERT)


def test_verifying() -> None:
    module = assert_type(elfsig.open(SIGNED), elfsig.Module)
    assert_type(module.content, bytes)
    report = assert_type(elfsig.verify(module, trust=CERT), elfsig.FileReport)
    assert_type(report.verdict, elfsig.Verdict | None)
    assert_type(report.effective, elfsig.SignatureReport | None)
    signature = assert_type(report.require_valid(), elfsig.SignatureReport)
    assert_type(signature.claims, elfsig.Signature | None)
    assert_type(signature.key, elfsig.Key | None)
    assert_type(signature.place, elfsig.Place)
    assert_type(signature.warnings, tuple[elfsig.Remark, ...])
    assert_type(report.to_json(), dict[str, Any])
    assert_type(elfsig.list_signatures(SIGNED), tuple[elfsig.SignatureReport, ...])
    assert_type(elfsig.verify_tree([], CERT), Iterator[elfsig.FileReport])
    assert_type(elfsig.survey([], CERT), Iterator[elfsig.SurveyRecord])
    parts: Callable[..., Iterator[elfsig.PartReceipt]] = elfsig.survey_parts
    assert callable(parts)
    assert_type(elfsig.formats(), tuple[elfsig.Format, ...])


def test_editing() -> None:
    done = assert_type(elfsig.sign(PLAIN, "pkcs7", signer()), elfsig.SignResult)
    assert_type(done.content, bytes)
    assert_type(done.module, elfsig.Module)
    stripped = assert_type(elfsig.strip(done), elfsig.StripResult)
    assert_type(stripped.removed, tuple[elfsig.Removed, ...])
    assert_type(elfsig.attach(stripped, done, CERT), elfsig.Attached)
    converted = elfsig.convert(done, "x509", signer(), trust=CERT)
    assert_type(assert_type(converted, elfsig.Conversion).content, bytes)
    replaced = elfsig.sign(done, "pkcs7", signer(), existing=elfsig.Existing.REPLACE)
    assert_type(replaced, elfsig.SignResult)


def test_policies() -> None:
    policy = assert_type(elfsig.read_policy(b'[[rule]]\npath = "**"\ntrust = "{kernel}"\n'), elfsig.Policy)
    assert_type(policy.rules, tuple[elfsig.ModuleRule, ...])
    assert_type(policy.exceptions, tuple[elfsig.Exemption, ...])
    assert_type(policy.rules[0].signers, tuple[elfsig.SignerDemand, ...])
    with pytest.raises(elfsig.PolicyError) as caught:
        elfsig.read_policy(b"x = 1")
    assert_type(caught.value.mistakes, tuple[elfsig.Mistake, ...])
    with pytest.raises(elfsig.UsageError):
        assert_type(elfsig.audit(policy=policy, host_roots="/none/*"), elfsig.AuditResult)


def test_keys() -> None:
    ring = assert_type(elfsig.keyring(CERT), elfsig.Keyring)
    assert_type(elfsig.keyring([CERT, ring]), elfsig.Keyring | None)
    assert_type(elfsig.list_keys(CERT.read_bytes()), tuple[elfsig.Key, ...])
    assert_type(ring.keys, tuple[elfsig.Key, ...])
    assert_type(ring.keys[0].certificate, elfsig.Certificate | None)


def test_inspecting() -> None:
    assert_type(elfsig.compare(SIGNED, PLAIN), elfsig.Comparison)
    assert_type(elfsig.coverage(SIGNED, CERT), tuple[elfsig.Cover, ...])
    assert_type(elfsig.digest(SIGNED), tuple[elfsig.CoverageDigest, ...])
    answer = assert_type(elfsig.predict(SIGNED, "6.1", CERT), elfsig.KernelAnswer)
    assert_type(answer.predictions, tuple[elfsig.Prediction, ...])
    assert_type(answer.accepted, bool)
    told = assert_type(elfsig.explain(SIGNED, "6.1", mode=elfsig.Mode(lockdown=True)), elfsig.Explanation)
    assert_type(told.report, elfsig.FileReport)


def test_auditing(tmp_path: Path) -> None:
    (tmp_path / "signed.ko").write_bytes(SIGNED)
    found = assert_type(elfsig.audit(tmp_path, CERT), elfsig.AuditResult)
    assert_type(found.faults, tuple[elfsig.Fault, ...])


def test_what_a_caller_annotates_is_there_when_the_program_runs() -> None:
    """Also the aliases: a caller may use them where annotations are evaluated."""
    for name in elfsig.__all__:
        assert getattr(elfsig, name) is not None, name
    for name in ("ModuleSource", "KeySource", "KeySources", "SignerKey", "SignerCertificate"):
        assert name in elfsig.__all__


def pyright(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pyright on the node of this machine; skips where either is missing."""
    need("node")
    pytest.importorskip("pyright", reason="needs pyright: pip install '.[test]'")
    # pyright asks the first Python of PATH for its packages.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        [sys.executable, "-m", "pyright", *arguments],
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
        env=environment({"PYRIGHT_PYTHON_IGNORE_WARNINGS": "1", "PATH": path}),
    )
    if not done.stdout.strip():
        pytest.skip(f"pyright does not run here: {done.stderr.strip()[-300:]}")
    return done


def test_every_public_type_is_known() -> None:
    done = pyright("--verifytypes", "elfsig", "--ignoreexternal", "--outputjson")
    found = json.loads(done.stdout)["typeCompleteness"]
    wrong = [
        f"{each['name']}: {'; '.join(d['message'] for d in each['diagnostics'])}"
        for each in found["symbols"]
        if each["isExported"] and not (each["isTypeKnown"] and not each["isTypeAmbiguous"])
    ]
    assert not wrong, "\n".join(wrong)
    assert found["completenessScore"] == 1
    assert found["exportedSymbolCounts"]["withKnownType"] > 1000
