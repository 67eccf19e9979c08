"""Certificates printed as text: ``mokutil --list-enrolled`` (-l), ``openssl x509 -text`` without its PEM.

The text has the public key's numbers, but not the certificate itself: the result is a bare key. mokutil
prints lists of revocations in the same way, with hashes between them, so such a text is used only where the
user names it.

mokutil (src/mokutil.c, list_keys_in_var and print_hash_array) prints ``[key N]`` before each list of an EFI
variable; for a list of hashes the name of their kind in brackets and one hash a line, and for a kind that it
does not know nothing. Its names were ``[SHA256]`` and are ``[SHA-256]``.
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
from elfsig.trust.efi import UNSAID
from elfsig.trust.entries import MAX_LOSSES, Material, Origin, Revocation, RevokedHash, gather
from elfsig.trust.make import key_from_public
from elfsig.trust.pem import TEXT_LIMIT

_LINE = re.compile(rb"[^\r\n]+")
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2}:?)+")
_HASHES = {f"[SHA{dash}{bits}]": f"sha{bits}" for bits in (1, 224, 256, 384, 512) for dash in ("-", "")}
_CURVES: dict[str, ec.EllipticCurve] = {
    "prime256v1": ec.SECP256R1(),
    "secp384r1": ec.SECP384R1(),
    "secp521r1": ec.SECP521R1(),
}
_START = "Certificate:"
_FIRST = re.compile(
    rb"(?:^|[\r\n])[ \t]*(?:Certificate:|\[SHA-?[0-9]{1,3}\]|\[key [0-9]{1,6}\])[ \t]*(?:[\r\n]|$)"
)
_NUMBERED = re.compile(r"\[key [0-9]{1,6}\]")
_HEADING = re.compile(r"\[[^\[\]]{1,64}\]")
_BESIDE = ("SHA1 Fingerprint:", "Owner:")
"""What mokutil prints between ``[key N]`` and a certificate."""
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


class _Hash(NamedTuple):
    """A printed hash: its offset, the name of its algorithm and its digits."""

    at: int
    name: str
    digits: str


class _Gap(NamedTuple):
    """Where something is printed that is not an entry, or none where there should be one, and why."""

    at: int
    reason: str


def read(data: bytes, origin: Origin) -> Material:
    """The keys in the text, and hashes where the source is a list of revocations. Raises ParseError."""
    placed = origin if origin.revoking or not origin.found else origin.only_tried(Why.UNKNOWN_PURPOSE)
    keys: list[Key] = []
    hashes: list[Revocation] = []
    losses: list[Loss] = []
    for each in _Lines(plain_text(data)):
        if len(losses) >= MAX_LOSSES:
            break
        try:
            found = _entry(each, placed.at(each.at))
        except (ParseError, KeySourceError) as reason:
            what = "printed certificate" if isinstance(each, _Printed) else "printed list"
            losses.append(Loss(origin.source, what, reason.text, each.at))
            continue
        if isinstance(found, Key):
            keys.append(found)
        else:
            hashes.append(found)
    return gather([Material(tuple(keys), (), tuple(hashes), losses=tuple(losses))])


class _Lines:
    """Iterates over what a text prints, each line looked at once.

    ``due`` is a heading that nothing follows yet: its offset and its text.
    """

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._due: tuple[int, str] | None = None
        self._hashes = ""
        self._certificate: _Printed | None = None
        self._wanted = ""

    def __iter__(self) -> Iterator[_Printed | _Hash | _Gap]:
        for found in _LINE.finditer(self._text):
            line = found[0].strip().decode("utf-8", "replace")
            if line:
                yield from self._take(found.start(), line)
        yield from self._close()

    def _take(self, at: int, line: str) -> Iterator[_Printed | _Hash | _Gap]:
        if line in _HASHES:
            yield from self._close(at, line, numbered=True)
            self._hashes = _HASHES[line]
        elif line == _START:
            yield from self._close(numbered=True)
            self._certificate, self._wanted = _Printed(at, {}), ""
        elif _NUMBERED.fullmatch(line):
            yield from self._close(at, line)
        elif _HEADING.fullmatch(line):
            yield from self._close(numbered=True)
            yield _Gap(at, f"{line} is not a kind of hash that is known")
        elif self._certificate is not None:
            self._wanted = _take(line, self._certificate.values, self._wanted)
        elif self._hashes and not line.startswith(_BESIDE):
            self._due = None
            yield _Hash(at, self._hashes, line)

    def _close(self, at: int = -1, heading: str = "", *, numbered: bool = False) -> Iterator[_Printed | _Gap]:
        """What a new heading ends; ``numbered`` headings are those that come after ``[key N]``."""
        if self._certificate is not None:
            yield self._certificate
        if self._due is not None and not (numbered and _NUMBERED.fullmatch(self._due[1])):
            yield _Gap(self._due[0], f"nothing is printed for {self._due[1]}")
        self._certificate, self._hashes = None, ""
        self._due = (at, heading) if heading else None


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


def _entry(each: _Printed | _Hash | _Gap, origin: Origin) -> Key | Revocation:
    """Raises ParseError for what is not an entry, and for a certificate whose key cannot be made from it."""
    if isinstance(each, _Gap):
        raise ParseError(each.reason, offset=each.at)
    if isinstance(each, _Hash):
        return _hash(each, origin)
    values = each.values
    key = _key(values, origin)
    ids: frozenset[KeyId] = key.ids
    if "skid" in values and len(values["skid"]) % 2 == 0:
        ids |= {("skid", bytes.fromhex(values["skid"]))}
    return replace(key, ids=ids, label=_name(values.get(_SUBJECT, "")) or key.label)


def _hash(each: _Hash, origin: Origin) -> Revocation:
    """Raises ParseError for what is not a hash, and for one in a source that is not known to revoke."""
    if not _HEX.fullmatch(each.digits):
        raise ParseError(f"not a {each.name} hash", offset=each.at)
    digest = bytes.fromhex(each.digits.replace(":", ""))
    if len(digest) != hashlib.new(each.name).digest_size:
        raise ParseError(f"a {each.name} hash of {len(digest)} bytes", offset=each.at)
    if not origin.revoking:
        raise ParseError(f"a {each.name} hash: {UNSAID}", offset=each.at)
    return Revocation(RevokedHash("bin", each.name, digest), origin.source, origin.provenance)


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
