"""Public keys, the certificates they come with, and the contract of key rings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from elfsig.lazy_dataclass import dataclass
from elfsig.model.brief import brief
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

    def __repr__(self) -> str:
        return brief(self)


KeyId = tuple[str, bytes]
"""A way to name a key: ("issuer-serial", DER issuer + b"|" + serial), ("skid", ...), ("x509-name", ...),
("openpgp", 8 bytes), ("digsig1", 8 bytes), ("digsig2", 4 bytes)."""


@dataclass(frozen=True, slots=True)
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

    def __repr__(self) -> str:
        return brief(self)

    def _rest(self) -> tuple[Any, ...]:
        """All fields but ``public``, which ``fingerprint`` stands for."""
        return tuple(getattr(self, name) for name in type(self).__dataclass_fields__ if name != "public")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Key):
            return NotImplemented
        return self is other or (self.fingerprint == other.fingerprint and self._rest() == other._rest())

    def __hash__(self) -> int:
        return hash((self.fingerprint, self.source))

    def __reduce__(self) -> tuple[Any, ...]:
        """For pickle and copy: the library's key objects travel as DER SubjectPublicKeyInfo."""
        return _restored, (_encoded(self.public), *self._rest())

    def to_json(self) -> dict[str, Any]:
        """Everything about the key as plain JSON values: an entry of ``elfsig keys list --json``."""
        from elfsig.model.json_form import key_object

        return key_object(self)


def _encoded(public: Any) -> bytes | None:
    if public is None:
        return None
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    spki: bytes = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return spki


def _restored(spki: bytes | None, *rest: Any) -> Key:
    if spki is None:
        return Key(None, *rest)
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    return Key(load_der_public_key(spki), *rest)


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
