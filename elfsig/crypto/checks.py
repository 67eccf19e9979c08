"""Checking one value against one key, and turning the attempts into an outcome: the same in every era."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from enum import Enum
from functools import lru_cache
from typing import Any

from elfsig.crypto.hashes import HASHES, SMALL_RSA_BITS
from elfsig.model import Key, Keyring, Message, Outcome, Remark, RsaBody, Signature, Verdict


class Match(Enum):
    """What one key says about one signature value."""

    YES = "matches"
    NO = "this is the key, or may be, and the value does not match"
    FOREIGN = "another kind of key, or its padding does not open"


class Unsupported(Exception):
    """The mathematics or the hash is not to be had here; ``args[0]`` names it."""


def digest_of(message: Message, hash_name: str, behind: bytes = b"") -> bytes:
    """The digest of ``message`` followed by ``behind``. Raises Unsupported for a hash that is missing."""
    try:
        state = HASHES[hash_name].new()
    except (KeyError, ValueError):
        raise Unsupported(f"hash {hash_name}") from None
    message.feed(state)
    state.update(behind)
    return bytes(state.digest())


@lru_cache(maxsize=32)
def prehashed(hash_name: str) -> Any:
    """cryptography's Prehashed for a hash, None where the library has no such hash."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

    name = HASHES[hash_name].hashlib.upper()
    known = getattr(hashes, name, None)
    return Prehashed(known()) if known else None


@lru_cache(maxsize=32)
def _prehashed_like(hash_name: str) -> Any:
    """Prehashed for DSA and ECDSA, which sign a number and not the hash's name: any hash of the same size."""
    size = HASHES[hash_name].size
    return prehashed(hash_name) or next(
        (found for row in HASHES.values() if row.size == size and (found := prehashed(row.name))), None
    )


def try_digest(key: Key, algorithm: str, hash_name: str, digest: bytes, value: bytes) -> Match:
    """Check ``value`` over ``digest`` with RSA PKCS#1 v1.5, DSA or ECDSA (the latter two: DER r, s).

    Raises Unsupported for other algorithms.
    """
    check = _DIGEST_CHECKS.get(algorithm)
    if check is None:
        raise Unsupported(algorithm)
    return check(key, hash_name, digest, value) if key.algorithm == algorithm else Match.FOREIGN


@lru_cache(maxsize=1)
def _pkcs1() -> tuple[Any, type[Exception]]:
    """The padding, and what is raised when it does not hold: looked up once, this runs for every file."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

    return PKCS1v15(), InvalidSignature


def _as_long_as(key: Key, value: bytes) -> bytes | None:
    """An RSA value without or with zeros in front, as long as the modulus; None where it cannot be."""
    size = (key.bits + 7) // 8
    if len(value) == size:
        return value
    plain = value.lstrip(b"\0")
    return plain.rjust(size, b"\0") if value and len(plain) <= size else None


def _try_rsa(key: Key, hash_name: str, digest: bytes, value: bytes) -> Match:
    padding, mismatch = _pkcs1()
    whole = _as_long_as(key, value)
    if whole is None:
        return Match.FOREIGN
    scheme = prehashed(hash_name)
    try:
        if scheme is not None:
            key.public.verify(whole, digest, padding, scheme)
            return Match.YES
    except mismatch:
        pass
    opened = open_padding(key, whole)
    if opened is None:
        return Match.FOREIGN
    # The library refuses some hashes in RSA signatures, such as SM3, with the same error as a mismatch.
    return Match.YES if opened == digest_info(hash_name, digest) else Match.NO


def open_padding(key: Key, value: bytes) -> bytes | None:
    """What PKCS#1 type 1 padding holds under an RSA key (normally a DigestInfo), None if it does not open."""
    padding, mismatch = _pkcs1()
    try:
        return bytes(key.public.recover_data_from_signature(value, padding, None))
    except (mismatch, ValueError):
        return None


def digest_info(hash_name: str, digest: bytes) -> bytes:
    """DER DigestInfo of RFC 8017 A.2.4, with NULL parameters."""
    oid = encode_oid(HASHES[hash_name].oid)
    inner = b"\x30" + bytes([len(oid) + 2]) + oid + b"\x05\x00" + b"\x04" + bytes([len(digest)]) + digest
    return b"\x30" + bytes([len(inner)]) + inner


def pkcs1_block(content: bytes, size: int) -> bytes | None:
    """PKCS#1 v1.5 type 1 padding (RFC 8017, 9.2) in ``size`` bytes; None where ``content`` does not fit."""
    if len(content) + 11 > size:
        return None
    return b"\0\1" + b"\xff" * (size - len(content) - 3) + b"\0" + content


def plain_bodies(signature: Signature, message: Message) -> Iterator[RsaBody]:
    """What an ordinary RSA signature over ``message`` contains: a DigestInfo. Raises Unsupported."""
    name = signature.hash or "sha1"
    yield RsaBody(message.coverage, digest_info(name, digest_of(message, name)))


def encode_oid(dotted: str) -> bytes:
    """DER of an object identifier, tag and length included (X.690 8.19)."""
    first, second, *rest = map(int, dotted.split("."))
    body = b""
    for arc in (first * 40 + second, *rest):
        group = bytes([arc & 0x7F])
        while arc := arc >> 7:
            group = bytes([arc & 0x7F | 0x80]) + group
        body += group
    return b"\x06" + bytes([len(body)]) + body


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

MESSAGE_ALGORITHMS = frozenset({"ed25519", "ed448", "mldsa44", "mldsa65", "mldsa87"})
"""Algorithms that sign the message itself."""


