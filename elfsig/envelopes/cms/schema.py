"""The fast CMS parser: a declarative schema, strict DER. Import it only when a CMS is parsed."""

from __future__ import annotations

from typing import Annotated

from cryptography.hazmat import asn1
from cryptography.hazmat.bindings._rust import ObjectIdentifier  # cryptography.x509 takes 25 ms more

from elfsig.crypto import der
from elfsig.envelopes.cms.types import SIGNED_DATA, AlgorithmId, Attribute, SignedData, SignerInfo, magnitude

_NULL = b"\x05\x00"


@asn1.sequence
class _Algorithm:
    oid: ObjectIdentifier
    params: asn1.Null | None


@asn1.sequence
class _Attribute:
    oid: ObjectIdentifier
    values: asn1.SetOf[asn1.TLV]


@asn1.sequence
class _IssuerAndSerial:
    issuer: asn1.TLV
    serial: int


@asn1.sequence
class _SignerInfo:
    version: int
    sid: _IssuerAndSerial | Annotated[bytes, asn1.Implicit(0)]
    digest: _Algorithm
    signed: Annotated[asn1.SetOf[_Attribute] | None, asn1.Implicit(0)]
    algorithm: _Algorithm
    value: bytes
    unsigned: Annotated[asn1.SetOf[_Attribute] | None, asn1.Implicit(1)]


@asn1.sequence
class _EncapsulatedContent:
    type: ObjectIdentifier
    content: Annotated[bytes | None, asn1.Explicit(0)]


@asn1.sequence
class _SignedData:
    version: int
    digests: asn1.SetOf[_Algorithm]
    encapsulated: _EncapsulatedContent
    certificates: Annotated[asn1.SetOf[asn1.TLV] | None, asn1.Implicit(0)]
    revocations: Annotated[asn1.SetOf[asn1.TLV] | None, asn1.Implicit(1)]
    signers: asn1.SetOf[_SignerInfo]


@asn1.sequence
class _ContentInfo:
    type: ObjectIdentifier
    content: Annotated[_SignedData, asn1.Explicit(0)]


def parse(blob: bytes, size: int) -> SignedData | None:
    """The SignedData in ``blob[:size]``; None if it is not plain DER of the usual form."""
    try:
        info = asn1.decode_der(_ContentInfo, blob[:size])
    except (ValueError, OverflowError):
        return None
    if info.type.dotted_string != SIGNED_DATA:
        return None
    data = info.content
    signers = data.signers.as_list()
    return SignedData(
        version=data.version,
        digests=tuple(_algorithm(d) for d in data.digests.as_list()),
        content_type=data.encapsulated.type.dotted_string,
        content=data.encapsulated.content,
        certificates=_elements(data.certificates),
        revocations=len(_elements(data.revocations)),
        signers=tuple(map(_signer, signers, _spans(blob, size), [blob] * len(signers))),
        size=size,
        encoding="DER",
    )


def _spans(blob: bytes, size: int) -> list[der.Node]:
    """Offsets of the SignerInfos: the children of the last element of SignedData."""
    signed_data = der.descend(blob, der.read(blob, 0, size), 1, 0)
    *_, signers = der.children(blob, signed_data)
    return list(der.children(blob, signers))


def _algorithm(found: _Algorithm) -> AlgorithmId:
    return AlgorithmId(found.oid.dotted_string, None if found.params is None else _NULL)


def _whole(element: asn1.TLV) -> bytes:
    return der.encode(element.tag_bytes[0], bytes(element.data))


def _elements(found: asn1.SetOf[asn1.TLV] | None) -> tuple[bytes, ...]:
    return () if found is None else tuple(_whole(e) for e in found.as_list())


def _attributes(found: asn1.SetOf[_Attribute] | None) -> tuple[Attribute, ...] | None:
    if found is None:
        return None
    return tuple(Attribute(a.oid.dotted_string, _elements(a.values)) for a in found.as_list())


def _signer(found: _SignerInfo, node: der.Node, blob: bytes) -> SignerInfo:
    parts = list(der.children(blob, node))
    value = parts[5 if found.signed is not None else 4]
    sid = found.sid
    named = None if isinstance(sid, bytes) else sid
    return SignerInfo(
        version=found.version,
        issuer=_whole(named.issuer) if named else None,
        serial=magnitude(named.serial) if named else None,
        skid=sid if isinstance(sid, bytes) else None,
        digest=_algorithm(found.digest),
        signed=_attributes(found.signed),
        signed_der=b"\x31" + blob[parts[3].start + 1 : parts[3].end] if found.signed is not None else None,
        algorithm=_algorithm(found.algorithm),
        value=found.value,
        unsigned=_attributes(found.unsigned),
        start=node.start,
        value_start=value.body,
    )
