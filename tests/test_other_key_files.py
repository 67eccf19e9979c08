"""Private keys in PKCS#12 and OpenPGP files, and what is given in place of a key: read, or named.

GnuPG and OpenSSL make the files; what is signed with them is verified with the public keys they export.
"""

from __future__ import annotations

import hashlib
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.decrepit.ciphers import algorithms as old
from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

import corpus
from elfsig.envelopes.openpgp.packets import read_packets, write_packet
from elfsig.errors import ElfsigError, SigningError
from elfsig.signers import open_signer
from elfsig.signers.openpgp_file import read_secret
from elfsig.signers.pem import load_signer
from tests.support.cms import identity
from tests.support.run import run
from tests.support.tools import need

MODULE = corpus.SAMPLES / "amd64-6.1.ko"
KEY, CERT = identity().pem()
PASSPHRASE = "open sesame"


def silent(name: str) -> bytes:
    raise AssertionError(f"asked for the passphrase of {name}")


def answer(name: str) -> bytes:
    return PASSPHRASE.encode()


# --------------------------------------------------------------------------- PKCS#12


@pytest.fixture(scope="module")
def p12(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., bytes]:
    folder = tmp_path_factory.mktemp("p12")
    (folder / "k.pem").write_bytes(KEY)
    (folder / "c.pem").write_bytes(CERT)
    (folder / "ca.pem").write_bytes(identity("rsa", 1).pem()[1])

    def export(password: str, *words: str) -> bytes:
        out = folder / "out.p12"
        subprocess.run(
            [need("openssl"), "pkcs12", "-export", "-inkey", "k.pem", "-in", "c.pem", "-certfile", "ca.pem",
             "-passout", f"pass:{password}", "-out", out, *words],
            cwd=folder, check=True, capture_output=True,
        )  # fmt: skip
        return out.read_bytes()

    return export


PROTECTIONS = (
    (), ("-legacy",), ("-keypbe", "PBE-SHA1-3DES", "-certpbe", "PBE-SHA1-3DES", "-macalg", "sha1"),
    ("-keypbe", "AES-128-CBC", "-certpbe", "NONE"),
)  # fmt: skip


@pytest.mark.parametrize("words", PROTECTIONS)
def test_pkcs12_gives_key_and_certificate(words: tuple[str, ...], p12: Callable[..., bytes]) -> None:
    signer = load_signer(p12(PASSPHRASE, *words), None, answer)
    assert (signer.algorithm, signer.key_bits) == ("rsa", 2048)
    assert signer.certificate is not None and signer.certificate.der == identity().certificate


def test_pkcs12_without_a_password_asks_for_none(p12: Callable[..., bytes]) -> None:
    assert load_signer(p12(""), None, silent).certificate is not None
    bare = p12("", "-keypbe", "NONE", "-certpbe", "NONE", "-nomac")
    assert load_signer(bare, None, silent).certificate is not None


def test_pkcs12_signs_what_openssl_made(p12: Callable[..., bytes], tmp_path: Path) -> None:
    key, cert, signed = tmp_path / "k.pfx", tmp_path / "c.pem", tmp_path / "s.ko"
    key.write_bytes(p12(PASSPHRASE))
    cert.write_bytes(CERT)
    how = ("--format", "pkcs7", "--key", key)
    ran = run("sign", MODULE, "-o", signed, *how, env={"KBUILD_SIGN_PIN": PASSPHRASE})
    assert ran.code == 0, ran.err
    assert run("verify", signed, "--trust", cert).code == 0


def test_pkcs12_that_cannot_be_used_is_named(p12: Callable[..., bytes]) -> None:
    good = p12(PASSPHRASE)
    for wrong in (b"else", b""):
        with pytest.raises(SigningError, match=r"k\.p12: a PKCS#12 file .*passphrase is wrong"):
            load_signer(good, None, lambda name, given=wrong: given, key_name="k.p12")  # type: ignore[misc]
    with pytest.raises(SigningError, match="PKCS#12 file without a private key"):
        load_signer(p12("", "-nokeys"), None, silent)


# --------------------------------------------------------------------------- OpenPGP


class Gpg:
    """GnuPG with a home of its own."""

    def __init__(self, home: Path) -> None:
        home.mkdir(mode=0o700)
        self.home = home

    def __call__(self, *words: str, passphrase: str = "") -> bytes:
        command = [need("gpg"), "-q", "--batch", "--homedir", str(self.home), "--pinentry-mode", "loopback"]
        done = subprocess.run(
            [*command, "--passphrase", passphrase, *words], check=True, capture_output=True
        )  # fmt: skip
        return done.stdout


@pytest.fixture(scope="module")
def gpg(tmp_path_factory: pytest.TempPathFactory) -> Gpg:
    return Gpg(tmp_path_factory.mktemp("gpg") / "home")


KINDS = {
    "rsa2048": ("rsa", 2048), "dsa1024": ("dsa", 1024), "nistp256": ("ecdsa", 256),
    "nistp384": ("ecdsa", 384), "brainpoolP256r1": ("ecdsa", 256), "ed25519": ("ed25519", 256),
}  # fmt: skip


