"""IMA digsig, in the trailer of 2012 and in files of its own: against evmctl both ways, by hand, damaged."""

from __future__ import annotations

import hashlib
import shutil
import struct
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

import corpus
from elfsig.carriers.magic_trailer import MAGIC
from elfsig.elf.image import Image
from elfsig.envelopes.digsig import Digsig, key_blob, key_id_v1, plausible
from elfsig.errors import ParseError, SigningError
from elfsig.model import MagicInfo, Signature, SignOptions, TrailerInfo, Verdict
from elfsig.opened.places import find
from elfsig.registry import load
from elfsig.signers.pem import FileSigner
from elfsig.trust.entries import Material, Origin
from elfsig.trust.keyring import read_source
from elfsig.trust.make import key_from_public
from elfsig.trust.ring import Ring
from elfsig.verbs.edit.sign import sign
from elfsig.verbs.edit.strip import strip
from tests.support.cms import identity, issued
from tests.support.opened import opened
from tests.support.openpgp import message
from tests.support.run import run
from tests.support.tools import need

ENVELOPE = Digsig()
MODULE = corpus.content("amd64-6.1.ko")
U16 = MagicInfo("u16")
Private = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@cache
def private(kind: str) -> Any:
    if kind == "ec":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(65537, int(kind[3:]))


def signer(kind: str = "rsa2048") -> FileSigner:
    key = private(kind)
    return FileSigner(key, key.public_key(), "ecdsa" if kind == "ec" else "rsa", key.key_size, None)


def ring(*kinds: str) -> Ring:
    keys = (key_from_public(private(kind).public_key(), Origin(f"{kind}.pem")) for kind in kinds)
    return Ring(Material(tuple(keys)))


def made(kind: str = "rsa2048", **options: Any) -> bytes:
    blob, params = ENVELOPE.create(message(MODULE), signer(kind), SignOptions(**options))
    assert params == U16
    return blob


def parsed(blob: bytes) -> Signature:
    (signature,) = ENVELOPE.parse(blob, U16)
    return signature


def verdict(blob: bytes, *kinds: str, content: bytes = MODULE) -> str:
    return ENVELOPE.verify(parsed(blob), message(content), ring(*kinds or ("rsa2048",))).verdict.value


# --------------------------------------------------------------------------- by hand


def by_hand(
    hash_name: str = "sha1", hash_byte: int = 0, order: str = "<", when: int = 0x50234567, algo: int = 0
) -> bytes:
    """Version 1 as lib/digsig.c reads it, from plain arithmetic."""
    numbers = private("rsa2048").private_numbers()
    n, e = numbers.public_numbers.n, numbers.public_numbers.e
    blob = b"\1\0\0\0\0\0\2" + struct.pack(">H", n.bit_length()) + n.to_bytes(256, "big")
    blob += struct.pack(">H", e.bit_length()) + e.to_bytes(3, "big")
    header = b"\1" + struct.pack(f"{order}I", when) + bytes([algo, hash_byte])
    header += hashlib.sha1(blob).digest()[12:20] + b"\1"
    digest = hashlib.sha1(hashlib.new(hash_name, MODULE).digest() + header).digest()
    block = b"\0\1" + b"\xff" * 233 + b"\0" + digest
    value: bytes = pow(int.from_bytes(block, "big"), numbers.d, n).to_bytes(256, "big")
    return header + b"\x08\0" + value


@pytest.mark.parametrize(("name", "number"), [("sha1", 0), ("sha256", 1)])
def test_version_1_is_what_arithmetic_makes(name: str, number: int) -> None:
    assert made(created=0x50234567, hash=name) == by_hand(name, number)
    assert verdict(by_hand(name, number)) == "valid"
    assert verdict(by_hand(name, number), content=MODULE[1:]) == "invalid"


@pytest.mark.parametrize(("order", "word"), [("<", "little"), (">", "big")])
def test_timestamp_is_in_the_order_of_the_signer(order: str, word: str) -> None:
    signature = parsed(by_hand(order=order, when=1344470400))
    assert (signature.created, signature.facts["timestamp_order"]) == (1344470400, word)
    assert verdict(by_hand(order=order, when=1344470400)) == "valid"


