"""Checks one signature value against one public key: the mathematics common to all formats."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum
from functools import lru_cache
from typing import Any

from elfsig.crypto.hashes import HASHES
from elfsig.crypto.pkcs1 import digest_info, modulus_size, open_padding, padding_and_mismatch
from elfsig.model import Key, Message, RsaBody, Scheme, Signature, SignedValue

KEY_UNSUPPORTED = "key-unsupported"
"""Code of the remark that says why a key cannot be used here."""


class Match(Enum):
    """The result of checking one signature value with one key."""

    YES = "matches"
    NO = "this key made the value, or could have, but it does not match"
    FOREIGN = "not made by this key: another algorithm, or the RSA padding does not open"
    RESTRICTED = "matches, but the key is only for RSASSA-PSS or for other parameters of it (RFC 4055)"
    LENGTH = "an RSA value that is not as long as the modulus (RFC 8017, 8.2.2 step 1)"


class Unsupported(Exception):
    """An algorithm or hash that is not available here; ``args[0]`` names it."""


def digest_of(message: Message, hash_name: str, suffix: bytes = b"") -> bytes:
    """The digest of ``message`` followed by ``suffix``. Raises Unsupported for a hash not available here."""
    known = message.hashed.get(hash_name)
    if known is None:
        try:
            known = HASHES[hash_name].new()
        except (KeyError, ValueError):
            raise Unsupported(f"hash {hash_name}") from None
        message.feed(known)
        message.hashed[hash_name] = known
    state = known.copy()
    state.update(suffix)
    return bytes(state.digest())


@lru_cache(maxsize=32)
def prehashed(hash_name: str) -> Any:
    """cryptography's Prehashed for a hash; None if the library does not support this hash."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

    name = HASHES[hash_name].hashlib.upper()
    known = getattr(hashes, name, None)
    return Prehashed(known()) if known else None


@lru_cache(maxsize=32)
def _prehashed_like(hash_name: str) -> Any:
    """Prehashed for DSA and ECDSA, which sign a number without naming the hash: any hash of this size."""
    size = HASHES[hash_name].size
    return prehashed(hash_name) or next(
        (found for row in HASHES.values() if row.size == size and (found := prehashed(row.name))), None
    )


# --------------------------------------------------------------------------- over a digest


def try_digest(key: Key, algorithm: str, hash_name: str, digest: bytes, value: bytes) -> Match:
    """Check ``value`` over ``digest`` with RSA PKCS#1 v1.5, DSA or ECDSA (the latter two: DER r, s).

    An RSA value must be exactly as long as the modulus. Raises Unsupported for other algorithms.
    """
    check = _DIGEST_CHECKS.get(algorithm)
    if check is None:
        raise Unsupported(algorithm)
    if key.algorithm == algorithm:
        return check(key, hash_name, digest, value)
    if (key.algorithm, algorithm) != ("rsa-pss", "rsa"):
        return Match.FOREIGN
    match = check(key, hash_name, digest, value)
    return Match.RESTRICTED if match is Match.YES else match


@lru_cache(maxsize=16)
def _try_rsa(key: Key, hash_name: str, digest: bytes, value: bytes) -> Match:
    # Remembered, since a simulated kernel checks what was just verified. All that it depends on is given.
    padding, mismatch = padding_and_mismatch()
    if len(value) != modulus_size(key):
        return Match.LENGTH
    scheme = prehashed(hash_name)
    try:
        if scheme is not None:
            key.public.verify(value, digest, padding, scheme)
            return Match.YES
    except mismatch:
        pass
    opened = open_padding(key, value)
    if opened is None:
        return Match.FOREIGN
    # The library refuses some hashes in RSA signatures, such as SM3, with the same error as a mismatch.
    return Match.YES if opened == digest_info(hash_name, digest) else Match.NO


def plain_bodies(signature: Signature, message: Message) -> Iterator[RsaBody]:
    """The content of an ordinary RSA signature over ``message``: a DigestInfo. Raises Unsupported."""
    name = signature.hash or "sha1"
    yield RsaBody(message.coverage, digest_info(name, digest_of(message, name)))


_SCHEMES: dict[str, Scheme] = {"rsa": "rsa", "dsa": "dsa", "ecdsa": "ecdsa"}


def plain_value(signature: Signature, key: Key | None) -> Iterator[SignedValue]:
    """An ordinary RSA, DSA or ECDSA signature of the message, by a key of this kind; nothing for others."""
    scheme = _SCHEMES.get(signature.algorithm or "")
    if scheme is None or signature.hash is None or key is None:
        return
    if key.algorithm == signature.algorithm:
        yield SignedValue(scheme, signature.hash, signature.value)


def _try_der_pair(key: Key, value: bytes, *scheme: Any) -> Match:
    from cryptography.exceptions import InvalidSignature

    try:
        key.public.verify(value, *scheme)
    except (InvalidSignature, ValueError):
        return Match.NO
    return Match.YES


def _try_dsa(key: Key, hash_name: str, digest: bytes, value: bytes) -> Match:
    scheme = _prehashed_like(hash_name)
    if scheme is None:
        raise Unsupported(f"DSA with {hash_name}")
    return _try_der_pair(key, value, digest, scheme)


def _try_ecdsa(key: Key, hash_name: str, digest: bytes, value: bytes) -> Match:
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA

    scheme = _prehashed_like(hash_name)
    if scheme is None:
        raise Unsupported(f"ECDSA with {hash_name}")
    return _try_der_pair(key, value, digest, ECDSA(scheme))


_DIGEST_CHECKS: dict[str, Callable[[Key, str, bytes, bytes], Match]] = {
    "rsa": _try_rsa,
    "dsa": _try_dsa,
    "ecdsa": _try_ecdsa,
}


# --------------------------------------------------------------------------- over the message itself

MESSAGE_ALGORITHMS = frozenset({"ed25519", "ed448", "mldsa44", "mldsa65", "mldsa87"})
"""Algorithms that sign the message itself."""


def try_message(key: Key, algorithm: str, message: bytes, value: bytes) -> Match:
    """Check ``value`` over the whole message with EdDSA or pure ML-DSA (empty context).

    Raises Unsupported for other algorithms.
    """
    if algorithm not in MESSAGE_ALGORITHMS:
        raise Unsupported(algorithm)
    return _try_der_pair(key, value, message) if key.algorithm == algorithm else Match.FOREIGN
