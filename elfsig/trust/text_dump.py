"""Certificates printed as text: ``mokutil --list-enrolled`` (-l), ``openssl x509 -text`` without its PEM.

The text has the public key's numbers, but not the certificate itself: the result is a bare key. mokutil
prints lists of revocations in the same way, with hashes between them, so such a text is used only where the
user names it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

from cryptography.hazmat.primitives.asymmetric import ec

from elfsig.errors import KeySourceError, ParseError
from elfsig.lazy_dataclass import replace
from elfsig.lazy_tuple import NamedTuple
from elfsig.model import Key, KeyId, Loss, Why
from elfsig.recognition.text import plain_text
from elfsig.trust.der_forms import rsa_key
from elfsig.trust.entries import MAX_LOSSES, Material, Origin, Revocation, RevokedHash, gather
from elfsig.trust.make import key_from_public
from elfsig.trust.pem import TEXT_LIMIT

_LINE = re.compile(rb"[^\r\n]+")
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2}:?)+")
_HASHES = {"[SHA-256]": "sha256", "[SHA-384]": "sha384", "[SHA-512]": "sha512", "[SHA-1]": "sha1"}
_CURVES: dict[str, ec.EllipticCurve] = {
    "prime256v1": ec.SECP256R1(),
    "secp384r1": ec.SECP384R1(),
    "secp521r1": ec.SECP521R1(),
}
_START = "Certificate:"
_FIRST = re.compile(rb"(?:^|[\r\n])[ \t]*(?:Certificate:|\[SHA-(?:1|256|384|512)\])[ \t]*[\r\n]")
_SUBJECT, _SKID, _EXPONENT, _CURVE = "Subject:", "X509v3 Subject Key Identifier:", "Exponent:", "ASN1 OID:"
_BITS = "Public-Key:"
_SIZE = re.compile(r"\(([0-9]{1,6}) bit\)")
_BOTH = re.compile(r"([0-9]{1,20}) \(0x([0-9a-f]{1,16})\)")
_NUMBERS = {"Modulus:": "modulus", "pub:": "point"}
MAX_HEX = 1 << 16


def is_dump(data: bytes) -> bool:
    """Whether this is text that prints a certificate, or mokutil's list of hashes."""
    head = plain_text(data[:TEXT_LIMIT])
    return b"\0" not in head[:512] and _FIRST.search(head) is not None


class _Printed(NamedTuple):
    """The fields of one printed certificate, by name, and the offset where it starts."""

    at: int
    values: dict[str, str]


def read(data: bytes, origin: Origin) -> Material:
    """The keys in the text, and hashes where the source is a list of revocations. Raises ParseError."""
    placed = origin if origin.revoking or not origin.found else origin.only_tried(Why.UNKNOWN_PURPOSE)
    keys: list[Key] = []
    hashes: list[Revocation] = []
    losses: list[Loss] = []
    for each in _printed(plain_text(data)):
        if len(losses) >= MAX_LOSSES:
            break
        try:
            found = _entry(each, placed.at(each.at))
        except (ParseError, KeySourceError) as reason:
            losses.append(Loss(origin.source, "printed certificate", reason.text, each.at))
            continue
        if isinstance(found, Key):
            keys.append(found)
        elif found is not None:
            hashes.append(found)
    return gather([Material(tuple(keys), (), tuple(hashes), losses=tuple(losses))])


def _printed(text: bytes) -> Iterator[_Printed]:
    """The certificates and hashes in a text, each line looked at once."""
    values: dict[str, str] = {}
    at, wanted = -1, ""
    for found in _LINE.finditer(text):
        line = found[0].strip().decode("utf-8", "replace")
        if line == _START or line in _HASHES:
            if at >= 0:
                yield _Printed(at, values)
            at, wanted, values = found.start(), "", {}
            if line in _HASHES:
                wanted = values["kind"] = _HASHES[line]
            continue
        wanted = _take(line, values, wanted) if at >= 0 else ""
    if at >= 0:
        yield _Printed(at, values)


def _take(line: str, values: dict[str, str], wanted: str) -> str:
    """Take a line into account; returns the name of the number that continues on the next one."""
    if line in _NUMBERS:
        return _NUMBERS[line]
    if line == _SKID:
        return "skid"
    if wanted and _HEX.fullmatch(line) and len(values.get(wanted, "")) < MAX_HEX:
        values[wanted] = values.get(wanted, "") + line.replace(":", "").lower()
        return wanted
    for name in (_SUBJECT, _BITS, _EXPONENT, _CURVE):
        if line.startswith(name) or (name == _BITS and line.startswith(f"RSA {name}")):
            values.setdefault(name, line.partition(name)[2].strip())
    return ""


def _entry(each: _Printed, origin: Origin) -> Key | Revocation | None:
    """Raises ParseError for a certificate whose key cannot be made from the text."""
    values = each.values
    if "kind" in values:
        digits = values.get(values["kind"], "")
        digest = bytes.fromhex(digits[: len(digits) // 2 * 2])
        hashed = RevokedHash("bin", values["kind"], digest)
        if len(digest) != hashlib.new(values["kind"]).digest_size:
            raise ParseError(f"a {values['kind']} hash of {len(digest)} bytes", offset=each.at)
        return Revocation(hashed, origin.source, origin.provenance) if origin.revoking else None
    key = _key(values, origin)
    ids: frozenset[KeyId] = key.ids
    if "skid" in values and len(values["skid"]) % 2 == 0:
        ids |= {("skid", bytes.fromhex(values["skid"]))}
    return replace(key, ids=ids, label=_name(values.get(_SUBJECT, "")) or key.label)


def _name(subject: str) -> str:
    """The common name of a printed subject ("CN = Case MOK", "O=elfsig, CN=key"), else all of it."""
    names = (part.partition("=") for part in subject.replace(" = ", "=").split(", "))
    return next((value for name, _, value in names if name.strip() == "CN" and value), subject)


def _rsa_numbers(values: dict[str, str]) -> tuple[int, int] | None:
    """Modulus and exponent, None where they do not agree with the size and the hexadecimal form next to them:
    a lost digit would make another key."""
    size, exponent = _SIZE.fullmatch(values.get(_BITS, "")), _BOTH.fullmatch(values.get(_EXPONENT, ""))
    if "modulus" not in values or size is None or exponent is None:
        return None
    modulus = int(values["modulus"], 16)
    if modulus.bit_length() != int(size[1]) or int(exponent[1]) != int(exponent[2], 16):
        return None
    return modulus, int(exponent[1])


def _key(values: dict[str, str], origin: Origin) -> Key:
    rsa = _rsa_numbers(values)
    if rsa is not None:
        return rsa_key(*rsa, origin)
    curve = _CURVES.get(values.get(_CURVE, ""))
    if "point" in values and curve is not None and len(values["point"]) % 2 == 0:
        try:
            point = ec.EllipticCurvePublicKey.from_encoded_point(curve, bytes.fromhex(values["point"]))
        except ValueError as reason:
            raise ParseError(f"not a point of its curve: {reason}", offset=origin.offset) from None
        return key_from_public(point, origin)
    raise ParseError("the text has no complete RSA or EC public key", offset=origin.offset)
