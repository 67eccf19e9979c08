"""PKCS#12 files (RFC 7292), as browsers, Windows and openssl write them: a key and certificates."""

from __future__ import annotations

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, pkcs12

from elfsig.errors import SigningError
from elfsig.signers import rounds
from elfsig.signers.loaded import Ask, Loaded

_WITHOUT = (None, b"")
"""A file without a password is protected by none, or by an empty one: there are both."""


def load_pkcs12(data: bytes, ask: Ask, name: str) -> Loaded:
    """The private key of a file, and all its certificates. Raises SigningError."""
    rounds.check(data, name)
    for password in _WITHOUT:
        try:
            return _loaded(data, password, name)
        except ValueError:
            continue
    try:
        return _loaded(data, ask(name), name)
    except ValueError:
        text = f"{name}: a PKCS#12 file that cannot be read: it is damaged, or the passphrase is wrong"
        raise SigningError(text, code="not-a-key") from None


def _loaded(data: bytes, password: bytes | None, name: str) -> Loaded:
    """Raises ValueError for a wrong password, SigningError."""
    try:
        key, certificate, others = pkcs12.load_key_and_certificates(data, password)
    except (UnsupportedAlgorithm, TypeError) as reason:
        text = f"{name}: a PKCS#12 file protected in a way that is not supported here ({reason})"
        raise SigningError(text, code="not-a-key") from None
    if key is None:
        raise SigningError(f"{name}: a PKCS#12 file without a private key", code="not-a-key")
    found = [each for each in (certificate, *others) if each is not None]
    return Loaded(key, tuple(each.public_bytes(Encoding.DER) for each in found))
