"""Remarks on signatures and keys, whatever the verdict: weak algorithms, expired certificates, odd names."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from elfsig.crypto.hashes import HASHES, SMALL_RSA_BITS, shown_hash
from elfsig.model import Key, Remark, Signature


def weaknesses(signature: Signature, key: Key | None) -> Iterator[Remark]:
    """What is weak about a signature: its hash, and the size of ``key``, which made it (None: unknown)."""
    yield from weak_hash(signature.hash)
    bits = key.bits if key else signature.key_bits
    if signature.algorithm in ("rsa", "rsa-pss", "dsa"):
        yield from small_key(bits)


def weak_hash(name: str | None, of: str = "") -> Iterator[Remark]:
    """A remark where the hash of this name is weak; ``of`` is put before it."""
    row = HASHES.get(name or "")
    if row and row.weak:
        yield Remark("weak-hash", f"{of}{shown_hash(row.name)}: {row.weak}")


def small_key(bits: int | None, of: str = "") -> Iterator[Remark]:
    """A remark where an RSA or DSA key of ``bits`` is small; ``of`` is put after it."""
    if bits and bits < SMALL_RSA_BITS:
        yield Remark("small-key", f"{bits}-bit key{of}")


def expired(key: Key, of: str = "") -> Iterator[Remark]:
    """A remark where the certificate of ``key`` has expired; ``of`` is put after the word certificate."""
    certificate = key.certificate
    if certificate and certificate.not_after < datetime.now(UTC).timestamp():
        when = datetime.fromtimestamp(certificate.not_after, UTC).date().isoformat()
        yield Remark("certificate-expired", f"certificate{of} expired {when}")


def odd_name(name: bytes) -> Remark | None:
    """What is odd about a signer's name: other tools print it raw, so it can forge lines of output."""
    if any(byte < 0x20 or byte == 0x7F for byte in name):
        return Remark("signer-control-characters", "the signer's name contains control characters", 0)
    try:
        name.decode("utf-8")
    except UnicodeDecodeError:
        return Remark("signer-not-utf8", "the signer's name is not UTF-8", 0)
    return None
