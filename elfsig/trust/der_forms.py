"""Certificates and public keys in DER, any number in one file, and certificates in a PKCS#7.

Forms by their shape: certificate (RFC 5280), SubjectPublicKeyInfo, RSAPublicKey (RFC 8017 A.1.1);
concatenated, as kernels hold their list. PKCS#7 (RFC 2315, RFC 5652) counts where it only carries
certificates: one that signs something is a signature. Private keys are refused, whatever their form.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import islice

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

from elfsig.crypto import der
from elfsig.crypto.certificate import BIT_STRING, element
from elfsig.errors import KeySourceError, ParseError
from elfsig.model import Key, Loss
from elfsig.recognition.asn1 import BUNDLE, PKCS12, asn1_kind
from elfsig.recognition.asn1 import PRIVATE_KEY as PRIVATE_FORM
from elfsig.recognition.asn1 import SIGNED_DATA as SIGNATURE
from elfsig.recognition.kinds import hint_for
from elfsig.trust.entries import MAX_LOSSES, Material, Origin, gather, material
from elfsig.trust.make import PRIVATE_KEY, key_from_certificate, key_from_public, key_from_spki

FROM_PKCS12 = "give the certificate in it instead (openssl pkcs12 -nokeys)"
SIGNED_DATA = "1.2.840.113549.1.7.2"
CERTIFICATES, CRLS = 0xA0, 0xA1
VERSIONED = (der.INTEGER,)
"""The shape of what begins with a version: PKCS#1, PKCS#8, SEC1, PKCS#12, SignedData."""
_VERSIONED = (PRIVATE_FORM, PKCS12, BUNDLE, SIGNATURE)
_ZEROS = re.compile(rb"\0*\Z")

Reader = Callable[[bytes, int, Origin], Material]


def is_der(data: bytes) -> bool:
    """Whether this starts with a DER SEQUENCE that has the shape of a known form."""
    try:
        return shape(data, 0) in SHAPES and not _is_signature(data)
    except ParseError:
        return False


def shape(data: bytes, at: int) -> tuple[int, ...]:
    """Tags of the elements inside the SEQUENCE at ``at``: enough of them to identify the form."""
    outer = element(data, at, len(data), der.SEQUENCE, "key or certificate")
    first = der.read(data, outer.body, outer.end)
    if first.tag == der.INTEGER and first.end - first.body == 1:
        # A version: of private keys, and also of PKCS#12, which may have none, and of a bare SignedData.
        return VERSIONED if asn1_kind(data[at : outer.next]) in _VERSIONED else ()
    return tuple(each.tag for each in islice(der.children(data, outer), 4))


def read_der(data: bytes, origin: Origin) -> Material:
    """The keys of concatenated DER values; an unreadable one is skipped, and zeros may follow the last.

    Raises ParseError when none can be read, and KeySourceError for a private key.
    """
    parts: list[Material] = []
    losses: list[Loss] = []
    at = 0
    while at < len(data) and len(losses) < MAX_LOSSES:
        if data[at : at + 1] != b"\x30":
            if not _ZEROS.match(data, at):
                losses.append(Loss(origin.source, "DER", f"{len(data) - at} bytes of something else", at))
            break
        try:
            following = der.read(data, at, len(data)).next
        except ParseError as reason:
            losses.append(Loss(origin.source, "DER value", reason.text, at))
            break
        try:
            parts.append(_one(data, at, origin))
        except ParseError as reason:
            losses.append(Loss(origin.source, "DER value", reason.text, at))
        at = following
    if not parts:
        raise ParseError("neither certificate nor public key", offset=0, code="not-key")
    return gather([*parts, Material(losses=tuple(losses))])


def _one(data: bytes, at: int, origin: Origin) -> Material:
    """What the DER value at ``at`` holds. Raises ParseError, KeySourceError."""
    read = SHAPES.get(shape(data, at))
    if read is None:
        raise ParseError("neither certificate nor public key", offset=at, code="not-key")
    return read(data, at, origin)


def certificate(data: bytes, at: int, origin: Origin) -> Material:
    """The key of the DER certificate at ``at``. Raises ParseError."""
    return material([key_from_certificate(data, origin.at(at), at)])


def public_key(data: bytes, at: int, origin: Origin) -> Material:
    """The key in the DER SubjectPublicKeyInfo at ``at``. Raises ParseError."""
    return material([key_from_spki(data[at : der.read(data, at, len(data)).next], origin.at(at))])


def rsa_public_key(data: bytes, at: int, origin: Origin) -> Material:
    """The key in the DER RSAPublicKey at ``at``. Raises ParseError."""
    outer = element(data, at, len(data), der.SEQUENCE, "RSA public key")
    first = element(data, outer.body, outer.end, der.INTEGER, "modulus")
    second = element(data, first.next, outer.end, der.INTEGER, "exponent")
    n, e = (int.from_bytes(data[v.body : v.end], signed=True) for v in (first, second))
    return material([rsa_key(n, e, origin.at(at))])


