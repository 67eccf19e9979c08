"""Values and forms: lengths of RSA values, what an RSA value was made over, who made it and who vouches for
it, and forms that hold in mathematics and that no kernel accepts."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from elfsig.envelopes.cms.envelope import Cms
from elfsig.envelopes.digsig import Digsig
from elfsig.envelopes.openpgp.envelope import OpenPgp
from elfsig.envelopes.openpgp.keys import key_body, v4_fingerprint
from elfsig.model import MagicInfo, SignOptions, Verdict
from elfsig.trust.entries import Origin
from elfsig.trust.make import key_from_public
from tests.support import cms as craft
from tests.support.cms import CONTENT, HASHES, Identity, identity, issued, private, signer_info, tlv
from tests.support.modules import certificate_file, plain, signed, with_trailer
from tests.support.openpgp import Keys, message, signer
from tests.support.run import run
from tests.test_cms import OTHER, RSA, outcomes, parsed, pss, words

RSA_SIZE = 256


def raw(who: Identity, block: bytes) -> bytes:
    """The private operation on ``block``, padding included."""
    numbers = who.private.private_numbers()
    value: int = pow(int.from_bytes(block), numbers.d, numbers.public_numbers.n)
    return value.to_bytes(RSA_SIZE)


def padded(content: bytes) -> bytes:
    return b"\0\1" + b"\xff" * (RSA_SIZE - 3 - len(content)) + b"\0" + content


def digest_info(digest: bytes, null: bytes = b"\x05\x00") -> bytes:
    algorithm = tlv(0x30, craft.oid(HASHES["sha256"][0]), null)
    return tlv(0x30, algorithm, tlv(4, digest))


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def with_zero_in_front(sign: Callable[[bytes], bytes], data: bytes) -> tuple[bytes, bytes]:
    """(content, value): a content like ``data`` of which the signature begins with a zero byte."""
    for number in range(20_000):
        content = data + b"%d" % number
        value = sign(content)
        if value[0] == 0:
            return content, value
    raise AssertionError("no value with a zero in front")


# --------------------------------------------------------------------------- lengths


def pkcs1(data: bytes) -> bytes:
    made: bytes = RSA.private.sign(data, padding.PKCS1v15(), hashes.SHA256())
    return made


def test_an_rsa_value_without_its_leading_zero_is_invalid_and_says_what_is_wrong() -> None:
    content, value = with_zero_in_front(pkcs1, CONTENT)
    assert words(craft.cms(signer_info(RSA, content, value=value)), content=content) == ["valid"]
    (found,) = outcomes(craft.cms(signer_info(RSA, content, value=value[1:])), content=content)
    assert found.verdict is Verdict.INVALID and found.cause is not None
    assert found.cause.code == "value-length"
    assert found.cause.facts == {"value_size": 255, "modulus_size": 256}
    assert "255 bytes" in found.cause.text and "without its leading zeros" in found.cause.text


@pytest.mark.parametrize(
    "value",
    [b"", b"\0", b"\0" * 256 + b"\1", b"\1" * 255, b"\xff" * 4096],
    ids=["none", "0", "long", "short", "huge"],
)
@pytest.mark.parametrize("keyid", [False, True])
def test_a_value_of_any_other_length_is_invalid(value: bytes, keyid: bool) -> None:
    blob = craft.cms(signer_info(RSA, value=value, keyid=keyid), version=3 if keyid else 1)
    (found,) = outcomes(blob)
    assert found.verdict is Verdict.INVALID and found.cause is not None
    assert found.cause.code == "value-length"


@pytest.mark.parametrize("zeros", [1, 2, 100])
def test_zeros_in_front_of_a_right_value_make_it_invalid(zeros: int) -> None:
    (found,) = outcomes(craft.cms(signer_info(RSA, value=bytes(zeros) + pkcs1(CONTENT))))
    assert found.verdict is Verdict.INVALID and "with zeros in front" in (found.reason or "")


def test_an_rsa_pss_value_of_another_length_is_invalid() -> None:
    good = pss("sha256", 32)
    assert words(craft.cms(good)) == ["valid"]
    longer = good.replace(good[-256:], b"\0" + good[-256:])
    head = longer[: len(longer) - 257 - 4]
    whole = tlv(0x30, head[4:], tlv(4, longer[-257:]))
    (found,) = outcomes(craft.cms(whole))
    assert found.verdict is Verdict.INVALID and found.cause is not None
    assert found.cause.code == "value-length"


def test_openpgp_numbers_are_padded() -> None:
    who = signer("rsa2048")
    envelope = OpenPgp()
    for number in range(2000):
        data = message(b"content %d" % number)
        blob, params = envelope.create(data, who, SignOptions(created=number, hash="sha256"))
        (signature,) = envelope.parse(blob, params)
        if len(signature.value) < RSA_SIZE:
            break
    else:
        raise AssertionError("no short number")
    key = openpgp_key(who)
    assert envelope.verify(signature, data, Keys([key])).verdict is Verdict.VALID
    changed = envelope.verify(signature, message(b"else"), Keys([key]))
    assert changed.cause is not None and changed.cause.code == "content-changed"


def openpgp_key(who: Any) -> Any:
    key_id = ("openpgp", v4_fingerprint(key_body(who.public, 0))[-8:])
    return key_from_public(who.public, Origin("ring.gpg"), ids=[key_id])


def test_digsig_version_1_keeps_a_number_and_is_padded() -> None:
    who, envelope = signer("rsa2048"), Digsig()
    keys = Keys([key_from_public(who.public, Origin("key.pem"))])
    for number in range(2000):
        data = message(b"content %d" % number)
        blob, _ = envelope.create(data, who, SignOptions(payload="v1", created=1_300_000_000))
        if blob[18] == 0:
            break
    else:
        raise AssertionError("no value with a zero in front")
    short = blob[:16] + (255 * 8).to_bytes(2) + blob[19:]
    (signature,) = envelope.parse(short, MagicInfo("u16"))
    assert envelope.verify(signature, data, keys).verdict is Verdict.VALID
    v2, _ = envelope.create(data, who, SignOptions(payload="v2", hash="sha256"))
    longer = v2[:6] + (257).to_bytes(2) + b"\0" + v2[8:]
    (signature,) = envelope.parse(longer, MagicInfo("u16"))
    assert envelope.verify(signature, data, keys).verdict is Verdict.INVALID


# --------------------------------------------------------------------------- what it was made over

RIGHT = sha256(CONTENT)
MISTAKES = {
    "digest-of-digest": padded(digest_info(sha256(RIGHT))),
    "digest-of-hex": padded(digest_info(sha256(RIGHT.hex().encode()))),
    "reversed-digest": padded(digest_info(RIGHT[::-1])),
    "bare-digest": padded(RIGHT),
    "hex-digest": padded(RIGHT.hex().encode()),
    "digest-info-without-null": padded(digest_info(RIGHT, b"")),
    "no-padding": RIGHT.rjust(RSA_SIZE, b"\0"),
    "not-a-digest": padded(b"hello"),
    "content-changed": padded(digest_info(sha256(b"other"))),
    "not-this-key": b"\0" + b"\x77" * (RSA_SIZE - 1),
}


@pytest.mark.parametrize("code", MISTAKES)
@pytest.mark.parametrize("bare", [False, True], ids=["certificate", "public-key"])
def test_known_mistakes_are_told_apart(code: str, bare: bool) -> None:
    blob = craft.cms(signer_info(RSA, value=raw(RSA, MISTAKES[code])))
    if bare:
        keys = Keys([key_from_public(RSA.private.public_key(), Origin("public.pem"))])
        found = Cms().verify(parsed(blob)[0], craft.message(), keys)
        if code in ("no-padding", "not-this-key"):
            assert found.verdict is Verdict.UNKNOWN_KEY
            return
    else:
        (found,) = outcomes(blob)
    assert found.verdict is Verdict.INVALID and found.cause is not None
    assert found.cause.code == code and found.reason == found.cause.text


def test_values_in_reverse_and_of_pss_are_told() -> None:
    for code, value in {
        "reversed-value": pkcs1(CONTENT)[::-1],
        "pss-value": RSA.private.sign(
            CONTENT, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256()
        ),
    }.items():
        (found,) = outcomes(craft.cms(signer_info(RSA, value=value)))
        assert found.cause is not None and found.cause.code == code


def test_genuine_over_other_content_gives_both_digests(tmp_path: Path) -> None:
    module = plain()
    changed = bytearray(signed(RSA))
    changed[len(module) // 2] ^= 1
    path, trust = tmp_path / "changed.ko", certificate_file(tmp_path, RSA)
    path.write_bytes(changed)
    ran = run("verify", path, "--trust", trust, "--json")
    (found,) = json.loads(ran.out)["files"][0]["signatures"]
    was, now = sha256(module).hex(), sha256(bytes(changed[: len(module)])).hex()
    assert ran.code == 1 and found["verdict"] == "invalid"
    assert found["cause"] == {
        "code": "content-changed",
        "hash": "sha256",
        "signed_digest": was,
        "digest": now,
    }
    text = run("verify", path, "--trust", trust).out
    assert f'the signature is genuine, by "rsa key 0", over content with SHA-256 {was}' in text
    assert f"this file has {now}: the content was changed" in text


def test_the_signed_attributes_say_over_which_content_they_are() -> None:
    blob = craft.cms(signer_info(RSA, attrs=craft.attributes(CONTENT, "sha256")))
    (found,) = outcomes(blob, content=b"else")
    assert found.cause is not None and found.cause.code == "message-digest"
    assert found.cause.facts["signed_digest"] == RIGHT.hex()
    assert found.key is not None and "genuine" in (found.reason or "")
    (unknown,) = outcomes(blob, OTHER.certificate, content=b"else")
    assert unknown.verdict is Verdict.INVALID and "genuine" not in (unknown.reason or "")


# --------------------------------------------------------------------------- messages that are spoilt


def word(path: Path, *trust: Path) -> str:
    ran = run("verify", path, *(w for t in trust for w in ("--trust", t)), "--json")
    return str(json.loads(ran.out)["files"][0]["verdict"])


def test_a_messagedigest_of_other_content_spoils_the_message_whoever_signed_it(tmp_path: Path) -> None:
    module, stranger = plain(), identity("rsa", 3)
    good = signer_info(RSA, module, attrs=craft.attributes(module, "sha256"))
    bad = signer_info(stranger, module, attrs=craft.attributes(b"else", "sha256"))
    path, trust = tmp_path / "two.ko", certificate_file(tmp_path, RSA)
    path.write_bytes(with_trailer(module, craft.cms(good)))
    assert word(path, trust) == "valid"
    for both in ((good, bad), (bad, good)):
        path.write_bytes(with_trailer(module, craft.cms(*both)))
        assert word(path, trust) == "invalid"


def test_a_value_that_its_embedded_certificate_did_not_make_spoils_the_message(tmp_path: Path) -> None:
    module, stranger = plain(), identity("rsa", 3)
    good = signer_info(RSA, module)
    path, trust = tmp_path / "two.ko", certificate_file(tmp_path, RSA)
    wrong = signer_info(stranger, b"else")
    path.write_bytes(with_trailer(module, craft.cms(good, wrong)))
    assert word(path, trust) == "valid"
    path.write_bytes(with_trailer(module, craft.cms(good, wrong, certificates=[stranger.certificate])))
    assert word(path, trust) == "invalid"


def test_an_embedded_certificate_with_the_name_of_the_signer_and_another_key_spoils_it() -> None:
    impostor = issued(private("rsa", 9), "rsa key 0", serial=0x1234)
    blob = craft.cms(signer_info(RSA), certificates=[impostor.certificate])
    assert words(craft.cms(signer_info(RSA), certificates=[RSA.certificate])) == ["valid"]
    assert words(blob) == ["invalid"]


def test_a_damaged_certificate_of_the_signer_spoils_it() -> None:
    key = RSA.private.public_key().public_numbers().n.to_bytes(RSA_SIZE)
    damaged = RSA.certificate.replace(b"\x02\x82\x01\x01\0" + key, b"\x05\x82\x01\x01\0" + key)
    assert damaged != RSA.certificate
    assert words(craft.cms(signer_info(RSA), certificates=[damaged])) == ["invalid"]


def test_rsa_pss_with_another_hash_than_digestalgorithm_is_not_valid() -> None:
    info = pss("sha512", 32)
    other = info.replace(craft.algorithm(HASHES["sha512"][0]), craft.algorithm(HASHES["sha256"][0]), 1)
    assert words(craft.cms(info)) == ["valid"]
    (found,) = outcomes(craft.cms(other))
    assert found.verdict is Verdict.UNSUPPORTED and found.cause is not None
    assert found.cause.code == "hash-mismatch"


# --------------------------------------------------------------------------- signer and anchor


def leaf(kind: str = "rsa", hash_name: str = "sha256", ca_kind: str = "rsa") -> tuple[Identity, Identity]:
    """A CA, and a key with a certificate by it."""
    ca = issued(private(ca_kind, 8), "Vouching CA")
    made = issued(private(kind, 8 if kind != ca_kind else 9), "Leaf key", ca, ca=False)
    return ca, made if hash_name == "sha256" else signed_with(hash_name, made, ca)


def signed_with(hash_name: str, made: Identity, ca: Identity) -> Identity:
    """``made``, its certificate signed by its CA with a hash that OpenSSL no longer signs with."""
    last = {"md5": 4, "sha1": 5}[hash_name]
    old = craft.oid("1.2.840.113549.1.1.11")
    outer = made.certificate.replace(old, old[:-1] + bytes([last]))
    tbs = outer[4 : 8 + int.from_bytes(outer[6:8])]
    algorithm = craft.algorithm(HASHES[hash_name][0], b"\x05\x00")
    info = tlv(0x30, algorithm, tlv(4, hashlib.new(hash_name, tbs).digest()))
    return Identity(made.private, outer[:-RSA_SIZE] + raw(ca, padded(info)))


@pytest.mark.parametrize(
    ("kind", "hash_name", "ca_kind", "rule"),
    [
        ("rsa1024", "sha256", "rsa", "small-key"),
        ("rsa", "md5", "rsa", "weak-hash"),
        ("rsa", "sha1", "rsa", "weak-hash"),
        ("rsa", "sha256", "rsa1024", "small-key"),
        ("p256", "sha256", "rsa", None),
    ],
)
def test_audit_judges_the_whole_chain(
    kind: str, hash_name: str, ca_kind: str, rule: str | None, tmp_path: Path
) -> None:
    ca, signing = leaf(kind, hash_name, ca_kind)
    path, trust = tmp_path / "m.ko", certificate_file(tmp_path, ca)
    path.write_bytes(signed(signing, certificates=[signing.certificate]))
    ran = run("audit", path, "--trust", trust, "--json")
    rules = {fault["rule"] for fault in json.loads(ran.out)["audit"]["faults"]}
    assert rules == ({rule} if rule else set())
    (found,) = json.loads(run("verify", path, "--trust", trust, "--json").out)["files"][0]["signatures"]
    assert found["verdict"] == "valid"
    assert (found["key"]["name"], found["anchor"]["name"]) == ("Leaf key", "Vouching CA")
    assert found["key"]["certificate_sha256"] == sha256(signing.certificate).hex()
    assert found["anchor"]["certificate_sha1"] == hashlib.sha1(ca.certificate).hexdigest()
    assert found["key_bits"] == signing.private.key_size


def test_fingerprints_of_openssl_and_mokutil_are_listed(tmp_path: Path) -> None:
    listed = run("keys", "list", certificate_file(tmp_path, RSA)).out
    for digest in (sha256(RSA.certificate), hashlib.sha1(RSA.certificate).digest()):
        assert digest.hex(":").upper() in listed


def test_a_signer_without_a_common_name_is_called_by_its_whole_name(tmp_path: Path) -> None:
    who = issued(private("rsa", 11), "", organisation="Magrathea")
    path, trust = tmp_path / "m.ko", certificate_file(tmp_path, who)
    path.write_bytes(signed(who))
    assert 'matches "O=Magrathea"' in run("verify", path, "--trust", trust).out
    assert '"O=Magrathea"' in run("verify", path).out
    audited = json.loads(run("audit", path, "--trust", trust, "--json").out)["audit"]["signers"]
    assert [row["signer"] for row in audited] == ["O=Magrathea"]


# --------------------------------------------------------------------------- forms that no kernel accepts


def attributes_of(module: bytes) -> bytes:
    return craft.attributes(module, "sha256")


def pss_info(module: bytes) -> bytes:
    """SignerInfo of ``module`` with RSASSA-PSS, SHA-256 and a salt of 32 bytes."""
    made = hashes.SHA256()
    digest = craft.algorithm(HASHES["sha256"][0])
    mask = tlv(0x30, craft.oid("1.2.840.113549.1.1.8"), digest)
    params = tlv(0x30, tlv(0xA0, digest), tlv(0xA1, mask), tlv(0xA2, craft.integer(32)))
    value = RSA.private.sign(module, padding.PSS(padding.MGF1(made), 32), made)
    algorithm = craft.algorithm("1.2.840.113549.1.1.10", params)
    return signer_info(RSA, module, signature_algorithm=algorithm, value=value)


FORMS: dict[str, Callable[[bytes], tuple[Identity, bytes]]] = {
    "signed attributes": lambda m: (RSA, craft.cms(signer_info(RSA, m, attrs=attributes_of(m)))),
    "ECDSA with attributes": lambda m: (
        identity("p256"), craft.cms(signer_info(identity("p256"), m, attrs=attributes_of(m)))
    ),
    "Ed25519": lambda m: (
        identity("ed25519"), craft.cms(signer_info(identity("ed25519"), m, "sha512"))
    ),
    "RSA-PSS": lambda m: (RSA, craft.cms(pss_info(m))),
    "sha256WithRSAEncryption": lambda m: (
        RSA,
        craft.cms(
            signer_info(RSA, m, signature_algorithm=craft.algorithm("1.2.840.113549.1.1.11", b"\x05\x00"))
        ),
    ),
    "ML-DSA with attributes": lambda m: (
        identity("mldsa65"),
        craft.cms(signer_info(identity("mldsa65"), m, "sha512", attrs=craft.attributes(m, "sha512"))),
    ),
    "another certificate that is damaged": lambda m: (
        RSA, craft.cms(signer_info(RSA, m), certificates=[tlv(0x30, b"\x02\x01\x00")])
    ),
    "one of two signers with an unknown algorithm": lambda m: (
        RSA, craft.cms(signer_info(RSA, m), signer_info(identity("ed448"), m, "sha512"))
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_what_no_kernel_accepts_is_valid_named_and_fails_an_audit(name: str, tmp_path: Path) -> None:
    module = plain()
    who, blob = FORMS[name](module)
    path, trust = tmp_path / "m.ko", certificate_file(tmp_path, who)
    path.write_bytes(with_trailer(module, blob))
    ran = run("verify", path, "--trust", trust)
    first = ran.out.splitlines()[0]
    assert ": valid: " in first and "kernel" in first
    audited = run("audit", path, "--trust", trust, "--json")
    assert audited.code == 1
    assert "no-kernel-accepts-it" in {f["rule"] for f in json.loads(audited.out)["audit"]["faults"]}
    assert run("audit", path, "--trust", trust, "--ignore", "no-kernel-accepts-it").code == 0


def test_content_of_its_own_inside_fails_an_audit_as_a_form(tmp_path: Path) -> None:
    path, trust = tmp_path / "m.ko", certificate_file(tmp_path, RSA)
    path.write_bytes(with_trailer(plain(), craft.cms(signer_info(RSA, plain()), content=plain())))
    audited = json.loads(run("audit", path, "--trust", trust, "--json").out)["audit"]["faults"]
    assert {each["rule"] for each in audited} == {"malformed", "no-kernel-accepts-it"}


@pytest.mark.parametrize("kind", ["rsa", "p256", "p384", "mldsa65"])
def test_what_kernels_accept_passes(kind: str, tmp_path: Path) -> None:
    who = identity(kind)
    path, trust = tmp_path / "m.ko", certificate_file(tmp_path, who)
    path.write_bytes(signed(who))
    ran = run("audit", path, "--trust", trust)
    assert ran.code == 0, ran.out


# --------------------------------------------------------------------------- another file's name


@pytest.mark.parametrize("old", [False, True], ids=["modinfo", "struct"])
def test_a_signed_module_under_another_name_is_named_in_trees(old: bool, tmp_path: Path) -> None:
    module = plain().replace(b"\0name=sample", b"\0eman=sample") if old else plain()
    tree, trust = tmp_path / "tree", certificate_file(tmp_path, RSA)
    (tree / "crypto").mkdir(parents=True)
    for name in ("sample.ko", "crypto/xor.ko"):
        (tree / name).write_bytes(signed(RSA, module))
    faults = json.loads(run("audit", tree, "--trust", trust, "--json").out)["audit"]["faults"]
    assert [(f["rule"], Path(f["path"]).name) for f in faults] == [("misnamed", "xor.ko")]
    assert "is called sample, but the file xor.ko" in faults[0]["text"]
    ran = run("verify", tree, "--trust", trust)
    assert ran.code == 0 and ran.out.count("is called sample, but the file xor.ko") == 1
    (tree / "crypto/xor.ko").write_bytes(b"")
    assert "is called" not in run("verify", tree / "sample.ko", "--trust", trust).out


def test_dashes_and_underscores_are_the_same_in_names(tmp_path: Path) -> None:
    tree, trust = tmp_path / "tree", certificate_file(tmp_path, RSA)
    tree.mkdir()
    module = plain().replace(b"name=sample\0", b"name=sa_ple\0")
    for name in ("sa-ple.ko", "sa_ple.ko"):
        (tree / name).write_bytes(signed(RSA, module))
    assert run("audit", tree, "--trust", trust).code == 0


def test_every_cause_is_in_the_manual() -> None:
    root = Path(__file__).resolve().parents[1] / "elfsig"
    table = (root / "manual/docs/concepts/json.md").read_text()
    folders = ("crypto", "envelopes", "verbs/verify")
    text = "".join(p.read_text() for folder in folders for p in (root / folder).rglob("*.py"))
    found = set(re.findall(r'Cause\(\s*"([a-z-]+)"', text))
    assert len(found) > 15
    assert not {code for code in found if f"`{code}`" not in table}


def test_certificates_of_a_message_are_read_once_and_counted(tmp_path: Path) -> None:
    other = identity("p256", 2)
    many = [other.certificate[:-8] + number.to_bytes(8) for number in range(300)]
    infos = [signer_info(RSA, b"else %d" % number) for number in range(40)]
    path, trust = tmp_path / "m.ko", certificate_file(tmp_path, RSA)
    for count, said in ((250, "invalid"), (300, "300 certificates, and elfsig reads at most 256")):
        path.write_bytes(with_trailer(plain(), craft.cms(*infos, certificates=many[:count])))
        before = os.times()
        ran = run("verify", path, "--trust", trust)
        assert ran.code == 1 and said in ran.out and "EBADMSG" not in ran.out.split(";")[0]
        assert sum(os.times()[:4]) - sum(before[:4]) < 6
