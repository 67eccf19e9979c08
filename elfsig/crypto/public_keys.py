"""What kind of key a public key of the cryptography library is."""

from __future__ import annotations

from typing import Any

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