@pytest.mark.parametrize(("name", "byte"), [("sha256", 0), ("sha512", 0), ("sha224", 0), ("sha1", 7)])
def test_hash_byte_that_lies(name: str, byte: int) -> None:
    """Before July 2013 it stayed 0 whatever hash the file had been given; kernels never looked at it."""
    blob = by_hand(name, byte)
    outcome = ENVELOPE.verify(parsed(blob), message(MODULE), ring("rsa2048"))
    assert outcome.verdict is Verdict.VALID
    assert [r.code for r in outcome.remarks] == ["digsig-hash-byte"]
    assert name in outcome.remarks[0].text
    assert verdict(blob, content=b"else") == "invalid"


def test_a_hash_byte_that_names_sha256_is_believed() -> None:
    assert verdict(by_hand("sha1", 1)) == "invalid"


def test_version_1_is_always_over_a_sha1() -> None:
    assert [r.code for r in parsed(by_hand("sha256", 1)).remarks] == ["weak-hash"]


@pytest.mark.parametrize("kind", ["rsa2048", "rsa1024", "rsa2047", "ec"])
@pytest.mark.parametrize("name", ["sha1", "sha256", "sha512"])
def test_version_2(kind: str, name: str) -> None:
    blob = made(kind, payload="v2", hash=name)
    assert (parsed(blob).algorithm, parsed(blob).hash) == ("ecdsa" if kind == "ec" else "rsa", name)
    assert verdict(blob, "rsa2048", kind) == "valid"
    assert verdict(blob, kind, content=b"else") == "invalid"
    assert verdict(blob, "rsa1536") == "unknown-key"


def test_keys_of_odd_size_and_other_keys() -> None:
    assert verdict(made("rsa2047"), "rsa2047") == "valid"
    assert verdict(made("rsa2047"), "rsa2048") == "unknown-key"
    assert verdict(made(), "ec") == "unknown-key"


def test_what_is_not_made() -> None:
    for kind, options in (
        ("ec", {}),
        ("rsa2048", {"hash": "sha512"}),
        ("rsa2048", {"payload": "v3"}),
        ("rsa2048", {"payload": "v2", "hash": "sha3-224"}),
    ):
        with pytest.raises(SigningError):
            made(kind, **options)


def test_key_id_of_a_certificate_comes_from_its_skid() -> None:
    who = identity()
    key = FileSigner(who.private, who.private.public_key(), "rsa", 2048, None)
    from elfsig.crypto.certificate import parse

    certified = FileSigner(key.private, key.public, "rsa", 2048, parse(who.certificate).certificate)
    blob, _ = ENVELOPE.create(message(MODULE), certified, SignOptions(payload="v2"))
    assert blob[2:6] == who.skid[-4:]


# --------------------------------------------------------------------------- the trailer


def test_there_and_back_in_the_trailer() -> None:
    registry = load(False)
    for payload in ("v1", "v2"):
        options = SignOptions(payload=payload, created=0)
        result = sign(opened(MODULE, registry), registry.get("modsig"), signer(), options)
        (found,) = find(Image(result.content), registry)
        assert [f.id for f in found.claimants] == ["crypto-digsig"]
        size = len(found.place.blob)
        assert result.content == MODULE + found.place.blob + struct.pack(">H", size) + MAGIC
        assert strip(opened(result.content, registry)).content == MODULE


def test_type_byte_in_a_trailer_is_named() -> None:
    """The .sig files of evmctl lead with it; somebody may have appended one as it was."""
    signature = parsed(b"\3" + by_hand())
    assert [r.code for r in signature.remarks] == ["digsig-type-byte"]
    assert verdict(b"\3" + by_hand()) == "valid"


