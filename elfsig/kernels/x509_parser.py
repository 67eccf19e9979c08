"""X.509 certificates as the kernel's parser reads them, which is stricter than most and odd in places.

Sources: crypto/asymmetric_keys/x509.asn1, x509_cert_parser.c and x509_public_key.c of Linux 6.1, by which
the rules below were also run in user space; since 4.4 they differ little. What the parser does not look at
(validity against the clock, keyUsage of a key that signs modules, extendedKeyUsage) is not checked here.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Literal

from elfsig.crypto import der
from elfsig.crypto.checks import Match, Unsupported
from elfsig.crypto.oids import BY_OID, SignatureAlgorithm
from elfsig.envelopes.cms.chain import Embedded, read_embedded
from elfsig.errors import ParseError
from elfsig.lazy_dataclass import dataclass
from elfsig.lazy_tuple import NamedTuple

UTC_TIME, GENERALIZED_TIME, BIT_STRING, OCTETS, BOOLEAN = 0x17, 0x18, 0x03, 0x04, 0x01
VERSION, EXTENSIONS = 0xA0, 0xA3
SKID, KEY_USAGE, BASIC_CONSTRAINTS = "2.5.29.14", "2.5.29.15", "2.5.29.19"
EC_PUBLIC_KEY = "1.2.840.10045.2.1"
CURVES = {
    "1.2.840.10045.3.1.1": "secp192r1",
    "1.2.840.10045.3.1.7": "secp256r1",
    "1.3.132.0.34": "secp384r1",
    "1.3.132.0.35": "secp521r1",
}
DIGITAL_SIGNATURE, KEY_CERT_SIGN = 0x80, 0x04
_MONTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


class Fault(NamedTuple):
    """Why the parser refuses a certificate: errno, a stable word, and the reason as a clause."""

    errno: str
    code: str
    text: str


Authority = Literal["none", "own", "other", "contradictory"]
SelfSignature = Literal["good", "bad", "unchecked"]


@dataclass(frozen=True, slots=True)
class Facts:
    """What a kernel makes of a certificate before it knows of any other key.

    ``fault``: the first thing its parser refuses in any build. ``signed_with``: how it is signed (None: an
    identifier that is unknown here). ``algorithm``, ``curve``, ``bits`` and ``exponent`` are those of the
    key; ``curve`` is an identifier where it has no name here. ``own_name``: issuer and subject are the same.
    ``authority``: what its authorityKeyIdentifier names. ``is_ca``, ``usage``: basicConstraints and the
    first byte of keyUsage. ``tbs`` is the signed part, DER.
    """

    fault: Fault | None = None
    signed_with: SignatureAlgorithm | None = None
    algorithm: str | None = None
    curve: str | None = None
    bits: int = 0
    exponent: int = 0
    own_name: bool = False
    authority: Authority = "none"
    self_signature: SelfSignature = "unchecked"
    is_ca: bool = False
    usage: int = 0
    tbs: bytes = b""

    @property
    def checks_itself(self) -> bool:
        """Whether the kernel takes the certificate for self-signed, and checks its signature by itself."""
        return self.own_name and self.authority != "other"


@lru_cache(maxsize=512)
def facts(certificate: bytes) -> Facts:
    """The facts of a DER certificate. Never raises: what cannot be read is a fault."""
    try:
        return _facts(certificate)
    except ParseError as reason:
        return Facts(Fault("EBADMSG", "not-certificate", f"it cannot be parsed ({reason.text})"))


def _facts(data: bytes) -> Facts:
    outer = der.read(data, 0, len(data))
    tbs, algorithm = der.descend(data, outer, 0), der.descend(data, outer, 1)
    fields = _fields(data, tbs)
    names = [data[fields[n].start : fields[n].next] for n in ("issuer", "subject")]
    extensions = _Extensions(data, fields.get("extensions"))
    faults = [*_name_faults(data, fields), *_date_faults(data, fields["validity"])]
    key = _public_key(data, fields["key"])
    faults += [*key.faults, *extensions.faults]
    embedded = read_embedded(data)
    oids = [der.oid_text(data, der.descend(data, node, 0)) for node in (fields["algorithm"], algorithm)]
    if oids[0] != oids[1]:
        text = "it names two different signature algorithms"
        faults.append(Fault("EINVAL", "signature-algorithm", text))
    return Facts(
        fault=next(iter(faults), None),
        signed_with=BY_OID.get(oids[0]),
        algorithm=key.algorithm,
        curve=key.curve,
        bits=key.bits,
        exponent=key.exponent,
        own_name=names[0] == names[1],
        authority=_authority(embedded),
        self_signature=_self_signature(embedded),
        is_ca=extensions.is_ca,
        usage=extensions.usage,
        tbs=data[tbs.start : tbs.next],
    )


_ORDER = ("serial", "algorithm", "issuer", "validity", "subject", "key")


def _fields(data: bytes, tbs: der.Node) -> dict[str, der.Node]:
    """The fields of TBSCertificate by name. Raises ParseError where one is missing."""
    nodes = list(der.children(data, tbs))
    if nodes and nodes[0].tag == VERSION:
        nodes.pop(0)
    if len(nodes) < len(_ORDER):
        raise ParseError("fields are missing", offset=tbs.start)
    found = dict(zip(_ORDER, nodes, strict=False))
    extensions = next((node for node in nodes[len(_ORDER) :] if node.tag == EXTENSIONS), None)
    return found if extensions is None else {**found, "extensions": extensions}


# --------------------------------------------------------------------------- names and dates


def _name_faults(data: bytes, fields: dict[str, der.Node]) -> Iterator[Fault]:
    """A Name is SEQUENCE OF SET OF: the kernel's decoder wants at least one of each."""
    for which in ("issuer", "subject"):
        parts = list(der.children(data, fields[which]))
        if not parts or not all(list(der.children(data, part)) for part in parts):
            yield Fault("EBADMSG", "name", f"its {which} is an empty name")


