"""CMS: every shape that real kernels were shown, what elfsig says to it, and what hostile bytes do."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from hypothesis import given, settings
from hypothesis import strategies as st

from elfsig.crypto import der
from elfsig.crypto.hashes import HASHES as ALL_HASHES
from elfsig.crypto.pkcs1 import digest_info
from elfsig.envelopes.cms import ber as cms_ber
from elfsig.envelopes.cms import plain as cms_plain
from elfsig.envelopes.cms import schema as cms_schema
from elfsig.envelopes.cms.envelope import Cms, read
from elfsig.errors import ParseError, SigningError
from elfsig.model import Outcome, Signature, SignOptions, TrailerInfo, Verdict
from elfsig.signers.pem import load_signer
from tests.support import cms as craft
from tests.support.cms import CONTENT, HASHES, NULL, Identity, identity, private, ring, signer_info, tlv
from tests.support.tools import need

INFO = TrailerInfo(id_type=2)
ENVELOPE = Cms()
RSA, OTHER = identity(), identity("rsa", 1)


def parsed(blob: bytes, info: TrailerInfo = INFO) -> list[Signature]:
    return list(ENVELOPE.parse(blob, info))


def outcomes(blob: bytes, *trusted: bytes, content: bytes = CONTENT, **more: Any) -> list[Outcome]:
    keys = ring(*(trusted or (RSA.certificate,)), **more)
    return [ENVELOPE.verify(s, craft.message(content), keys) for s in parsed(blob)]


def words(blob: bytes, *trusted: bytes, **more: Any) -> list[str]:
    return [outcome.verdict.value for outcome in outcomes(blob, *trusted, **more)]


def codes(blob: bytes, *trusted: bytes) -> set[str]:
    remarks = [r for s in parsed(blob) for r in s.remarks]
    remarks += [r for o in outcomes(blob, *trusted) for r in o.remarks]
    return {remark.code for remark in remarks}


# --------------------------------------------------------------------------- keys and digests


@pytest.mark.parametrize("keyid", [False, True])
@pytest.mark.parametrize("name", HASHES)
def test_rsa_with_every_hash(name: str, keyid: bool) -> None:
    blob = craft.cms(signer_info(RSA, hash_name=name, keyid=keyid), version=3 if keyid else 1)
    (signature,) = parsed(blob)
    assert (signature.algorithm, signature.hash, signature.key_bits) == ("rsa", name, 2048)
    assert words(blob) == ["valid"]
    assert words(blob, content=CONTENT + b"!") == ["invalid"]


@pytest.mark.parametrize(
    ("kind", "hash_name"),
    [
        ("rsa1024", "sha256"),
        ("dsa", "sha256"),
        ("p256", "sha256"),
        ("p384", "sha1"),
        ("p384", "sha384"),
        ("p384", "sha3-384"),
        ("p521", "sha512"),
        ("ed25519", "sha512"),
        ("ed448", "sha512"),
        ("mldsa44", "sha512"),
        ("mldsa65", "sha256"),
        ("mldsa87", "sha512"),
    ],
)
def test_every_kind_of_key(kind: str, hash_name: str) -> None:
    who = identity(kind)
    for keyid in (False, True):
        info = signer_info(who, hash_name=hash_name, keyid=keyid)
        blob = craft.cms(info, version=3 if keyid else 1)
        assert words(blob, who.certificate) == ["valid"]
        assert words(blob, who.certificate, content=CONTENT[1:]) == ["invalid"]
        assert words(blob[:-3] + bytes([blob[-3] ^ 1]) + blob[-2:], who.certificate) == ["invalid"]
        assert words(blob, OTHER.certificate) == ["unknown-key"]


@pytest.mark.parametrize("kind", ["rsa", "p256", "ed25519", "mldsa44", "mldsa65"])
def test_signed_attributes(kind: str) -> None:
    who = identity(kind)
    name = "sha512" if kind.startswith(("ed", "ml")) else "sha256"
    info = signer_info(who, hash_name=name, attrs=craft.attributes(CONTENT, name))
    blob = craft.cms(info)
    assert words(blob, who.certificate) == ["valid"]
    assert "signed-attributes" in codes(blob, who.certificate)
    (changed,) = outcomes(blob, OTHER.certificate, content=CONTENT + b"!")
    assert changed.verdict is Verdict.INVALID
    assert "messageDigest" in (changed.reason or "")
    assert parsed(blob)[0].facts["signed_attributes"] == ("contentType", "messageDigest")


def test_signature_over_other_attributes_is_invalid() -> None:
    good = signer_info(RSA, attrs=craft.attributes(CONTENT, "sha256"))
    time = tlv(0x30, craft.oid("1.2.840.113549.1.9.5"), tlv(0x31, tlv(0x17, b"491231235959Z")))
    added = craft.attributes(CONTENT, "sha256", time)
    value = list(der.children(good, der.read(good, 0, len(good))))[5]
    blob = craft.cms(signer_info(RSA, attrs=added, value=good[value.body : value.end]))
    assert words(blob) == ["invalid"]
    assert parsed(blob)[0].created == 2524607999


def pss(name: str, salt: int, *, mgf: str | None = None) -> bytes:
    """SignerInfo with RSASSA-PSS; MGF1 uses ``mgf`` or the same hash."""
    return craft.pss_info(RSA, name, salt, mask=mgf)


@pytest.mark.parametrize(("name", "salt"), [("sha256", 32), ("sha512", 20), ("sha1", 20)])
def test_rsa_pss(name: str, salt: int) -> None:
    blob = craft.cms(pss(name, salt))
    assert parsed(blob)[0].algorithm == "rsa-pss"
    assert parsed(blob)[0].algorithm_text == "RSASSA-PSS"
    assert words(blob) == ["valid"]
    assert words(blob, content=b"else") == ["invalid"]
    assert words(blob, OTHER.certificate) == ["unknown-key"]
    assert read(blob).encoding == "DER"
    assert "no-kernel-reads-it" in codes(blob)


UNSUPPORTED = {
    "1.2.156.10197.1.501": "SM2 with SM3",
    "1.2.643.7.1.1.3.2": "EC-RDSA with Streebog-256",
    "1.2.643.7.1.1.1.2": "EC-RDSA (GOST R 34.10-2012, 512 bit)",
    "2.16.840.1.101.3.4.3.24": "SLH-DSA-SHA2-256s",
    "2.16.840.1.101.3.4.3.33": "HashML-DSA-65 with SHA-512",
    "1.3.6.1.4.1.99999.1": "1.3.6.1.4.1.99999.1",
}


@pytest.mark.parametrize("oid", UNSUPPORTED)
def test_what_cannot_be_checked_has_its_name(oid: str) -> None:
    blob = craft.cms(signer_info(RSA, signature_algorithm=craft.algorithm(oid)))
    (signature,) = parsed(blob)
    assert (signature.algorithm, signature.algorithm_text) == (None, UNSUPPORTED[oid])
    (outcome,) = outcomes(blob)
    assert outcome.verdict is Verdict.UNSUPPORTED
    assert UNSUPPORTED[oid] in (outcome.reason or "")


@pytest.mark.parametrize(
    ("oid", "name"),
    [
        ("1.2.643.7.1.1.2.3", "streebog512"),
        ("1.2.840.113549.2.4", "md4"),
        ("2.16.840.1.101.3.4.2.12", "shake256"),
        ("1.2.3.4", "1.2.3.4"),
    ],
)
def test_hashes_that_cannot_be_computed(oid: str, name: str) -> None:
    blob = craft.cms(signer_info(RSA, digest=craft.algorithm(oid)))
    assert parsed(blob)[0].hash_text == name
    (outcome,) = outcomes(blob)
    assert outcome.verdict is Verdict.UNSUPPORTED
    assert name in (outcome.reason or "")


@pytest.mark.parametrize("name", ["sm3", "rmd160", "sha512-256", "sha512-224", "sha3-224"])
@pytest.mark.parametrize("kind", ["rsa", "p256"])
def test_hashes_that_the_library_does_not_sign_with(kind: str, name: str) -> None:
    """RSA by plain arithmetic; ECDSA signs a number, whatever the name of the hash that gave it."""
    row, who = ALL_HASHES[name], identity(kind)
    state = row.new()
    state.update(CONTENT)
    digest, key = state.digest(), who.private
    if kind == "rsa":
        numbers = key.private_numbers()
        content = digest_info(name, digest)
        block = b"\0\1" + b"\xff" * (253 - len(content)) + b"\0" + content
        number = pow(int.from_bytes(block, "big"), numbers.d, numbers.public_numbers.n)
        value, oid = number.to_bytes(256, "big"), RSA_OID
    else:
        like = {20: hashes.SHA1(), 28: hashes.SHA224(), 32: hashes.SHA256()}[row.size]
        value, oid = key.sign(digest, ec.ECDSA(utils.Prehashed(like))), "1.2.840.10045.2.1"
    made = signer_info(
        who, digest=craft.algorithm(row.oid), signature_algorithm=craft.algorithm(oid), value=value
    )
    assert words(craft.cms(made), who.certificate) == ["valid"]
    assert words(craft.cms(made), who.certificate, content=b"else") == ["invalid"]


# --------------------------------------------------------------------------- which key


def test_who_signed() -> None:
    by_name, by_skid = craft.cms(signer_info(RSA)), craft.cms(signer_info(RSA, keyid=True), version=3)
    (named,), (keyed,) = parsed(by_name), parsed(by_skid)
    assert (named.signer, named.serial, named.key_id) == ("rsa key 0", b"\x12\x34", None)
    assert (keyed.signer, keyed.serial, keyed.key_id) == (None, None, RSA.skid)
    assert named.facts["signer_form"] == "issuer-serial"
    assert keyed.facts["signer_form"] == "skid"


def test_serial_numbers_are_shown_without_sign_byte() -> None:
    who = craft.issued(private(), "high", serial=0xF1F2F3F4)
    assert parsed(craft.cms(signer_info(who)))[0].serial == bytes.fromhex("f1f2f3f4")


@pytest.mark.parametrize(
    ("sid", "version"),
    [(tlv(0x80, b"\xaa" * 20), 3), (tlv(0x30, RSA.issuer, craft.integer(77)), 1)],
)
def test_trusted_key_under_another_name(sid: bytes, version: int) -> None:
    blob = craft.cms(signer_info(RSA, sid=sid, version=version), version=version)
    assert words(blob) == ["unknown-key"]


def test_tried_and_revoked_keys() -> None:
    blob = craft.cms(signer_info(RSA))
    assert words(blob, OTHER.certificate, tried=[RSA.certificate]) == ["untrusted"]
    assert words(blob, revoked=[RSA.certificate]) == ["untrusted"]


CA = craft.issued(private("rsa", 5), "Root")
MIDDLE = craft.issued(private("p256", 5), "Middle", CA)
LEAF = craft.issued(private("rsa", 6), "Leaf", MIDDLE, ca=False)


def test_embedded_chain_to_a_trusted_key() -> None:
    blob = craft.cms(signer_info(LEAF), certificates=[LEAF.certificate, MIDDLE.certificate])
    (outcome,) = outcomes(blob, CA.certificate)
    assert outcome.verdict is Verdict.VALID
    assert outcome.key is not None and outcome.anchor is not None
    assert (outcome.key.label, outcome.anchor.label) == ("Leaf", "Root")
    assert [each.label for each in outcome.chain] == ["Middle"]
    assert "Leaf" in (outcome.reason or "")
    assert "Middle" in (outcome.reason or "")
    assert not outcome.remarks
    assert words(blob, CA.certificate, content=b"else") == ["invalid"]
    assert words(blob, OTHER.certificate, tried=[CA.certificate]) == ["untrusted"]
    assert words(blob, CA.certificate, revoked=[MIDDLE.certificate]) == ["untrusted"]
    assert words(blob, MIDDLE.certificate) == ["valid"]
    assert words(blob, LEAF.certificate) == ["valid"]


def test_chain_with_a_gap_or_a_forged_link_leads_nowhere() -> None:
    forged = craft.issued(private("p256", 6), "Middle", craft.issued(private("rsa", 7), "Root"))
    assert words(craft.cms(signer_info(LEAF), certificates=[LEAF.certificate]), CA.certificate) == [
        "unknown-key"
    ]
    below = craft.issued(private("rsa", 8), "Leaf", forged)
    blob = craft.cms(signer_info(below), certificates=[below.certificate, forged.certificate])
    assert words(blob, CA.certificate) == ["unknown-key"]
    assert words(craft.cms(signer_info(LEAF)), CA.certificate) == ["unknown-key"]


def test_issuer_that_is_no_ca_is_named() -> None:
    end = craft.issued(private("rsa", 10), "End", ca=False, serial=1)
    leaf = craft.issued(private("rsa", 9), "Below", end)
    blob = craft.cms(signer_info(leaf), certificates=[leaf.certificate])
    assert words(blob, end.certificate) == ["valid"]
    assert "issuer-not-ca" in codes(blob, end.certificate)


def test_embedded_certificate_alone_proves_nothing() -> None:
    blob = craft.cms(signer_info(OTHER), certificates=[OTHER.certificate])
    (outcome,) = outcomes(blob)
    assert outcome.verdict is Verdict.UNKNOWN_KEY
    assert "proves nothing" in (outcome.reason or "")
    (changed,) = outcomes(blob, content=b"else")
    assert changed.verdict is Verdict.INVALID
    assert changed.key is None
    assert words(craft.cms(signer_info(RSA), certificates=[RSA.certificate])) == ["valid"]


def test_damaged_embedded_certificate_is_passed_over() -> None:
    junk = tlv(0x30, b"\x02\x01\x00")
    blob = craft.cms(signer_info(OTHER), certificates=[junk, OTHER.certificate[:-1] + b"\0"])
    assert words(blob) == ["unknown-key"]


def test_several_signers() -> None:
    bad = signer_info(RSA, value=bytes(256))
    assert sorted(words(craft.cms(signer_info(RSA), signer_info(OTHER)))) == ["unknown-key", "valid"]
    assert sorted(words(craft.cms(bad, signer_info(RSA)))) == ["invalid", "valid"]
    md5 = signer_info(RSA, hash_name="md5", digest=craft.algorithm(HASHES["md5"][0], NULL))
    blob = craft.cms(md5, signer_info(RSA), digests=craft.algorithm(HASHES["sha256"][0]))
    assert words(blob) == ["valid", "valid"]
    assert "digest-not-listed" in codes(blob)


# --------------------------------------------------------------------------- odd shapes


class Shape(NamedTuple):
    """One blob, the verdict it gets under the trusted key, and the code of a remark or fault."""

    blob: Callable[[], bytes]
    verdict: str
    code: str | None = None


def with_params(dotted: str, params: bytes) -> bytes:
    return craft.cms(signer_info(RSA, signature_algorithm=craft.algorithm(dotted, params)))


def value_of(who: Identity) -> bytes:
    return craft.sign_value(who.private, CONTENT, "sha256")[1]


def attrs_without(oid: str) -> bytes:
    found = craft.attributes(CONTENT, "sha256")
    whole = tlv(0x31, found)
    kept = [
        whole[n.start : n.end]
        for n in der.children(whole, der.read(whole, 0, len(whole)))
        if craft.oid(oid) not in whole[n.start : n.end]
    ]
    return b"".join(kept)


CONTENT_TYPE, MESSAGE_DIGEST = "1.2.840.113549.1.9.3", "1.2.840.113549.1.9.4"
RSA_OID = "1.2.840.113549.1.1.1"

SHAPES = {
    "4 zero bytes behind": Shape(lambda: craft.cms(signer_info(RSA)) + bytes(4), "valid", "trailing-bytes"),
    "4 bytes FF behind": Shape(lambda: craft.cms(signer_info(RSA)) + b"\xff" * 4, "valid", "trailing-bytes"),
    "indefinite outer length": Shape(
        lambda: craft.cms(signer_info(RSA), wrap=craft.indefinite), "valid", "ber-encoding"
    ),
    "digest with NULL": Shape(
        lambda: craft.cms(signer_info(RSA, digest=craft.algorithm(HASHES["sha256"][0], NULL))), "valid"
    ),
    "rsaEncryption without NULL": Shape(lambda: with_params(RSA_OID, b""), "valid"),
    "sha256WithRSAEncryption": Shape(
        lambda: with_params("1.2.840.113549.1.1.11", NULL), "valid", "combined-algorithm"
    ),
    "sha1WithRSAEncryption over SHA-256": Shape(
        lambda: with_params("1.2.840.113549.1.1.5", NULL), "unsupported", "hash-mismatch"
    ),
    "strange parameters": Shape(lambda: with_params(RSA_OID, tlv(4, b"x")), "valid", "algorithm-parameters"),
    "value with a leading zero": Shape(
        lambda: craft.cms(signer_info(RSA, value=b"\0" + value_of(RSA))), "invalid"
    ),
    "value one byte short": Shape(lambda: craft.cms(signer_info(RSA, value=value_of(RSA)[:-1])), "invalid"),
    "empty value": Shape(lambda: craft.cms(signer_info(RSA, value=b"")), "invalid"),
    "value of SHA-512 beside digest SHA-256": Shape(
        lambda: craft.cms(signer_info(RSA, hash_name="sha512", digest=craft.algorithm(HASHES["sha256"][0]))),
        "invalid",
    ),
    "content embedded": Shape(
        lambda: craft.cms(signer_info(RSA), content=CONTENT), "malformed", "embedded-content"
    ),
    "content type signedData": Shape(
        lambda: craft.cms(signer_info(RSA), kind=craft.SIGNED_DATA), "malformed", "content-type"
    ),
    "SignedData version 5": Shape(
        lambda: craft.cms(signer_info(RSA), version=5), "malformed", "signed-data-version"
    ),
    "SignedData 3 around SignerInfo 1": Shape(
        lambda: craft.cms(signer_info(RSA), version=3), "malformed", "version-mismatch"
    ),
    "SignedData 1 around SignerInfo 3": Shape(
        lambda: craft.cms(signer_info(RSA, keyid=True)), "malformed", "version-mismatch"
    ),
    "SignerInfo version 2": Shape(
        lambda: craft.cms(signer_info(RSA, version=2)), "malformed", "signer-version"
    ),
    "version 1 with a key id": Shape(
        lambda: craft.cms(signer_info(RSA, keyid=True, version=1)), "valid", "signer-form"
    ),
    "attributes without messageDigest": Shape(
        lambda: craft.cms(signer_info(RSA, attrs=attrs_without(MESSAGE_DIGEST))),
        "malformed",
        "signed-attributes-damaged",
    ),
    "attributes without contentType": Shape(
        lambda: craft.cms(signer_info(RSA, attrs=attrs_without(CONTENT_TYPE))),
        "malformed",
        "signed-attributes-damaged",
    ),
    "two messageDigests": Shape(
        lambda: craft.cms(
            signer_info(
                RSA,
                attrs=craft.attributes(
                    CONTENT, "sha256", tlv(0x30, craft.oid(MESSAGE_DIGEST), tlv(0x31, tlv(4, b"x" * 32)))
                ),
            )
        ),
        "malformed",
        "signed-attributes-damaged",
    ),
    "contentType attribute of another type": Shape(
        lambda: craft.cms(
            signer_info(RSA, attrs=craft.attributes(CONTENT, "sha256", kind=craft.SIGNED_DATA))
        ),
        "malformed",
        "signed-attributes-damaged",
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_odd_shapes(name: str) -> None:
    shape = SHAPES[name]
    blob = shape.blob()
    assert words(blob) == [shape.verdict]
    faults = {s.fault.code for s in parsed(blob) if s.fault}
    if shape.verdict == "malformed":
        assert faults == {shape.code}
        assert all(s.fault.offset is not None for s in parsed(blob) if s.fault)
    else:
        assert not faults
        assert shape.code is None or shape.code in codes(blob)


def test_another_hash_inside_is_named() -> None:
    (outcome,) = outcomes(SHAPES["value of SHA-512 beside digest SHA-256"].blob())
    assert "a digest of sha512" in (outcome.reason or "")


def test_signers_that_disagree_about_attributes() -> None:
    with_attrs = signer_info(OTHER, attrs=craft.attributes(CONTENT, "sha256"))
    blob = craft.cms(signer_info(RSA), with_attrs)
    assert {s.fault.code for s in parsed(blob) if s.fault} == {"attributes-differ"}
    assert words(blob) == ["malformed", "malformed"]


def test_unsorted_attributes_are_hashed_as_they_stand() -> None:
    straight = craft.attributes(CONTENT, "sha256")
    whole = tlv(0x31, straight)
    nodes = [whole[n.start : n.end] for n in der.children(whole, der.read(whole, 0, len(whole)))]
    blob = craft.cms(signer_info(RSA, attrs=b"".join(reversed(nodes))))
    assert words(blob) == ["valid"]
    assert "ber-encoding" in codes(blob)


@pytest.mark.parametrize(
    ("field", "offset"),
    [({"algo": 1}, 0), ({"hash": 4}, 1), ({"signer_len": 1}, 3), ({"key_id_len": 1}, 4)]
    + [({"pad": bytes([0] * i + [1] + [0] * (2 - i))}, 5 + i) for i in range(3)],
)
def test_nonzero_fields_beside_it(field: dict[str, Any], offset: int) -> None:
    blob = craft.cms(signer_info(RSA))
    (signature,) = parsed(blob, TrailerInfo(id_type=2, **field))
    assert signature.fault is not None
    assert (signature.fault.code, signature.fault.offset) == ("nonzero-params", len(blob) + offset)
    assert signature.signer == "rsa key 0"
    outcome = ENVELOPE.verify(signature, craft.message(), ring(RSA.certificate))
    assert outcome.verdict is Verdict.MALFORMED


GOOD = craft.cms(signer_info(RSA))

BROKEN = {
    "cut by 10": (GOOD[:-10], 0, "bytes"),
    "nothing": (b"", 0, "is empty"),
    "one byte": (b"\x30", 0, "found the end"),
    "random": (b"\x8d\x51" * 200, 0, None),
    "outer SET": (b"\x31" + GOOD[1:], 0, "expected a SEQUENCE"),
    "no signer": (craft.cms(), 0, "without any SignerInfo"),
    "other type": (tlv(0x30, craft.oid("1.2.840.113549.1.7.3"), tlv(0xA0, tlv(0x30))), 2, "not signedData"),
    "SignerInfo without value": (
        craft.cms(tlv(0x30, craft.integer(1), tlv(0x80, b"x"), craft.algorithm(RSA_OID))),
        None,
        "expected signatureAlgorithm",
    ),
    "65 signers": (craft.cms(*[signer_info(RSA)] * 65), 0, "65 signers"),
    "1025 digests": (
        craft.cms(signer_info(RSA), digests=craft.algorithm(RSA_OID) * 1025, wrap=craft.indefinite),
        None,
        "more than 1024 elements in digestAlgorithms",
    ),
    "never closed": (b"\x30\x80" + GOOD[4:], 1, "without an end"),
    "endless nesting": (b"\x30\x80" * 5000, 1, "without an end"),
    "closed nesting": (b"\x30\x80" * 5000 + b"\0\0" * 5000, None, None),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_bytes_are_a_parse_error(name: str) -> None:
    blob, offset, text = BROKEN[name]
    with pytest.raises(ParseError, match=text) as fault:
        parsed(blob)
    assert fault.value.offset is not None
    assert offset is None or fault.value.offset == offset


def test_offsets_point_into_the_blob() -> None:
    blob = craft.cms(signer_info(OTHER), signer_info(RSA))
    for signature in parsed(blob):
        at, size = signature.facts["value_offset"], signature.facts["value_size"]
        assert blob[at : at + size] == signature.value


# --------------------------------------------------------------------------- the skeleton cache


def test_cached_shapes_give_what_a_full_parse_gives() -> None:
    blobs = [craft.cms(signer_info(RSA, value=bytes([n]) * 256)) for n in range(3)]
    for blob in blobs:
        (signature,) = parsed(blob)
        assert signature.value == blob[-256:]
        (again,) = parsed(blob + b"\0")
        assert again.key_ids == signature.key_ids
        assert again.value == signature.value


def test_value_header_inside_other_bytes_is_not_taken_for_the_value() -> None:
    """Unsigned attributes behind the value end with bytes that look like a value's header."""
    look_alike = b"\x04\x82\x01\x00" + b"\xaa" * 256
    extra = tlv(0xA1, tlv(0x30, craft.oid("1.2.3.4"), tlv(0x31, look_alike)))
    blob = craft.cms(signer_info(RSA, unsigned=extra))
    assert blob.endswith(look_alike)
    assert words(blob) == ["valid"]
    assert parsed(blob)[0].facts["unsigned_attributes"] == ("1.2.3.4",)


