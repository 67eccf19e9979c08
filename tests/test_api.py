"""The library: the verbs over bytes, streams and paths, with typed results."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

import corpus
import elfsig
from elfsig.model import Existing

SIGNER, OTHER = (corpus.KEYS / f"{name}.cert.pem" for name in ("signer", "other"))
SIGNED, PLAIN = corpus.content("amd64.pkcs7"), corpus.content("amd64-6.1.ko")


def test_every_public_name_is_there_and_nothing_else_is_made_up() -> None:
    for name in elfsig.__all__:
        assert getattr(elfsig, name) is not None
        assert name in dir(elfsig)
    with pytest.raises(AttributeError, match="nonesuch"):
        elfsig.nonesuch  # noqa: B018


def test_bytes_streams_and_paths_are_all_sources(tmp_path: Path) -> None:
    path = tmp_path / "signed.ko"
    path.write_bytes(SIGNED)
    in_memory = (SIGNED, bytearray(SIGNED), memoryview(SIGNED), io.BytesIO(SIGNED))
    with path.open("rb") as stream:
        reports = [elfsig.verify(source, trust=SIGNER) for source in (*in_memory, stream, path, str(path))]
    assert {report.verdict for report in reports} == {elfsig.Verdict.VALID}
    assert len({report.content_sha256 for report in reports}) == 1
    assert [report.path for report in reports[-2:]] == [str(path), str(path)]


def test_verdicts_have_no_truth_value() -> None:
    report = elfsig.verify(SIGNED)
    assert report.verdict is elfsig.Verdict.UNCHECKED
    with pytest.raises(TypeError, match="no truth value"):
        bool(report.verdict)


def test_keys_that_are_merely_tried_are_never_trusted() -> None:
    assert elfsig.verify(SIGNED, keys=[SIGNER]).verdict is elfsig.Verdict.UNTRUSTED
    assert elfsig.verify(SIGNED, trust=[str(OTHER)]).verdict is elfsig.Verdict.UNKNOWN_KEY
    assert elfsig.verify(SIGNED, trust=OTHER, keys=SIGNER).verdict is elfsig.Verdict.UNTRUSTED


def test_a_key_ring_serves_many_files() -> None:
    ring = elfsig.keyring([SIGNER, OTHER])
    assert ring is not None
    for sample in corpus.select("signed"):
        expected = elfsig.Verdict.UNKNOWN_KEY if sample.name.endswith("-ec") else elfsig.Verdict.VALID
        assert elfsig.verify(sample.data(), ring, hashes=False).verdict is expected
    with pytest.raises(elfsig.UsageError):
        elfsig.verify(SIGNED, ring, keys=SIGNER)
    with pytest.raises(elfsig.UsageError):
        elfsig.verify(SIGNED, keys=ring)
    assert elfsig.keyring() is None


def test_signatures_are_listed_from_the_outside_in() -> None:
    outer, inner = elfsig.list_signatures(corpus.content("el7.stacked"))
    assert (outer.format, outer.layer, inner.format, inner.layer) == ("pkcs7", 0, "x509", 1)
    assert outer.effective and not inner.effective
    assert elfsig.list_signatures(PLAIN) == ()


def test_a_signature_may_be_kept_elsewhere() -> None:
    part = SIGNED[len(PLAIN) : -40]
    report = elfsig.verify(PLAIN, trust=SIGNER, detached=part)
    assert report.verdict is elfsig.Verdict.VALID
    assert report.signatures[0].place.kind == "detached"
    with pytest.raises(elfsig.UsageError):
        elfsig.verify(PLAIN, detached=part, modarg="modsign=1,00")
    with pytest.raises(elfsig.ParseError):
        elfsig.verify(PLAIN, modarg="modsign=")


def test_sign_and_strip_give_bytes_and_write_nothing() -> None:
    signer = elfsig.open_signer(str(corpus.KEYS / "signer.key.pem"), str(SIGNER))
    signed = elfsig.sign(PLAIN, "cms", signer)
    assert signed.content == SIGNED
    assert elfsig.strip(signed.content).content == PLAIN
    with pytest.raises(elfsig.EditRefused):
        elfsig.sign(SIGNED, "pkcs7", signer)
    stacked = elfsig.sign(SIGNED, "pkcs7", signer, elfsig.SignOptions(hash="sha512"), existing=Existing.STACK)
    assert elfsig.strip(stacked.content, everything=True).content == PLAIN


def test_what_cannot_be_read_is_raised(tmp_path: Path) -> None:
    with pytest.raises(elfsig.ReadError) as reason:
        elfsig.open(tmp_path / "missing.ko")
    assert (reason.value.code, reason.value.exit_code) == ("not-found", 5)
    with pytest.raises(elfsig.KeySourceError):
        elfsig.verify(SIGNED, trust=tmp_path / "missing.pem")


def test_formats_are_listed() -> None:
    assert [each.id for each in elfsig.formats(plugins=False)][:2] == ["pkcs7", "x509"]
