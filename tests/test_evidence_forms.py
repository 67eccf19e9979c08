"""recheck.sh on every form of signature: algorithms, attributes, chains, several signers, packets, proofs."""

from __future__ import annotations

import hashlib
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

import corpus
from corpus.recipes import trailer
from elfsig.envelopes.openpgp.make import make_ring
from elfsig.model import SignOptions
from elfsig.signers.pem import FileSigner
from elfsig.verbs.edit.sign import sign
from tests.support import cms as craft
from tests.support import vectors
from tests.support.authentic import DIRECTORY, KEYS, asked
from tests.support.cms import identity, issued, private
from tests.support.opened import opened
from tests.support.openpgp import signer as throwaway
from tests.support.rechecks import Checked, index, recheck, tools, unpacked
from tests.support.run import run
from tests.support.signed import REGISTRY
from tests.support.tools import need

PLAIN = corpus.content("amd64-6.1.ko")


@pytest.fixture
def bin_(tmp_path: Path) -> Path:
    return tools(tmp_path / "tools")


def pem(folder: Path, certificate: bytes, name: str = "trusted.pem") -> Path:
    path = folder / name
    path.write_bytes(craft.Identity(None, certificate).parsed.public_bytes(Encoding.PEM))
    return path


def bundled(folder: Path, *words: str | Path) -> Path:
    done = run("evidence", *words, "-o", folder / "case.tar", "--no-cage")
    assert done.code == 0, done.err
    return unpacked(folder / "case.tar", folder / "unpacked")


def confirmed(folder: Path, path: Path, content: bytes, *words: str | Path) -> tuple[str, Checked]:
    """The verdict on a module with this content, and what recheck.sh says of it."""
    (folder / "x.ko").write_bytes(content)
    found = bundled(folder, folder / "x.ko", *words)
    [(_, verdict, _)] = index(found)
    done = recheck(found, path, "-v")
    assert done.err == "" and done.code in (0, 1, 2), done.err
    return verdict, done


def appended(blob: bytes, content: bytes = PLAIN) -> bytes:
    return content + trailer(blob, id_type=2)