@pytest.mark.parametrize("passphrase", ["", PASSPHRASE])
@pytest.mark.parametrize("kind", KINDS)
def test_openpgp_as_gnupg_exports_it(kind: str, passphrase: str, gpg: Gpg) -> None:
    name = f"{kind} {bool(passphrase)}"
    gpg("--quick-gen-key", name, kind, "sign", passphrase=passphrase)
    asked: list[str] = []

    def ask(which: str) -> bytes:
        asked.append(which)
        return passphrase.encode()

    for armour in ((), ("--armor",)):
        data = gpg(*armour, "--export-secret-keys", name, passphrase=passphrase)
        signer = load_signer(data, None, ask, key_name="k.gpg")
        assert (signer.algorithm, signer.key_bits) == KINDS[kind]
        public = next(read_packets(gpg("--export", name))).body
        assert signer.key_created == int.from_bytes(public[1:5])
        if signer.algorithm != "ed25519":
            signer.sign_digest(b"d" * 32, "sha256")
        if signer.algorithm == "rsa":
            assert public[8:].startswith(signer.public.public_numbers().n.to_bytes(256))
    assert len(asked) == (2 if passphrase else 0)


@pytest.mark.parametrize(("kind", "format_"), [("rsa2048", "crypto-pgp"), ("dsa1024", "redhat")])
def test_a_signature_has_the_key_id_that_gnupg_knows(
    kind: str, format_: str, gpg: Gpg, tmp_path: Path
) -> None:
    """The time in the key decides its id: taken from the file, nothing is to be given on the command line."""
    name = f"signs {format_}"
    gpg("--quick-gen-key", name, kind, "sign", passphrase=PASSPHRASE)
    key, ring, signed = tmp_path / "k.asc", tmp_path / "ring.gpg", tmp_path / "s.ko"
    key.write_bytes(gpg("--armor", "--export-secret-keys", name, passphrase=PASSPHRASE))
    ring.write_bytes(gpg("--export", name))
    how = ("--format", format_, "--hash", "sha1", "--key", key, "-o", signed, MODULE)
    ran = run("sign", *how, env={"KBUILD_SIGN_PIN": PASSPHRASE})
    assert ran.code == 0, ran.err
    assert run("verify", signed, "--trust", ring).code == 0
    made = tmp_path / "made.gpg"
    assert run("keys", "openpgp", key, "-o", made, env={"KBUILD_SIGN_PIN": PASSPHRASE}).code == 0
    assert next(read_packets(made.read_bytes())).body == next(read_packets(ring.read_bytes())).body


CIPHERS = {
    2: (old.TripleDES, 24, 8), 3: (old.CAST5, 16, 8), 4: (old.Blowfish, 16, 8), 7: (algorithms.AES, 16, 16),
    8: (algorithms.AES, 24, 16), 9: (algorithms.AES, 32, 16), 12: (old.Camellia, 24, 16),
}  # fmt: skip
HASHES = {1: "md5", 2: "sha1", 8: "sha256", 10: "sha512"}