def _date_faults(data: bytes, validity: der.Node) -> Iterator[Fault]:
    nodes = list(der.children(data, validity))
    if len(nodes) != 2:
        yield Fault("EBADMSG", "date", f"its validity has {len(nodes)} dates instead of two")
        return
    for name, node in zip(("notBefore", "notAfter"), nodes, strict=True):
        why = date_fault(node.tag, data[node.body : node.end])
        if why is not None:
            yield Fault("EBADMSG", "date", f"its {name} is not a date that kernels read: {why}")


def date_fault(tag: int, text: bytes) -> str | None:
    """Why x509_decode_time() refuses a date, None where it reads it."""
    shown = text.decode("ascii", "backslashreplace")
    if tag not in (UTC_TIME, GENERALIZED_TIME):
        return f"neither UTCTime nor GeneralizedTime (tag {tag:#04x})"
    digits = 12 if tag == UTC_TIME else 14
    if len(text) != digits + 1 or text[-1:] != b"Z" or not text[:-1].isdigit():
        form = "YYMMDDHHMMSSZ" if tag == UTC_TIME else "YYYYMMDDHHMMSSZ"
        return f"{shown} is not of the form {form}"
    year = int(text[: digits - 10])
    if tag == UTC_TIME:
        year += 1900 if year >= 50 else 2000
    elif 1950 <= year <= 2049:
        return f"{shown} is a year that must be written as UTCTime"
    if year < 1970:
        return f"{shown} is before 1970"
    month, day, hour, minute, second = (int(text[n : n + 2]) for n in range(digits - 10, digits, 2))
    if not 1 <= month <= 12 or not 1 <= day <= _days(year, month):
        return f"{shown} is not a day of the calendar"
    return f"{shown} is not a time of day" if hour > 24 or minute > 59 or second > 60 else None


def _days(year: int, month: int) -> int:
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return 29 if month == 2 and leap else _MONTHS[month - 1]


# --------------------------------------------------------------------------- public key


class _PublicKey(NamedTuple):
    algorithm: str | None = None
    curve: str | None = None
    bits: int = 0
    exponent: int = 0
    faults: tuple[Fault, ...] = ()


