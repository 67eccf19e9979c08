"""A CMS SignedData (RFC 5652) as plain frozen data, as both parsers return it. Offsets are in the blob."""

from __future__ import annotations

from typing import Literal

from elfsig.lazy_dataclass import dataclass
from elfsig.lazy_tuple import NamedTuple

SIGNED_DATA = "1.2.840.113549.1.7.2"
DATA = "1.2.840.113549.1.7.1"
CONTENT_TYPE = "1.2.840.113549.1.9.3"
MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
SIGNING_TIME = "1.2.840.113549.1.9.5"


class AlgorithmId(NamedTuple):
    """AlgorithmIdentifier: the dotted OID, and the parameters as in the file (None: absent)."""

    oid: str
    params: bytes | None


class Attribute(NamedTuple):
    """One attribute: the dotted OID and its values, each a whole element."""

    oid: str
    values: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class SignerInfo:
    """One SignerInfo. The signer is named by ``issuer`` (DER) and ``serial``, or by ``skid``.

    ``serial`` is the magnitude, without sign byte. ``signed_der`` are the signed attributes as they are
    hashed: the bytes of the file with the tag of a SET. ``start`` is the offset of the SignerInfo,
    ``value_start`` that of the first byte of the signature value.
    """

    version: int
    issuer: bytes | None
    serial: bytes | None
    skid: bytes | None
    digest: AlgorithmId
    signed: tuple[Attribute, ...] | None
    signed_der: bytes | None
    algorithm: AlgorithmId
    value: bytes
    unsigned: tuple[Attribute, ...] | None
    start: int
    value_start: int


@dataclass(frozen=True, slots=True)
class SignedData:
    """ContentInfo and SignedData in one. ``size`` is their size in the blob; more may follow.

    ``certificates`` are whole elements, in order; ``revocations`` counts the elements of the CRL set.
    ``encoding`` tells whether every length is definite and minimal and every SET sorted.
    """

    version: int
    digests: tuple[AlgorithmId, ...]
    content_type: str
    content: bytes | None
    certificates: tuple[bytes, ...]
    revocations: int
    signers: tuple[SignerInfo, ...]
    size: int
    encoding: Literal["DER", "BER"]


def magnitude(serial: int) -> bytes:
    """A serial number without its sign byte, big-endian, at least one byte: what modinfo and kernels show."""
    size = max(1, (abs(serial).bit_length() + 7) // 8)
    return abs(serial).to_bytes(size, "big")


class Claim(NamedTuple):
    """What verification needs of a SignerInfo besides its value: the ``detail`` of a CMS signature."""

    signed_der: bytes | None
    message_digest: bytes | None
    params: bytes | None
    certificates: tuple[bytes, ...]