# --------------------------------------------------------------------------- making


def made(who: Identity, **options: Any) -> bytes:
    signer = load_signer(*who.pem(), lambda name: b"")
    blob, params = ENVELOPE.create(craft.message(), signer, SignOptions(**options))
    assert params == TrailerInfo(id_type=2)
    return blob


@pytest.mark.parametrize("keyid", [False, True])
@pytest.mark.parametrize("kind", ["rsa", "rsa1024", "p256", "p384", "p521", "mldsa44", "mldsa65", "mldsa87"])
def test_made_is_valid(kind: str, keyid: bool) -> None:
    who = identity(kind)
    blob = made(who, keyid=keyid)
    assert words(blob, who.certificate) == ["valid"]
    data = read(blob)
    assert (data.version, data.signers[0].version) == ((3, 3) if keyid else (1, 1))
    assert data.encoding == "DER"
    assert codes(blob, who.certificate) == set()
    if kind.startswith("mldsa"):
        assert parsed(blob)[0].hash == "sha512"


def test_null_parameters_of_the_digest() -> None:
    assert parsed(made(RSA, digest_null=True))[0].facts["digest_params"] == "null"
    assert parsed(made(RSA))[0].facts["digest_params"] == "absent"
    assert parsed(made(RSA, hash="md5"))[0].facts["digest_params"] == "null"


