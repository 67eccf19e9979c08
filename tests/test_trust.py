"""Key rings from files and directories: forms, ids, roles, pins, revocation, and what is refused."""

from __future__ import annotations

import hashlib
import os
import subprocess
from base64 import b64encode
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, mldsa, x25519
from hypothesis import given
from hypothesis import strategies as st

from elfsig.crypto import certificate as certificates
from elfsig.crypto.names import name_text
from elfsig.errors import KeySourceError, ParseError
from elfsig.model import Key
from elfsig.trust import der_forms, efi, ima, make
from elfsig.trust.entries import Material, Origin
from elfsig.trust.keyring import SOURCES, fingerprints, load, read_source
from elfsig.trust.ring import Ring
from tests.support.keysources import certificate, ec_key, rsa_key, spki
from tests.support.keysources import pem as armour
from tests.support.tools import need

ORIGIN = Origin("here")
CERT = certificate()
SHA256_TYPE, X509_TYPE = "c1c41626-504c-4092-aca9-41f936934328", "a5c059a1-94e4-4aa7-87b5-ab155c2bf072"
X509_SHA256_TYPE = "3bd2a492-96c0-4079-b420-fcf98ef103ed"


def keys(data: bytes) -> tuple[Key, ...]:
    return read_source(data, ORIGIN).keys


def esl(kind: str, *entries: bytes) -> bytes:
    """An EFI signature list."""
    body = b"".join(bytes(16) + each for each in entries)
    sizes = (28 + len(body), 0, 16 + len(entries[0]))
    return UUID(kind).bytes_le + b"".join(n.to_bytes(4, "little") for n in sizes) + body


# --------------------------------------------------------------------------- forms


