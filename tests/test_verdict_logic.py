"""What decides a verdict, rule by rule: signers of one blob, layers, embedded chains, and what is said."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Any

import pytest

import corpus
from corpus.recipes import trailer
from elfsig.carriers.trailer import ModuleTrailer
from elfsig.crypto.checks import Unsupported
from elfsig.envelopes.cms import chain as chains
from elfsig.envelopes.cms.chain import MAX_CHAIN, MAX_NAMESAKES, parse_embedded, read_embedded
from elfsig.envelopes.cms.envelope import Cms
from elfsig.errors import ParseError, ReadError
from elfsig.model import (
    Cause,
    FileReport,
    Key,
    Outcome,
    Place,
    Remark,
    SignatureReport,
    TrailerInfo,
    Verdict,
)
from elfsig.opened.places import LocatedSignature
from elfsig.trust.entries import Origin, Revocation, RevokedHash
from elfsig.trust.forms import read_source
from elfsig.trust.ring import Ring
from elfsig.verbs.verify import examine as verifying
from elfsig.verbs.verify.detached import from_file
from elfsig.verbs.verify.examine import Question, examine, failed
from elfsig.verbs.verify.layers import RANK, beside, decisive, mark_effective
from tests.support import cms as craft
from tests.support.cms import CONTENT, Identity, identity, issued, private, ring, signer_info
from tests.support.opened import opened
from tests.support.signed import REGISTRY

MODULE = corpus.content("amd64-6.1.ko")
INFO = TrailerInfo(id_type=2)
RSA, OTHER = identity(), identity("rsa", 1)


@pytest.fixture(autouse=True)
def unread_certificates() -> None:
    """No certificate is known from an earlier test."""
    chains._read_once.cache_clear()


# --------------------------------------------------------------------------- which signature decides


def key(vouched: bool = True, **more: Any) -> Key:
    """A key of a key source."""
    return Key(None, "rsa", 2048, None, frozenset(), "a.pem", "user", vouched, "f1", "A", **more)


def report(verdict: Verdict, layer: int = 0, **more: Any) -> SignatureReport:
    """A signature with this verdict; all of one layer are in one blob."""
    place = Place("trailer", "t", 100 + layer, 200, 100 + layer, b"", None)
    return SignatureReport("pkcs7", layer, layer, False, place, None, None, verdict, **more)


def cause(code: str) -> Cause:
    return Cause(code, "why")


@pytest.mark.parametrize(("better", "worse"), [*pairwise(RANK)])
def test_the_better_of_two_signers_decides(better: Verdict, worse: Verdict) -> None:
    good, bad = report(better), report(worse)
    assert decisive([bad, good]) is good and decisive([good, bad]) is good


def test_the_first_of_equal_signers_decides() -> None:
    first, second = report(Verdict.VALID), report(Verdict.VALID)
    assert decisive([first, second]) is first


@pytest.mark.parametrize(
    ("wrong", "spoils"),
    [
        ({"cause": cause("message-digest")}, True),
        ({"cause": cause("embedded-certificate")}, True),
        ({"anchor": key()}, True),
        ({"anchor": key(), "cause": cause("content-changed")}, True),
        ({"anchor": key(vouched=False), "cause": cause("message-digest")}, True),
        ({}, False),
        ({"cause": cause("content-changed")}, False),
        ({"anchor": key(vouched=False)}, False),
        ({"anchor": key(revoked=True)}, False),
        ({"anchor": key(revoked_by="dbx")}, False),
        ({"key": key()}, False),
    ],
)
def test_a_wrong_signer_spoils_the_message_where_kernels_would_see_it(
    wrong: dict[str, Any], spoils: bool
) -> None:
    valid, invalid = report(Verdict.VALID), report(Verdict.INVALID, **wrong)
    for order in ([valid, invalid], [invalid, valid]):
        assert decisive(order) is (invalid if spoils else valid)


@pytest.mark.parametrize("verdict", [v for v in RANK if v is not Verdict.INVALID])
def test_only_an_invalid_signer_spoils(verdict: Verdict) -> None:
    other = report(verdict, cause=cause("message-digest"), anchor=key())
    valid = report(Verdict.VALID)
    assert decisive([valid, other]) is valid


def test_the_first_spoiler_is_named() -> None:
    found = [report(Verdict.INVALID), *(report(Verdict.INVALID, anchor=key()) for _ in range(2))]
    assert decisive(found) is found[1]


def test_the_outermost_layer_decides_whatever_is_inside() -> None:
    assert mark_effective([]) == []
    inner, outer = report(Verdict.VALID, 3), report(Verdict.MALFORMED, 2)
    marked = mark_effective([replace(inner, effective=True), outer, report(Verdict.VALID, 4)])
    assert [f.effective for f in marked] == [False, True, False]
    assert [f.layer for f in marked] == [3, 2, 4]
    signers = [report(Verdict.INVALID), report(Verdict.VALID), report(Verdict.VALID, 1)]
    assert [f.effective for f in mark_effective(signers)] == [False, True, False]
    again = mark_effective(signers)
    assert mark_effective(again) == again


def test_what_is_said_of_signatures_that_do_not_decide() -> None:
    decides = report(Verdict.VALID, 1)
    twin = report(Verdict.INVALID, 1)
    below = replace(report(Verdict.UNTRUSTED, 4), format=None, blob=4)
    assert [*beside([decides, twin, below], decides)] == [
        Remark("other-signer", "another signer of the same pkcs7: invalid", 101),
        Remark("other-layer", "layer 4, unknown form: untrusted", 104),
    ]
    assert [*beside([decides], decides)] == []


# --------------------------------------------------------------------------- one signer of a CMS


def outcome(blob: bytes, *trusted: bytes, content: bytes = CONTENT, **more: Any) -> Outcome:
    (signature,) = Cms().parse(blob, INFO)
    return Cms().verify(signature, craft.message(content), ring(*trusted, **more))


def with_attributes(who: Identity, *certificates: bytes, content: bytes = CONTENT) -> bytes:
    info = signer_info(who, attrs=craft.attributes(content, "sha256"))
    return craft.cms(info, certificates=certificates)


def test_a_genuine_signature_over_other_content_is_said_to_be_one() -> None:
    found = outcome(with_attributes(RSA), RSA.certificate, content=CONTENT + b"!")
    signed, here = _sha256(CONTENT), _sha256(CONTENT + b"!")
    assert (found.verdict, found.key and found.key.label, found.anchor) == (
        Verdict.INVALID, "rsa key 0", found.key,
    )  # fmt: skip
    assert found.reason == (
        f'the signature is genuine, by "rsa key 0", over content with SHA-256 {signed} (its messageDigest);'
        f" this file has {here}: the content was changed"
    )
    assert found.cause is not None and found.cause[:2] == ("message-digest", found.reason)
    assert dict(found.cause.facts) == {"hash": "sha256", "signed_digest": signed, "digest": here}


def test_without_the_key_a_foreign_message_digest_is_not_called_genuine() -> None:
    found = outcome(with_attributes(RSA), OTHER.certificate, content=CONTENT + b"!")
    text = "the signed messageDigest is not the digest of the content: the content was changed"
    assert found[:3] == (Verdict.INVALID, text, None) and found.anchor is None
    assert found.cause is not None and found.cause[:2] == ("message-digest", text)
    assert found.cause.facts["signed_digest"] == _sha256(CONTENT)


def _sha256(data: bytes) -> str:
    from hashlib import sha256

    return sha256(data).hexdigest()


def test_a_key_that_is_only_tried_also_shows_that_the_content_was_changed() -> None:
    found = outcome(with_attributes(RSA), content=CONTENT + b"!", tried=[RSA.certificate])
    assert found.verdict is Verdict.INVALID and (found.reason or "").startswith("the signature is genuine")


@pytest.mark.parametrize("attributes", [False, True])
def test_what_a_wrong_value_is_over(attributes: bool) -> None:
    attrs = craft.attributes(CONTENT, "sha256") if attributes else None
    blob = craft.cms(signer_info(RSA, attrs=attrs, value=OTHER.private.sign(CONTENT, *_rsa())))
    found = outcome(blob, RSA.certificate)
    assert found.verdict is Verdict.INVALID and found.cause is not None
    assert found.cause.code != "message-digest"
    other = craft.cms(signer_info(RSA, b"else" if not attributes else CONTENT, attrs=attrs and attrs + b""))
    good = outcome(other, RSA.certificate)
    assert good.verdict is (Verdict.VALID if attributes else Verdict.INVALID)


def _rsa() -> tuple[Any, Any]:
    from cryptography.hazmat.primitives.asymmetric import padding

    return padding.PKCS1v15(), craft.HASHES["sha256"][1]


def test_a_wrong_value_over_signed_attributes_is_diagnosed_by_these() -> None:
    """The content's digest is right and the attributes are others: it is not the content that was changed."""
    attrs = craft.attributes(CONTENT, "sha256")
    more = craft.tlv(0x30, craft.oid("1.2.3.4"), craft.tlv(0x31, craft.NULL))
    value = RSA.private.sign(craft.tlv(0x31, craft.attributes(CONTENT, "sha256", more)), *_rsa())
    found = outcome(craft.cms(signer_info(RSA, attrs=attrs, value=value)), RSA.certificate)
    assert found.verdict is Verdict.INVALID
    assert "signed attributes" in (found.reason or "") and "content was changed" not in (found.reason or "")


