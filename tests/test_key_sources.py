"""What ``trust=`` and ``keys=`` take: files, bytes, streams, certificates, key objects, rings, any number."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import corpus
import elfsig
from tests.support.cli import elfsig as command

CERT, OTHER = corpus.KEYS / "signer.cert.pem", corpus.KEYS / "other.cert.pem"
SIGNED, PLAIN = corpus.content("amd64.pkcs7"), corpus.content("amd64-6.1.ko")
CERTIFICATE = x509.load_pem_x509_certificate(CERT.read_bytes())
OF_OTHER = x509.load_pem_x509_certificate(OTHER.read_bytes())
PUBLIC = CERTIFICATE.public_key()
FINGERPRINT = elfsig.list_keys(CERT)[0].fingerprint

FORMS: dict[str, Callable[[], Any]] = {
    "str": lambda: str(CERT),
    "path": lambda: CERT,
    "pem": CERT.read_bytes,
    "der": lambda: CERTIFICATE.public_bytes(Encoding.DER),
    "bytearray": lambda: bytearray(CERT.read_bytes()),
    "memoryview": lambda: memoryview(CERT.read_bytes()),
    "stream": lambda: io.BytesIO(CERT.read_bytes()),
    "certificate": lambda: CERTIFICATE,
    "public key": lambda: PUBLIC,
    "public key in PEM": lambda: PUBLIC.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    "ring": lambda: elfsig.keyring(CERT),
    "list": lambda: [OTHER, CERTIFICATE],
    "tuple": lambda: (OF_OTHER, PUBLIC, CERT.read_bytes()),
    "generator": lambda: (each for each in (OTHER, CERT)),
    "rings": lambda: [elfsig.keyring(OTHER), elfsig.keyring(CERTIFICATE)],
    "pin": lambda: [f"SHA256:{FINGERPRINT}", CERTIFICATE, OF_OTHER],
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_source_gives_the_same_verdict(form: str) -> None:
    report = elfsig.verify(SIGNED, trust=FORMS[form]())
    assert report.verdict is elfsig.Verdict.VALID
    key = report.require_valid().key
    assert key is not None and key.fingerprint == FINGERPRINT and key.trusted


@pytest.mark.parametrize("form", [form for form in FORMS if form not in ("ring", "rings", "pin")])
def test_every_form_may_be_only_tried(form: str) -> None:
    assert elfsig.verify(SIGNED, keys=FORMS[form]()).verdict is elfsig.Verdict.UNTRUSTED


@pytest.mark.parametrize("form", FORMS)
def test_rings_are_values(form: str) -> None:
    ring, again = elfsig.keyring(FORMS[form]()), elfsig.keyring(FORMS[form]())
    assert isinstance(ring, elfsig.Keyring)
    assert ring == again and hash(ring) == hash(again)
    restored = pickle.loads(pickle.dumps(ring))
    assert restored == ring and restored.keys == ring.keys
    assert elfsig.verify(SIGNED, trust=restored).verdict is elfsig.Verdict.VALID
    assert len(repr(ring)) < 1500
    assert ring != elfsig.keyring(OTHER)


def test_a_pin_leaves_only_what_it_names() -> None:
    ring = elfsig.keyring([f"SHA256:{FINGERPRINT}", OF_OTHER, CERTIFICATE])
    assert ring is not None
    assert [key.fingerprint for key in ring.keys if key.trusted] == [FINGERPRINT]
    with pytest.raises(elfsig.KeySourceError):
        elfsig.keyring([f"SHA256:{'00' * 32}", CERTIFICATE])


def test_the_json_of_a_ring_is_that_of_the_command_line() -> None:
    written = json.loads(command("keys", "list", "--json", str(CERT), str(OTHER)).out)
    listed = elfsig.list_keys([str(CERT), str(OTHER)])
    ring = elfsig.keyring([str(CERT), str(OTHER)])
    assert ring is not None and [*ring.keys, *ring.unusable] == list(listed)
    for key, line in zip(listed, written["keys"], strict=True):
        assert key.to_json().items() <= line.items()
    assert ring.to_json()["keys"] == [key.to_json() for key in listed]
    assert ring.to_json()["losses"] == written["losses"]
    assert ring.to_json()["revoked_hashes"] == written["revoked_hashes"]
    assert ring.to_json().keys() <= written.keys()


@pytest.mark.parametrize("source", [7, 1.5, None, object(), {"a": CERT}, [7], [None], [[CERT]], [CERT, {}]])
def test_a_wrong_type_is_a_usage_error(source: Any) -> None:
    for call in (elfsig.keyring, elfsig.list_keys, lambda each: elfsig.verify(SIGNED, trust=each)):
        with pytest.raises(elfsig.UsageError, match="not a key source"):
            call(source)
    with pytest.raises(elfsig.UsageError, match="not a key source"):
        elfsig.verify(SIGNED, keys=source)


def test_what_is_nearly_a_source_is_told() -> None:
    private = rsa.generate_private_key(65537, 2048)
    with pytest.raises(elfsig.KeySourceError, match="public_key"):
        elfsig.keyring(private)  # type: ignore[call-overload]
    with pytest.raises(elfsig.UsageError, match="as bytes"):
        elfsig.keyring(CERT.read_text())
    with CERT.open() as text, pytest.raises(elfsig.UsageError, match="binary"):
        elfsig.keyring(text)
    with pytest.raises(elfsig.KeySourceError, match="cannot make signatures"):
        elfsig.keyring(x25519.X25519PrivateKey.generate().public_key())


@pytest.mark.parametrize(
    "source", [b"", b"nonsense", "missing.pem", Path("missing.pem"), "nul\0", SIGNED, b"\x30\x80"]
)
def test_a_source_without_a_key_is_a_key_source_error(source: Any) -> None:
    with pytest.raises(elfsig.KeySourceError):
        elfsig.keyring(source)
    with pytest.raises(elfsig.KeySourceError):
        elfsig.keyring(keys=[CERT, source])


def test_a_path_object_has_no_prefix(tmp_path: Path) -> None:
    odd = tmp_path / "platform:x.pem"
    odd.write_bytes(CERT.read_bytes())
    ring = elfsig.keyring(odd)
    assert [key.keyring for key in ring.keys] == ["user"]


def test_no_sources_are_no_ring() -> None:
    assert elfsig.keyring() is None
    assert elfsig.keyring([], ()) is None
    assert elfsig.list_keys([]) == ()
    assert elfsig.verify(SIGNED, trust=[]).verdict is elfsig.Verdict.UNCHECKED


def test_streams_of_revocations_revoke(tmp_path: Path) -> None:
    revoked = f"revoked:{CERT}"
    assert elfsig.verify(SIGNED, trust=[CERTIFICATE, revoked]).verdict is not elfsig.Verdict.VALID
    ring = elfsig.keyring(revoked)
    assert elfsig.verify(SIGNED, trust=[CERTIFICATE, ring]).verdict is not elfsig.Verdict.VALID
