"""The signature of a certificate on itself, as the kernel checks it when it reads the certificate.

RSA is computed from the numbers, since kernels take keys that cryptography refuses to load, and return
another errno for a value that is not a padded digest: rsa_enc() and rsassa_pkcs1_verify() (crypto/rsa.c,
crypto/rsassa-pkcs1.c; the errnos were measured on Linux 6.18).
"""

from __future__ import annotations

from typing import Literal

from elfsig.crypto.checks import Match, Unsupported
from elfsig.crypto.oids import SignatureAlgorithm
from elfsig.crypto.pkcs1 import digest_info
from elfsig.envelopes.cms.chain import parse_embedded
from elfsig.envelopes.cms.statement import stream_digest
from elfsig.errors import ParseError
from elfsig.kernels.x509.decoder import Field, Found, decode
from elfsig.lazy_tuple import NamedTuple

SelfSignature = Literal["good", "mismatch", "no-block", "padding", "unusable", "unchecked"]
"""How it was found: another digest, a value that is not a number of the key, no PKCS#1 padding, a key that
cannot be used; or not found out here."""

_SEQUENCE, _INTEGER = 0x30, 0x02
_RSA_KEY = (
    Field(
        "RSAPublicKey",
        _SEQUENCE,
        (Field("modulus", _INTEGER, action="n"), Field("publicExponent", _INTEGER, action="e")),
    ),
)
_MAX_BITS = 8192
"""Larger numbers are not computed with; kernels take RSA keys of up to 4096 bits."""

_LEAST_PADDING = 8
_UNCOMPRESSED = b"\x04"
"""The only form of an EC point that ecdsa_set_pub_key() takes (crypto/ecdsa.c)."""


class RsaNumbers(NamedTuple):
    """An RSA key as rsa_parse_pub_key() reads it (crypto/rsa_helper.c); ``fault``: the errno and why it does
    not."""

    n: int = 0
    e: int = 0
    fault: tuple[str, str] | None = None


def rsa_numbers(key: bytes) -> RsaNumbers:
    """The numbers in an RSAPublicKey. The kernel reads them when it first uses the key, and without signs."""
    found: dict[str, bytes] = {}

    def note(action: str, at: Found) -> None:
        found[action] = key[at.body : at.end]

    try:
        decode(key, _RSA_KEY, note)
    except ParseError as reason:
        return RsaNumbers(fault=("EBADMSG", f"its RSA key cannot be parsed ({reason.text})"))
    n, e = found["n"], found["e"]
    if not n or not e or len(e) > len(n):
        return RsaNumbers(fault=("EINVAL", "its RSA key has an empty or too long number"))
    return RsaNumbers(int.from_bytes(n), int.from_bytes(e))


def check_rsa(numbers: RsaNumbers, hash_name: str, tbs: bytes, value: bytes) -> SelfSignature:
    """Whether ``value`` is the signature over ``tbs``."""
    size = (numbers.n.bit_length() + 7) // 8
    if numbers.fault is not None or numbers.n.bit_length() > _MAX_BITS or not size:
        return "unchecked"
    number = int.from_bytes(value)
    if len(value) != size or not 1 < number < numbers.n - 1:
        return "no-block"
    block = pow(number, numbers.e, numbers.n).to_bytes(size)
    if block[0]:
        return "no-block"
    return _check_block(block[1:], hash_name, tbs)


def _check_block(block: bytes, hash_name: str, tbs: bytes) -> SelfSignature:
    """``block``: EMSA-PKCS1-v1_5 (RFC 8017, 9.2) without its first zero."""
    try:
        digest = stream_digest(tbs, hash_name)
    except Unsupported:
        return "unchecked"
    prefix = digest_info(hash_name, digest)[: -len(digest)]
    padding, zero, content = block[1:].partition(b"\0")
    if block[0] != 1 or not zero or padding.strip(b"\xff") or len(padding) < _LEAST_PADDING:
        return "padding"
    if not content.startswith(prefix):
        return "padding"
    return "good" if content[len(prefix) :] == digest else "mismatch"


def check_other(certificate: bytes, row: SignatureAlgorithm, key: bytes) -> SelfSignature:
    """The signature on itself of a certificate whose key is not RSA."""
    if row.algorithm == "ecdsa" and key[:1] != _UNCOMPRESSED:
        return "unusable"
    try:
        embedded = parse_embedded(certificate)
        return "good" if embedded.signed.attempt(embedded.key) is Match.YES else "mismatch"
    except ParseError as reason:
        return "unusable" if reason.code == "certificate-key" and row.algorithm == "ecdsa" else "unchecked"
    except Unsupported:
        return "unchecked"