UNKNOWN = "1.3.6.1.4.1.99999.1"


@pytest.mark.parametrize("attributes", [False, True])
def test_an_unknown_hash_cannot_be_checked(attributes: bool) -> None:
    attrs = craft.attributes(CONTENT, "sha256") if attributes else None
    found = outcome(
        craft.cms(signer_info(RSA, digest=craft.algorithm(UNKNOWN), attrs=attrs)), RSA.certificate
    )
    assert found == Outcome(Verdict.UNSUPPORTED, f"hash {UNKNOWN} cannot be checked here")


def test_an_unknown_signature_algorithm_cannot_be_checked() -> None:
    blob = craft.cms(signer_info(RSA, signature_algorithm=craft.algorithm(UNKNOWN)))
    assert outcome(blob, RSA.certificate) == Outcome(Verdict.UNSUPPORTED, f"{UNKNOWN} cannot be checked here")
    (signature,) = Cms().parse(blob, INFO)
    nameless = signature._replace(algorithm_text=None)
    found = Cms().verify(nameless, craft.message(), ring(RSA.certificate))
    assert found == Outcome(Verdict.UNSUPPORTED, "the signature algorithm cannot be checked here")


@pytest.mark.parametrize("algorithm", ["1.2.840.113549.1.1.12", "1.2.840.113549.1.1.13"])
def test_an_rsa_identifier_that_names_another_hash_is_not_supported(algorithm: str) -> None:
    found = outcome(
        craft.cms(signer_info(RSA, signature_algorithm=craft.algorithm(algorithm))), RSA.certificate
    )
    assert found.verdict is Verdict.UNSUPPORTED and found.cause is not None
    assert found.cause.code == "hash-mismatch" and found.cause.text == found.reason
    assert (found.reason or "").endswith(": one hash contradicts the other")