PKCS1 = rsa_key().public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1)
FORMS = {
    "certificate DER": CERT,
    "certificate PEM": armour("CERTIFICATE", CERT),
    "text before the PEM": b"Certificate:\n    Data:\n" + armour("CERTIFICATE", CERT),
    "trusted certificate": armour("TRUSTED CERTIFICATE", CERT + b"\x30\x00"),
    "public key PEM": armour("PUBLIC KEY", spki(rsa_key())),
    "public key DER": spki(rsa_key()),
    "RSA public key PEM": armour("RSA PUBLIC KEY", PKCS1),
    "RSA public key DER": PKCS1,
    "kernel blob": make.digsig_blob(
        rsa_key().public_key().public_numbers().n, rsa_key().public_key().public_numbers().e
    ),
    "EFI list": esl(X509_TYPE, CERT),
    "efivarfs": b"\x07\0\0\0" + esl(X509_TYPE, CERT),
    "windows line ends": armour("CERTIFICATE", CERT).replace(b"\n", b"\r\n"),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_one_key(form: str) -> None:
    [key] = read_source(FORMS[form], replace(ORIGIN, name="db")).keys
    assert key.fingerprint == hashlib.sha256(spki(rsa_key())).hexdigest()
    assert (key.algorithm, key.bits, key.source, key.trusted) == ("rsa", rsa_key().key_size, "here", True)


def test_several_in_one_file() -> None:
    other = certificate("other", ec_key())
    assert [k.algorithm for k in keys(CERT + other + CERT)] == ["rsa", "ecdsa", "rsa"]
    assert [
        k.algorithm for k in keys(armour("CERTIFICATE", CERT) + armour("PUBLIC KEY", spki(ec_key())))
    ] == [
        "rsa",
        "ecdsa",
    ]
    assert len(keys(CERT + b"\0\0\0 trailing")) == 1


@pytest.mark.parametrize(
    "private",
    [
        ("TraditionalOpenSSL", None),
        ("TraditionalOpenSSL", b"secret"),
        ("PKCS8", None),
        ("PKCS8", b"secret"),
    ],
)
@pytest.mark.parametrize("encoding", ["PEM", "DER"])
def test_private_keys_are_refused(private: tuple[str, bytes | None], encoding: str) -> None:
    form, password = private
    if form == "TraditionalOpenSSL" and password and encoding == "DER":
        return
    hidden = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    data = rsa_key().private_bytes(
        getattr(serialization.Encoding, encoding), getattr(serialization.PrivateFormat, form), hidden
    )
    with pytest.raises(KeySourceError, match="private key; give the certificate"):
        keys(data)
    with pytest.raises(KeySourceError, match="private key"):
        keys(armour("CERTIFICATE", CERT) + data if encoding == "PEM" else data)


def test_odd_keys() -> None:
    """ML-DSA and EdDSA are known; a key that signs nothing is listed as unusable and no source by itself."""
    assert keys(spki(mldsa.MLDSA65PrivateKey.generate()))[0].algorithm == "mldsa65"
    assert keys(spki(ed25519.Ed25519PrivateKey.generate()))[0].algorithm == "ed25519"
    exchange = spki(x25519.X25519PrivateKey.generate())
    with pytest.raises(KeySourceError, match=r"1\.3\.101\.110 cannot be checked"):
        keys(exchange)
    found = read_source(armour("PUBLIC KEY", exchange) + armour("CERTIFICATE", CERT), ORIGIN)
    assert (len(found.keys), len(found.unusable)) == (1, 1)
    assert Ring(found).unusable[0].public is None


@pytest.mark.parametrize(
    "data", [b"", b"hello\n", b"\x30\x03\x02\x01\x05", armour("CERTIFICATE", b"x"), b"\0" * 64]
)
def test_no_key_is_an_error(data: bytes) -> None:
    with pytest.raises(KeySourceError, match=r"^here"):
        keys(data)


# --------------------------------------------------------------------------- ids


def test_ids_of_a_certificate() -> None:
    [key] = keys(CERT)
    assert key.certificate is not None
    issuer, skid = key.certificate.issuer, key.certificate.skid
    assert skid is not None
    blob = make.digsig_blob(*(getattr(rsa_key().public_key().public_numbers(), n) for n in "ne"))
    assert {
        ("issuer-serial", issuer + b"|" + b"\x2a\x0f"),
        ("skid", skid),
        ("x509-name", b"elfsig test key: " + skid.hex().encode()),
        ("digsig1", hashlib.sha1(blob).digest()[12:]),
        ("digsig2", skid[-4:]),
    } == key.ids
    assert key.certificate.subject_text == "O=elfsig, CN=elfsig test key"
    assert (key.certificate.not_before, key.certificate.not_after) == (1577934245, 4733607845)


def test_digsig1_id_is_what_evmctl_prints(tmp_path: Path) -> None:
    path = tmp_path / "public.pem"
    path.write_bytes(armour("PUBLIC KEY", spki(rsa_key())))
    key_file = tmp_path / "private.pem"
    key_file.write_bytes(
        rsa_key().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    content = tmp_path / "content"
    content.write_bytes(b"some content")
    subprocess.run(
        [
            need("evmctl"),
            "ima_sign",
            "--rsa",
            "--sigfile",
            "-a",
            "sha1",
            "--key",
            str(key_file),
            str(content),
        ],
        check=True,
        capture_output=True,
    )
    signature = (tmp_path / "content.sig").read_bytes()
    assert load([str(path)]).find(("digsig1", signature[8:16]))


def test_bare_keys_are_nameless_for_certificate_ids() -> None:
    ring = Ring(Material(keys(spki(rsa_key()))))
    for kind in ("issuer-serial", "skid", "x509-name", "openpgp"):
        assert ring.nameless(kind) == ring.keys
    assert not ring.nameless("digsig1") and not ring.nameless("digsig2")
    assert not Ring(Material(keys(CERT))).nameless("skid")
    assert Ring(Material(keys(certificate(skid=b"")))).nameless("skid")


def test_trusted_keys_come_first() -> None:
    [key] = keys(CERT)
    ring = Ring(Material((replace(key, vouched=False), key)))
    assert [k.trusted for k in ring.find(next(iter(key.ids)))] == [True, False]
    assert ring.find(("skid", b"nobody")) == ()


# --------------------------------------------------------------------------- odd certificates


def swap(old: bytes, new: bytes) -> bytes:
    assert CERT.count(old) >= 1 and len(old) == len(new)
    return CERT.replace(old, new, 1)


def test_a_certificate_is_never_lost_for_its_oddities() -> None:
    negative = swap(b"\x02\x02\x2a\x0f", b"\x02\x02\xaa\x0f")
    assert certificates.parse(negative).certificate.serial == -22001
    [key] = keys(swap(b"200102030405Z", b"not a time!!!"))
    assert [r.code for r in key.remarks] == ["validity-unreadable"]
    broken_extension = swap(b"\x06\x03\x55\x1d\x0e\x04\x16\x04\x14", b"\x06\x03\x55\x1d\x0e\x04\x16\x04\x7f")
    [key] = keys(broken_extension)
    assert key.certificate is not None and key.certificate.skid is None


def test_names_and_times() -> None:
    assert name_text(b"\x30\x05junk") == "#30056a756e6b"
    assert certificates.seconds(0x17, b"491231235959Z") == 2524607999
    assert certificates.seconds(0x17, b"500101000000Z") == -631152000
    assert certificates.seconds(0x18, b"99991231235959Z") == 253402300799


@pytest.mark.parametrize(
    "text",
    [b"", b"Z", b"2401010000Z", b"240101000000", b"240101000000+0100", b"24 101000000Z", b"+24101000000Z",
     b"241301000000Z", b"240230000000Z", b"240101240000Z", b"240101000060Z", b"24010100000\xb2Z"],
)  # fmt: skip
def test_what_is_not_a_time_in_der_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError):
        certificates.seconds(0x17, text)
    with pytest.raises(ValueError):
        certificates.seconds(0x18, b"20" + text)


@given(st.binary(max_size=200))
def test_der_parsers_raise_nothing_else(data: bytes) -> None:
    for parse in (
        certificates.parse,
        lambda d: der_forms.read_der(d, ORIGIN),
        lambda d: list(efi.entries(d)),
    ):
        with (
            pytest.raises((ParseError, KeySourceError))
            if data
            else pytest.raises((ParseError, AssertionError))
        ):
            parse(data)
            raise ParseError("nothing found")


@given(st.data())
def test_damaged_sources_give_keys_or_key_source_errors(data: st.DataObject) -> None:
    form = bytearray(FORMS[data.draw(st.sampled_from(sorted(FORMS)))])
    for at in data.draw(st.lists(st.integers(0, len(form) - 1), min_size=1, max_size=4)):
        form[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(1, len(form)))
    try:
        found = read_source(bytes(form[:cut]), ORIGIN)
    except KeySourceError:
        return
    assert found.keys or found.revoked_hashes


# --------------------------------------------------------------------------- EFI


def test_efi_list_as_efitools_makes_it(tmp_path: Path) -> None:
    (tmp_path / "c.pem").write_bytes(armour("CERTIFICATE", CERT))
    command = [need("cert-to-efi-sig-list"), str(tmp_path / "c.pem"), str(tmp_path / "db.esl")]
    subprocess.run(command, check=True, capture_output=True)
    [key] = load([str(tmp_path / "db.esl")]).keys
    assert key.certificate is not None and key.certificate.der == CERT
    assert (key.role, key.trusted) == ("platform", True)


def test_efi_hashes_count_only_as_revocations() -> None:
    data = esl(SHA256_TYPE, b"\1" * 32, b"\2" * 32) + esl(X509_SHA256_TYPE, b"\3" * 32 + bytes(16))
    assert read_source(data, Origin("x", "revoked")).revoked_hashes == {
        ("bin", "sha256", b"\1" * 32), ("bin", "sha256", b"\2" * 32), ("tbs", "sha256", b"\3" * 32),
    }  # fmt: skip
    with pytest.raises(KeySourceError, match="no usable key"):
        read_source(data, Origin("x", "platform"))


def test_rsa2048_entries_and_unknown_types() -> None:
    modulus = (1 << 2047) + 12345
    unknown = esl("11111111-2222-3333-4444-555555555555", b"data")
    data = esl("3c5766e8-269c-4e34-aa14-ed776e85b3b6", modulus.to_bytes(256)) + unknown
    [key] = keys(data)
    assert key.public.public_numbers().n == modulus


@pytest.mark.parametrize("at, value", [(16, 5), (16, 0xFFFFFF), (20, 0xFFFF), (24, 0), (24, 16), (24, 17)])
def test_efi_lists_with_lying_sizes(at: int, value: int) -> None:
    data = bytearray(esl(X509_TYPE, CERT))
    data[at : at + 4] = value.to_bytes(4, "little")
    with pytest.raises(ParseError):
        list(efi.entries(bytes(data)))


# --------------------------------------------------------------------------- sources, roles, revocation


def write(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return str(path)


@pytest.mark.parametrize("text", ["", "builtin:", "revoked:"])
def test_no_name_is_not_the_current_directory(text: str) -> None:
    with pytest.raises(KeySourceError, match="no file name"):
        load([text])


def test_an_unknown_prefix_is_answered_with_the_known_ones() -> None:
    with pytest.raises(KeySourceError, match="no such file; keyrings are builtin:, secondary:"):
        load(["shim:nothing.der"])


@pytest.mark.parametrize("role", ["builtin", "secondary", "machine", "platform"])
def test_prefixes_name_the_keyring(tmp_path: Path, role: str) -> None:
    [key] = load([f"{role}:{write(tmp_path / 'c.der', CERT)}"]).keys
    assert (key.role, key.trusted) == (role, True)


@pytest.mark.parametrize(
    "name, role, trusted",
    [
        ("db-d719b2cb-3d3a-4596-a3bc-dad00e67656f", "platform", True),
        ("dbx-d719b2cb-3d3a-4596-a3bc-dad00e67656f", "revoked", False),
        ("MokListRT-605dab50-e046-4300-abb6-3dd810dd8b23", "machine", True),
        ("MokListXRT-605dab50-e046-4300-abb6-3dd810dd8b23", "revoked", False),
        ("dbx.esl", "revoked", False),
        ("other.esl", "user", False),
    ],
)
def test_efi_variables_are_known_by_name(tmp_path: Path, name: str, role: str, trusted: bool) -> None:
    [key] = load([write(tmp_path / name, b"\7\0\0\0" + esl(X509_TYPE, CERT))]).keys
    assert (key.role, key.trusted) == (role, trusted)


def test_revoked_certificates_are_not_trusted(tmp_path: Path) -> None:
    cert = write(tmp_path / "c.der", CERT)
    tbs = hashlib.sha256(certificates.parse(CERT).tbs).digest()
    by_hash = write(tmp_path / "x.esl", esl(X509_SHA256_TYPE, tbs + bytes(16)))
    assert not any(key.trusted for key in load([cert, f"revoked:{cert}"]).keys)
    [key] = load([cert, f"revoked:{by_hash}"]).keys
    assert not key.trusted and key.remarks[-1].code == "key-revoked"
    other = write(tmp_path / "y.esl", esl(X509_SHA256_TYPE, bytes(48)))
    assert load([cert, f"revoked:{other}"]).keys[0].trusted


def test_directories(tmp_path: Path) -> None:
    """Keys anywhere below; what is no public key is passed over; nothing at all is an error."""
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "README").write_text("no key")
    write(tmp_path / "private.pem", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(KeySourceError, match="no key in this directory"):
        load([str(tmp_path)])
    name = write(tmp_path / "deep" / "er" / "c.der", CERT)
    assert [k.source for k in load([f"machine:{tmp_path}"]).keys] == [name]


@pytest.mark.parametrize("bad", ["missing", "fifo", "/dev/null", "empty", "with\0nul"])
def test_unreadable_sources(tmp_path: Path, bad: str) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "empty").touch()
    with pytest.raises(KeySourceError, match=bad):
        load([str(tmp_path / bad)])


def test_tried_keys_are_not_trusted(tmp_path: Path) -> None:
    cert, other = write(tmp_path / "c", CERT), write(tmp_path / "o", certificate("o", ec_key()))
    assert [(k.source, k.trusted) for k in load([other], [cert]).keys] == [(other, True), (cert, False)]


def test_pins(tmp_path: Path) -> None:
    """A pin vouches for one key, wherever it lies, by its key or its certificate, in hex or base64."""
    both = write(tmp_path / "both", CERT + certificate("other", ec_key()))
    key = load([both]).keys[0]
    for digest in fingerprints(key):
        for text in (digest, digest.upper(), b64encode(bytes.fromhex(digest)).decode().rstrip("=")):
            for ring in (load([both, f"SHA256:{text}"]), load([f"SHA256:{text}"], [both])):
                assert [(k.algorithm, k.trusted) for k in ring.keys] == [("rsa", True), ("ecdsa", False)]
    with pytest.raises(KeySourceError, match="no key with this fingerprint"):
        load([both, "SHA256:" + "00" * 32])
    with pytest.raises(KeySourceError, match="no key with this fingerprint"):
        load(["SHA256:" + key.fingerprint])
    with pytest.raises(KeySourceError, match="not a SHA-256 fingerprint"):
        load([both, "SHA256:abc"])


def test_the_same_key_twice_is_one_key(tmp_path: Path) -> None:
    for name in ("a.pem", "b.pem"):
        write(tmp_path / name, armour("CERTIFICATE", CERT))
    assert [k.source for k in load([str(tmp_path)]).keys] == [str(tmp_path / "a.pem")]
    assert len(load([str(tmp_path)], [str(tmp_path)]).keys) == 2


def test_merkle_roots() -> None:
    [root] = load(["merkle:" + "ab" * 32 + "/12"]).merkle_roots
    assert (root.digest, root.levels) == (b"\xab" * 32, 12)
    for bad in ("merkle:", "merkle:ab/3", "merkle:" + "ab" * 32, "merkle:" + "ab" * 32 + "/99"):
        with pytest.raises(KeySourceError, match="merkle:HEX/LEVELS"):
            load([bad])


def test_ima_blob_with_lying_lengths() -> None:
    blob = FORMS["kernel blob"]
    for bad in (blob[:-1], blob + b"x", blob[:9], blob[:7] + b"\0\0" + blob[9:], blob[:-5] + b"\0\2\1\0\4"):
        with pytest.raises(ParseError):
            ima.read(bad, ORIGIN)


def test_every_source_is_found_by_its_sniffer() -> None:
    kinds = {next(s.name for s in SOURCES if s.sniff(data)) for data in FORMS.values()}
    assert kinds == {"PEM", "DER", "IMA key", "EFI signature list"}
