"""Keys that cannot be checked with, or not for this: they are named, end no run, and cost no other key.

The numbers are OpenSSL's limits (include/openssl/rsa.h), the restriction is that of RFC 4055 1.2.
"""

from __future__ import annotations

import json
import pickle
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from elfsig.envelopes.cms.envelope import Cms
from elfsig.errors import KeySourceError
from elfsig.model import Outcome, Verdict
from elfsig.trust.entries import Origin
from elfsig.trust.keyring import load, read_source
from elfsig.trust.make import digsig_blob
from elfsig.trust.ring import Ring
from tests.support import cms as craft
from tests.support.cli import elfsig
from tests.support.cms import CONTENT, Identity, issued, message, private
from tests.support.keysources import pem
from tests.support.verdicts import MODULE, signed

RSA = "1.2.840.113549.1.1.1"
GOOD = issued(private("rsa"), "good", serial=7)
DER = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def bit_string(data: bytes) -> bytes:
    return craft.tlv(3, b"\0" + data)


def rsa_spki(modulus: int, exponent: int, identifier: bytes | None = None) -> bytes:
    """A SubjectPublicKeyInfo with these numbers."""
    body = craft.tlv(0x30, craft.integer(modulus), craft.integer(exponent))
    return craft.tlv(0x30, identifier or craft.algorithm(RSA, craft.NULL), bit_string(body))


def ec_spki(curve: str) -> bytes:
    identifier = craft.algorithm("1.2.840.10045.2.1", craft.oid(curve))
    return craft.tlv(0x30, identifier, bit_string(b"\4" + bytes(range(56))))


def with_key(who: Identity, key: bytes) -> bytes:
    """The certificate of ``who`` with another SubjectPublicKeyInfo; its own signature is wrong then."""
    old = who.parsed.public_key().public_bytes(*DER)
    tbs = who.parsed.tbs_certificate_bytes
    body = craft.tlv(0x30, tbs[tbs.index(b"\xa0\3\2\1\2") :].replace(old, key))
    return craft.tlv(0x30, body, craft.algorithm("1.2.840.113549.1.1.11", craft.NULL), bit_string(b"x"))


def pss_certificate(who: Identity, parameters: bytes = b"") -> bytes:
    numbers = who.parsed.public_key().public_numbers()  # type: ignore[union-attr]
    return with_key(who, rsa_spki(numbers.n, numbers.e, craft.algorithm(craft.RSASSA_PSS, parameters)))  # type: ignore[union-attr]


@cache
def huge() -> int:
    return (1 << 66000) + 1


HUGE: dict[str, Callable[[], bytes]] = {
    "certificate": lambda: with_key(GOOD, rsa_spki(huge(), 65537)),
    "public key": lambda: rsa_spki(huge(), 65537),
    "exponent": lambda: rsa_spki(huge(), huge() - 2),
    "public key PEM": lambda: pem("PUBLIC KEY", rsa_spki(huge(), 65537)),
    "RSA public key PEM": lambda: pem(
        "RSA PUBLIC KEY", craft.tlv(0x30, craft.integer(huge()), craft.integer(65537))
    ),
    "IMA key": lambda: digsig_blob((1 << 65534) + 1, 65537),
}


def ring_of(*sources: bytes) -> Ring:
    return Ring(read_source(b"".join(pem("CERTIFICATE", each) for each in sources), Origin("keys.pem")))


def outcome(blob: bytes, ring: Ring, content: bytes = CONTENT) -> Outcome:
    [signature] = Cms().parse(blob, None)
    return Cms().verify(signature, message(content), ring)


def blob(who: Identity) -> bytes:
    return craft.cms(craft.signer_info(who))


# --------------------------------------------------------------------------- keys beyond the limits


@pytest.mark.parametrize("form", HUGE)
def test_a_huge_key_is_no_key_and_ends_no_run(form: str) -> None:
    started = time.monotonic()
    with pytest.raises(KeySourceError, match=r"no usable key: an RSA key of 6\d+ bits: .* more than 16384"):
        read_source(HUGE[form](), Origin("here"))
    assert time.monotonic() - started < 5


def test_a_huge_key_in_a_directory_is_one_loss(tmp_path: Path) -> None:
    (tmp_path / "a.der").write_bytes(GOOD.certificate)
    (tmp_path / "c.der").write_bytes(HUGE["certificate"]())
    ring = load([str(tmp_path)])
    assert ([key.label for key in ring.keys], len(ring.unusable), len(ring.losses)) == (["good"], 1, 1)
    assert outcome(blob(GOOD), ring).verdict is Verdict.VALID
    module = tmp_path / "m.ko"
    module.write_bytes(signed(GOOD))
    ran = elfsig("verify", module, "--trust", tmp_path)
    assert ran.code == 0 and "an RSA key of 66001 bits" in ran.out
    assert elfsig("keys", "list", tmp_path).code == 0