def test_an_ecdsa_identifier_that_names_another_hash_is_checked_with_the_digest_s() -> None:
    who = identity("p256")
    blob = craft.cms(signer_info(who, signature_algorithm=craft.algorithm(craft.ECDSA_OIDS["sha512"])))
    assert outcome(blob, who.certificate).verdict is Verdict.VALID


def test_a_fault_decides_before_any_key() -> None:
    (signature,) = Cms().parse(craft.cms(signer_info(RSA)), INFO)
    fault = Remark("nonzero-params", "a field is not zero", 7)
    found = Cms().verify(signature._replace(fault=fault), craft.message(), ring(RSA.certificate))
    assert found == Outcome(Verdict.MALFORMED, "a field is not zero", None, (fault,))


# --------------------------------------------------------------------------- embedded chains


@cache
def line(length: int, *, ca: bool = True) -> tuple[Identity, ...]:
    """A chain of certificates, the signer's first; each is issued by the next, the last by itself."""
    made = [issued(private("p256", 100), f"link {length}", serial=length)]
    for number in range(length - 1, 0, -1):
        above = made[-1]
        made.append(issued(private("p256", 100 + number % 7), f"link {number}", above, ca=ca, serial=number))
    return tuple(reversed(made))


def embedded(who: Identity, others: Sequence[Identity], *, content: bytes = CONTENT) -> bytes:
    """A CMS by ``who`` that embeds its certificate and those of ``others``."""
    return craft.cms(signer_info(who, content), certificates=[c.certificate for c in (who, *others)])


def test_a_chain_is_followed_to_a_trusted_key_and_says_its_names() -> None:
    leaf, middle, root = line(3)
    found = outcome(embedded(leaf, [middle]), root.certificate)
    assert found.verdict is Verdict.VALID
    assert found.reason == "made by link 1, issued by link 2, issued by link 3: the chain is embedded"
    assert found.key is not None and (found.key.label, found.key.source) == (
        "link 1",
        "embedded in the signature",
    )
    assert found.anchor is not None and (found.anchor.label, found.anchor.source) == ("link 3", "trusted.pem")
    assert [k.label for k in found.chain] == ["link 2"]
    assert found.cause == Cause("chain", found.reason) and found.remarks == ()


def test_a_chain_to_a_key_that_is_only_tried_is_not_trusted() -> None:
    leaf, middle, root = line(3)
    found = outcome(embedded(leaf, [middle]), tried=[root.certificate])
    assert found.verdict is Verdict.UNTRUSTED
    assert (found.reason or "").endswith("the chain is embedded, and nobody vouched for tried.pem")
    assert found.anchor is not None and not found.anchor.trusted
    direct = outcome(embedded(leaf, [middle]), tried=[root.certificate, leaf.certificate])
    assert direct.verdict is Verdict.UNTRUSTED and direct.chain == ()
    assert direct.key is not None and direct.key.source == "tried.pem"


def test_a_trusted_anchor_wins_over_one_that_is_nearer() -> None:
    leaf, middle, root = line(3)
    found = outcome(embedded(leaf, [middle]), root.certificate, tried=[middle.certificate])
    assert found.verdict is Verdict.VALID and found.anchor is not None and found.anchor.label == "link 3"
    near = outcome(embedded(leaf, [middle, root]), middle.certificate, root.certificate)
    assert near.anchor is not None and near.anchor.label == "link 2" and near.chain == ()


def test_the_length_of_chains_is_bounded() -> None:
    longest = line(MAX_CHAIN + 1)
    found = outcome(embedded(longest[0], longest[1:-1]), longest[-1].certificate)
    assert found.verdict is Verdict.VALID and len(found.chain) == MAX_CHAIN - 1
    longer = line(MAX_CHAIN + 2)
    found = outcome(embedded(longer[0], longer[1:-1]), longer[-1].certificate)
    assert found.verdict is Verdict.UNKNOWN_KEY


def namesakes(count: int) -> tuple[Identity, Identity, list[Identity]]:
    """(root, the true issuer, others of its name): the true one is longer, hence the last of the SET."""
    root = issued(private("p256", 1), "root")
    true = issued(private("p256", 2), "middle", root, serial=1 << 150)
    fakes = [issued(private("p256", 10 + n), "middle", root, serial=10 + n) for n in range(count)]
    assert max(c.certificate for c in (true, *fakes)) == true.certificate
    return root, true, fakes