def test_what_is_not_made() -> None:
    with pytest.raises(SigningError, match="no kernel"):
        made(identity("ed25519"))
    assert words(made(identity("ed25519"), force=True), identity("ed25519").certificate) == ["valid"]
    with pytest.raises(SigningError, match="subjectKeyIdentifier"):
        made(craft.issued(private(), skid=False), keyid=True)
    with pytest.raises(SigningError, match="needs the signer's certificate") as caught:
        signer = load_signer(RSA.pem()[0], None, lambda name: b"")
        ENVELOPE.create(craft.message(), signer, SignOptions())
    assert caught.value.hint == "cert"
    with pytest.raises(SigningError, match="unknown hash"):
        made(RSA, hash="sha257")


@pytest.mark.parametrize("keyid", [False, True])
@pytest.mark.parametrize("kind", ["rsa", "rsa1024", "p256", "p384", "p521"])
def test_openssl_takes_what_is_made(kind: str, keyid: bool, tmp_path: Path) -> None:
    openssl = need("openssl")
    who = identity(kind)
    (tmp_path / "content").write_bytes(CONTENT)
    (tmp_path / "cert.pem").write_bytes(who.pem()[1])
    for name in ("sha1", "sha256", "sha384", "sha512", "sha3-256"):
        if kind != "rsa" and name == "sha3-256":
            continue
        (tmp_path / "made.p7s").write_bytes(made(who, keyid=keyid, hash=name))
        command = [openssl, "cms", "-verify", "-binary", "-inform", "DER", "-in", "made.p7s"]
        command += ["-content", "content", "-certfile", "cert.pem", "-noverify", "-out", "/dev/null"]
        found = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
        assert found.returncode == 0, (name, found.stderr)


