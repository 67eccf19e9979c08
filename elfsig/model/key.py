"""Public keys, the certificates they come with, and the contract of key rings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from elfsig.model.verdict import Remark


class Certificate(NamedTuple):
    """What elfsig needs of an X.509 certificate. Names are DER; times are seconds since 1970."""

    der: bytes
    issuer: bytes
    subject: bytes
    serial: int
    skid: bytes | None
    subject_text: str
    issuer_text: str
    not_before: int
    not_after: int


KeyId = tuple[str, bytes]
"""A way to name a key: ("issuer-serial", DER issuer + b"|" + serial), ("skid", ...), ("x509-name", ...),
("openpgp", 8 bytes), ("digsig1", 8 bytes), ("digsig2", 4 bytes)."""


@dataclass(frozen=True, slots=True, eq=False)
class Key:
    """One public key from a key source.

    ``public`` is the cryptography library's object. ``ids`` are all the names it can be looked up by.
    ``trusted`` is True for ``--trust`` sources, False for keys that are merely tried. ``role`` is the
    keyring it comes from: user, builtin, embedded, secondary, machine, platform, revoked, recovered.
    ``fingerprint`` is the SHA-256 over the DER subjectPublicKeyInfo, in hex.
    """

    public: Any
    algorithm: str
    bits: int
    curve: str | None
    ids: frozenset[KeyId]
    source: str
    role: str
    trusted: bool
    fingerprint: str
    label: str
    certificate: Certificate | None = None
    openpgp_fingerprint: bytes | None = None
    created: int | None = None
    remarks: tuple[Remark, ...] = ()


class Keyring(Protocol):
    """Keys to check against. ``elfsig.trust.keyring`` makes them from sources."""

    @property
    def keys(self) -> Sequence[Key]:
        """Every key, trusted ones first."""
        ...

    def find(self, key_id: KeyId) -> Sequence[Key]:
        """Keys that bear this id, trusted ones first."""
        ...

    def nameless(self, kind: str) -> Sequence[Key]:
        """Keys that have no id of this kind at all, which can therefore only be tried."""
        ...