@cache
def openssl_verifies(kind: str) -> bool:
    """Whether the openssl here has an algorithm: ML-DSA came with 3.5."""
    spki = private(kind).public_key().public_bytes(Encoding.DER, _spki())
    done = subprocess.run(
        [need("openssl"), "pkey", "-pubin", "-inform", "DER", "-noout"], input=spki, check=False,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    return done.returncode == 0


def _spki() -> Any:
    from cryptography.hazmat.primitives.serialization import PublicFormat

    return PublicFormat.SubjectPublicKeyInfo


# --------------------------------------------------------------------------- CMS

ALGORITHMS = ("rsa", "rsa1024", "p256", "p384", "p521", "ed25519", "ed448", "mldsa44", "mldsa87")


@pytest.mark.parametrize("changed", [False, True], ids=["good", "bad"])
@pytest.mark.parametrize("attributed", [False, True], ids=["plain", "attributes"])
@pytest.mark.parametrize("kind", ALGORITHMS)
def test_every_algorithm(kind: str, attributed: bool, changed: bool, tmp_path: Path, bin_: Path) -> None:
    who = identity(kind)
    attrs = craft.attributes(PLAIN, "sha512") if attributed else None
    content = PLAIN[:-1] + bytes([PLAIN[-1] ^ 1]) if changed else PLAIN
    blob = craft.cms(craft.signer_info(who, PLAIN, "sha512", attrs=attrs))
    trusted = pem(tmp_path, who.certificate)
    verdict, done = confirmed(tmp_path, bin_, appended(blob, content), "--trust", trusted)
    assert verdict == ("invalid" if changed else "valid"), done.out
    if openssl_verifies(kind) or (attributed and changed):
        assert (done.code, set(done.words.values())) == (0, {"confirmed"}), done.out
    else:
        assert (done.code, set(done.words.values())) == (2, {"not confirmed"}), done.out
        assert "openssl does not read this kind of key" in done.out


@pytest.mark.parametrize("hash_name", ["sha1", "sha224", "sha384", "sha3-256", "sha3-512"])
def test_every_hash(hash_name: str, tmp_path: Path, bin_: Path) -> None:
    who = identity("rsa")
    blob = craft.cms(craft.signer_info(who, PLAIN, hash_name))
    verdict, done = confirmed(tmp_path, bin_, appended(blob), "--trust", pem(tmp_path, who.certificate))
    assert (verdict, done.code) == ("valid", 0), done.out


@pytest.mark.parametrize("changed", [False, True], ids=["good", "bad"])
@pytest.mark.parametrize(("hash_name", "salt"), [("sha256", 32), ("sha512", 20)])
def test_rsa_pss(hash_name: str, salt: int, changed: bool, tmp_path: Path, bin_: Path) -> None:
    from tests.test_cms import pss

    content = craft.CONTENT[:-1] + b"?" if changed else craft.CONTENT
    who = identity("rsa")
    trusted = pem(tmp_path, who.certificate)
    verdict, done = confirmed(
        tmp_path, bin_, appended(craft.cms(pss(hash_name, salt)), content), "--trust", trusted
    )
    assert (verdict, done.code) == ("invalid" if changed else "valid", 0), done.out


def test_each_link_of_a_chain(tmp_path: Path, bin_: Path) -> None:
    root = identity("rsa", 7)
    middle = issued(private("p256", 8), "middle", root, serial=5)
    leaf = issued(private("rsa", 9), "leaf", middle, serial=6, ca=False)
    blob = craft.cms(craft.signer_info(leaf, PLAIN), certificates=[leaf.certificate, middle.certificate])
    trusted = pem(tmp_path, root.certificate)
    verdict, done = confirmed(tmp_path, bin_, appended(blob), "--trust", trusted)
    assert (verdict, done.code) == ("valid", 0), done.out
    assert len([line for line in done.out.splitlines() if ".tbs" in line and "yes:" in line]) == 2


def test_two_signers_share_a_stream(tmp_path: Path, bin_: Path) -> None:
    one, two = identity("rsa"), identity("p384")
    blob = craft.cms(craft.signer_info(one, PLAIN), craft.signer_info(two, PLAIN, "sha384"))
    words = ("--trust", pem(tmp_path, one.certificate), "--keys", pem(tmp_path, two.certificate, "two.pem"))
    verdict, done = confirmed(tmp_path, bin_, appended(blob), *words)
    assert (verdict, done.code) == ("valid", 0), done.out
    assert len(list((tmp_path / "unpacked/evidence/m00001").glob("*.stream"))) == 1


def test_a_genuine_signature_over_other_content(tmp_path: Path, bin_: Path) -> None:
    """A messageDigest that is not that of the content, signed by the key."""
    who = identity("rsa")
    blob = craft.cms(craft.signer_info(who, PLAIN, attrs=craft.attributes(b"other", "sha256")))
    trusted = pem(tmp_path, who.certificate)
    verdict, done = confirmed(tmp_path, bin_, appended(blob), "--trust", trusted)
    assert (verdict, done.code) == ("invalid", 0), done.out
    assert "the digest that was signed is not that of the stream" in done.out


def test_other_content_is_seen_without_a_key(tmp_path: Path, bin_: Path) -> None:
    who = identity("p256")
    blob = craft.cms(craft.signer_info(who, PLAIN, attrs=craft.attributes(b"other", "sha256")))
    verdict, done = confirmed(tmp_path, bin_, appended(blob))
    assert (verdict, done.code) == ("invalid", 0), done.out


def test_a_revoked_key_matches_all_the_same(tmp_path: Path, bin_: Path) -> None:
    who = identity("rsa")
    trusted = pem(tmp_path, who.certificate)
    blob = craft.cms(craft.signer_info(who, PLAIN))
    words = ("--trust", trusted, "--trust", f"revoked:{trusted}")
    verdict, done = confirmed(tmp_path, bin_, appended(blob), *words)
    assert (verdict, done.code) == ("untrusted", 0), done.out


def test_a_layer_without_a_claim_beside_one_with(tmp_path: Path, bin_: Path) -> None:
    who = identity("rsa")
    content = appended(craft.cms(craft.signer_info(who, PLAIN))) + trailer(b"?" * 40, id_type=9)
    verdict, done = confirmed(tmp_path, bin_, content, "--trust", pem(tmp_path, who.certificate))
    assert (verdict, done.code, set(done.words.values())) == ("unsupported", 0, {"confirmed"}), done.out


def test_no_key_of_this_kind(tmp_path: Path, bin_: Path) -> None:
    blob = craft.cms(craft.signer_info(identity("p256"), PLAIN))
    trusted = pem(tmp_path, identity("rsa").certificate)
    verdict, done = confirmed(tmp_path, bin_, appended(blob), "--trust", trusted)
    assert (verdict, done.code) == ("unknown-key", 0), done.out
    assert "no key given is of this kind" in done.out


def test_without_keys_nothing_is_claimed(tmp_path: Path, bin_: Path) -> None:
    blob = craft.cms(craft.signer_info(identity("rsa"), PLAIN))
    verdict, done = confirmed(tmp_path, bin_, appended(blob))
    assert (verdict, done.code) == ("unchecked", 0)
    assert set(done.words.values()) == {"nothing to confirm, since it claims nothing"}


# --------------------------------------------------------------------------- OpenPGP, digsig, raw RSA, Merkle


def signed(format_id: str, who: FileSigner, **options: Any) -> bytes:
    wish = SignOptions(created=1_100_000_000, force=True, **options)
    return sign(opened(PLAIN), REGISTRY.get(format_id), who, wish).content


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("hash_name", ["md5", "sha1", "sha256", "rmd160"])
@pytest.mark.parametrize("kind", ["rsa2048", "dsa1024"])
def test_packets_of_every_version(
    kind: str, hash_name: str, version: int, tmp_path: Path, bin_: Path
) -> None:
    who = throwaway(kind)
    ring = tmp_path / "ring.gpg"
    ring.write_bytes(make_ring(who, "somebody"))
    words = {"hash": hash_name, "packet_version": version, "coverage": "sorted"}
    content = signed("note", who, **words)
    verdict, done = confirmed(tmp_path, bin_, content, "--trust", ring)
    assert (verdict, done.code) == ("valid", 0), done.out


@pytest.mark.parametrize(("payload", "hash_name"), [("v1", "sha1"), ("v1", "sha256"), ("v2", "sha256")])
def test_digsig(payload: str, hash_name: str, tmp_path: Path, bin_: Path) -> None:
    who = identity("rsa")
    key = FileSigner(who.private, who.private.public_key(), "rsa", 2048, None)
    content = signed("crypto-digsig", key, payload=payload, hash=hash_name)
    trusted = pem(tmp_path, who.certificate)
    verdict, done = confirmed(tmp_path, bin_, content, "--trust", trusted)
    assert (verdict, done.code) == ("valid", 0), done.out
    moved = content.replace(PLAIN[600:700], PLAIN[600:699] + b"\x99", 1)
    verdict, done = confirmed(tmp_path, bin_, moved, "--trust", trusted)
    assert (verdict, done.code) == ("invalid", 0), done.out


def test_digsig_by_a_curve(tmp_path: Path, bin_: Path) -> None:
    who = identity("p256")
    key = FileSigner(who.private, who.private.public_key(), "ecdsa", 256, None)
    content = signed("crypto-digsig", key, payload="v2", hash="sha256")
    verdict, done = confirmed(tmp_path, bin_, content, "--trust", pem(tmp_path, who.certificate))
    assert (verdict, done.code) == ("valid", 0), done.out


@pytest.mark.parametrize("search", [False, True])
def test_raw_rsa_blocks(search: bool, tmp_path: Path, bin_: Path) -> None:
    who = identity("rsa")
    key = FileSigner(who.private, who.private.public_key(), "rsa", 2048, None)
    content = signed("gkh", key, payload="raw-rsa")
    words: list[str | Path] = ["--trust", pem(tmp_path, who.certificate)]
    words += ["--search-raw-rsa"] if search else []
    verdict, done = confirmed(tmp_path, bin_, content, *words)
    assert (verdict, done.code) == ("valid", 0), done.out


@pytest.mark.parametrize("right", [True, False])
def test_a_merkle_proof_leads_to_its_root(right: bool, tmp_path: Path, bin_: Path) -> None:
    content = corpus.content("amd64.merkle")
    root = _root(content)
    given = root if right else hashlib.sha256(root).digest()
    verdict, done = confirmed(tmp_path, bin_, content, "--trust", f"merkle:{given.hex()}/3")
    assert (verdict, done.code) == ("valid" if right else "unknown-key", 0), done.out
    assert "the chain of hashes leads to this root" in done.out


def _root(content: bytes) -> bytes:
    """The root of the sample's proof, computed here."""
    place = opened(content).places[0].place
    position, node = int.from_bytes(place.blob[:4]), content[: place.start]
    node = hashlib.sha256(b"\x01" + place.blob[:4] + node).digest()
    for level in range((len(place.blob) - 4) // 32):
        other = place.blob[4 + 32 * level : 36 + 32 * level]
        pair = other + node if position >> level & 1 else node + other
        node = hashlib.sha256(b"\x02" + pair).digest()
    return node


# --------------------------------------------------------------------------- what the original tools made


@pytest.mark.parametrize("entry", vectors.vectors(), ids=lambda entry: str(entry["id"]))
def test_no_vector_is_contradicted(entry: vectors.Vector, tmp_path: Path, bin_: Path) -> None:
    rings = sorted((vectors.ROOT / "keys").glob("*.pub.gpg"))
    words = [word for path in (*rings, *corpus.certificates()) for word in ("--trust", path)]
    verdict, done = confirmed(tmp_path, bin_, vectors.module(entry), *words)
    assert done.code != 1, done.out
    if verdict in ("valid", "invalid", "unsigned", "unknown-key"):
        assert done.code == 0, done.out


def test_authentic_modules(tmp_path: Path, bin_: Path) -> None:
    """Modules that somebody shipped, where they are given; see tests/support/authentic.py."""
    import os

    if asked() is None:
        pytest.skip(f"opt-in: {DIRECTORY} names a directory of modules")
    sources = [path for path in os.environ.get(KEYS, "").split(os.pathsep) if path]
    words = [word for path in sources for word in ("--trust", path)]
    run("evidence", os.environ[DIRECTORY], *words, "-o", tmp_path / "case.tar")
    done = recheck(unpacked(tmp_path / "case.tar", tmp_path / "unpacked"), bin_)
    assert done.code in (0, 2), [line for line in done.out.splitlines() if "CONTRADICTED" in line][:5]
