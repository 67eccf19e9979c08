"""A readable listing of BER or DER, in the columns of ``openssl asn1parse``: offset, depth, header, length.

Nothing is interpreted: elements are shown up to the byte that cannot be read. Object identifiers that
module signatures use are shown with their names.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from elfsig.crypto import der
from elfsig.crypto.oids import BY_OID, hash_name
from elfsig.envelopes.cms.facts import ATTRIBUTE_NAMES
from elfsig.errors import ParseError

MAX_DEPTH: Final = 64
"""Deeper nesting is not followed: no signature has it, and each indefinite length costs a pass."""

_UNIVERSAL: Final = {
    0x01: "BOOLEAN", 0x02: "INTEGER", 0x03: "BIT STRING", 0x04: "OCTET STRING", 0x05: "NULL", 0x06: "OBJECT",
    0x0A: "ENUMERATED", 0x0C: "UTF8STRING", 0x10: "SEQUENCE", 0x11: "SET", 0x12: "NUMERICSTRING",
    0x13: "PRINTABLESTRING", 0x14: "T61STRING", 0x16: "IA5STRING", 0x17: "UTCTIME", 0x18: "GENERALIZEDTIME",
    0x1A: "VISIBLESTRING", 0x1C: "UNIVERSALSTRING", 0x1E: "BMPSTRING",
}  # fmt: skip
"""Tag numbers of X.680, under the names that OpenSSL prints."""

_CODECS: Final = {
    0x0C: "utf-8", 0x12: "ascii", 0x13: "ascii", 0x14: "latin-1", 0x16: "ascii", 0x17: "ascii", 0x18: "ascii",
    0x1A: "ascii", 0x1C: "utf-32-be", 0x1E: "utf-16-be",
}  # fmt: skip
_CLASSES: Final = ("", "appl", "cont", "priv")

_NAMES: Final = {
    "1.2.840.113549.1.7.1": "data", "1.2.840.113549.1.7.2": "signedData", "2.5.4.3": "commonName",
    "2.5.4.5": "serialNumber", "2.5.4.6": "countryName", "2.5.4.7": "localityName",
    "2.5.4.8": "stateOrProvinceName", "2.5.4.10": "organizationName", "2.5.4.11": "organizationalUnitName",
    "1.2.840.113549.1.9.1": "emailAddress", "2.5.29.14": "subjectKeyIdentifier", "2.5.29.15": "keyUsage",
    "2.5.29.17": "subjectAltName", "2.5.29.19": "basicConstraints", "2.5.29.35": "authorityKeyIdentifier",
    "2.5.29.37": "extendedKeyUsage", "1.3.6.1.5.5.7.3.3": "codeSigning", "1.2.840.10045.2.1": "ecPublicKey",
    "1.2.840.10045.3.1.7": "prime256v1", "1.3.132.0.34": "secp384r1", "1.3.132.0.35": "secp521r1",
    "1.2.840.113549.1.1.8": "mgf1",
}  # fmt: skip


def lines(data: bytes) -> Iterator[str]:
    """One line for each element, in file order; the last line says where the structure is damaged."""
    inside: list[der.Node] = []
    at = 0
    while True:
        while inside and at >= inside[-1].end:
            at = inside.pop().next
        if at >= len(data):
            return
        try:
            node = der.read(data, at, inside[-1].end if inside else len(data))
        except ParseError as fault:
            yield f"{at:5}: {fault.text}"
            return
        yield _line(data, node, len(inside))
        if node.tag & 0x20 and len(inside) < MAX_DEPTH:
            inside.append(node)
            at = node.body
        else:
            at = node.next


def _line(data: bytes, node: der.Node, depth: int) -> str:
    form = "cons" if node.tag & 0x20 else "prim"
    length = " inf" if node.indefinite else f"{node.end - node.body:4}"
    head = f"{node.start:5}:d={depth:<2} hl={node.body - node.start} l={length} {form}: "
    value = "" if node.tag & 0x20 else _value(data, node)
    return f"{head}{_tag_name(node.tag):<18}{value}".rstrip()


def _tag_name(tag: int) -> str:
    number = tag & 0x1F
    if tag >> 6:
        return f"{_CLASSES[tag >> 6]} [ {number} ]"
    return _UNIVERSAL.get(number, f"<ASN1 {number}>")


def _value(data: bytes, node: der.Node) -> str:
    """The content of a primitive element: by its type, else in hex."""
    body = data[node.body : node.end]
    if node.tag == der.OID:
        return ":" + _oid(body)
    if not body:
        return ""
    if node.tag in _CODECS:
        text = body.decode(_CODECS[node.tag], "backslashreplace")
        return ":" + "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    if node.tag == der.INTEGER:
        return f":{int.from_bytes(body, signed=True):02X}"
    return f":{body.hex().upper()}"


def _oid(body: bytes) -> str:
    try:
        dotted = der.decode_oid(body)
    except ParseError as fault:
        return fault.text
    name = _name(dotted)
    return f"{name} ({dotted})" if name else dotted


def _name(dotted: str) -> str | None:
    if dotted in BY_OID:
        return BY_OID[dotted].name
    known = _NAMES.get(dotted) or ATTRIBUTE_NAMES.get(dotted) or hash_name(dotted)[1]
    return None if known == dotted else known