OPENSSL_FORMS = {
    "attributes and certificate": [],
    "no certificate": ["-nocerts"],
    "no attributes": ["-noattr"],
    "key id": ["-keyid", "-noattr"],
    "PSS": ["-noattr", "-keyopt", "rsa_padding_mode:pss"],
    "PSS with attributes": ["-keyopt", "rsa_padding_mode:pss"],
}


def openssl_sign(folder: Path, *more: str) -> bytes:
    openssl = need("openssl")
    key, cert = RSA.pem()
    for name, data in (("content", CONTENT), ("key.pem", key), ("cert.pem", cert)):
        (folder / name).write_bytes(data)
    command = [openssl, "cms", "-sign", "-binary", "-in", "content", "-signer", "cert.pem"]
    command += ["-inkey", "key.pem", "-outform", "DER", "-out", "made", *more]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return (folder / "made").read_bytes()


@pytest.mark.parametrize("form", OPENSSL_FORMS)
def test_what_openssl_makes_is_read(form: str, tmp_path: Path) -> None:
    blob = openssl_sign(tmp_path, *OPENSSL_FORMS[form])
    assert words(blob) == ["valid"]
    assert words(blob, content=CONTENT + b"x") == ["invalid"]
    assert read(blob) == cms_ber.parse(blob)


