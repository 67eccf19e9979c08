"""``elfsig keys``: list, extract, match, as a user runs them."""

from __future__ import annotations

import gzip
import json
import subprocess
from pathlib import Path

import pytest

import corpus
from elfsig import audit
from tests.support.cli import elfsig, validator
from tests.support.cms import identity, issued, private
from tests.support.keysources import bzimage, certificate, certificate_list, ec_key, rsa_key, spki, unpacked
from tests.support.keysources import pem as armour
from tests.support.schema import parsed
from tests.support.tools import need
from tests.support.verdicts import signed

ONE, TWO = certificate("one"), certificate("two", ec_key())
SIGNER, OTHER, CURVE = (corpus.KEYS / f"{name}.cert.pem" for name in ("signer", "other", "curve"))


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A boot image with a list of two certificates."""
    content = unpacked(certificate_list([ONE, TWO]))
    path = tmp_path / "vmlinuz"
    path.write_bytes(bzimage(gzip.compress(content)))
    return path


def test_list(image: Path) -> None:
    ran = elfsig("keys", "list", image)
    assert ran.code == 0
    for word in (
        "role:        builtin",
        "algorithm:   ecdsa secp256r1",
        "CN=two",
        "valid:       2020-01-02T03:04:05Z",
    ):
        assert word in ran.out
    keys = parsed(elfsig("keys", "list", "--json", image).out)["keys"]
    assert [(k["role"], k["algorithm"], k["certificate"]["serial"]) for k in keys] == [
        ("builtin", "rsa", "2a0f"),
        ("builtin", "ecdsa", "2a0f"),
    ]


def test_list_without_a_key_is_an_error(tmp_path: Path) -> None:
    ran = elfsig("keys", "list", tmp_path)
    assert (ran.code, ran.out) == (2, "")
    assert "no key in this directory" in ran.err


def test_extract(image: Path, tmp_path: Path) -> None:
    """What is written is what openssl reads; nothing is replaced unasked."""
    bare = tmp_path / "bare.pem"
    bare.write_bytes(armour("PUBLIC KEY", spki(rsa_key(5))))
    out = tmp_path / "out"
    assert elfsig("keys", "extract", image, bare, "-o", out).code == 0
    files = sorted(out.iterdir())
    assert [f.name.partition("-")[0] for f in files] == ["builtin", "builtin", "user"]
    assert {f.read_bytes() for f in files if f.suffix == ".der"} == {ONE, TWO}
    subprocess.run([need("openssl"), "pkey", "-pubin", "-noout", "-in", files[2]], check=True)
    files[0].write_bytes(b"precious")
    files[1].unlink()
    again = elfsig("keys", "extract", image, "-o", out)
    assert again.code != 0 and "--force" in again.err
    assert files[0].read_bytes() == b"precious" and not files[1].exists()
    assert elfsig("keys", "extract", "--pem", "--force", image, "-o", out).code == 0
    for each in out.glob("builtin-*.pem"):
        subprocess.run([need("openssl"), "x509", "-noout", "-in", each], check=True)


def test_match(tmp_path: Path) -> None:
    """By mathematics; by id alone when the content was changed; and none."""
    good, changed = tmp_path / "good.ko", tmp_path / "changed.ko"
    good.write_bytes(corpus.content("amd64.pkcs7"))
    changed.write_bytes(corpus.content("content-changed"))
    keys = [SIGNER, OTHER, CURVE]
    ran = elfsig("keys", "match", good, *keys)
    assert ran.code == 0 and "made by" in ran.out
    [match] = parsed(elfsig("keys", "match", "--json", good, *keys).out)["matches"]
    assert (match["by"], match["contradicted"], len(match["keys"])) == ("mathematics", False, 1)
    [match] = parsed(elfsig("keys", "match", "--json", changed, *keys).out)["matches"]
    assert (match["by"], match["contradicted"]) == ("id", True)
    assert elfsig("keys", "match", changed, *keys).code == 1
    wrong = next(k for k in keys if str(k) != match["keys"][0]["source"])
    ran = elfsig("keys", "match", good, wrong)
    assert ran.code == 4 and "not made by any of the given keys" in ran.out
    changed.write_bytes(corpus.content("sig-len-huge"))
    ran = elfsig("keys", "match", changed, *keys)
    assert ran.code == 1 and "pkcs7: malformed: sig_len " in ran.out
    unsigned = corpus.SAMPLES / "amd64-6.1.ko"
    ran = elfsig("keys", "match", unsigned, *keys)
    assert ran.code == 1 and "no signature" in ran.out


def test_extract_keeps_every_certificate_of_a_key(tmp_path: Path) -> None:
    old, new = (issued(private("rsa", 4), "renewed", serial=n) for n in (1, 2))
    both, out, module = tmp_path / "both.pem", tmp_path / "out", tmp_path / "m.ko"
    both.write_bytes(armour("CERTIFICATE", old.certificate) + armour("CERTIFICATE", new.certificate))
    assert elfsig("keys", "extract", both, "-o", out).code == 0
    assert {each.read_bytes() for each in out.iterdir()} == {old.certificate, new.certificate}
    for who in (old, new):
        module.write_bytes(signed(who))
        assert elfsig("verify", module, "--trust", out).code == 0


# --------------------------------------------------------------------------- damaged sources


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A bundle of which the second certificate is damaged: that of the signer of ``m.ko``."""
    (tmp_path / "m.ko").write_bytes(signed(identity()))
    other, lost = armour("CERTIFICATE", TWO), armour("CERTIFICATE", identity().certificate)
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(other + lost.replace(b"MII", b"M*I", 1))
    return bundle