def locked(body: bytes, usage: int, cipher: int, kind: int, hash_: int) -> bytes:
    """An unprotected secret key's body, protected: RFC 4880 3.7.1 and 5.5.3 word by word."""
    end = read_secret(body).end
    secret, salt, vector = body[end + 1 : -2], b"saltsalt", bytes(range(CIPHERS[cipher][2]))
    make, size, _ = CIPHERS[cipher]
    text = (salt if kind else b"") + PASSPHRASE.encode()
    count = (16 + (0x65 & 15)) << ((0x65 >> 4) + 6)
    stream = text if kind != 3 else (text * (count // len(text) + 1))[:count]
    key, zeros = b"", 0
    while len(key) < size:
        key += hashlib.new(HASHES[hash_], bytes(zeros) + stream).digest()
        zeros += 1
    tail = hashlib.sha1(secret).digest() if usage == 254 else (sum(secret) & 0xFFFF).to_bytes(2)
    encryptor = Cipher(make(key[:size]), CFB(vector)).encryptor()
    specifier = bytes([kind, hash_]) + (salt if kind else b"") + (b"\x65" if kind == 3 else b"")
    head = bytes([usage, cipher]) + specifier if usage >= 254 else bytes([cipher])
    return body[:end] + head + vector + encryptor.update(secret + tail) + encryptor.finalize()


def fresh(gpg: Gpg, name: str, kind: str = "rsa2048", use: str = "sign") -> bytes:
    gpg("--quick-gen-key", name, kind, use)
    return gpg("--export-secret-keys", name)


def test_every_protection_of_the_specification(gpg: Gpg) -> None:
    data = fresh(gpg, "protections")
    body = next(read_packets(data)).body
    plain = load_signer(data, None, silent)
    ways = [(usage, cipher, kind, 2) for usage in (254, 255) for cipher in CIPHERS for kind in (0, 1, 3)]
    ways += [(254, 9, 3, hash_) for hash_ in HASHES] + [(7, 7, 0, 1), (3, 3, 0, 1)]
    for usage, cipher, kind, hash_ in ways:
        protected = write_packet(5, locked(body, usage, cipher, kind, hash_))
        assert load_signer(protected, None, answer).public == plain.public, (usage, cipher, kind, hash_)
        with pytest.raises(SigningError, match="passphrase is wrong"):
            load_signer(protected, None, lambda name: b"else")


def test_which_key_of_a_file_signs(gpg: Gpg) -> None:
    """A primary key that only certifies, and a subkey that signs; then the primary's secret is left out."""
    gpg("--quick-gen-key", "certifies", "rsa3072", "cert")
    listed = gpg("--with-colons", "--list-keys", "certifies").decode()
    finger = next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr"))
    gpg("--quick-add-key", finger, "rsa2048", "encr")
    with pytest.raises(SigningError, match="no key in it can sign"):
        load_signer(gpg("--export-secret-keys", "certifies"), None, silent)
    gpg("--quick-add-key", finger, "rsa2048", "sign")
    for words in ("--export-secret-keys", "--export-secret-subkeys"):
        assert load_signer(gpg(words, "certifies"), None, silent).key_bits == 2048


def test_a_secret_that_is_elsewhere_is_said_to_be(gpg: Gpg) -> None:
    body = next(read_packets(fresh(gpg, "elsewhere"))).body
    end = read_secret(body).end
    for mode, words in ((1, "is not in the file"), (2, "is on a card")):
        stub = write_packet(5, body[:end] + b"\xff\x00\x65\x00GNU" + bytes([mode]) + b"\0")
        with pytest.raises(SigningError, match=words):
            load_signer(stub, None, silent)


def test_damaged_files_are_errors_and_never_more(gpg: Gpg, p12: Callable[..., bytes]) -> None:
    draw = random.Random(4880)
    for data in (fresh(gpg, "damaged"), fresh(gpg, "curve", "nistp256"), p12(PASSPHRASE)):
        tried = [data[:size] for size in range(0, len(data), max(1, len(data) // 40))]
        for _ in range(150):
            changed = bytearray(data)
            changed[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
            tried.append(bytes(changed))
        for each in tried:
            try:
                signer = load_signer(each, None, answer)
                signer.sign_digest(b"d" * 32, "sha256")
            except ElfsigError:
                continue


# --------------------------------------------------------------------------- named, and read all the same


def armoured(label: str) -> bytes:
    return f"-----BEGIN {label}-----\nMAA=\n-----END {label}-----\n".encode()


def test_key_and_certificate_in_each_others_place() -> None:
    with pytest.raises(SigningError, match="key and certificate are swapped") as caught:
        load_signer(CERT, KEY, silent, key_name="a", cert_name="b")
    assert caught.value.hint == "key-and-cert"


@pytest.mark.parametrize(
    ("data", "words", "hint"),
    [
        (CERT, "a certificate, not a private key", "as-cert"),
        (armoured("TSS2 PRIVATE KEY"), "only its TPM", None),
        (armoured("OPENSSH PRIVATE KEY"), "ssh-keygen -p", None),
        (b"\xfe\xed\xfe\xed\0\0\0\2", "a Java key store: convert it with keytool", None),
        (b"(21:protected-private-key(3:rsa", "GnuPG's own store: name it to GnuPG", None),
        (b"#!/bin/sh\n", "a script for /bin/sh", None),
    ],
)  # fmt: skip
def test_what_is_not_a_key_is_named(data: bytes, words: str, hint: str | None) -> None:
    with pytest.raises(SigningError, match=words) as caught:
        load_signer(data, None, silent)
    assert caught.value.hint == hint


def test_a_key_given_as_certificate_is_named(tmp_path: Path) -> None:
    key = tmp_path / "k.pem"
    key.write_bytes(KEY)
    how = ("--format", "pkcs7", "--key", key, "--cert", key)
    ran = run("sign", MODULE, "-o", tmp_path / "s.ko", *how)
    assert ran.code == 1 and "no certificate in this file, which is a private key" in ran.err
    assert "pass it with --key" in ran.err


def test_text_from_windows_and_bundles_are_read() -> None:
    """A byte-order mark, UTF-16, CRLF, and certificates in a PKCS#7 bundle."""
    bundle = [
        x509.load_der_x509_certificate(c) for c in (identity("rsa", 1).certificate, identity().certificate)
    ]
    certificates = [
        CERT, b"\xef\xbb\xbf" + CERT, CERT.decode().replace("\n", "\r\n").encode("utf-16"),
        *(pkcs7.serialize_certificates(bundle, form) for form in (Encoding.PEM, Encoding.DER)),
    ]  # fmt: skip
    for key in (KEY, b"\xef\xbb\xbf" + KEY, KEY.decode().encode("utf-16"), KEY.replace(b"\n", b"\r\n")):
        for cert in certificates:
            signer = load_signer(key, cert, silent)
            assert signer.certificate is not None
            assert signer.certificate.der == identity().certificate


def test_the_library_takes_them_in_memory(gpg: Gpg, p12: Callable[..., bytes]) -> None:
    for data in (p12(""), fresh(gpg, "in memory")):
        assert open_signer(data).key_bits == 2048
