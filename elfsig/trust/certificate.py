"""X.509 certificates, read as tolerantly as kernels do: nothing is refused that a kernel would load.

Only the outer shape is held against RFC 5280 4.1; extensions, versions, serial numbers and algorithm
identifiers may be as odd as they like. The cryptography library's own parser refuses negative serial
numbers and damaged extensions, and with them keys that real kernels carry.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from elfsig.errors import ParseError
from elfsig.model import Certificate
from elfsig.trust import der

VERSION, EXTENSIONS = 0xA0, 0xA3
SKID_OID = bytes.fromhex("0603551d0e")
NAME_WORDS = {
    "2.5.4.3": "CN", "2.5.4.4": "SN", "2.5.4.5": "serialNumber", "2.5.4.6": "C", "2.5.4.7": "L",
    "2.5.4.8": "ST", "2.5.4.9": "street", "2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.12": "title",
    "2.5.4.42": "GN", "0.9.2342.19200300.100.1.1": "UID", "0.9.2342.19200300.100.1.25": "DC",
    "1.2.840.113549.1.9.1": "emailAddress",
}  # fmt: skip
STRING_CODECS = {
    12: "utf-8",
    19: "ascii",
    20: "latin-1",
    22: "ascii",
    26: "ascii",
    28: "utf-32-be",
    30: "utf-16-be",
}
UTC_TIME = 23


class Parsed(NamedTuple):
    """A certificate and what of it makes a key: subjectPublicKeyInfo and TBSCertificate, both DER.

    ``odd_dates``: the validity could not be read, and both its times are given as 0.
    """

    certificate: Certificate
    spki: bytes
    tbs: bytes
    odd_dates: bool


def parse(data: bytes, at: int = 0) -> Parsed:
    """The DER certificate at offset ``at``; its length is that of ``certificate.der``.

    Layout: RFC 5280 4.1. Raises ParseError with the offset in ``data``.
    """
    outer = der.expect(data, at, len(data), der.SEQUENCE, "certificate")
    parts = der.children(data, outer)
    if [p.tag for p in parts] != [der.SEQUENCE, der.SEQUENCE, der.BIT_STRING]:
        raise ParseError("not the three parts of a certificate", offset=at, code="not-certificate")
    fields = der.children(data, parts[0])
    if fields and fields[0].tag == VERSION:
        fields = fields[1:]
    if [f.tag for f in fields[:6]] != [der.INTEGER, *[der.SEQUENCE] * 5]:
        raise ParseError("not the fields of a certificate", offset=parts[0].at, code="not-certificate")
    serial, _, issuer, validity, subject, spki = fields[:6]
    dates = _validity(data, validity)
    certificate = Certificate(
        der=bytes(data[at : outer.end]),
        issuer=bytes(data[issuer.at : issuer.end]),
        subject=bytes(data[subject.at : subject.end]),
        serial=int.from_bytes(data[serial.start : serial.end], signed=True),
        skid=_skid(data, fields[6:]),
        subject_text=name_text(data[subject.at : subject.end]),
        issuer_text=name_text(data[issuer.at : issuer.end]),
        not_before=dates[0] if dates else 0,
        not_after=dates[1] if dates else 0,
    )
    return Parsed(
        certificate,
        bytes(data[spki.at : spki.end]),
        bytes(data[parts[0].at : parts[0].end]),
        dates is None,
    )


def _validity(data: bytes, field: der.Tlv) -> tuple[int, int] | None:
    try:
        first, last = (_seconds(t.tag, bytes(data[t.start : t.end])) for t in der.children(data, field))
    except ValueError:
        return None
    except ParseError:
        return None
    return first, last


def _seconds(tag: int, text: bytes) -> int:
    """Seconds since 1970 of a UTCTime (two-digit years from 1950, RFC 5280 4.1.2.5) or GeneralizedTime.

    Raises ValueError.
    """
    if tag == UTC_TIME:
        text = (b"20" if text[:2] < b"50" else b"19") + text
    moment = datetime.strptime(text.decode("ascii"), "%Y%m%d%H%M%SZ")
    return int(moment.replace(tzinfo=UTC).timestamp())


def _skid(data: bytes, rest: list[der.Tlv]) -> bytes | None:
    """Contents of the subjectKeyIdentifier extension, None where it is absent or damaged."""
    extensions = next((f for f in rest if f.tag == EXTENSIONS), None)
    if extensions is None:
        return None
    try:
        for extension in der.children(data, der.read(data, extensions.start, extensions.end)):
            parts = der.children(data, extension)
            if parts and data[parts[0].at : parts[0].end] == SKID_OID:
                inner = der.expect(data, parts[-1].start, parts[-1].end, der.OCTET_STRING, "SKID")
                return bytes(data[inner.start : inner.end])
    except ParseError:
        return None
    return None


def attributes(name: bytes) -> list[tuple[str, str]]:
    """The attributes of a DER Name in order, as (short word or dotted OID, text). Raises ParseError."""
    found = []
    for relative in der.children(name, der.read(name, 0)):
        for attribute in der.children(name, relative):
            parts = der.children(name, attribute)
            if len(parts) != 2 or parts[0].tag != der.OID:
                raise ParseError("not an attribute of a name", offset=attribute.at, code="not-name")
            oid = der.oid_text(name[parts[0].start : parts[0].end])
            found.append(
                (NAME_WORDS.get(oid, oid), _string(parts[1].tag, name[parts[1].start : parts[1].end]))
            )
    return found


def _string(tag: int, contents: bytes) -> str:
    codec = STRING_CODECS.get(tag)
    return contents.decode(codec, "backslashreplace") if codec else "#" + contents.hex()


def name_text(name: bytes) -> str:
    """A DER Name as "O=Magrathea, CN=Glacier signing key"; as hex where it is damaged."""
    try:
        return ", ".join(f"{word}={text}" for word, text in attributes(name))
    except ParseError:
        return "#" + name.hex()


def signer_name(subject: bytes) -> str | None:
    """The name that kernels 3.7 to 4.2 give a certificate, None where its subject has nothing for one.

    Rule: crypto/asymmetric_keys/x509_cert_parser.c, x509_fabricate_name, of those kernels: "O: CN", but
    CN alone where it starts with O or shares its first seven bytes; the e-mail address where both lack.
    """
    try:
        words = dict(attributes(subject))
    except ParseError:
        return None
    organisation, common = words.get("O"), words.get("CN")
    if not organisation or not common:
        return common or organisation or words.get("emailAddress")
    org, cn = organisation.encode(), common.encode()
    if cn.startswith(org) or (len(org) >= 7 and len(cn) >= 7 and org[:7] == cn[:7]):
        return common
    return f"{organisation}: {common}"