@pytest.mark.parametrize(("count", "authority", "found"), [
    (MAX_NAMESAKES - 1, False, True),
    (MAX_NAMESAKES, False, False),
    (MAX_NAMESAKES, True, True),
    (MAX_NAMESAKES + 4, True, True),
])  # fmt: skip
def test_the_issuer_is_sought_among_namesakes(count: int, authority: bool, found: bool) -> None:
    """The one named by the authorityKeyIdentifier first, the others up to a cap."""
    root, true, fakes = namesakes(count)
    leaf = issued(private("p256", 3), "leaf", true, ca=False, serial=3, authority=authority)
    expected = Verdict.VALID if found else Verdict.UNKNOWN_KEY
    assert outcome(embedded(leaf, [*fakes, true]), root.certificate).verdict is expected


def test_a_value_that_the_embedded_certificate_did_not_make_is_invalid_whatever_the_keys() -> None:
    info = signer_info(RSA, value=OTHER.private.sign(CONTENT, *_rsa()))
    blob = craft.cms(info, certificates=[RSA.certificate])
    found = outcome(blob, identity("p256").certificate)
    assert found.verdict is Verdict.INVALID and found.key is None and found.anchor is None
    assert found.cause is not None and found.cause.code == "embedded-certificate"
    start = "does not match the embedded certificate of rsa key 0: "
    assert (found.reason or "").startswith(start) and len(found.reason or "") > len(start)
    assert found.cause.facts["diagnosis"]
    curve = identity("p384")
    other = craft.cms(signer_info(curve, b"else", hash_name="sha384"), certificates=[curve.certificate])
    plain = outcome(other, RSA.certificate)
    assert plain.reason == "does not match the embedded certificate of p384 key 0"
    assert plain.cause == Cause("embedded-certificate", plain.reason) and dict(plain.cause.facts) == {}


def test_a_given_key_explains_a_mismatch_before_the_embedded_certificate_does() -> None:
    info = signer_info(RSA, value=OTHER.private.sign(CONTENT, *_rsa()))
    blob = craft.cms(info, certificates=[RSA.certificate])
    assert outcome(blob, RSA.certificate) == outcome(craft.cms(info), RSA.certificate)


def test_an_embedded_certificate_alone_proves_nothing() -> None:
    found = outcome(embedded(RSA, []), OTHER.certificate)
    assert found.verdict is Verdict.UNKNOWN_KEY
    direct = outcome(craft.cms(signer_info(RSA)), OTHER.certificate)
    text = "; the certificate of rsa key 0 is embedded, which proves nothing"
    assert found.reason == f"{direct.reason}{text}"
    tried = outcome(embedded(RSA, []), tried=[RSA.certificate])
    assert tried == outcome(craft.cms(signer_info(RSA)), tried=[RSA.certificate])


def test_certificates_of_others_do_not_matter() -> None:
    stranger = craft.cms(signer_info(RSA), certificates=[OTHER.certificate, b"\x30\x03\x02\x01\x00"])
    assert outcome(stranger, RSA.certificate) == outcome(craft.cms(signer_info(RSA)), RSA.certificate)


def test_a_certificate_of_an_unknown_algorithm_does_not_hide_those_after_it() -> None:
    """The message is refused for the signer's own certificate, which is the second."""
    stranger = _with_key(_x25519())
    assert read_embedded(stranger) is None and stranger < OTHER.certificate
    info = signer_info(OTHER, value=RSA.private.sign(CONTENT, *_rsa()))
    blob = craft.cms(info, certificates=[stranger, OTHER.certificate])
    found = outcome(blob, identity("p256").certificate)
    assert found.verdict is Verdict.INVALID and found.cause is not None
    assert found.cause.code == "embedded-certificate"


def damaged(certificate: bytes) -> bytes:
    """A certificate whose names can be read, and whose public key cannot."""
    spki = identity().parsed.public_key().public_bytes(*_spki())
    assert certificate.count(spki) == 1
    return certificate.replace(spki, spki[:30] + b"\xff" * 4 + spki[34:])


def _spki() -> tuple[Any, Any]:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return Encoding.DER, PublicFormat.SubjectPublicKeyInfo


@pytest.mark.parametrize("keyid", [False, True])
def test_a_damaged_certificate_of_the_signer_sinks_the_message(keyid: bool) -> None:
    info = signer_info(RSA, keyid=keyid)
    blob = craft.cms(info, certificates=[damaged(RSA.certificate)], version=3 if keyid else 1)
    found = outcome(blob, RSA.certificate)
    assert found.verdict is Verdict.INVALID
    assert (found.reason or "").startswith(
        "the signer's certificate, which is embedded, is damaged: its public key"
    )
    assert found.cause == Cause("embedded-certificate", found.reason or "")
    assert found.key is not None and found.key.source == "trusted.pem" and found.anchor is found.key
    other = craft.cms(signer_info(OTHER), certificates=[damaged(RSA.certificate)])
    assert outcome(other, OTHER.certificate).verdict is Verdict.VALID


def test_what_is_revoked_in_a_chain_makes_it_untrusted() -> None:
    leaf, middle, root = line(3)
    text = "matches, but dbx.esl revokes a key of its chain"
    for revoked in (leaf, middle, root):
        found = outcome(embedded(leaf, [middle]), root.certificate, revoked=[revoked.certificate])
        assert (found.verdict, found.reason) == (Verdict.UNTRUSTED, text) or revoked is root
        if revoked is not root:
            assert found.cause == Cause("revoked", text, {"source": "dbx.esl"})
            assert found.key is not None and found.key.label == "link 1"
            assert (
                found.anchor is not None and found.anchor.label == revoked.parsed.subject.rfc4514_string()[3:]
            )
        assert found.verdict is not Verdict.VALID


