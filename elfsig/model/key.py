"""Public keys as key sources give them, the certificates they come with, and the contract of key rings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Any, Protocol

from elfsig.lazy_dataclass import dataclass
from elfsig.lazy_tuple import NamedTuple
from elfsig.model.brief import brief
from elfsig.model.json_values import readable, remark_object, time_text
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


class Why(StrEnum):
    """Why a key is vouched for, or why not. The value is a stable word, :attr:`text` the sentence."""

    SOURCE = "source"
    TRIED = "tried"
    EMBEDDED = "embedded"
    RECOVERED = "recovered"
    UNBOUND = "unbound-subkey"
    UNNAMED_LIST = "list-of-unknown-purpose"
    NOT_FOR_MODULES = "not-for-modules"
    UNKNOWN_PURPOSE = "unknown-purpose"
    NOT_PINNED = "not-pinned"
    REVOKED = "revoked"

    @property
    def text(self) -> str:
        """The reason as the end of a sentence about the key."""
        return _WHY[self]

    @property
    def yields_to_pin(self) -> bool:
        """Whether naming the key by its fingerprint vouches for it nevertheless."""
        return self not in (Why.RECOVERED, Why.REVOKED)


_WHY = {
    Why.SOURCE: "its source is trusted",
    Why.TRIED: "it was given only to be tried",
    Why.EMBEDDED: "it was found outside the lists of trusted keys in its file",
    Why.RECOVERED: "it was computed from signatures",
    Why.UNBOUND: "no valid signature of its primary key binds this subkey",
    Why.UNNAMED_LIST: "its EFI signature list has a name that does not tell its purpose",
    Why.NOT_FOR_MODULES: "its EFI variable or its trust settings are not for modules",
    Why.UNKNOWN_PURPOSE: "its file does not say what the key is for",
    Why.NOT_PINNED: "it is not among the pinned keys",
    Why.REVOKED: "a list of revoked keys names it",
}


class Provenance(NamedTuple):
    """Where an entry is in a key source.

    ``file``: the path; ``offset``: bytes from the start of the (unpacked) file; ``list``: the list it is
    on, such as "dbx" or "builtin"; ``container``: the form it was read from, with a signer where it has one.
    ``mok_trusted``: for lists of machine owner keys, whether MokListTrustedRT is present too: only then
    mainline kernels use them for modules. None for everything else, and where the user names a keyring.
    """

    file: str
    offset: int | None = None
    list: str | None = None
    container: str | None = None
    mok_trusted: bool | None = None


class Loss(NamedTuple):
    """Something in a key source that could not be read: ``what`` it is, ``reason`` why, ``offset`` where."""

    file: str
    what: str
    reason: str
    offset: int | None = None

    def __str__(self) -> str:
        where = "" if self.offset is None else f" at {self.offset:#x}"
        return f"{self.file}: {self.what}{where}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Key:
    """One entry of a key source: a public key, and what its source says about it.

    ``public`` is the cryptography library's object, None for a key that cannot be used here. ``ids`` are
    all the names it can be looked up by. ``keyring`` is the kernel keyring that the data itself implies, or
    to which the user assigned a vouched key: user, builtin, secondary, machine or platform.
    ``vouched``: the key counts as trusted: the source lists it, and the user trusts the source; ``why``
    gives the reason, or why not. ``revoked``: this entry is a revocation. ``revoked_by`` is the source of
    another entry that revokes this one; only a ring determines that.
    ``subkey``: an OpenPGP subkey, which kernels do not load.
    ``fingerprint`` is the SHA-256 over the DER SubjectPublicKeyInfo in its normal form (EC points
    uncompressed, algorithm identifiers as RFC 3279 has them), in hex.
    ``restriction``: the DER AlgorithmIdentifier of a key that may only be used for RSASSA-PSS (RFC 4055 1.2),
    whose ``algorithm`` is ``rsa-pss``; None for all others.
    """

    public: Any
    algorithm: str
    bits: int
    curve: str | None
    ids: frozenset[KeyId]
    source: str
    keyring: str
    vouched: bool
    fingerprint: str
    label: str
    certificate: Certificate | None = None
    openpgp_fingerprint: bytes | None = None
    created: int | None = None
    remarks: tuple[Remark, ...] = ()
    why: Why = Why.SOURCE
    revoked: bool = False
    revoked_by: str | None = None
    provenance: Provenance | None = None
    subkey: bool = False
    restriction: bytes | None = None

    @property
    def trusted(self) -> bool:
        """Whether a signature by this key is valid: vouched for, and revoked nowhere."""
        return self.vouched and not self.revoked and self.revoked_by is None

    @property
    def role(self) -> str:
        """One word for reports: its keyring, or revoked, recovered, embedded. For display only."""
        if self.revoked:
            return "revoked"
        return str(self.why) if self.why in (Why.RECOVERED, Why.EMBEDDED) else self.keyring

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


class Candidates(NamedTuple):
    """The keys of a ring that could have made a signature.

    ``named`` have one of the ids that the signature gives; ``nameless`` have no id of these kinds at all
    and can only be tried. Both have trusted keys first.
    """

    named: tuple[Key, ...]
    nameless: tuple[Key, ...]


class Keyring(Protocol):
    """Keys to check against. ``elfsig.trust.ring`` makes them from entries.

    ``unusable`` is an optional further member: the keys that cannot be checked with here, of which a remark
    ``key-unsupported`` says why. A signature that names one of them is unsupported.
    """

    @property
    def keys(self) -> Sequence[Key]:
        """Every key, trusted ones first; revocations are among them."""
        ...

    def candidates(self, ids: Iterable[KeyId]) -> Candidates:
        """The keys that may have made a signature which gives these ids."""
        ...

    def find(self, key_id: KeyId) -> Sequence[Key]:
        """Keys with this id, trusted ones first."""
        ...

    def nameless(self, kind: str) -> Sequence[Key]:
        """Keys that have no id of this kind at all, which can therefore only be tried."""
        ...

    @property
    def losses(self) -> Sequence[Loss]:
        """Entries of the sources that could not be read."""
        ...

    @property
    def revokes_files(self) -> bool:
        """Whether any list names files by their hash: only then do files need to be hashed for this."""
        ...

    def revokes(
        self, certificate: bytes | None = None, key: Key | str | None = None, file: bytes | None = None
    ) -> str | None:
        """The source that revokes any of these, or None.

        ``certificate`` is DER; ``key`` an entry or a fingerprint as in :attr:`Key.fingerprint`; ``file``
        the content of a file, which lists name by its hash.
        """
        ...


# --------------------------------------------------------------------------- as JSON


def short_key_object(key: Key | None) -> dict[str, Any] | None:
    """A key: where it comes from, and its fingerprints as elfsig, openssl and mokutil print them."""
    if key is None:
        return None
    found = certificate_fingerprints(key.certificate) if key.certificate else {}
    return {
        "name": readable(key.label),
        "fingerprint": key.fingerprint,
        "certificate_sha256": found.get("sha256"),
        "certificate_sha1": found.get("sha1"),
        "algorithm": key.algorithm,
        "bits": key.bits,
        "curve": key.curve,
        "source": readable(key.source),
        "role": key.role,
        "subject": readable(key.certificate.subject_text) if key.certificate else None,
        "serial": f"{key.certificate.serial:x}" if key.certificate else None,
    }


def certificate_fingerprints(certificate: Certificate) -> dict[str, str]:
    """SHA-256 and SHA-1 of a certificate, as ``openssl x509 -fingerprint`` and ``mokutil`` print them, in hex
    without colons."""
    return dict(_fingerprints(certificate.der))


@lru_cache(maxsize=32)
def _fingerprints(der: bytes) -> tuple[tuple[str, str], ...]:
    """Of the certificates of most signatures: there are few, and many signatures."""
    from hashlib import sha1, sha256

    return (
        ("sha256", sha256(der).hexdigest()),
        ("sha1", sha1(der, usedforsecurity=False).hexdigest()),
    )


def key_object(key: Key) -> dict[str, Any]:
    """Everything about one key as JSON values; fields of the certificate are null without one."""
    certificate = key.certificate
    return {
        "source": key.source,
        "role": key.role,
        "trusted": key.trusted,
        "keyring": key.keyring,
        "vouched": key.vouched,
        "why": str(key.why),
        "revoked": key.revoked,
        "revoked_by": key.revoked_by,
        "provenance": key.provenance and _provenance_object(key.provenance),
        "usable": key.public is not None,
        "label": key.label,
        "algorithm": key.algorithm,
        "bits": key.bits or None,
        "curve": key.curve,
        "fingerprint": key.fingerprint,
        "certificate": certificate
        and {
            "subject": certificate.subject_text,
            "issuer": certificate.issuer_text,
            "serial": f"{certificate.serial:x}",
            "skid": certificate.skid.hex() if certificate.skid is not None else None,
            "not_before": time_text(certificate.not_before),
            "not_after": time_text(certificate.not_after),
            "size": len(certificate.der),
            **certificate_fingerprints(certificate),
        },
        "openpgp_fingerprint": key.openpgp_fingerprint.hex() if key.openpgp_fingerprint else None,
        "created": None if key.created is None else time_text(key.created),
        "ids": {name: sorted(each.hex() for kind, each in key.ids if kind == name) for name in SHORT_IDS},
        "remarks": [remark_object(each) for each in key.remarks],
    }


def _provenance_object(provenance: Provenance) -> dict[str, Any]:
    return {
        "file": readable(provenance.file),
        "offset": provenance.offset,
        "list": provenance.list,
        "container": provenance.container,
    }


def loss_object(loss: Loss) -> dict[str, Any]:
    """Something in a key source that could not be read."""
    return {
        "file": readable(loss.file),
        "what": loss.what,
        "reason": loss.reason,
        "offset": loss.offset,
    }


SHORT_IDS = ("openpgp", "digsig1", "digsig2")
"""Key ids that follow from the key itself; the others are in the certificate."""
