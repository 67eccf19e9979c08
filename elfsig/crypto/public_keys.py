"""Public keys of the cryptography library: what kind they are, and the form in which they are compared."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from elfsig.errors import KeySourceError

_KINDS = {
    "RSAPublicKey": "rsa", "DSAPublicKey": "dsa", "ECPublicKey": "ecdsa", "Ed25519PublicKey": "ed25519",
    "Ed448PublicKey": "ed448", "MLDSA44PublicKey": "mldsa44", "MLDSA65PublicKey": "mldsa65",
    "MLDSA87PublicKey": "mldsa87",
}  # fmt: skip
"""elfsig's name for each class of cryptography's public keys."""

_FIXED_BITS = {"ed25519": 256, "ed448": 456, "mldsa44": 10496, "mldsa65": 15616, "mldsa87": 20736}
"""Sizes of public keys whose algorithm has one size only (RFC 8032, FIPS 204 table 2)."""


def public_kind(public: Any) -> tuple[str, int, str | None] | None:
    """(algorithm, size in bits, curve) of a public key of the cryptography library; None if it cannot sign.

    The curve is cryptography's name for it, None for keys other than EC.
    """
    algorithm = _KINDS.get(type(public).__name__)
    if algorithm is None:
        return None
    bits = _FIXED_BITS.get(algorithm) or public.key_size
    return algorithm, bits, public.curve.name if algorithm == "ecdsa" else None


def describe(public: Any) -> tuple[str, int, str | None]:
    """(algorithm, bits, curve) of a public key of the cryptography library.

    Raises KeySourceError for a kind of key that cannot make signatures (X25519, say).
    """
    kind = public_kind(public)
    if kind is None:
        raise KeySourceError(f"a {type(public).__name__} cannot make signatures", code="key-algorithm")
    return kind


def load_spki(spki: bytes) -> Any | None:
    """The public key in a DER SubjectPublicKeyInfo, None if the library does not know or refuses it."""
    try:
        public = load_der_public_key(spki)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    return None if public_kind(public) is None else public


def encode_spki(public: Any) -> bytes:
    """The key as a DER SubjectPublicKeyInfo in its normal form, independent of its source's form.

    Points of elliptic curves are uncompressed, curves are named, RSA keys have the identifier rsaEncryption
    with NULL (RFC 3279 2.3.1, RFC 5480 2): the same key always gives the same bytes.
    """
    encoded: bytes = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return encoded


def fingerprint(public: Any) -> str:
    """SHA-256 over the normal form of a key, in hex: equal for equal keys, however they were encoded."""
    return hashlib.sha256(encode_spki(public)).hexdigest()


@lru_cache(maxsize=1024)
def spki_fingerprint(spki: bytes) -> str:
    """As :func:`fingerprint`, of a DER SubjectPublicKeyInfo; of an unknown algorithm, over it as it is."""
    public = load_spki(spki)
    return hashlib.sha256(spki).hexdigest() if public is None else fingerprint(public)
