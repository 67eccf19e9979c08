"""Kinds of files in DER: certificates, keys in their several wrappers, requests, lists, signatures.

The outer shape decides: which elements follow each other, and a few object identifiers. Nothing is read
completely, so that a damaged certificate is still called a certificate.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from elfsig.crypto import der
from elfsig.errors import ParseError
from elfsig.recognition.kinds import Family, Kind

CERTIFICATE = Kind("certificate", "a certificate", Family.CERTIFICATE)
PUBLIC_KEY = Kind("public-key", "a public key", Family.CERTIFICATE)
PRIVATE_KEY = Kind("private-key", "a private key", Family.PRIVATE_KEY)
ENCRYPTED_KEY = Kind("private-key", "an encrypted private key", Family.PRIVATE_KEY)
PKCS12 = Kind("pkcs12", "a PKCS#12 file", Family.PRIVATE_KEY)
TPM_KEY = Kind(
    "tpm2-key",
    "a key that only its TPM can use (TSS2 PRIVATE KEY)",
    Family.FOREIGN_KEY,
    "sign through a program that asks the TPM, or through tpm2-pkcs11",
)
REQUEST = Kind(
    "certificate-request", "a request for a certificate", Family.REQUEST, "it has no issuer's signature yet"
)
CRL = Kind("crl", "a certificate revocation list", Family.REQUEST, "kernels have no such lists")
SIGNED_DATA = Kind("cms", "a PKCS#7 signature", Family.SIGNATURE)
BUNDLE = Kind("certificates", "certificates in a PKCS#7 file", Family.CERTIFICATE)
MESSAGE = Kind("cms", "a PKCS#7 message", Family.OTHER)

_SIGNED_DATA = der.encode_oid("1.2.840.113549.1.7.2")
_PKCS7 = der.encode_oid("1.2.840.113549.1.7.1")[:-1]
_TPM = der.encode_oid("2.23.133.10.1.3")[:-1]
MAX_READ = 1 << 24
"""Bytes of a file to look at."""

BIT_STRING, UTC_TIME, GENERALIZED_TIME = 0x03, 0x17, 0x18
_CHILDREN = 8


def asn1_kind(data: bytes) -> Kind | None:
    """What a file that begins with a SEQUENCE is; None where its shape is not known."""
    if data[:1] != b"\x30":
        return None
    try:
        outer = der.read(data, 0, min(len(data), MAX_READ))
        first, *rest = _children(data, outer)
    except (ParseError, ValueError):
        return None
    tags = [each.tag for each in (first, *rest)]
    if first.tag == der.OID:
        return _by_identifier(data, first, rest)
    if first.tag == der.INTEGER:
        return _by_version(data, outer, first, rest)
    if first.tag != der.SEQUENCE:
        return None
    if tags == [der.SEQUENCE, BIT_STRING]:
        return PUBLIC_KEY if _begins(data, first) == [der.OID] else None
    if tags == [der.SEQUENCE, der.OCTETS]:
        return ENCRYPTED_KEY if _begins(data, first) == [der.OID] else None
    return _signed(data, first) if tags == [der.SEQUENCE, der.SEQUENCE, BIT_STRING] else None


def _children(data: bytes, parent: der.Node) -> list[der.Node]:
    """The first elements inside ``parent``. Raises ParseError."""
    found, at = list[der.Node](), parent.body
    while at < parent.end and len(found) < _CHILDREN:
        node = der.read(data, at, parent.end)
        found.append(node)
        at = node.next
    return found


def _begins(data: bytes, node: der.Node) -> list[int]:
    """The tag of the first element inside ``node``."""
    return [each.tag for each in islice(_safely(data, node), 1)]


def _safely(data: bytes, node: der.Node) -> Sequence[der.Node]:
    try:
        return _children(data, node)
    except ParseError:
        return ()


def _by_identifier(data: bytes, first: der.Node, rest: Sequence[der.Node]) -> Kind | None:
    """ContentInfo (RFC 5652, 3), and the TPM's key file, which begins with an identifier too."""
    identifier = data[first.start : first.next]
    if identifier.startswith(_TPM):
        return TPM_KEY
    if identifier != _SIGNED_DATA:
        return MESSAGE if identifier.startswith(_PKCS7) else None
    body = next((each for wrapped in rest for each in _safely(data, wrapped)), None)
    return SIGNED_DATA if body is None else _with_signers(_safely(data, body))


def _with_signers(parts: Sequence[der.Node]) -> Kind:
    """SignedData: a bundle of certificates has no signer (its last set is empty)."""
    last = parts[-1] if parts else None
    return BUNDLE if last is not None and last.tag == der.SET and last.body == last.end else SIGNED_DATA


def _by_version(data: bytes, outer: der.Node, first: der.Node, rest: Sequence[der.Node]) -> Kind | None:
    """Structures that begin with a version: PKCS#8, PKCS#1, SEC 1, PKCS#12, SignedData, RSAPublicKey."""
    version = int.from_bytes(data[first.body : min(first.end, first.body + 2)], "big")
    tags = [each.tag for each in rest]
    if tags[:1] == [der.SET] and tags[1:2] == [der.SEQUENCE]:
        return _with_signers([first, *rest])
    if version == 3 and tags[:1] == [der.SEQUENCE] and _begins(data, rest[0]) == [der.OID]:
        return PKCS12
    if version <= 1 and tags[:2] == [der.SEQUENCE, der.OCTETS]:
        return PRIVATE_KEY
    if version == 1 and tags[:1] == [der.OCTETS]:
        return PRIVATE_KEY
    if version <= 1 and len(tags) >= 5 and set(tags) == {der.INTEGER}:  # PKCS#1 of two primes, or of more
        return PRIVATE_KEY
    return PUBLIC_KEY if tags == [der.INTEGER] else None


def _signed(data: bytes, body: der.Node) -> Kind:
    """Certificate, request and list: SEQUENCE, algorithm, BIT STRING; they differ in what is signed."""
    tags = [each.tag for each in _safely(data, body)]
    if tags[:1] == [der.INTEGER] and tags[1:3] == [der.SEQUENCE, der.SEQUENCE]:
        third = tags[3:4]
        if third in ([UTC_TIME], [GENERALIZED_TIME]):
            return CRL
        return REQUEST if third in ([0xA0], []) else CERTIFICATE
    if tags[:2] == [der.SEQUENCE, der.SEQUENCE] and tags[2:3] in ([UTC_TIME], [GENERALIZED_TIME]):
        return CRL
    return CERTIFICATE