def test_nothing_is_signed_with_a_huge_key(tmp_path: Path) -> None:
    module, certificate = tmp_path / "m.ko", tmp_path / "c.der"
    module.write_bytes(MODULE)
    certificate.write_bytes(HUGE["certificate"]())
    for form in ("pkcs7", "note"):
        ran = elfsig("sign", module, "--prepare", tmp_path / "out", "--cert", certificate, "--format", form)
        assert ran.code != 0 and "an RSA key of 66001 bits" in ran.err and "internal error" not in ran.err


@pytest.mark.parametrize(
    ("bits", "exponent", "usable"),
    [(16384, 17, True), (16385, 17, False), (3072, 2000, True), (3080, 64, True), (3080, 65, False)],
)
def test_the_limits_of_openssl(bits: int, exponent: int, usable: bool) -> None:
    """With more, OpenSSL calls every value a mismatch: nothing is verified, and nothing invalid."""
    key = rsa_spki((1 << bits - 1) + 1, (1 << exponent - 1) + 1)
    found = read_source(pem("PUBLIC KEY", key) + pem("CERTIFICATE", GOOD.certificate), Origin("here"))
    assert (len(found.keys), len(found.unusable)) == ((2, 0) if usable else (1, 1))


@pytest.mark.parametrize(
    ("key", "why"),
    [
        (lambda: ec_spki("1.3.132.0.32"), "elliptic curve secp224k1 cannot be checked here"),
        (lambda: ec_spki("1.3.132.0.99"), r"elliptic curve 1\.3\.132\.0\.99 cannot be checked here"),
        (
            lambda: rsa_spki(5, 3).replace(b"\2\1\5", b"\2\2\0\5").replace(b"\x30\x1a", b"\x30\x1b", 1),
            "refuses the encoding of this rsaEncryption public key: ASN.1 parsing error",
        ),
    ],
)
def test_why_a_key_is_unusable(key: Callable[[], bytes], why: str) -> None:
    with pytest.raises(KeySourceError, match=why) as caught:
        read_source(pem("PUBLIC KEY", key()), Origin("here"))
    assert RSA not in caught.value.text


# --------------------------------------------------------------------------- signatures that name them


@pytest.mark.parametrize("directory", [False, True])
def test_the_signer_s_key_is_there_and_cannot_be_used(directory: bool, tmp_path: Path) -> None:
    lost = with_key(issued(private("p256"), "tiny", serial=9), ec_spki("1.3.132.0.32"))
    (tmp_path / "a.pem").write_bytes(pem("CERTIFICATE", GOOD.certificate) + pem("CERTIFICATE", lost))
    if directory:
        (tmp_path / "a.pem").write_bytes(pem("CERTIFICATE", GOOD.certificate))
        (tmp_path / "b.der").write_bytes(lost)
    ring = load([str(tmp_path) if directory else str(tmp_path / "a.pem")])
    found = outcome(blob(issued(private("p256"), "tiny", serial=9)), ring)
    assert (found.verdict, found.cause and found.cause.code) == (Verdict.UNSUPPORTED, "key-unusable")
    assert found.reason == (
        'the signer\'s key "tiny" cannot be used (elliptic curve secp224k1 cannot be checked here)'
    )
    module = tmp_path / "m.ko"
    module.write_bytes(signed(issued(private("p256"), "tiny", serial=9)))
    ran = elfsig("verify", module, "--trust", tmp_path)
    assert ran.code == 4 and ran.out.count("secp224k1 cannot be checked here") == 1 + directory


def test_a_bare_key_that_cannot_be_tried_is_not_said_not_to_have_made_it() -> None:
    data = pem("CERTIFICATE", GOOD.certificate) + pem("PUBLIC KEY", ec_spki("1.3.132.0.32"))
    ring = Ring(read_source(data, Origin("keys.pem")))
    found = outcome(blob(issued(private("p256"), "who")), ring)
    assert found.verdict is Verdict.UNKNOWN_KEY and found.cause is not None
    assert found.cause.code == "keys-untried" and "secp224k1" in (found.reason or "")
    plain = outcome(blob(issued(private("rsa", 5), "who")), ring)
    assert (plain.reason, plain.cause) == ("not made by any of the given keys", None)


# --------------------------------------------------------------------------- another certificate of the key


OLD, NEW = (issued(private("rsa", 4), "renewed", serial=n) for n in (1, 2))


def test_a_renewed_certificate_is_said_to_be_of_the_same_key(tmp_path: Path) -> None:
    found = outcome(blob(OLD), ring_of(GOOD.certificate, NEW.certificate))
    assert (found.verdict, found.cause and found.cause.code) == (Verdict.UNKNOWN_KEY, "other-id")
    assert found.key is not None and found.key.label == "renewed"
    assert found.reason == 'the key of "renewed" (from keys.pem) made it, but it names another certificate'
    other = outcome(blob(OLD), ring_of(NEW.certificate), CONTENT + b"x")
    assert other.verdict is Verdict.UNKNOWN_KEY and (other.reason or "").startswith("not made by any of")
    module, new = tmp_path / "m.ko", tmp_path / "new.der"
    module.write_bytes(signed(OLD))
    new.write_bytes(NEW.certificate)
    ran = elfsig("verify", module, "--trust", new)
    assert ran.code == 4 and "not made by any" not in ran.out and "names another certificate" in ran.out
    ran = elfsig("keys", "match", module, new)
    assert ran.code == 0 and "made by" in ran.out and "whose id it does not name" in ran.out
    [match] = json.loads(elfsig("keys", "match", "--json", module, new).out)["matches"]
    assert (match["by"], match["signature"]["verdict"]) == ("mathematics", "unknown-key")