def test_a_revoked_certificate_above_counts_even_where_the_signer_s_key_is_given() -> None:
    leaf, middle, root = line(3)
    fine = outcome(embedded(leaf, [middle]), leaf.certificate)
    assert fine.verdict is Verdict.VALID and fine.chain == ()
    for revoked in (middle, root):
        found = outcome(embedded(leaf, [middle, root]), leaf.certificate, revoked=[revoked.certificate])
        assert found.verdict is Verdict.UNTRUSTED
        assert found.reason == "matches, but dbx.esl revokes a key of its chain"
    issuer = outcome(embedded(leaf, [middle]), leaf.certificate, revoked=[root.certificate])
    assert issuer.verdict is Verdict.UNTRUSTED and issuer.anchor is not None
    assert issuer.anchor.label == "link 3"
    stranger = outcome(embedded(leaf, [middle]), leaf.certificate, revoked=[OTHER.certificate])
    assert stranger.verdict is Verdict.VALID


def revoking(kind: str, data: bytes) -> Revocation:
    digest = hashlib.sha256(data).digest()
    return Revocation(RevokedHash(kind, "sha256", digest), "dbx.esl", Origin("dbx.esl").provenance)


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("kind", ["tbs", "whole", "key"])
def test_a_chain_is_revoked_by_the_hash_of_a_certificate_or_by_its_key(which: int, kind: str) -> None:
    chain = line(3)
    leaf, middle, root = chain
    keys = ring(root.certificate).material
    if kind == "key":
        spki = chain[which].parsed.public_key().public_bytes(*_spki())
        (bare,) = read_source(spki, Origin("dbx.esl", "revoked", vouched=False)).keys
        assert bare.certificate is None
        keys = replace(keys, keys=(*keys.keys, bare))
    else:
        parsed = chain[which].parsed
        data = parsed.tbs_certificate_bytes if kind == "tbs" else chain[which].certificate
        keys = replace(keys, revocations=(revoking("tbs", data),))
    (signature,) = Cms().parse(embedded(leaf, [middle]), INFO)
    found = Cms().verify(signature, craft.message(), Ring(keys))
    assert found.verdict is Verdict.UNTRUSTED and found.cause is not None
    assert found.cause.code == "revoked" and found.cause.facts["source"] == "dbx.esl"


def test_an_issuer_of_another_name_is_no_issuer() -> None:
    """Kernels look for the certificate that is named, whatever key another one has."""
    root = issued(private("p256", 1), "root")
    middle = issued(private("p256", 2), "middle", root, serial=2)
    leaf = issued(private("p256", 3), "leaf", middle, ca=False, serial=3)
    alias = issued(private("p256", 2), "alias", root, serial=2)
    assert outcome(embedded(leaf, [middle]), root.certificate).verdict is Verdict.VALID
    assert outcome(embedded(leaf, [alias]), root.certificate).verdict is Verdict.UNKNOWN_KEY


@pytest.mark.parametrize("name", ["sha256", "sha512"])
def test_a_chain_of_certificates_signed_with_pss(name: str) -> None:
    """Its hash is in the parameters of the algorithm, and may be another than that of the message."""
    root = issued(private("rsa", 1), "root")
    leaf = with_pss(issued(private("p256", 3), "leaf", root, ca=False, serial=3), root, name)
    found = parse_embedded(leaf.certificate)
    assert (found.signed.algorithm, found.signed.hash) == ("rsa-pss", name)
    assert outcome(embedded(leaf, []), root.certificate).verdict is Verdict.VALID
    assert outcome(embedded(leaf, []), OTHER.certificate).verdict is Verdict.UNKNOWN_KEY


