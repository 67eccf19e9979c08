"""PKCS#7 bundles of certificates (.p7b), as Windows and openssl crl2pkcs7 write them."""

from __future__ import annotations

from collections.abc import Iterator

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from elfsig.errors import SigningError


def bundled(data: bytes, name: str) -> Iterator[bytes]:
    """The certificates of a PKCS#7 bundle (.p7b), in PEM or DER. Raises SigningError."""
    load = pkcs7.load_pem_pkcs7_certificates if b"-----BEGIN " in data else pkcs7.load_der_pkcs7_certificates
    try:
        for each in load(data):
            yield each.public_bytes(Encoding.DER)
    except (ValueError, UnsupportedAlgorithm) as reason:
        text = f"{name}: not a bundle of certificates that can be read: {reason}"
        raise SigningError(text, code="not-a-certificate") from None
