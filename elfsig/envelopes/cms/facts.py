"""What a parsed CMS says about itself: facts for kernels' rules, remarks for people, and faults.

A fault is what no kernel's parser accepts (crypto/asymmetric_keys/pkcs7_parser.c); since kernels then
reject the whole message, every signer of the message gets it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from elfsig.crypto import der
from elfsig.crypto.certificate import GENERALIZED_TIME, UTC_TIME, seconds
from elfsig.crypto.oids import SignatureAlgorithm, hash_name
from elfsig.envelopes.cms.types import (
    CONTENT_TYPE,
    DATA,
    MESSAGE_DIGEST,
    SIGNING_TIME,
    AlgorithmId,
    Attribute,
    SignedData,
    SignerInfo,
)
from elfsig.errors import ParseError
from elfsig.model import Remark

ATTRIBUTE_NAMES = {
    CONTENT_TYPE: "contentType",
    MESSAGE_DIGEST: "messageDigest",
    SIGNING_TIME: "signingTime",
    "1.2.840.113549.1.9.15": "smimeCapabilities",
    "1.2.840.113549.1.9.6": "countersignature",
    "1.2.840.113549.1.9.52": "cmsAlgorithmProtection",
    "1.2.840.113549.1.9.16.2.12": "signingCertificate",
    "1.2.840.113549.1.9.16.2.14": "timeStampToken",
    "1.2.840.113549.1.9.16.2.47": "signingCertificateV2",
    "1.3.6.1.4.1.311.2.1.11": "msIndividualSPKeyPurpose",
    "1.3.6.1.4.1.311.2.1.12": "msSpOpusInfo",
}

_SINGLE = (CONTENT_TYPE, MESSAGE_DIGEST, SIGNING_TIME)
"""Attributes that RFC 5652 section 11 and the kernel allow once, with one value."""


# --------------------------------------------------------------------------- attributes


def _value(signer: SignerInfo, oid: str) -> bytes | None:
    """The first value (a whole element) of a signed attribute."""
    return next((a.values[0] for a in signer.signed or () if a.oid == oid and a.values), None)


def _content(element: bytes | None, *tags: int) -> bytes | None:
    """Content bytes of an element with one of ``tags``; None for others and for damaged ones."""
    if not element or element[0] not in tags:
        return None
    try:
        node = der.read(element, 0, len(element))
    except ParseError:
        return None
    return element[node.body : node.end]


def message_digest(signer: SignerInfo) -> bytes | None:
    """The signed messageDigest; None without signed attributes (or with a damaged one, see fault)."""
    return _content(_value(signer, MESSAGE_DIGEST), der.OCTETS)


def signing_time(signer: SignerInfo) -> int | None:
    """The signed signingTime in seconds since 1970 (RFC 5652, 11.3); a claim of the signer."""
    element = _value(signer, SIGNING_TIME)
    text = _content(element, UTC_TIME, GENERALIZED_TIME)
    if element is None or text is None:
        return None
    try:
        return seconds(element[0], text)
    except ValueError:
        return None


# --------------------------------------------------------------------------- faults


def fault(data: SignedData) -> Remark | None:
    """The first thing that every kernel's parser refuses, in the order in which kernels look; or None."""
    return next(_faults(data), None)


def _faults(data: SignedData) -> Iterator[Remark]:
    if data.version not in (1, 3):
        text = f"SignedData version {data.version}"
        yield Remark("signed-data-version", text, 0)
    if data.content is not None:
        text = f"the content is embedded ({len(data.content)} bytes)"
        yield Remark("embedded-content", text, 0)
    for number, signer in enumerate(data.signers, 1):
        yield from _signer_faults(data, signer, f"signer {number}: " if len(data.signers) > 1 else "")
    if len({s.signed is None for s in data.signers}) > 1:
        text = "some signers have signed attributes and some do not"
        yield Remark("attributes-differ", text, data.signers[0].start)
    if data.content_type != DATA:
        text = f"content type {data.content_type} instead of data"
        yield Remark("content-type", text, 0)


def _signer_faults(data: SignedData, signer: SignerInfo, who: str) -> Iterator[Remark]:
    if signer.version not in (1, 3):
        text = f"{who}SignerInfo version {signer.version}"
        yield Remark("signer-version", text, signer.start)
    elif (signer.version == 1) != (data.version == 1):
        text = f"{who}SignerInfo version {signer.version} in SignedData version {data.version}"
        yield Remark("version-mismatch", text, signer.start)
    if signer.signed is not None:
        wrong = _attribute_fault(data, signer, signer.signed)
        if wrong:
            yield Remark("signed-attributes-damaged", f"{who}{wrong}", signer.start)


def _attribute_fault(data: SignedData, signer: SignerInfo, signed: tuple[Attribute, ...]) -> str | None:
    for oid in _SINGLE:
        found = [a for a in signed if a.oid == oid]
        if len(found) > 1 or any(len(a.values) != 1 for a in found):
            return f"the signed attribute {ATTRIBUTE_NAMES[oid]} has more or less than one value"
    if message_digest(signer) is None:
        return "the signed attributes lack a messageDigest"
    kind = _content(_value(signer, CONTENT_TYPE), der.OID)
    if kind is None:
        return "the signed attributes lack a contentType"
    return None if _oid(kind) == data.content_type else "the signed contentType is not that of the message"


def _oid(body: bytes) -> str | None:
    try:
        return der.decode_oid(body)
    except ParseError:
        return None


# --------------------------------------------------------------------------- remarks