LOSING = {
    "verify": ("verify", "m.ko", "--trust", "bundle.pem"),
    "verify for a kernel": ("verify", "m.ko", "--trust", "bundle.pem", "--kernel", "6.12"),
    "audit": ("audit", "m.ko", "--trust", "bundle.pem"),
    "audit of a kernel": ("audit", "m.ko", "--trust", "bundle.pem", "--kernel", "6.12"),
    "audit by a policy": ("audit", "m.ko", "--policy", "policy.toml"),
    "explain": ("explain", "m.ko", "--trust", "bundle.pem"),
    "keys match": ("keys", "match", "m.ko", "bundle.pem"),
    "keys extract": ("keys", "extract", "bundle.pem", "-o", "out"),
    "keys list": ("keys", "list", "bundle.pem"),
    "evidence": ("evidence", "m.ko", "--trust", "bundle.pem", "-o", "out"),
    "convert": ("convert", "m.ko", "--trust", "bundle.pem", "--to", "pkcs7", "--key", "k.pem", "-o", "out"),
    "coverage": ("coverage", "m.ko", "--trust", "bundle.pem", "--prove"),
    "attach": ("attach", "m.ko", "--from", "m.ko", "--trust", "bundle.pem", "-o", "out"),
    "survey": ("survey", "m.ko", "--trust", "bundle.pem"),
}


@pytest.mark.parametrize("words", LOSING.values(), ids=LOSING)
def test_what_a_key_source_lost_is_said_by_every_command(words: tuple[str, ...], damaged: Path) -> None:
    folder = damaged.parent
    (folder / "k.pem").write_bytes(b"".join(identity("rsa", 3).pem()))
    (folder / "policy.toml").write_text('version = 1\n[[rule]]\npath = "**"\ntrust = ["bundle.pem"]\n')
    ran = elfsig(*words, cwd=folder)
    said = (ran.out + ran.err).count("base64")
    assert said == 1, ran


@pytest.mark.parametrize("words", ["audit", "coverage", "keys match", "explain"])
@pytest.mark.parametrize("form", ["--json", "--jsonl"])
def test_what_a_key_source_lost_is_in_the_json(words: str, form: str, damaged: Path) -> None:
    ran = elfsig(*LOSING[words], form, cwd=damaged.parent)
    found = [json.loads(line) for line in ([ran.out] if form == "--json" else ran.out.splitlines())]
    for each in found:
        validator().validate(each)
    assert sum(json.dumps(each).count("base64") for each in found) == 1


def test_the_library_s_audit_says_what_a_key_source_lost(damaged: Path) -> None:
    [loss] = audit(damaged.parent / "m.ko", damaged).losses
    assert loss.file == str(damaged) and "base64" in loss.reason