def _public_key(data: bytes, spki: der.Node) -> _PublicKey:
    """x509_extract_key_data(): the algorithm, and for EC keys a curve by its identifier."""
    algorithm = der.descend(data, spki, 0)
    oid = der.oid_text(data, der.descend(data, algorithm, 0))
    if oid == EC_PUBLIC_KEY:
        parameters = list(der.children(data, algorithm))[1:]
        if not parameters or parameters[0].tag != der.OID:
            text = "its EC key gives the parameters of its curve instead of the curve's identifier"
            return _PublicKey("ecdsa", faults=(Fault("EBADMSG", "parameters", text),))
        curve = der.oid_text(data, parameters[0])
        return _PublicKey("ecdsa", CURVES.get(curve, curve))
    row = BY_OID.get(oid)
    if row is None or row.algorithm != "rsa":
        return _PublicKey(row.algorithm if row else None)
    return _rsa(data, der.descend(data, spki, 1))


def _rsa(data: bytes, bits: der.Node) -> _PublicKey:
    """RSAPublicKey (RFC 8017 A.1.1). The kernel reads it when it first uses the key."""
    try:
        inner = der.read(data, bits.body + 1, bits.end)
        modulus, exponent = (
            int.from_bytes(data[n.body : n.end], "big") for n in list(der.children(data, inner))[:2]
        )
    except (ParseError, ValueError):
        return _PublicKey("rsa")
    return _PublicKey("rsa", bits=modulus.bit_length(), exponent=exponent)


# --------------------------------------------------------------------------- extensions


class _Extensions:
    """x509_process_extension(): the three extensions that it looks into."""

    def __init__(self, data: bytes, node: der.Node | None) -> None:
        self.faults: list[Fault] = []
        self.is_ca, self.usage, self._skid = False, 0, False
        if node is None:
            return
        try:
            each = list(der.children(data, der.descend(data, node, 0)))
            if not each:
                raise ParseError("an empty list of extensions")
            for extension in each:
                self._one(data, extension)
        except ParseError as reason:
            self._fault("extension", f"its extensions cannot be parsed ({reason.text})")

    def _fault(self, code: str, text: str) -> None:
        self.faults.append(Fault("EBADMSG", code, text))

    def _one(self, data: bytes, extension: der.Node) -> None:
        parts = list(der.children(data, extension))
        tags = [part.tag for part in parts]
        if tags not in ([der.OID, OCTETS], [der.OID, BOOLEAN, OCTETS]):
            raise ParseError("an extension of another form", offset=extension.start)
        value = data[parts[-1].body : parts[-1].end]
        oid = der.oid_text(data, parts[0])
        if oid == SKID:
            self._key_identifier(value)
        elif oid == KEY_USAGE:
            self._key_usage(value)
        elif oid == BASIC_CONSTRAINTS:
            self.is_ca = len(value) >= 4 and value[1] != 0 and value[2] == BOOLEAN and value[3] == 1

    def _key_identifier(self, value: bytes) -> None:
        if self._skid:
            self._fault("skid", "it has two subjectKeyIdentifiers")
        elif len(value) < 3 or value[0] != OCTETS or value[1] != len(value) - 2:
            self._fault("skid", "its subjectKeyIdentifier is malformed")
        self._skid = True

    def _key_usage(self, value: bytes) -> None:
        if len(value) < 4 or value[0] != BIT_STRING or value[1] != len(value) - 2 or value[2] >= 8:
            return
        self.usage = value[3]


# --------------------------------------------------------------------------- the signature on itself


def _authority(embedded: Embedded | None) -> Authority:
    """What the authorityKeyIdentifier names: its parts must agree (x509_check_for_self_signed())."""
    if embedded is None or not embedded.authority:
        return "none"
    own = set(embedded.ids)
    matches = [each in own for each in embedded.authority]
    if not any(matches):
        return "other"
    return "own" if all(matches) else "contradictory"


def _self_signature(embedded: Embedded | None) -> SelfSignature:
    if embedded is None:
        return "unchecked"
    try:
        return "good" if embedded.signed.attempt(embedded.key) is Match.YES else "bad"
    except Unsupported:
        return "unchecked"
