"""The corpus is complete and can be rebuilt, and every format leaves alone what is not its own."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from typing import Any

import pytest

import corpus
from corpus import build, oldlayout
from tests.support.cli import elfsig
from tests.support.tools import need

SIG_IDS = {"pkcs7": "PKCS#7", "x509": "X509"}
SAMPLES = sorted(corpus.samples())


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What ``elfsig verify`` says of every sample when all throw-away keys are vouched for."""
    folder = tmp_path_factory.mktemp("samples")
    for sample in corpus.samples().values():
        (folder / sample.name).write_bytes(sample.data())
    trust = [part for path in corpus.certificates() for part in ("--trust", str(path))]
    ran = elfsig("--no-plugins", "verify", "--all", "--jsonl", *trust, folder)
    assert ran.code == 1, ran.err
    return {Path(each["path"]).name: each for each in ran.files()}


def test_no_orphan_file_and_no_missing_one() -> None:
    kept = {sample.name for sample in corpus.samples().values() if sample.kept}
    assert {path.name for path in corpus.SAMPLES.iterdir()} == kept


def test_every_private_key_has_its_certificate_and_says_what_it_is() -> None:
    from corpus import throwaway

    names = {path.name.split(".")[0] for path in corpus.KEYS.iterdir()}
    for name in names:
        assert throwaway.certificate(name).public_key() == throwaway.key(name).public_key()
        assert "THROW-AWAY" in throwaway.certificate(name).subject.rfc4514_string()


@pytest.mark.parametrize("name", SAMPLES)
def test_sample_has_the_recorded_hash(name: str) -> None:
    sample = corpus.samples()[name]
    digest = hashlib.sha256(sample.data()).hexdigest()
    assert sample.sha256 in (digest, None)


@pytest.mark.parametrize("name", SAMPLES)
def test_sample_gets_its_verdict_and_no_other_format_claims_it(
    name: str, reports: dict[str, dict[str, Any]]
) -> None:
    sample, report = corpus.samples()[name], reports[name]
    assert report["verdict"] == sample.verdict
    assert tuple(found["format"] for found in report["signatures"]) == sample.formats


def test_unknown_tag_is_refused() -> None:
    with pytest.raises(LookupError, match="no-such-tag"):
        corpus.select("no-such-tag")


def test_recipes_rebuild_every_kept_sample() -> None:
    for arch in build.ARCHES.values():
        need(arch.prefix + "as")
        need(arch.prefix + "ld")
    if build.binutils_version("amd64") != build.BINUTILS:
        pytest.skip(f"opt-in: the samples are those of binutils {build.BINUTILS}")
    differing = [path.name for path, data in build.rebuild().items() if path.read_bytes() != data]
    assert differing == []


@pytest.mark.parametrize("name", [s.name for s in corpus.select("old")])
def test_old_layout_has_the_section_table_in_the_middle(name: str, tmp_path: Path) -> None:
    readelf = need("readelf")
    data = corpus.content(name)
    shape = oldlayout.shape(data)
    table = int.from_bytes(
        data[shape.shoff : shape.shoff + shape.word], "little" if shape.order == "<" else "big"
    )
    assert table < len(data) - 26 * 40
    (tmp_path / "sample.ko").write_bytes(data)
    shown = subprocess.run([readelf, "-SrsW", tmp_path / "sample.ko"], capture_output=True, text=True)
    assert shown.stderr == "" and "__this_module" in shown.stdout


@pytest.mark.parametrize(
    ("name", "options"), [("amd64.pkcs7", ["sha256"]), ("amd64.pkcs7-keyid", ["-k", "sha512"])]
)
def test_pkcs7_recipe_is_what_sign_file_makes(name: str, options: list[str], tmp_path: Path) -> None:
    tool = need("sign-file")
    module = tmp_path / "module.ko"
    module.write_bytes(corpus.content("amd64-6.1.ko"))
    key, certificate = corpus.KEYS / "signer.key.pem", corpus.KEYS / "signer.cert.pem"
    subprocess.run([tool, *options, key, certificate, module], check=True)
    assert module.read_bytes() == corpus.content(name)


@pytest.mark.parametrize("name", [s.name for s in corpus.select("signed") if "compressed" not in s.tags])
def test_modinfo_sees_the_signature(name: str, tmp_path: Path) -> None:
    modinfo = need("modinfo")
    (tmp_path / "module.ko").write_bytes(corpus.content(name))
    shown = subprocess.run([modinfo, tmp_path / "module.ko"], capture_output=True, text=True, check=True)
    expected = "sig_id:         " + SIG_IDS[corpus.samples()[name].formats[0] or ""]
    seen = expected in shown.stdout
    # kmod 30 shows nothing of a signature that names its signer by subject key id.
    assert seen == (name != "amd64.pkcs7-keyid")