@pytest.mark.parametrize("form", [name for name in OPENSSL_FORMS if "PSS" not in name])
def test_streamed_by_openssl_it_is_ber_with_the_content_in_pieces(form: str, tmp_path: Path) -> None:
    blob = openssl_sign(tmp_path, "-stream", "-nodetach", *OPENSSL_FORMS[form])
    data = read(blob)
    assert (data.encoding, data.content, data.size) == ("BER", CONTENT, len(blob))
    assert words(blob) == ["malformed"]
    assert "embedded-content" in {s.fault.code for s in parsed(blob) if s.fault}
    plain = read(openssl_sign(tmp_path, *OPENSSL_FORMS[form]))
    assert [s.issuer or s.skid for s in data.signers] == [s.issuer or s.skid for s in plain.signers]
    assert data.certificates == plain.certificates


# --------------------------------------------------------------------------- hostile bytes


SEEDS = [
    GOOD,
    craft.cms(signer_info(RSA, keyid=True), version=3),
    craft.cms(signer_info(RSA), wrap=craft.indefinite),
    craft.cms(signer_info(RSA, attrs=craft.attributes(CONTENT, "sha256")), certificates=[RSA.certificate]),
    craft.cms(signer_info(identity("p256")), signer_info(RSA)),
    craft.cms(pss("sha256", 32)),
    craft.cms(signer_info(LEAF), certificates=[LEAF.certificate, MIDDLE.certificate], content=b"x"),
]