def rsa_key(n: int, e: int, origin: Origin) -> Key:
    """The RSA key of these numbers. Raises ParseError where they are not a key."""
    if n < 0 or e < 0:
        raise ParseError("not a usable RSA key: a number is negative", offset=origin.offset, code="not-key")
    try:
        return key_from_public(RSAPublicNumbers(e, n).public_key(), origin)
    except ValueError as reason:
        raise ParseError(f"not a usable RSA key: {reason}", offset=origin.offset, code="not-key") from None


def _versioned(data: bytes, at: int, origin: Origin) -> Material:
    """What begins with a version number: a SignedData without its ContentInfo, or a private key."""
    outer = element(data, at, len(data), der.SEQUENCE, "key")
    fields = list(islice(der.children(data, outer), 8))
    if [each.tag for each in fields[1:3]] == [der.SET, der.SEQUENCE]:
        return _bundle(data, at, fields, origin)
    if asn1_kind(data[at : outer.next]) is PKCS12:
        text = f"{origin.source}: a PKCS#12 file: {FROM_PKCS12}"
        raise KeySourceError(text, offset=at, code="not-key-source", hint=hint_for("trust", PKCS12))
    return _private(data, at, origin)


def _private(data: bytes, at: int, origin: Origin) -> Material:
    raise KeySourceError(f"{origin.source} {PRIVATE_KEY}", offset=at, code="private-key")


# --------------------------------------------------------------------------- PKCS#7


def _signed_data(data: bytes, at: int) -> list[der.Node] | None:
    """The fields of the SignedData in the ContentInfo at ``at``; None for others. Raises ParseError."""
    outer = element(data, at, len(data), der.SEQUENCE, "PKCS#7")
    kind = element(data, outer.body, outer.end, der.OID, "PKCS#7 content type")
    if der.oid_text(data, kind) != SIGNED_DATA:
        return None
    content = element(data, kind.next, outer.end, CERTIFICATES, "PKCS#7 content")
    signed = element(data, content.body, content.end, der.SEQUENCE, "SignedData")
    return list(islice(der.children(data, signed), 8))


def _is_signature(data: bytes) -> bool:
    """Whether this is a signed PKCS#7, or not a SignedData at all."""
    if shape(data, 0)[:1] != (der.OID,):
        return False
    fields = _signed_data(data, 0)
    return not fields or fields[-1].tag != der.SET or fields[-1].end > fields[-1].body


def pkcs7(data: bytes, at: int, origin: Origin) -> Material:
    """The certificates in a PKCS#7 that only has certificates. Raises ParseError, KeySourceError."""
    return _bundle(data, at, _signed_data(data, at), origin)


def _bundle(data: bytes, at: int, fields: list[der.Node] | None, origin: Origin) -> Material:
    """The certificates among the fields of a SignedData. Raises ParseError, KeySourceError."""
    if not fields or fields[-1].tag != der.SET:
        raise ParseError("not a PKCS#7 with certificates", offset=at, code="not-key")
    if fields[-1].end > fields[-1].body:
        text = f"{origin.source}: a PKCS#7 signature, not a key source"
        raise KeySourceError(text, offset=at, code="not-key-source")
    keys: list[Material] = []
    losses: list[Loss] = []
    for field in fields:
        if field.tag == CERTIFICATES:
            _certificates(data, field, origin, keys, losses)
        elif field.tag == CRLS and field.end > field.body:
            losses.append(Loss(origin.source, "certificate revocation list", "not supported", field.start))
    return gather([*keys, Material(losses=tuple(losses))])


def _certificates(
    data: bytes, field: der.Node, origin: Origin, keys: list[Material], losses: list[Loss]
) -> None:
    try:
        for each in der.children(data, field):
            if len(losses) >= MAX_LOSSES:
                return
            try:
                keys.append(certificate(data, each.start, origin))
            except (ParseError, KeySourceError) as reason:
                losses.append(Loss(origin.source, "certificate in a PKCS#7", reason.text, each.start))
    except ParseError as reason:
        losses.append(Loss(origin.source, "certificates of a PKCS#7", reason.text, reason.offset))


SHAPES: Mapping[tuple[int, ...], Reader] = {
    (der.SEQUENCE, der.SEQUENCE, BIT_STRING): certificate,
    (der.SEQUENCE, BIT_STRING): public_key,
    (der.INTEGER, der.INTEGER): rsa_public_key,
    (der.OID, CERTIFICATES): pkcs7,
    VERSIONED: _versioned,
    (der.SEQUENCE, der.OCTETS): _private,  # encrypted PKCS#8
}
