"""The tolerant CMS parser: pyasn1 for what the strict one refuses (BER, unusual algorithm parameters).

pyasn1 checks the values and joins segmented strings; offsets, and bytes that are compared or hashed as in
the file (names, certificates, signed attributes), come from the element reader, which also reports where
the structure deviates from RFC 5652 (sections 3 and 5).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from pyasn1.codec.ber import decoder as ber_decoder
from pyasn1.codec.der import encoder as der_encoder
from pyasn1.error import PyAsn1Error
from pyasn1.type import namedtype, tag, univ
from pyasn1_modules import rfc5280, rfc5652

from elfsig.crypto import der
from elfsig.crypto.der import Component, fields
from elfsig.envelopes.cms.types import SIGNED_DATA, AlgorithmId, Attribute, SignedData, SignerInfo, magnitude
from elfsig.errors import ParseError

MAX_MEMBERS = 1024
"""Maximum elements read of one set."""

MAX_ELEMENTS = 1 << 14
"""Maximum elements read of a message: pyasn1 takes seconds for a megabyte of small ones."""

CONTENT_INFO = (Component("contentType", (0x06,)), Component("content", (0xA0,)))
SIGNED = (
    Component("version", (0x02,)),
    Component("digestAlgorithms", (0x31,)),
    Component("encapContentInfo", (0x30,)),
    Component("certificates", (0xA0,), optional=True),
    Component("crls", (0xA1,), optional=True),
    Component("signerInfos", (0x31,)),
)
SIGNER = (
    Component("version", (0x02,)),
    Component("sid", (0x30, 0x80, 0xA0)),
    Component("digestAlgorithm", (0x30,)),
    Component("signedAttrs", (0xA0,), optional=True),
    Component("signatureAlgorithm", (0x30,)),
    Component("signature", (0x04, 0x24)),
    Component("unsignedAttrs", (0xA1,), optional=True),
)
SETS = {"digestAlgorithms", "certificates", "crls", "signerInfos", "signedAttrs", "unsignedAttrs"}
ISSUER_AND_SERIAL = (Component("issuer", (0x30,)), Component("serialNumber", (0x02,)))


# --------------------------------------------------------------------------- the pyasn1 schema


def _tagged(number: int, constructed: bool = True) -> tag.Tag:
    return tag.Tag(tag.tagClassContext, tag.tagFormatConstructed if constructed else 0, number)


class _IssuerAndSerial(univ.Sequence):  # type: ignore[misc]
    componentType = namedtype.NamedTypes(
        namedtype.NamedType("issuer", univ.Any()), namedtype.NamedType("serial", univ.Integer())
    )


class _Sid(univ.Choice):  # type: ignore[misc]
    componentType = namedtype.NamedTypes(
        namedtype.NamedType("named", _IssuerAndSerial()),
        namedtype.NamedType("skid", univ.OctetString().subtype(implicitTag=_tagged(0, False))),
    )


class _Anything(univ.SetOf):  # type: ignore[misc]
    componentType = univ.Any()


class _Attributes(univ.SetOf):  # type: ignore[misc]
    componentType = rfc5652.Attribute()


class _SignerInfo(univ.Sequence):  # type: ignore[misc]
    componentType = namedtype.NamedTypes(
        namedtype.NamedType("version", univ.Integer()),
        namedtype.NamedType("sid", _Sid()),
        namedtype.NamedType("digest", rfc5280.AlgorithmIdentifier()),
        namedtype.OptionalNamedType("signed", _Attributes().subtype(implicitTag=_tagged(0))),
        namedtype.NamedType("algorithm", rfc5280.AlgorithmIdentifier()),
        namedtype.NamedType("value", univ.OctetString()),
        namedtype.OptionalNamedType("unsigned", _Attributes().subtype(implicitTag=_tagged(1))),
    )


class _SignerInfos(univ.SetOf):  # type: ignore[misc]
    componentType = _SignerInfo()


class _SignedData(univ.Sequence):  # type: ignore[misc]
    componentType = namedtype.NamedTypes(
        namedtype.NamedType("version", univ.Integer()),
        namedtype.NamedType("digests", rfc5652.DigestAlgorithmIdentifiers()),
        namedtype.NamedType("encapsulated", rfc5652.EncapsulatedContentInfo()),
        namedtype.OptionalNamedType("certificates", _Anything().subtype(implicitTag=_tagged(0))),
        namedtype.OptionalNamedType("crls", _Anything().subtype(implicitTag=_tagged(1))),
        namedtype.NamedType("signers", _SignerInfos()),
    )


class _ContentInfo(univ.Sequence):  # type: ignore[misc]
    componentType = namedtype.NamedTypes(
        namedtype.NamedType("type", univ.ObjectIdentifier()),
        namedtype.NamedType("content", _SignedData().subtype(explicitTag=_tagged(0))),
    )


# --------------------------------------------------------------------------- into plain data


class _Shape(NamedTuple):
    """Offsets of one SignerInfo and of its fields."""

    node: der.Node
    parts: dict[str, der.Node]


def parse(blob: bytes) -> SignedData:
    """The SignedData at the start of ``blob``, in BER or DER. Raises ParseError with the offset."""
    outer = der.read(blob, 0, len(blob))
    if der.count(blob, 0, outer.next, MAX_ELEMENTS) > MAX_ELEMENTS:
        text = f"more than {MAX_ELEMENTS} elements: no real signature has so many"
        raise ParseError(text, offset=0, code="cms-too-many-elements")
    if outer.tag != der.SEQUENCE:
        raise ParseError(f"expected a SEQUENCE (ContentInfo), found tag {outer.tag:#04x}", offset=0)
    info = fields(blob, outer, CONTENT_INFO)
    kind = der.oid_text(blob, info["contentType"])
    if kind != SIGNED_DATA:
        raise ParseError(
            f"content type {kind}, not signedData",
            offset=info["contentType"].start,
            code="cms-not-signed-data",
        )
    inner = der.descend(blob, info["content"], 0)
    parts = fields(blob, inner, SIGNED)
    _bound(blob, parts)
    nodes = list(der.children(blob, parts["signerInfos"]))
    shapes = [_Shape(node, fields(blob, node, SIGNER)) for node in nodes]
    for shape in shapes:
        _bound(blob, shape.parts)
    try:
        return _plain(blob, outer, parts, shapes)
    except ParseError:
        raise
    except Exception as fault:  # pyasn1 raises errors of every kind for hostile bytes
        text = str(fault).splitlines()[0][:120] if str(fault) else type(fault).__name__
        raise ParseError(f"not a CMS SignedData: {text}", offset=inner.start) from None


def _bound(blob: bytes, parts: dict[str, der.Node]) -> None:
    """Raise ParseError for a set with more elements than any real signature has."""
    for name in SETS & parts.keys():
        for number, node in enumerate(der.children(blob, parts[name])):
            if number == MAX_MEMBERS:
                raise ParseError(f"more than {MAX_MEMBERS} elements in {name}", offset=node.start)


def _plain(blob: bytes, outer: der.Node, parts: dict[str, der.Node], shapes: list[_Shape]) -> SignedData:
    """Plain data from the message as pyasn1 decodes it. Raises ParseError, and whatever pyasn1 raises."""
    decoded, _ = ber_decoder.decode(blob[: outer.next], asn1Spec=_ContentInfo())
    data = decoded["content"]
    content = data["encapsulated"]["eContent"]
    return SignedData(
        version=int(data["version"]),
        digests=_algorithms(blob, parts["digestAlgorithms"]),
        content_type=str(data["encapsulated"]["eContentType"]),
        content=bytes(content) if content.isValue else None,
        certificates=_elements(blob, parts.get("certificates")),
        revocations=len(_elements(blob, parts.get("crls"))),
        signers=tuple(_signer(blob, *both) for both in zip(shapes, data["signers"], strict=True)),
        size=outer.next,
        encoding="DER" if _is_der(decoded, blob[: outer.next]) else "BER",
    )


def _is_der(decoded: Any, encoded: bytes) -> bool:
    try:
        return bytes(der_encoder.encode(decoded)) == encoded
    except PyAsn1Error:
        return False


def _elements(blob: bytes, parent: der.Node | None) -> tuple[bytes, ...]:
    return () if parent is None else tuple(blob[n.start : n.next] for n in der.children(blob, parent))


def _algorithm(blob: bytes, node: der.Node) -> AlgorithmId:
    """AlgorithmIdentifier from its SEQUENCE. Raises ParseError."""
    nodes = list(der.children(blob, node))
    if not 1 <= len(nodes) <= 2 or nodes[0].tag != der.OID:
        raise ParseError("expected an AlgorithmIdentifier", offset=node.start)
    params = blob[nodes[1].start : nodes[1].next] if len(nodes) == 2 else None
    return AlgorithmId(der.oid_text(blob, nodes[0]), params)


def _algorithms(blob: bytes, node: der.Node) -> tuple[AlgorithmId, ...]:
    return tuple(_algorithm(blob, each) for each in der.children(blob, node))


def _attributes(found: Any) -> tuple[Attribute, ...] | None:
    if not found.isValue:
        return None
    return tuple(Attribute(str(a["attrType"]), tuple(bytes(v) for v in a["attrValues"])) for a in found)


def _signed_der(blob: bytes, node: der.Node | None, found: Any) -> bytes | None:
    """Signed attributes as they are hashed (RFC 5652, 5.4): kernels hash the file's bytes, so do we."""
    if node is None:
        return None
    if node.indefinite:
        plain = _Attributes()
        plain.extend(list(found))
        return bytes(der_encoder.encode(plain))
    return b"\x31" + blob[node.start + 1 : node.end]


def _signer(blob: bytes, shape: _Shape, found: Any) -> SignerInfo:
    node, parts = shape
    named = found["sid"].getName() == "named"
    issuer = fields(blob, parts["sid"], ISSUER_AND_SERIAL)["issuer"] if named else None
    value = parts["signature"]
    return SignerInfo(
        version=int(found["version"]),
        issuer=blob[issuer.start : issuer.next] if issuer else None,
        serial=magnitude(int(found["sid"]["named"]["serial"])) if named else None,
        skid=None if named else bytes(found["sid"]["skid"]),
        digest=_algorithm(blob, parts["digestAlgorithm"]),
        signed=_attributes(found["signed"]),
        signed_der=_signed_der(blob, parts.get("signedAttrs"), found["signed"]),
        algorithm=_algorithm(blob, parts["signatureAlgorithm"]),
        value=bytes(found["value"]),
        unsigned=_attributes(found["unsigned"]),
        start=node.start,
        value_start=value.body,
    )