@st.composite
def mutants(draw: st.DrawFn) -> bytes:
    """A good blob with a few bytes changed, added, taken away, or its end cut off."""
    blob = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(blob) - 1)))
        kind = draw(st.sampled_from(["set", "set", "set", "insert", "delete", "cut"]))
        if kind == "set" and blob:
            blob[at] = draw(st.integers(0, 255))
        elif kind == "insert":
            blob[at:at] = draw(st.binary(min_size=1, max_size=4))
        elif kind == "delete":
            del blob[at : at + draw(st.integers(1, 4))]
        elif kind == "cut":
            del blob[at:]
    return bytes(blob)


def check_hostile(blob: bytes) -> None:
    try:
        signatures = parsed(blob)
    except ParseError as fault:
        assert fault.offset is not None
        assert 0 <= fault.offset <= len(blob)
        return
    keys = ring(RSA.certificate, CA.certificate)
    for signature in signatures:
        ENVELOPE.verify(signature, craft.message(), keys)


@settings(max_examples=400, deadline=None)
@given(mutants())
def test_mutants_raise_nothing_but_parse_errors(blob: bytes) -> None:
    check_hostile(blob)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_raise_nothing_but_parse_errors(blob: bytes) -> None:
    check_hostile(blob)
    check_hostile(tlv(0x30, craft.oid(craft.SIGNED_DATA), tlv(0xA0, tlv(0x30, blob))))


