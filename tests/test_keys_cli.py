"""``elfsig keys``: list, extract, match, as a user runs them."""

from __future__ import annotations

import gzip
import subprocess
from pathlib import Path

import pytest

import corpus
from tests.support.cli import elfsig
from tests.support.cms import issued, private
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