def try_message(key: Key, algorithm: str, message: bytes, value: bytes) -> Match:
    """Check ``value`` over the whole message with EdDSA or pure ML-DSA (empty context)."""
    if algorithm not in MESSAGE_ALGORITHMS:
        raise Unsupported(algorithm)
    return _try_der_pair(key, value, message) if key.algorithm == algorithm else Match.FOREIGN


_KINDS = {
    "RSAPublicKey": "rsa", "DSAPublicKey": "dsa", "ECPublicKey": "ecdsa", "Ed25519PublicKey": "ed25519",
    "Ed448PublicKey": "ed448", "MLDSA44PublicKey": "mldsa44", "MLDSA65PublicKey": "mldsa65",
    "MLDSA87PublicKey": "mldsa87",
}  # fmt: skip
"""Class names of cryptography's public keys."""

_FIXED_BITS = {"ed25519": 256, "ed448": 456, "mldsa44": 10496, "mldsa65": 15616, "mldsa87": 20736}
"""Sizes of public keys whose algorithm has one size only (RFC 8032, FIPS 204 table 2)."""


def public_kind(public: Any) -> tuple[str, int, str | None] | None:
    """(algorithm, bits, curve) of a public key of the cryptography library; None if it cannot sign."""
    algorithm = _KINDS.get(type(public).__name__)
    if algorithm is None:
        return None
    bits = _FIXED_BITS.get(algorithm) or public.key_size
    return algorithm, bits, public.curve.name if algorithm == "ecdsa" else None


# --------------------------------------------------------------------------- the outcome


def judge(signature: Signature, keys: Keyring, attempt: Callable[[Key], Match]) -> Outcome:
    """Try the keys that bear the signature's ids, then those that have no such id; say what came of it.

    A key that the user vouches for decides before one that was merely to be tried.
    """
    named = _unique(key for key_id in signature.key_ids for key in keys.find(key_id))
    kinds = {kind for kind, _ in signature.key_ids} or {""}
    tried = _unique(key for kind in sorted(kinds) for key in keys.nameless(kind) if key not in named)
    failed: list[Key] = []
    hits: list[Key] = []
    try:
        for key in [*named, *tried]:
            match = attempt(key)
            if match is Match.YES:
                hits.append(key)
            elif key in named or (match is Match.NO and key.algorithm == "rsa"):
                failed.append(key)
    except Unsupported as missing:
        return Outcome(Verdict.UNSUPPORTED, f"{missing.args[0]} cannot be checked here")
    if hits:
        return _matched(hits)
    if failed:
        return Outcome(Verdict.INVALID, _mismatch(signature, failed[0], failed[0] in named), failed[0])
    return Outcome(Verdict.UNKNOWN_KEY, "none of the keys given is the one that made it")


def _unique(keys: Iterable[Key]) -> list[Key]:
    return list(dict.fromkeys(keys))


def _matched(hits: Sequence[Key]) -> Outcome:
    revoked = next((k for k in hits if k.role == "revoked"), None)
    key = next((k for k in hits if k.trusted), hits[0])
    if revoked is not None:
        return Outcome(Verdict.UNTRUSTED, f"matches, but {revoked.source} revokes this key", revoked)
    if key.trusted:
        return Outcome(Verdict.VALID, None, key)
    if key.role == "recovered":
        return Outcome(Verdict.UNTRUSTED, f"{key.label}; who that is, is not established", key)
    return Outcome(Verdict.UNTRUSTED, f"matches a key from {key.source}, which nobody vouched for", key)


def _mismatch(signature: Signature, key: Key, named: bool) -> str:
    inside = _hash_inside(signature, key)
    if inside not in (None, signature.hash):
        return f"the key opens the signature's padding, and inside is a digest of {inside}"
    if named:
        return "the content or the signature was changed, or another key has the same id"
    return "the key opens the signature's padding, and the digest inside is another one"


def _hash_inside(signature: Signature, key: Key) -> str | None:
    """The hash that the DigestInfo in an RSA value names; None where it does not open or has none."""
    whole = _as_long_as(key, signature.value) if signature.algorithm == key.algorithm == "rsa" else None
    opened = open_padding(key, whole) if whole else None
    if opened is None:
        return None
    return next(
        (
            h.name
            for h in HASHES.values()
            if opened[: -h.size] == digest_info(h.name, bytes(h.size))[: -h.size]
        ),
        None,
    )


def weaknesses(signature: Signature, key: Key | None) -> Iterator[Remark]:
    """What is weak about a signature, whatever its verdict: hash, key size; and an expired certificate."""
    row = HASHES.get(signature.hash or "")
    if row and row.weak:
        yield Remark("weak-hash", f"{row.name.upper().replace('SHA', 'SHA-')}: {row.weak}")
    bits = key.bits if key else signature.key_bits
    if signature.algorithm in ("rsa", "dsa") and bits and bits < SMALL_RSA_BITS:
        yield Remark("small-key", f"{bits}-bit key")
    certificate = key.certificate if key else None
    if certificate and certificate.not_after < datetime.now(UTC).timestamp():
        when = datetime.fromtimestamp(certificate.not_after, UTC).date().isoformat()
        yield Remark("certificate-expired", f"certificate expired {when} (kernels do not look)")


def odd_name(name: bytes) -> Remark | None:
    """What is odd about a signer's name: it is printed raw by other tools, and can forge their lines."""
    if any(byte < 0x20 or byte == 0x7F for byte in name):
        return Remark("signer-control-characters", "the signer's name holds control characters", 0)
    try:
        name.decode("utf-8")
    except UnicodeDecodeError:
        return Remark("signer-not-utf8", "the signer's name is not UTF-8", 0)
    return None