def common_remarks(data: SignedData, blob_size: int) -> Iterator[Remark]:
    """Oddities of the whole message that kernels accept."""
    if data.size < blob_size:
        text = f"{blob_size - data.size} bytes follow the CMS inside sig_len"
        yield Remark("trailing-bytes", text, data.size)
    if data.encoding == "BER":
        text = "encoded in BER where DER is usual, so other bytes would verify as well"
        yield Remark("ber-encoding", text, 0)
    for number, certificate in enumerate(data.certificates, 1):
        if (why := certificate_fault(certificate)) is not None:
            text = f"embedded certificate {number} cannot be read ({why})"
            yield Remark("certificate-damaged", text, 0)
    listed = {d.oid for d in data.digests}
    for signer in data.signers:
        if signer.digest.oid not in listed:
            text = f"digestAlgorithms does not list {hash_name(signer.digest.oid)[1]}"
            yield Remark("digest-not-listed", text, signer.start)


@lru_cache(maxsize=512)
def certificate_fault(data: bytes) -> str | None:
    """Why an element of the certificate set is not an X.509 certificate; None if it is one."""
    from elfsig.crypto.certificate import parse

    try:
        size = len(parse(data).certificate.der)
    except ParseError as fault:
        return fault.text
    return None if size == len(data) else f"{len(data) - size} bytes after it"


UNREAD = frozenset({"rsa-pss", "ed25519", "ed448"})
"""What kernels' pkcs7_sig_note_pkey_algo() has no case for, but elfsig can verify."""


def signer_remarks(
    data: SignedData, signer: SignerInfo, known: SignatureAlgorithm | None
) -> Iterator[Remark]:
    """Oddities of one signer."""
    if signer.signed is not None:
        yield Remark("signed-attributes", "has signed attributes", signer.start)
    if known and known.algorithm in UNREAD:
        text = f"signatureAlgorithm {known.name}"
        yield Remark("no-kernel-reads-it", text, signer.start)
    if known and known.algorithm == "rsa" and known.hash:
        text = f"signatureAlgorithm {known.name}"
        yield Remark("combined-algorithm", text, signer.start)
    named = _hash_of_algorithm(signer, known)
    if named and named != hash_name(signer.digest.oid)[1]:
        with_hash = f" with {named}" if known and known.algorithm == "rsa-pss" else ""
        text = f"signatureAlgorithm {known.name if known else ''}{with_hash} next to digestAlgorithm"
        yield Remark("hash-mismatch", f"{text} {hash_name(signer.digest.oid)[1]}", signer.start)
    if (signer.version == 3) != (signer.skid is not None):
        form = "a subject key id" if signer.skid is not None else "issuer and serial number"
        text = f"SignerInfo version {signer.version} names its signer by {form}, against RFC 5652, 5.3"
        yield Remark("signer-form", text, signer.start)
    yield from _odd_params(signer, known)


def _hash_of_algorithm(signer: SignerInfo, known: SignatureAlgorithm | None) -> str | None:
    """The hash that the signature algorithm itself names (RSA-PSS: in its parameters), None without."""
    if known is None or known.algorithm != "rsa-pss":
        return known.hash if known else None
    from elfsig.envelopes.cms.statement import pss_hash

    try:
        return pss_hash(signer.algorithm.params)[1]
    except ParseError:
        return None  # Statement reports that the parameters are damaged


def _odd_params(signer: SignerInfo, known: SignatureAlgorithm | None) -> Iterator[Remark]:
    """Algorithm parameters that are neither absent nor NULL for algorithms that define no others."""
    fields = [("digestAlgorithm", signer.digest)]
    if known and known.algorithm not in (None, "rsa-pss"):
        fields.append(("signatureAlgorithm", signer.algorithm))
    for field, algorithm in fields:
        if _params(algorithm) == "other":
            text = f"{field} has meaningless parameters"
            yield Remark("algorithm-parameters", text, signer.start)


# --------------------------------------------------------------------------- facts


def _params(algorithm: AlgorithmId) -> str:
    if algorithm.params is None:
        return "absent"
    return "null" if algorithm.params == b"\x05\x00" else "other"


def _names(attributes: tuple[Attribute, ...] | None) -> tuple[str, ...] | None:
    if attributes is None:
        return None
    return tuple(ATTRIBUTE_NAMES.get(a.oid, a.oid) for a in attributes)


def facts(data: SignedData, number: int) -> Mapping[str, Any]:
    """The facts that kernels' rules use, for the signer of this index. Sizes in bytes, OIDs dotted.

    ``*_params`` are absent, null or other; ``signed_attributes`` are names, None without any;
    ``value_offset`` is in the blob.
    """
    signer = data.signers[number]
    return {
        "signed_data_version": data.version,
        "signer_version": signer.version,
        "signer_index": number,
        "signer_count": len(data.signers),
        "signer_form": "issuer-serial" if signer.skid is None else "skid",
        "content_type": data.content_type,
        "content_embedded": data.content is not None,
        "digest_algorithms": tuple(d.oid for d in data.digests),
        "digest_algorithm": signer.digest.oid,
        "digest_params": _params(signer.digest),
        "signature_algorithm": signer.algorithm.oid,
        "signature_params": _params(signer.algorithm),
        "signed_attributes": _names(signer.signed),
        "unsigned_attributes": _names(signer.unsigned),
        "certificates": len(data.certificates),
        "certificates_damaged": sum(certificate_fault(c) is not None for c in data.certificates),
        "revocations": data.revocations,
        "encoding": data.encoding,
        "size": data.size,
        "signer_offset": signer.start,
        "value_offset": signer.value_start,
        "value_size": len(signer.value),
    }