def with_pss(who: Identity, by: Identity, name: str) -> Identity:
    """The certificate of ``who``, signed again with RSASSA-PSS."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import padding

    made, old = craft.HASHES[name][1], who.parsed
    builder = x509.CertificateBuilder(
        old.issuer,
        old.subject,
        old.public_key(),
        old.serial_number,
        old.not_valid_before_utc.replace(tzinfo=None),
        old.not_valid_after_utc.replace(tzinfo=None),
        list(old.extensions),
    )
    salted = padding.PSS(padding.MGF1(made), made.digest_size)
    certificate = builder.sign(by.private, made, rsa_padding=salted)
    return Identity(who.private, certificate.public_bytes(_spki()[0]))


def test_weaknesses_of_a_chain_are_said() -> None:
    root = issued(private("p256", 1), "root", ca=False)
    middle = issued(private("p256", 2), "middle", root, serial=2)
    leaf = issued(private("p256", 3), "leaf", middle, ca=False, serial=3, hash_name="sha256")
    found = outcome(embedded(leaf, [middle]), root.certificate)
    assert found.remarks == (Remark("issuer-not-ca", "an issuer in the chain is not a CA"),)
    plain = issued(private("p256", 2), "middle", issued(private("p256", 1), "root"), ca=False, serial=2)
    under = issued(private("p256", 3), "leaf", plain, ca=False, serial=3)
    found = outcome(embedded(under, [plain]), issued(private("p256", 1), "root").certificate)
    assert [r.code for r in found.remarks] == ["issuer-not-ca"]
    found = outcome(embedded(leaf, []), middle.certificate)
    assert found.verdict is Verdict.VALID and found.remarks == ()


def test_a_chain_from_a_weak_hash_says_which_certificate() -> None:
    root = issued(private("rsa", 1), "root")
    leaf = issued(private("rsa"), "leaf", root, ca=False, serial=3)
    tbs = leaf.parsed.tbs_certificate_bytes.replace(
        craft.oid("1.2.840.113549.1.1.11"), craft.oid("1.2.840.113549.1.1.5")
    )
    value = root.private.sign(tbs, _rsa()[0], craft.HASHES["sha1"][1])
    weak = Identity(
        leaf.private,
        craft.tlv(0x30, tbs, craft.algorithm("1.2.840.113549.1.1.5", craft.NULL), craft.tlv(3, b"\0", value)),
    )
    found = outcome(embedded(weak, []), root.certificate)
    assert found.verdict is Verdict.VALID
    assert [(r.code, r.text) for r in found.remarks] == [
        ("weak-hash", "the certificate of leaf is signed with SHA-1: collisions are practical")
    ]


# --------------------------------------------------------------------------- certificates


def test_what_is_read_of_an_embedded_certificate() -> None:
    root = issued(private("rsa", 1), "root", serial=0x80)
    leaf = issued(private(), "leaf", root, ca=False, serial=0x8001)
    found = parse_embedded(leaf.certificate)
    assert (found.issuer, found.subject) == (root.issuer, leaf.parsed.subject.public_bytes())
    assert found.ids == (("issuer-serial", root.issuer + b"|\x80\x01"), ("skid", leaf.skid))
    assert found.authority == (("skid", root.skid),)
    assert not found.is_ca and parse_embedded(root.certificate).is_ca
    held = found.key
    assert (held.algorithm, held.bits, held.label, held.source) == (
        "rsa",
        2048,
        "leaf",
        "embedded in the signature",
    )
    assert (held.role, held.trusted, held.ids) == ("embedded", False, frozenset())
    assert held.certificate is not None and held.certificate.der == leaf.certificate
    assert found.name == "leaf" and (found.signed.algorithm, found.signed.hash) == ("rsa", "sha256")
    assert parse_embedded(issued(private(), "").certificate).name == "a certificate without a name"
    assert parse_embedded(leaf.certificate) is found


def test_an_authority_key_identifier_may_name_issuer_and_serial() -> None:
    from cryptography import x509

    root = issued(private("p256", 1), "root", serial=0x99)
    who = x509.AuthorityKeyIdentifier(None, [x509.DirectoryName(root.parsed.subject)], 0x99)
    both = x509.AuthorityKeyIdentifier(
        root.skid, [x509.DNSName("x"), x509.DirectoryName(root.parsed.subject)], 0x99
    )
    name = ("issuer-serial", root.issuer + b"|\x99")
    for extension, expected in ((who, (name,)), (both, (("skid", root.skid), name))):
        assert tuple(chains._authority(extension.public_bytes())) == expected
    assert tuple(chains._authority(None)) == ()
    assert tuple(chains._authority(craft.tlv(0x30, craft.tlv(0x82, b"\x99")))) == ()
    assert tuple(chains._authority(craft.tlv(0x30, craft.tlv(0xA1, craft.tlv(0xA4, root.issuer))))) == ()


def test_what_cannot_be_read_of_a_certificate_is_said() -> None:
    assert read_embedded(b"") is None and read_embedded(RSA.certificate[:-1]) is None
    with pytest.raises(ParseError) as caught:
        parse_embedded(damaged(RSA.certificate))
    assert (caught.value.code, caught.value.text) == ("certificate-key", "its public key cannot be read")
    assert read_embedded(damaged(RSA.certificate)) is None
    with pytest.raises(Unsupported, match=r"^1\.3\.101\.110$"):
        parse_embedded(_with_key(_x25519()))
    unknown = RSA.certificate.replace(craft.oid("1.2.840.113549.1.1.11"), craft.oid("1.2.840.113549.1.1.99"))
    with pytest.raises(Unsupported, match=r"^1\.2\.840\.113549\.1\.1\.99$"):
        parse_embedded(unknown)
    tbs = RSA.parsed.tbs_certificate_bytes
    with pytest.raises(ParseError) as caught:
        parse_embedded(craft.tlv(0x30, tbs, craft.tlv(0x30), craft.tlv(3, b"\0x")))
    assert caught.value.offset == 4 + len(tbs)
    bare = craft.tlv(0x30, craft.oid("2.5.29.99"))
    spki = RSA.parsed.public_key().public_bytes(*_spki())
    extended = tbs[4 : tbs.index(spki) + len(spki)] + craft.tlv(0xA3, craft.tlv(0x30, bare))
    with pytest.raises(ParseError, match="an extension without a value"):
        parse_embedded(
            craft.tlv(
                0x30,
                craft.tlv(0x30, extended),
                craft.algorithm("1.2.840.113549.1.1.11", craft.NULL),
                craft.tlv(3, b"\0x"),
            )
        )


def _x25519() -> bytes:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    spki: bytes = X25519PrivateKey.generate().public_key().public_bytes(*_spki())
    return spki


def _with_key(spki: bytes) -> bytes:
    """A certificate with another public key; its signature is wrong then, which nobody looks at."""
    old = RSA.parsed.public_key().public_bytes(*_spki())
    tbs = RSA.parsed.tbs_certificate_bytes
    body = tbs[4:].replace(old, spki)
    return craft.tlv(
        0x30,
        craft.tlv(0x30, body),
        craft.algorithm("1.2.840.113549.1.1.11", craft.NULL),
        craft.tlv(3, b"\0x"),
    )


# --------------------------------------------------------------------------- the report on a file


def signed(content: bytes = MODULE, who: Identity = RSA) -> bytes:
    return content + trailer(craft.cms(signer_info(who, content)))


def asked(content: bytes, question: Question | None = None) -> FileReport:
    return examine(opened(content), question or Question(ring(RSA.certificate)))


def test_hashes_are_given_where_they_are_asked_for() -> None:
    content = signed()
    without = asked(content)
    assert (without.sha256, without.content_sha256, without.size) == (None, None, len(content))
    found = asked(content, Question(ring(RSA.certificate), hashes=True))
    assert (found.sha256, found.content_sha256) == (_sha256(content), _sha256(MODULE))
    assert replace(found, sha256=None, content_sha256=None) == without


def test_without_checking_nothing_is_concluded() -> None:
    (found,) = asked(signed(), Question(ring(RSA.certificate), check=False)).signatures
    assert (found.verdict, found.reason, found.key, found.coverage) == (Verdict.UNCHECKED, None, None, None)
    (found,) = asked(signed(), Question()).signatures
    assert (found.verdict, found.reason) == (Verdict.UNCHECKED, "no keys were given")
    (found,) = asked(signed(), Question(ring(OTHER.certificate))).signatures
    assert (found.verdict, found.coverage) == (Verdict.UNKNOWN_KEY, None)
    (found,) = asked(signed()).signatures
    assert (found.verdict, found.coverage, found.layer, found.blob) == (Verdict.VALID, "whole-file", 0, 0)


def test_a_file_without_a_signature() -> None:
    assert asked(MODULE).verdict is Verdict.UNSIGNED and asked(MODULE).signatures == ()
    empty = asked(b"")
    assert empty.verdict is Verdict.MALFORMED
    assert empty.warnings == (Remark("empty", "the file is empty", 0),)
    other = asked(b"\x01\x02\x03" * 50)
    assert other.verdict is Verdict.UNSIGNED
    assert other.warnings == (Remark("not-elf", "not an ELF file", 0),)
    cut = asked(MODULE[:100])
    assert cut.verdict is Verdict.MALFORMED and [w.code for w in cut.warnings] == ["elf-damaged"]
    assert cut.warnings[0].text.startswith("damaged ELF file: ")
    assert not cut.warnings[0].text.endswith(": ") and cut.warnings[0].offset is not None


def test_a_signed_file_that_is_not_a_module_says_what_it_is() -> None:
    found = asked(signed(b"a kernel image, say\n" * 20))
    assert found.verdict is Verdict.VALID
    (said,) = [w for w in found.warnings if w.code == "not-elf"]
    assert said.offset == 0 and said.text.startswith("not a module: ")
    assert said.text.endswith("; the signature is over the whole file, as for IMA and kexec")
    program = bytearray(MODULE)
    program[16] = 2  # ET_EXEC
    found = asked(signed(bytes(program)))
    assert [w.code for w in found.warnings if w.code.startswith("not-")] == ["not-module"]
    assert not [w for w in asked(bytes(program)).warnings if w.code.startswith("not-")]
    assert not [w for w in asked(signed()).warnings if w.code.startswith("not-")]


def test_two_layers_and_what_is_said_of_the_inner_one() -> None:
    both = signed(signed(who=OTHER))
    found = asked(both)
    assert [(f.layer, f.verdict, f.effective) for f in found.signatures] == [
        (0, Verdict.VALID, True),
        (1, Verdict.UNKNOWN_KEY, False),
    ]
    assert Remark("other-layer", "layer 1, pkcs7: unknown-key", len(MODULE)) in found.warnings
    silent = asked(both, Question(ring(RSA.certificate), check=False))
    assert not [w for w in silent.warnings if w.code.startswith("other-")]


def test_damage_is_reported_at_its_offset_in_the_file() -> None:
    blob = craft.cms(signer_info(RSA, MODULE))
    broken = MODULE + trailer(b"\x31" + blob[1:])
    found = asked(broken)
    (only,) = found.signatures
    assert (found.verdict, only.verdict, only.claims) == (Verdict.MALFORMED, Verdict.MALFORMED, None)
    assert only.warnings[0].offset == len(MODULE) and only.cause is not None
    assert (
        only.cause.code == only.warnings[0].code and only.cause.text == only.reason == only.warnings[0].text
    )
    with_fault = MODULE + trailer(blob, algo=1)
    (other,) = asked(with_fault).signatures
    assert (other.verdict, other.cause and other.cause.code) == (Verdict.MALFORMED, "nonzero-params")
    assert other.claims is not None and other.claims.signer == "rsa key 0"
    (unchecked,) = asked(with_fault, Question(check=False)).signatures
    assert unchecked.verdict is Verdict.MALFORMED and unchecked.cause == other.cause


def test_an_id_type_that_nobody_knows() -> None:
    (found,) = asked(MODULE + trailer(b"x" * 40, id_type=9)).signatures
    assert (found.format, found.verdict) == (None, Verdict.UNSUPPORTED)
    assert found.cause is not None and found.cause.code == "id-type-unknown"
    assert found.reason == found.cause.text == found.warnings[0].text
    assert len({w.code for w in found.warnings}) == len(found.warnings)


@pytest.mark.parametrize("question", [Question(ring(RSA.certificate)), Question(), Question(check=False)])
def test_a_format_that_is_only_read(question: Question) -> None:
    (found,) = asked(corpus.content("amd64.appended-pgp"), question).signatures
    assert found.format == "appended-pgp" and found.verdict is Verdict.UNSUPPORTED
    assert found.reason == REGISTRY.get("appended-pgp").why_unsupported is not None


def test_a_damaged_place_names_its_format_and_what_kernels_do() -> None:
    content = signed()
    far = content[:-32] + (1 << 20).to_bytes(4) + content[-28:]
    (found,) = asked(far).signatures
    assert (found.verdict, found.format, found.claims) == (Verdict.MALFORMED, "pkcs7", None)
    assert found.place.fault is not None and found.place.start == len(content) - 40
    assert found.reason == f"{found.place.fault.text}; kernels reject it with EBADMSG"
    assert found.cause == Cause("trailer-length", found.reason)
    (moved,) = asked(content + b"!").signatures
    assert moved.verdict is Verdict.MALFORMED and moved.place.fault is not None
    assert moved.reason == f"{moved.place.fault.text}; the kernel treats it as unsigned"


def test_a_place_that_no_format_claims() -> None:
    place = Place("trailer", ModuleTrailer().id, 10, 50, 12, b"x", None, remarks=(Remark("odd", "odd", 3),))
    located = LocatedSignature(2, opened(MODULE).image, place, ())
    found = verifying._bare_report(located)
    assert (found.format, found.layer, found.blob, found.effective) == (None, 2, 2, False)
    assert (found.verdict, found.reason) == (Verdict.UNSUPPORTED, "no known format has a signature like this")
    assert found.warnings == (Remark("unclaimed", found.reason or "", 10), Remark("odd", "odd", 3))
    assert found.cause == Cause("unclaimed", found.reason or "")


def test_weaknesses_of_the_key_and_of_those_above_it_are_warnings() -> None:
    small = identity("rsa1024")
    old = issued(private(), "old key", years=(2001, 2002))
    assert [w.code for w in _one(signed(who=old), old).warnings] == ["certificate-expired"]
    root = issued(small.private, "root", years=(2001, 2002), serial=5)
    leaf = issued(private(), "leaf", root, ca=False, serial=6)
    content = MODULE + trailer(craft.cms(signer_info(leaf, MODULE), certificates=[leaf.certificate]))
    said = _one(content, root).warnings
    (date,) = [w.text for w in said if w.code == "certificate-expired"]
    assert " of root" in date and "2002" in date
    (size,) = [w.text for w in said if w.code == "small-key"]
    assert "1024" in size and size.endswith(" of root, which issued a certificate of the chain")


def _one(content: bytes, who: Identity) -> SignatureReport:
    (found,) = asked(content, Question(ring(who.certificate))).signatures
    assert found.verdict is Verdict.VALID
    return found


def test_what_could_not_be_read() -> None:
    found = failed("m.ko", ReadError("no such file", code="not-found", offset=3))
    assert (found.path, found.verdict, found.error) == ("m.ko", None, Remark("not-found", "no such file", 3))
    assert found.signatures == () and found.size is None


def test_a_signature_kept_elsewhere_is_the_outermost() -> None:
    content = signed(who=OTHER)
    outside = from_file(craft.cms(signer_info(RSA, content)))
    found = examine(opened(content), Question(ring(RSA.certificate)), outside)
    assert [(f.layer, f.place.kind, f.verdict, f.effective) for f in found.signatures] == [
        (0, "detached", Verdict.VALID, True),
        (1, "trailer", Verdict.UNKNOWN_KEY, False),
    ]
    assert found.verdict is Verdict.VALID


def test_offsets_of_an_envelope_become_offsets_of_the_file() -> None:
    place = Place("trailer", "t", 90, 200, 100, b"", None)
    remarks = [Remark("a", "x", 5), Remark("b", "y"), Remark("c", "z", 0, "hint")]
    assert [*verifying._in_content(remarks, place)] == [
        Remark("a", "x", 105), Remark("b", "y"), Remark("c", "z", 100, "hint"),
    ]  # fmt: skip


def test_the_coverages_that_were_tried_are_named() -> None:
    checked = verifying.Checked(None, None, None, Outcome(Verdict.INVALID, "no"), None)  # type: ignore[arg-type]
    assert verifying._say_tried(checked, ["a", "b"]).outcome.reason == "no (tried: a, b)"
    assert verifying._say_tried(checked, ["a"]) is checked
    other = checked._replace(outcome=Outcome(Verdict.UNKNOWN_KEY, "no"))
    assert verifying._say_tried(other, ["a", "b"]) is other