@settings(max_examples=400, deadline=None)
@given(mutants())
def test_both_parsers_agree(blob: bytes) -> None:
    try:
        size = der.read(blob, 0, len(blob)).next
        fast, tolerant = cms_schema.parse(blob, size), cms_ber.parse(blob)
    except ParseError:
        return
    if fast is not None:  # pyasn1 does not write every odd number back as it stood
        assert fast == replace(tolerant, encoding="DER")
    assert cms_plain.parse(blob, size) in (None, fast)


@pytest.mark.parametrize("how", ["issuer-serial", "skid", "ecdsa"])
def test_the_usual_form_is_read_without_a_library(how: str) -> None:
    blob = {
        "issuer-serial": lambda: GOOD,
        "skid": lambda: craft.cms(signer_info(RSA, keyid=True)),
        "ecdsa": lambda: craft.cms(signer_info(identity("p256"))),
    }[how]()
    assert cms_plain.parse(blob, len(blob)) == cms_schema.parse(blob, len(blob)) is not None


def test_in_the_usual_form_every_changed_byte_is_read_alike_or_left_to_the_library() -> None:
    alike = 0
    for at in range(len(GOOD) - 256):  # the value at the end may be anything
        for byte in {0, 1, 0x30, 0x7F, 0x80, 0xFF, GOOD[at] ^ 1, GOOD[at] ^ 0x80, GOOD[at] + 1 & 0xFF}:
            blob = GOOD[:at] + bytes([byte]) + GOOD[at + 1 :]
            found = cms_plain.parse(blob, len(blob))
            assert found is None or found == cms_schema.parse(blob, len(blob))
            alike += found is not None
    assert alike > len(GOOD)


def test_every_changed_bit_is_noticed() -> None:
    """No bit of a plain signature can be changed and leave it valid without a word."""
    for at in range(len(GOOD)):
        for bit in (1, 0x80):
            blob = GOOD[:at] + bytes([GOOD[at] ^ bit]) + GOOD[at + 1 :]
            try:
                found = words(blob)
            except ParseError:
                continue
            assert "valid" not in found or codes(blob), f"byte {at} bit {bit:#x}"
