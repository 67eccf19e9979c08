"""The keyrings of a simulated kernel: which of the given keys it would hold, and where it would find them.

Keys that were given without saying which keyring they belong to (role "user") stand for compiled-in ones.
Keys that were merely to be tried are none that a kernel holds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache

from elfsig.crypto import der
from elfsig.crypto.oids import BY_OID, SignatureAlgorithm
from elfsig.errors import ParseError
from elfsig.kernels.profile import Profile
from elfsig.model import Key, KeyId
from elfsig.trust.keyring import Ring

COMPILED_IN = frozenset({"builtin", "user", "embedded"})
REVOKED = "revoked"


class KernelKeys:
    """The keys of ``ring`` (None: none were given) as the kernel of ``profile`` would have loaded them."""

    def __init__(self, ring: Ring | None, profile: Profile, *, fips: bool = False) -> None:
        self._ring, self._profile = ring, profile
        given = [key for key in ring.keys if _vouched(key)] if ring else []
        self.refused = {key: why for key in given if (why := why_not_loaded(key, profile))}
        self._loaded = [key for key in given if key not in self.refused]
        self.revoked = [key for key in ring.keys if key.role == REVOKED] if ring else []

    @property
    def given(self) -> bool:
        """Whether there was any source of keys at all."""
        return self._ring is not None

    def held(self, roles: frozenset[str]) -> list[Key]:
        """The loaded keys of the keyrings ``roles``."""
        return [key for key in self._loaded if _ring_of(key) in roles]

    def elsewhere(self, roles: frozenset[str], ids: Iterable[KeyId]) -> list[Key]:
        """Vouched-for keys with one of ``ids`` that this lookup does not reach, loaded or not."""
        wanted = set(ids)
        reached = set(self.held(roles))
        known = [*self._loaded, *self.refused]
        return [key for key in known if key not in reached and key.ids & wanted]

    def revokes_key(self, key: Key) -> str | None:
        """The source that revokes the public key of ``key``, whatever this kernel makes of that."""
        return next((each.source for each in self.revoked if each.fingerprint == key.fingerprint), None)

    def revokes_file(self, content: bytes) -> str | None:
        """The SHA-256 of ``content`` in hex, where a revocation list names it."""
        hashes = self._ring.revoked_hashes if self._ring else frozenset()
        if not any(each.kind == "bin" and each.hash == "sha256" for each in hashes):
            return None
        digest = hashlib.sha256(content).digest()
        named = any((e.kind, e.hash, e.digest) == ("bin", "sha256", digest) for e in hashes)
        return digest.hex() if named else None


def _ring_of(key: Key) -> str:
    return "builtin" if key.role in COMPILED_IN else key.role


def _vouched(key: Key) -> bool:
    """Vouched for by the user. A revocation takes that away in a verdict; whether it does so in a kernel
    is the profile's business."""
    if key.role in (REVOKED, "recovered"):
        return False
    return key.trusted or any(remark.code == "key-revoked" for remark in key.remarks)


def named(keys: Iterable[Key], ids: Sequence[KeyId]) -> list[Key]:
    """Of ``keys`` those that bear one of ``ids``."""
    wanted = set(ids)
    return [key for key in keys if key.ids & wanted]


def nameless(keys: Iterable[Key], ids: Sequence[KeyId]) -> list[Key]:
    """Of ``keys`` those given without what kernels name them by: they can only be tried."""
    kinds = {kind for kind, _ in ids}
    return [
        key
        for key in keys
        if (key.certificate is None and kinds & {"skid", "issuer-serial", "x509-name"})
        or ("openpgp" in kinds and not any(kind == "openpgp" for kind, _ in key.ids))
    ]


# --------------------------------------------------------------------------- loading certificates


def why_not_loaded(key: Key, profile: Profile) -> str | None:
    """Why the kernel of ``profile`` would not load this key, None where it would."""
    crypto = profile.crypto
    if key.algorithm not in crypto.algorithms:
        return f"its algorithm {key.algorithm} is unknown to this kernel"
    if any(remark.code == "openpgp-subkey" for remark in key.remarks):
        return "it is a subkey, and this kernel loads primary keys only"
    if key.certificate is None:
        return None
    if key.algorithm == "ecdsa" and key.curve not in crypto.curves:
        return f"its curve {key.curve} is unknown to this kernel"
    if profile.trust.dates and (why := _outside_validity(key)):
        return why
    return _self_signature(key, profile)


def _outside_validity(key: Key) -> str | None:
    assert key.certificate is not None
    now = datetime.now(UTC).timestamp()
    if now < key.certificate.not_before:
        return "its certificate is not yet valid (EKEYREJECTED when it is loaded)"
    if now > key.certificate.not_after:
        return "its certificate has expired (EKEYEXPIRED when it is loaded)"
    return None


def _self_signature(key: Key, profile: Profile) -> str | None:
    """x509_check_for_self_signed(): who issued it himself is checked; what cannot be checked yet is not."""
    crypto, certificate = profile.crypto, key.certificate
    assert certificate is not None
    row = _signature_algorithm(certificate.der)
    if row is None or row.algorithm is None:
        return "its certificate is signed with an algorithm unknown to this kernel"
    if row.algorithm not in crypto.algorithms or (row.hash and row.hash not in crypto.hashes):
        return f"its certificate is signed with {row.name}, which this kernel does not know"
    own = certificate.issuer == certificate.subject
    if own and row.algorithm in crypto.absent and row.hash not in crypto.late:
        return (
            f"this kernel was built without {row.algorithm}, and cannot check the certificate's own signature"
        )
    return None


@lru_cache(maxsize=256)
def _signature_algorithm(certificate: bytes) -> SignatureAlgorithm | None:
    """How a DER certificate is signed (RFC 5280, 4.1.1.2); None for an identifier unknown here."""
    try:
        outer = der.read(certificate, 0, len(certificate))
        return BY_OID.get(der.oid_text(certificate, der.descend(certificate, outer, 1, 0)))
    except ParseError:
        return None
