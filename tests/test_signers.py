"""Private keys from files: every encoding, encrypted ones, and certificates that belong or do not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from elfsig.crypto.pkcs1 import digest_info
from elfsig.errors import SigningError
from elfsig.model import Signer
from elfsig.signers import open_signer, passphrase
from elfsig.signers.pem import FileSigner, load_signer
from tests.support import cms as craft
from tests.support.cms import identity, private

RSA = identity()
KEY, CERT = RSA.pem()


def silent(name: str) -> bytes:
    raise AssertionError(f"asked for the passphrase of {name}")


def encoded(
    encoding: Encoding, form: PrivateFormat, password: bytes | None = None, kind: str = "rsa"
) -> bytes:
    made: bytes = private(kind).private_bytes(
        encoding, form, BestAvailableEncryption(password) if password else NoEncryption()
    )
    return made


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
@pytest.mark.parametrize("kind", ["rsa", "dsa", "p256"])
def test_every_encoding(kind: str, encoding: Encoding, form: PrivateFormat) -> None:
    who = identity(kind)
    for cert in (who.certificate, who.pem()[1]):
        signer = load_signer(encoded(encoding, form, kind=kind), cert, silent)
        assert signer.certificate is not None
        assert signer.certificate.der == who.certificate
        assert isinstance(signer, Signer)
        signer.sign_digest(b"d" * 32, "sha256")


@pytest.mark.parametrize(
    ("kind", "algorithm", "bits"),
    [
        ("rsa1024", "rsa", 1024),
        ("p384", "ecdsa", 384),
        ("ed448", "ed448", 456),
        ("mldsa65", "mldsa65", 15616),
    ],
)
def test_what_kind_of_key(kind: str, algorithm: str, bits: int) -> None:
    signer = load_signer(*identity(kind).pem(), silent)
    assert (signer.algorithm, signer.key_bits) == (algorithm, bits)


def test_one_file_for_both() -> None:
    other = identity("rsa", 1).pem()[1]
    for together in (KEY + CERT, CERT + KEY, b"some text\n" + other + CERT + KEY):
        for cert in (None, together):
            signer = load_signer(together, cert, silent)
            assert signer.certificate is not None
            assert signer.certificate.der == RSA.certificate
    assert load_signer(KEY, None, silent).certificate is None


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_encrypted(encoding: Encoding) -> None:
    forms = [PrivateFormat.PKCS8] + ([PrivateFormat.TraditionalOpenSSL] if encoding is Encoding.PEM else [])
    for form in forms:
        key = encoded(encoding, form, b"secret")
        assert load_signer(key, CERT, lambda name: b"secret").key_bits == 2048
        for wrong in (b"else", b""):
            with pytest.raises(SigningError, match=r"key\.pem: .*passphrase is wrong"):
                load_signer(key, CERT, lambda name, given=wrong: given, key_name="key.pem")  # type: ignore[misc]


@pytest.mark.parametrize(
    ("key", "cert", "text"),
    [
        (KEY, identity("rsa", 1).certificate, "does not belong to the key"),
        (KEY + identity("rsa", 1).pem()[1], None, "does not belong to the key"),
        (KEY, b"junk", "not a certificate"),
        (KEY, KEY, "no certificate"),
        (KEY, RSA.certificate[:-5], "not a certificate"),
        (CERT, CERT, "no private key"),
        (RSA.certificate, CERT, "not a private key"),
        (b"", CERT, "not a private key"),
        (KEY[:100] + KEY[104:], CERT, "not a private key"),
    ],
)
def test_what_is_refused(key: bytes, cert: bytes | None, text: str) -> None:
    with pytest.raises(SigningError, match=text):
        load_signer(key, cert, silent)


def test_validity_is_a_remark() -> None:
    for years, code in (((2001, 2016), "certificate-expired"), ((2099, 2120), "certificate-not-yet-valid")):
        cert = craft.issued(private(), years=years).certificate
        assert [r.code for r in load_signer(KEY, cert, silent).remarks] == [code]
    assert not load_signer(KEY, CERT, silent).remarks


def test_raw_block_and_hash_without_library_support() -> None:
    signer = load_signer(KEY, CERT, silent)
    block = b"\0\1" + b"\xff" * 200 + b"\0" + b"x" * 53
    numbers = RSA.private.public_key().public_numbers()
    value = signer.sign_block(block)
    assert pow(int.from_bytes(value, "big"), numbers.e, numbers.n).to_bytes(256, "big") == block
    opened = pow(int.from_bytes(signer.sign_digest(b"d" * 20, "rmd160"), "big"), numbers.e, numbers.n)
    assert opened.to_bytes(256, "big").endswith(b"\xff\0" + digest_info("rmd160", b"d" * 20))
    with pytest.raises(SigningError, match="block of 5 bytes"):
        signer.sign_block(b"12345")


def test_damaged_key_gives_no_signature() -> None:
    """Keys are loaded without the proof that their numbers fit; what they sign is checked instead."""
    good = load_signer(KEY, CERT, silent)
    forged = FileSigner(private("rsa", 1), good.public, "rsa", 2048, good.certificate)
    with pytest.raises(SigningError, match="damaged"):
        forged.sign_digest(b"d" * 32, "sha256")


def test_open_signer_by_path(tmp_path: Path) -> None:
    (tmp_path / "k.pem").write_bytes(encoded(Encoding.PEM, PrivateFormat.PKCS8, b"secret"))
    (tmp_path / "c.der").write_bytes(RSA.certificate)
    asked: list[str] = []

    def ask(name: str) -> bytes:
        asked.append(name)
        return b"secret"

    path = str(tmp_path / "k.pem")
    assert open_signer(path, str(tmp_path / "c.der"), ask=ask).algorithm == "rsa"
    assert asked == [path]
    with pytest.raises(SigningError, match=r"none\.pem: no such file"):
        open_signer(str(tmp_path / "none.pem"))
    with pytest.raises(SigningError, match="is a directory"):
        open_signer(str(tmp_path))


def test_passphrase_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(passphrase.VARIABLE, "geheim ü")
    assert passphrase.ask("key") == "geheim ü".encode()


@pytest.mark.parametrize(("name", "what"), [("k.pem", "passphrase"), ("pkcs11:token=T", "PIN")])
def test_without_terminal_it_fails_and_does_not_wait(name: str, what: str) -> None:
    script = f"from elfsig.signers.passphrase import ask; ask({name!r})"
    environ = {k: v for k, v in os.environ.items() if k != passphrase.VARIABLE}
    environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    found = subprocess.run(
        [sys.executable, "-c", script],
        env=environ,
        stdin=subprocess.PIPE,
        capture_output=True,
        start_new_session=True,
        timeout=30,
        check=False,
    )
    assert f"{name} needs a {what}: set KBUILD_SIGN_PIN" in found.stderr.decode()