# --------------------------------------------------------------------------- keys for RSASSA-PSS only


def test_a_key_for_pss_verifies_nothing_else(tmp_path: Path) -> None:
    certificate = pss_certificate(GOOD)
    ring = ring_of(certificate)
    assert ring.keys[0].algorithm == "rsa-pss" and pickle.loads(pickle.dumps(ring)) == ring
    found = outcome(blob(GOOD), ring)
    assert (found.verdict, found.cause and found.cause.code) == (Verdict.UNSUPPORTED, "key-restricted")
    assert outcome(blob(GOOD), ring, CONTENT + b"x").verdict is Verdict.INVALID
    assert outcome(craft.cms(craft.pss_info(GOOD, "sha256", 32)), ring).verdict is Verdict.VALID
    embedding = craft.cms(craft.signer_info(GOOD), certificates=[certificate])
    assert outcome(embedding, ring).verdict is Verdict.UNSUPPORTED
    module, source = tmp_path / "m.ko", tmp_path / "pss.der"
    module.write_bytes(signed(GOOD))
    source.write_bytes(certificate)
    ran = elfsig("verify", module, "--trust", source, "--kernel", "6.12")
    assert "unsupported" in ran.out and "restricted to RSASSA-PSS" in ran.out and "ENOPKG" in ran.out


@pytest.mark.parametrize(
    ("hash_name", "salt", "verdict"),
    [
        ("sha256", 32, Verdict.VALID),
        ("sha256", 40, Verdict.VALID),
        ("sha256", 20, Verdict.UNSUPPORTED),
        ("sha512", 32, Verdict.UNSUPPORTED),
    ],
)
def test_parameters_of_a_key_for_pss_are_demanded(hash_name: str, salt: int, verdict: Verdict) -> None:
    ring = ring_of(pss_certificate(GOOD, craft.pss_parameters("sha256", 32)))
    assert outcome(craft.cms(craft.pss_info(GOOD, hash_name, salt)), ring).verdict is verdict


def test_the_restriction_of_a_bare_key_is_extracted(tmp_path: Path) -> None:
    numbers = GOOD.private.public_key().public_numbers()
    restricted = craft.algorithm(craft.RSASSA_PSS, craft.pss_parameters("sha256", 32))
    (tmp_path / "k.pem").write_bytes(pem("PUBLIC KEY", rsa_spki(numbers.n, numbers.e, restricted)))
    first = load([str(tmp_path / "k.pem")]).keys[0]
    assert elfsig("keys", "extract", tmp_path / "k.pem", "-o", tmp_path / "out").code == 0
    again = load([str(tmp_path / "out")]).keys[0]
    assert (again.algorithm, again.restriction) == ("rsa-pss", first.restriction)
    assert again.fingerprint == first.fingerprint != load_plain().fingerprint
    found = outcome(blob(GOOD), load([str(tmp_path / "k.pem")]))
    assert found.verdict is Verdict.UNSUPPORTED


def load_plain() -> Any:
    return ring_of(GOOD.certificate).keys[0]


def test_sign_warns_of_a_certificate_for_pss(tmp_path: Path) -> None:
    module, key, certificate = tmp_path / "m.ko", tmp_path / "k.pem", tmp_path / "c.der"
    module.write_bytes(MODULE)
    key.write_bytes(GOOD.pem()[0])
    certificate.write_bytes(pss_certificate(GOOD))
    words = ("--key", key, "--cert", certificate, "--format", "pkcs7", "-o", tmp_path / "o.ko")
    ran = elfsig("sign", module, *words)
    assert ran.code == 0 and "restricts its key to RSASSA-PSS" in ran.err


# --------------------------------------------------------------------------- the issuer instead of the signer


def test_the_issuer_is_given_and_its_leaf_is_not(tmp_path: Path) -> None:
    inter = issued(private("rsa", 6), "inter", serial=3)
    leaf = issued(private("rsa", 7), "leaf", inter, ca=False, serial=0x77)
    found = outcome(blob(leaf), ring_of(inter.certificate))
    assert (found.verdict, found.cause and found.cause.code) == (Verdict.UNKNOWN_KEY, "certificate-missing")
    assert outcome(blob(leaf), ring_of(GOOD.certificate)).cause is None
    module, source = tmp_path / "m.ko", tmp_path / "inter.der"
    module.write_bytes(signed(leaf))
    source.write_bytes(inter.certificate)
    ran = elfsig("verify", module, "--trust", source, "--kernel", "6.12")
    assert 'names a certificate that "inter" issued, not the given one of that name' in ran.out
    assert 'inter.der holds "inter" (serial 03) itself, not the one that it issued' in ran.out