GOOD = by_hand()
DAMAGE = {
    "nothing": (b"", 0, "empty digsig"),
    "version 3": (b"\x04" + GOOD[1:], 0, "digsig version 4"),
    "cut": (GOOD[:17], 17, "at least 18"),
    "no value": (GOOD[:18], 16, "2048 bits in 0 bytes"),
    "one short": (GOOD[:-1], 16, "2048 bits in 255 bytes"),
    "one more": (GOOD + b"\0", 16, "2048 bits in 257 bytes"),
    "two numbers": (GOOD[:15] + b"\2" + GOOD[16:], 15, "2 numbers"),
    "v2 cut": (b"\2\4abc", 5, "at least 8"),
    "v2 size": (b"\2\4abcd\1\0" + bytes(255), 6, "256 bytes, 255 present"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage(name: str) -> None:
    blob, offset, text = DAMAGE[name]
    with pytest.raises(ParseError, match=text) as fault:
        ENVELOPE.parse(blob, U16)
    assert fault.value.offset == offset


def test_unknown_numbers_are_unsupported() -> None:
    assert verdict(by_hand(algo=1)) == "unsupported"
    assert verdict(b"\2\x08abcd\1\0" + bytes(256)) == "unsupported"
    assert parsed(b"\2\x08abcd\1\0" + bytes(256)).hash_text == "kernel hash number 8"


@given(st.binary(max_size=64), st.sampled_from([None, U16, TrailerInfo()]))
def test_any_bytes_raise_nothing_but_parse_errors(blob: bytes, params: Any) -> None:
    for head in (b"", b"\1", b"\2", b"\3\1"):
        try:
            (signature,) = ENVELOPE.parse(head + blob, params)
        except ParseError:
            continue
        assert ENVELOPE.verify(signature, message(b"x"), ring("rsa1024")).verdict is not Verdict.VALID


def test_kernel_blob_as_a_key_source(tmp_path: Path) -> None:
    """What ``evmctl import --rsa`` gave to the kernel is a key source like any other."""
    public = private("rsa2048").public_key()
    (key,) = read_source(key_blob(public), Origin("ima.bin")).keys
    assert ("digsig1", key_id_v1(public)) in key.ids
    (tmp_path / "ima.bin").write_bytes(key_blob(public))
    (tmp_path / "m.ko").write_bytes(MODULE + by_hand() + struct.pack(">H", len(GOOD)) + MAGIC)
    ran = run("verify", tmp_path / "m.ko", "--trust", tmp_path / "ima.bin")
    assert (ran.code, "crypto-digsig signature (rsa-2048 sha1) matches" in ran.out) == (0, True)


# --------------------------------------------------------------------------- evmctl


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A directory with a module and keys as evmctl wants them."""
    encoding, none = serialization.Encoding.PEM, serialization.NoEncryption()
    for kind in ("rsa2048", "ec"):
        key = private(kind)
        form = serialization.PrivateFormat.TraditionalOpenSSL
        (tmp_path / f"{kind}.pem").write_bytes(key.private_bytes(encoding, form, none))
        spki = serialization.PublicFormat.SubjectPublicKeyInfo
        (tmp_path / f"{kind}.pub").write_bytes(key.public_key().public_bytes(encoding, spki))
        (tmp_path / f"{kind}.der").write_bytes(issued(key).certificate)
    (tmp_path / "m.ko").write_bytes(MODULE)
    return tmp_path


def evmctl(here: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([need("evmctl"), *words], cwd=here, capture_output=True, text=True)


FORMS = [
    ("rsa2048", "sha1", "v1"),
    ("rsa2048", "sha256", "v1"),
    ("rsa2048", "sha1", "v2"),
    ("rsa2048", "sha512", "v2"),
    ("ec", "sha256", "v2"),
]


@pytest.mark.parametrize(("kind", "name", "version"), FORMS)
def test_what_evmctl_makes_is_valid_in_a_file_and_in_the_trailer(
    kind: str, name: str, version: str, here: Path
) -> None:
    old = ["--rsa"] if version == "v1" else []
    done = evmctl(here, "ima_sign", *old, "-a", name, "--sigfile", "--key", f"{kind}.pem", "m.ko")
    assert done.returncode == 0, done.stderr
    blob = (here / "m.ko.sig").read_bytes()
    assert blob[:1] == b"\3"
    ran = run("verify", here / "m.ko", "--detached", here / "m.ko.sig", "--trust", here / f"{kind}.pub")
    assert ran.code == 0, ran.out
    (here / "m.ko").write_bytes(MODULE + blob[1:] + struct.pack(">H", len(blob) - 1) + MAGIC)
    ran = run("verify", here / "m.ko", "--trust", here / f"{kind}.pub")
    assert (ran.code, "valid: crypto-digsig" in ran.out) == (0, True), ran.out
    if (kind, version) == ("rsa2048", "v1"):
        assert made(hash=name, created=parsed(blob[1:]).created) == blob[1:]
    elif kind == "rsa2048":
        assert made(hash=name, payload="v2") == blob[1:]


@pytest.mark.parametrize(("kind", "name", "version"), FORMS)
def test_evmctl_verifies_what_is_made(kind: str, name: str, version: str, here: Path) -> None:
    sig, old = here / "m.ko.sig", ["--rsa"] if version == "v1" else []
    sig.write_bytes(b"\3" + made(kind, hash=name, payload=version))
    public = f"{kind}.pub" if old else f"{kind}.der"
    words = ("ima_verify", *old, "-a", name, "--sigfile", "--key", public, "m.ko")
    done = evmctl(here, *words)
    assert done.returncode == 0, done.stderr
    (here / "m.ko").write_bytes(MODULE + b"!")
    assert evmctl(here, *words).returncode != 0


def test_keyid_that_evmctl_was_told(here: Path) -> None:
    """``--keyid`` puts any number into a version 2 header; the key is then not found by it."""
    shutil.copy(here / "m.ko", here / "n.ko")
    done = evmctl(here, "ima_sign", "--keyid", "0xaabbccdd", "--sigfile", "--key", "rsa2048.pem", "n.ko")
    assert done.returncode == 0, done.stderr
    signature = ENVELOPE.parse((here / "n.ko.sig").read_bytes(), None)[0]
    assert signature.key_id == bytes.fromhex("aabbccdd")
    ran = run("verify", here / "n.ko", "--detached", here / "n.ko.sig", "--trust", here / "rsa2048.pub")
    assert (ran.code, "unknown-key" in ran.out) == (4, True)


# --------------------------------------------------------------------------- other attributes of IMA and EVM

VALUE = b"v" * 256
ATTRIBUTES = {
    "version 3, fs-verity": (b"\6\3\4keyi\1\0" + VALUE, "an IMA signature of the fs-verity kind, version 3"),
    "version 3, IMA": (b"\3\3\4keyi\1\0" + VALUE, "an IMA signature, version 3"),
    "portable EVM": (b"\5\2\4keyi\1\0" + VALUE, "a portable EVM signature, version 2"),
    "hash only": (b"\4\4" + b"h" * 32, "IMA's plain hash of a file, not a signature"),
    "hash only, old": (b"\1" + b"h" * 20, "IMA's plain hash of a file, not a signature"),
    "HMAC": (b"\2" + b"h" * 20, "EVM's keyed hash (HMAC), not a signature"),
}


@pytest.mark.parametrize("case", ATTRIBUTES, ids=ATTRIBUTES)
def test_other_attributes_are_named_and_not_checked(case: str, tmp_path: Path) -> None:
    """Files that evmctl writes beside its signatures: nothing is known of them but what they are."""
    blob, name = ATTRIBUTES[case]
    module, attribute = tmp_path / "m.ko", tmp_path / "m.sig"
    module.write_bytes(MODULE)
    attribute.write_bytes(blob)
    told = run("verify", module, "--detached", attribute, "--trust", corpus.KEYS / "signer.cert.pem")
    assert told.code == 4 and f"unsupported: crypto-digsig: {name}: not checked" in told.out
    assert not plausible(blob)
    attribute.write_bytes(blob[:-1])
    cut = run("verify", module, "--detached", attribute, "--trust", corpus.KEYS / "signer.cert.pem")
    assert cut.code == 4 and name not in cut.out
