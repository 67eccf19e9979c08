"""GnuPG 1.4 and 2.x as judge of what elfsig makes, and as maker of what elfsig judges."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from elfsig.cli.app import elfsig
from elfsig.envelopes.encrypted_digest import EncryptedDigest, open_with
from elfsig.envelopes.openpgp.envelope import OpenPgp
from elfsig.envelopes.openpgp.make import make_ring
from elfsig.errors import SigningError
from elfsig.model import SignOptions, Verdict
from elfsig.signers.gpg import GpgSigner, parse_key
from elfsig.trust.openpgp import read
from elfsig.verbs.keys.openpgp_ring import public_ring
from tests.support.gnupg import Home, home
from tests.support.openpgp import Keys, message, signer
from tests.support.vectors import ROOT, vector
from tests.support.vectors import read as vector_file

CONTENT = b"a module's bytes " * 20
MESSAGE = message(CONTENT)
PROGRAMS = ("gpg", "gpg1")
KINDS = ("rsa1024", "rsa2048", "dsa1024", "dsa2048")


@pytest.fixture(scope="module", params=PROGRAMS)
def judge(request: pytest.FixtureRequest) -> Iterator[Home]:
    """A GnuPG that holds the rings elfsig makes for keys without an OpenPGP form of their own."""
    with home(request.param, [make_ring(signer(kind), f"Test {kind}") for kind in KINDS]) as made:
        yield made


@pytest.fixture(scope="module")
def second() -> Iterator[Home]:
    """GnuPG 2 with secret keys of its own."""
    with home("gpg") as made:
        made.generate("dsa-key", "dsa1024", "sign")
        made.generate("rsa-key", "rsa2048", "sign")
        made.add_subkey("rsa-key", "rsa2048", "encr")
        made.add_subkey("rsa-key", "rsa2048", "sign")
        made.generate("twin one", "rsa2048", "sign")
        made.generate("twin two", "rsa2048", "sign")
        made.generate("curve-key", "ed25519", "sign")
        made.generate("locked-key", "rsa2048", "sign", passphrase="secret")
        made.run("--import", stdin=vector_file("keys/rsa1024.secret-test-key.gpg"))
        yield made


@pytest.fixture(scope="module")
def first(second: Home) -> Iterator[Home]:
    """GnuPG 1.4 with the same DSA and RSA keys."""
    secret = second.run("--export-secret-keys", "dsa-key", "rsa-key")
    with home("gpg1", [secret]) as made:
        yield made


def keys_of(at: Home) -> Keys:
    return Keys(read(at.run("--export"), "ring", "user", True))


# --------------------------------------------------------------------------- GnuPG judges


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize(
    ("kind", "digest"),
    [
        (kind, digest)
        for kind in KINDS
        for digest in ("sha1", "sha256", "sha512", "rmd160")
        if kind != "dsa2048" or digest in ("sha256", "sha512")  # GnuPG refuses hashes shorter than q
    ],
)
def test_gnupg_accepts_what_elfsig_makes(judge: Home, kind: str, digest: str, version: int) -> None:
    wish = SignOptions(hash=digest, packet_version=version)
    blob, _ = OpenPgp().create(MESSAGE, signer(kind), wish)
    assert judge.accepts(blob, CONTENT)
    assert not judge.accepts(blob, CONTENT + b"!")


def test_gnupg_lists_the_ring_under_the_key_id_that_signatures_name(judge: Home) -> None:
    blob, _ = OpenPgp().create(MESSAGE, signer("rsa2048"), SignOptions())
    (made,) = OpenPgp().parse(blob, None)
    assert made.key_id is not None
    assert judge.fingerprint("Test rsa2048").endswith(made.key_id.hex().upper())


# --------------------------------------------------------------------------- GnuPG makes


@pytest.mark.parametrize("digest", ["sha1", "sha256"])
@pytest.mark.parametrize("name", ["dsa-key", "rsa-key"])
def test_elfsig_accepts_what_gnupg_2_makes(second: Home, name: str, digest: str) -> None:
    maker = GpgSigner(name, second.path)
    assert maker.algorithm == name[:3]
    blob, _ = OpenPgp().create(MESSAGE, maker, SignOptions(hash=digest, created=4_000_000_000))
    (made,) = OpenPgp().parse(blob, None)
    assert (made.hash, made.created, made.facts["packet_version"]) == (digest, 4_000_000_000, 4)
    assert OpenPgp().verify(made, MESSAGE, keys_of(second)).verdict is Verdict.VALID


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("digest", ["sha1", "sha256"])
@pytest.mark.parametrize("name", ["dsa-key", "rsa-key"])
def test_elfsig_accepts_what_gnupg_1_makes(first: Home, name: str, digest: str, version: int) -> None:
    maker = GpgSigner(name, first.path, "gpg1")
    blob, _ = OpenPgp().create(MESSAGE, maker, SignOptions(hash=digest, packet_version=version))
    (made,) = OpenPgp().parse(blob, None)
    assert (made.hash, made.facts["packet_version"]) == (digest, version)
    assert OpenPgp().verify(made, MESSAGE, keys_of(first)).verdict is Verdict.VALID


def test_the_primary_key_signs_since_kernels_ignore_subkeys(second: Home) -> None:
    blob, _ = OpenPgp().create(MESSAGE, GpgSigner("rsa-key", second.path), SignOptions())
    (made,) = OpenPgp().parse(blob, None)
    assert made.key_id is not None
    assert second.fingerprint("rsa-key").endswith(made.key_id.hex().upper())


def test_a_subkey_signs_when_it_is_named(second: Home) -> None:
    lines = second.run("--with-colons", "--list-keys", "rsa-key").decode().splitlines()
    subkeys = [line.split(":") for line in lines if line.startswith("sub")]
    name = next(fields[4] for fields in subkeys if fields[11] == "s")
    blob, _ = OpenPgp().create(MESSAGE, GpgSigner(name, second.path), SignOptions())
    (made,) = OpenPgp().parse(blob, None)
    assert made.key_id == bytes.fromhex(name)


def test_the_ring_of_a_key_in_gnupg_is_exported(second: Home) -> None:
    (key, *subkeys) = read(public_ring(GpgSigner("rsa-key", second.path)), "ring", "user", True)
    assert (key.label, len(subkeys)) == ("rsa-key", 2)


@pytest.mark.parametrize(
    ("name", "wish", "text"),
    [
        ("nobody", SignOptions(), "has no key 'nobody'"),
        ("twin", SignOptions(), "names 2 keys"),
        ("curve-key", SignOptions(), "EdDSA key"),
        ("locked-key", SignOptions(), "no terminal"),
        ("rsa-key", SignOptions(packet_version=3), "v4 signatures only"),
        ("rsa-key", SignOptions(created=1_000_000_000), "created after the requested signing time"),
    ],
)
def test_what_gnupg_cannot_do_is_said(second: Home, name: str, wish: SignOptions, text: str) -> None:
    maker = GpgSigner(name, second.path)
    with pytest.raises(SigningError, match=text):
        assert maker.algorithm
        OpenPgp().create(MESSAGE, maker, wish)


def test_a_missing_program_is_said() -> None:
    with pytest.raises(SigningError, match="No such file"):
        assert GpgSigner("x", program="no-such-gpg").key_bits


def test_the_words_of_the_key_option() -> None:
    found = parse_key("gpg1:ABCD")
    assert found is not None
    assert (found.keyid, found.program) == ("ABCD", "gpg1")
    assert parse_key("key.pem") is None
    with pytest.raises(SigningError, match="missing"):
        parse_key("gpg:")


# --------------------------------------------------------------------------- the encrypted digest


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_encrypted_digest_opens_and_proves_nothing(first: Home, second: Home, program: str) -> None:
    at = first if program == "gpg1" else second
    maker = GpgSigner("rsa-key", at.path, program)
    blob, _ = EncryptedDigest().create(MESSAGE, maker, SignOptions())
    (made,) = EncryptedDigest().parse(blob, None)
    for content, word in ((CONTENT, "digest-fits"), (CONTENT + b"!", "digest-differs")):
        outcome = open_with(made, message(content), maker.decrypt)
        assert outcome.verdict is Verdict.NOT_A_SIGNATURE
        assert [remark.code for remark in outcome.remarks] == [word]


def test_the_article_s_own_message_opens(second: Home) -> None:
    """Made by GnuPG 1.4 without integrity protection, as in 2004; GnuPG 2 must be asked to open that."""
    entry = vector("gkh-lj-i386")
    (found,) = EncryptedDigest().parse(vector_file(entry["signature"]), None)
    content = vector_file("streams/gkh-snap-i386-rsa-v4.bin")
    outcome = open_with(found, message(content), GpgSigner("rsa1024", second.path).decrypt)
    assert [remark.code for remark in outcome.remarks] == ["digest-fits"]
    assert not found.facts["integrity_protected"]


def test_without_the_secret_key_nothing_opens(second: Home, judge: Home) -> None:
    blob, _ = EncryptedDigest().create(MESSAGE, GpgSigner("rsa-key", second.path), SignOptions())
    (made,) = EncryptedDigest().parse(blob, None)
    with pytest.raises(SigningError, match="cannot decrypt"):
        open_with(made, MESSAGE, GpgSigner("Test rsa2048", judge.path, judge.program).decrypt)


def test_a_key_without_encryption_subkey_is_said(second: Home) -> None:
    with pytest.raises(SigningError, match="subkey for encryption"):
        EncryptedDigest().create(MESSAGE, GpgSigner("dsa-key", second.path), SignOptions())


def test_decrypt_key_on_the_command_line(second: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GNUPGHOME", str(second.path))
    line = ["verify", str(ROOT / "modules" / "gkh-lj-i386.ko"), "--decrypt-key"]
    opened = CliRunner().invoke(elfsig, [*line, "gpg:rsa1024"])
    assert "not-a-signature" in opened.output
    assert "the digest inside is that of this content" in opened.output
    closed = CliRunner().invoke(elfsig, [*line, "gpg:rsa-key"])
    assert "not-a-signature" in closed.output
    assert "which is not rsa-key" in closed.output
