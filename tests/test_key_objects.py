"""Keys and certificates as objects and bytes, where the command line has files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import x25519
from cryptography.hazmat.primitives.serialization import load_pem_private_key

import corpus
import elfsig

KEY, CERT = corpus.KEYS / "signer.key.pem", corpus.KEYS / "signer.cert.pem"
OTHER = corpus.KEYS / "other.cert.pem"
SIGNED, PLAIN = corpus.content("amd64.pkcs7"), corpus.content("amd64-6.1.ko")

PRIVATE = load_pem_private_key(KEY.read_bytes(), None)
CERTIFICATE = x509.load_pem_x509_certificate(CERT.read_bytes())


@pytest.mark.parametrize("key", [str(KEY), KEY, KEY.read_bytes(), bytearray(KEY.read_bytes()), PRIVATE])
@pytest.mark.parametrize("cert", [str(CERT), CERT, CERT.read_bytes(), CERTIFICATE])
def test_every_form_of_a_key_and_its_certificate_signs_alike(key: Any, cert: Any) -> None:
    assert elfsig.sign(PLAIN, "pkcs7", elfsig.open_signer(key, cert)).content == SIGNED


def test_a_certificate_in_the_file_of_the_key_is_found_in_bytes_too() -> None:
    both = KEY.read_bytes() + CERT.read_bytes()
    assert elfsig.sign(PLAIN, "pkcs7", elfsig.open_signer(both)).content == SIGNED


@pytest.mark.parametrize("key", [PRIVATE, KEY.read_bytes(), KEY])
@pytest.mark.parametrize("cert", [OTHER, x509.load_pem_x509_certificate(OTHER.read_bytes())])
def test_a_certificate_of_another_key_is_refused(key: Any, cert: Any) -> None:
    with pytest.raises(elfsig.SigningError, match="does not belong"):
        elfsig.open_signer(key, cert)


def test_a_key_that_makes_no_signatures_is_named() -> None:
    with pytest.raises(elfsig.SigningError, match="cannot make signatures"):
        elfsig.open_signer(x25519.X25519PrivateKey.generate())


@pytest.mark.parametrize("key", [None, 7, object(), PRIVATE.public_key(), CERTIFICATE, [KEY]])
def test_a_wrong_type_of_key_is_a_usage_error(key: Any) -> None:
    with pytest.raises(elfsig.UsageError, match="not a private key"):
        elfsig.open_signer(key)


@pytest.mark.parametrize("cert", [7, object(), PRIVATE, [CERT]])
def test_a_wrong_type_of_certificate_is_a_usage_error(cert: Any) -> None:
    with pytest.raises(elfsig.UsageError, match="not a certificate"):
        elfsig.open_signer(KEY, cert)


def test_pem_in_a_str_is_told_from_a_path() -> None:
    with pytest.raises(elfsig.UsageError, match="pass it as bytes"):
        elfsig.open_signer(KEY.read_text())
    with pytest.raises(elfsig.UsageError, match="pass it as bytes"):
        elfsig.open_signer(KEY, CERT.read_text())


@pytest.mark.parametrize("key", ["missing.pem", Path("missing.pem"), "nul\0.pem", b"", b"nonsense", SIGNED])
def test_what_cannot_be_read_is_a_signing_error(key: Any) -> None:
    with pytest.raises(elfsig.SigningError):
        elfsig.open_signer(key)
