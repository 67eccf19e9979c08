"""X.509 certificates, read as tolerantly as kernels do: nothing is refused that a kernel would load.

Only the outer structure is checked against RFC 5280 4.1; extensions, versions, serial numbers and
algorithm identifiers may be unusual. The cryptography library's own parser refuses negative serial
numbers and damaged extensions, and with them keys that real kernels contain.
"""

from __future__ import annotations

from datetime import UTC, datetime

from elfsig.crypto import der
from elfsig.crypto.names import name_text
from elfsig.errors import ParseError
from elfsig.lazy_tuple import NamedTuple
from elfsig.model import Certificate

BIT_STRING, VERSION, EXTENSIONS = 0x03, 0xA0, 0xA3
SKID_OID = "2.5.29.14"
UTC_TIME, GENERALIZED_TIME = 0x17, 0x18
NO_EXPIRY = 253402300799
"""99991231235959Z, which stands for no expiry (RFC 5280 4.1.2.5)."""


class Parsed(NamedTuple):
    """A certificate and the parts needed for a key: subjectPublicKeyInfo and TBSCertificate, both DER.

    ``odd_dates``: the validity could not be read, and is reported as 1970 to the end of 9999.
    """

    certificate: Certificate
    spki: bytes
    tbs: bytes
    odd_dates: bool


def element(data: bytes, at: int, limit: int, tag: int, what: str) -> der.Node:
    """The element at ``at``, which must have this tag. Raises ParseError that names ``what``."""
    found = der.read(data, at, limit)
    if found.tag != tag:
        raise ParseError(
            f"{what}: tag {tag:#04x} expected, {found.tag:#04x} found", offset=at, code="der-tag"
        )
    return found


def parse(data: bytes, at: int = 0) -> Parsed:
    """The DER certificate at offset ``at``; its length is that of ``certificate.der``.

    Layout: RFC 5280 4.1. Raises ParseError with the offset in ``data``, after a few reads if there is
    no certificate: it is used to search images.
    """
    outer = element(data, at, len(data), der.SEQUENCE, "certificate")
    tbs = element(data, outer.body, outer.end, der.SEQUENCE, "to-be-signed part")
    algorithm = element(data, tbs.next, outer.end, der.SEQUENCE, "signature algorithm")
    signature = element(data, algorithm.next, outer.end, BIT_STRING, "signature")
    if signature.next != outer.end:
        raise ParseError("bytes after the signature", offset=signature.next, code="not-certificate")
    return _parsed(data, outer, tbs)


FIELDS = (
    ("serial number", der.INTEGER), ("signature algorithm", der.SEQUENCE), ("issuer", der.SEQUENCE),
    ("validity", der.SEQUENCE), ("subject", der.SEQUENCE), ("public key", der.SEQUENCE),
)  # fmt: skip
"""The fields of TBSCertificate after its version."""


def _parsed(data: bytes, outer: der.Node, tbs: der.Node) -> Parsed:
    first = der.read(data, tbs.body, tbs.end)
    at, nodes = first.next if first.tag == VERSION else first.start, []
    for what, tag in FIELDS:
        nodes.append(element(data, at, tbs.end, tag, what))
        at = nodes[-1].next
    serial, _, issuer, validity, subject, spki = nodes
    dates = _validity(data, validity)
    certificate = Certificate(
        der=_bytes(data, outer),
        issuer=_bytes(data, issuer),
        subject=_bytes(data, subject),
        serial=int.from_bytes(data[serial.body : serial.end], signed=True),
        skid=_skid(data, at, tbs.end),
        subject_text=name_text(_bytes(data, subject)),
        issuer_text=name_text(_bytes(data, issuer)),
        not_before=dates[0] if dates else 0,
        not_after=dates[1] if dates else NO_EXPIRY,
    )
    return Parsed(certificate, _bytes(data, spki), _bytes(data, tbs), dates is None)


def _bytes(data: bytes, node: der.Node) -> bytes:
    return bytes(data[node.start : node.next])


def _validity(data: bytes, field: der.Node) -> tuple[int, int] | None:
    try:
        first, last = (seconds(t.tag, bytes(data[t.body : t.end])) for t in der.children(data, field))
    except (ValueError, ParseError):
        return None
    return first, last


def seconds(tag: int, text: bytes) -> int:
    """Seconds since 1970 of a UTCTime (two-digit years from 1950, RFC 5280 4.1.2.5) or GeneralizedTime.

    Both are in Zulu time and have seconds and no fractions of them. Raises ValueError.
    """
    if tag not in (UTC_TIME, GENERALIZED_TIME):
        raise ValueError(f"tag {tag:#04x} is not a time")
    if tag == UTC_TIME:
        text = (b"20" if text[:2] < b"50" else b"19") + text
    if len(text) != 15 or not text[:14].isdigit() or text[14:] != b"Z":
        raise ValueError(f"{text!r} is not a time")
    # strptime() takes a millisecond to import, and more to be used once.
    month, day, hour, minute, second = (int(text[at : at + 2]) for at in range(4, 14, 2))
    return int(datetime(int(text[:4]), month, day, hour, minute, second, tzinfo=UTC).timestamp())


def _skid(data: bytes, at: int, end: int) -> bytes | None:
    """Contents of the subjectKeyIdentifier among the fields from ``at``; None where absent or damaged."""
    try:
        while at < end:
            field = der.read(data, at, end)
            if field.tag == EXTENSIONS:
                return _skid_in(data, der.read(data, field.body, field.end))
            at = field.next
    except ParseError:
        return None
    return None


def _skid_in(data: bytes, extensions: der.Node) -> bytes | None:
    for extension in der.children(data, extensions):
        parts = list(der.children(data, extension))
        if len(parts) < 2:
            raise ParseError("an extension without a value", offset=extension.start)
        oid, value = parts[0], parts[-1]
        if oid.tag == der.OID and der.decode_oid(data[oid.body : oid.end]) == SKID_OID:
            inner = element(data, value.body, value.end, der.OCTETS, "subject key identifier")
            return bytes(data[inner.body : inner.end])
    return None
