"""The ring: every entry of all key sources, and the two questions that it answers.

Which keys may have made a signature (``candidates``), and is a certificate, a key or a file revoked
(``revokes``): verify, embedded chains, audit and the simulated kernels all use it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

from elfsig.crypto import certificate as x509
from elfsig.crypto.public_keys import spki_fingerprint
from elfsig.errors import ParseError
from elfsig.lazy_dataclass import replace
from elfsig.model import Candidates, Key, KeyId, Loss, Remark
from elfsig.model.json_form import SCHEMA_VERSION, loss_object, readable, time_text
from elfsig.trust import merkle
from elfsig.trust.entries import Material, MerkleRoot, Revocation, RevokedHash

FILE, CERTIFICATE = "bin", "tbs"
"""Kinds of :class:`RevokedHash`, by their names in the kernel's blacklist keyring."""


MAX_REMEMBERED = 256
"""Answers of ``candidates`` that are kept: the modules of a tree mostly name one signer."""


class Ring:
    """Keys to check against: an implementation of :class:`elfsig.model.Keyring`.

    ``keys`` are in the order in which they were given, trusted ones first; revocations are among them, and
    roots of module hashes, with ``public`` None. ``unusable`` are keys of algorithms that cannot be checked
    here. ``losses`` are the entries of sources that could not be read. A key that another entry revokes
    stays vouched for but is not trusted.
    """

    def __init__(self, material: Material) -> None:
        self.material: Material = material
        self.revocations: tuple[Revocation, ...] = material.revocations
        self.merkle_roots: tuple[MerkleRoot, ...] = material.merkle_roots
        self.losses: tuple[Loss, ...] = material.losses
        every = (*material.keys, *material.unusable)
        self._revoked_keys = {k.fingerprint: k.source for k in reversed(every) if k.revoked}
        self._hashes = {each.revoked: each.source for each in reversed(material.revocations)}
        self._kinds = sorted({(each.kind, each.hash) for each in self._hashes})
        self.unusable: tuple[Key, ...] = tuple(map(self._marked, material.unusable))
        keys = _each_once([*map(self._marked, material.keys), *map(merkle.as_key, material.merkle_roots)])
        self._keys = tuple(sorted(keys, key=lambda key: not key.trusted))
        self._nameless: dict[str, tuple[Key, ...]] = {}
        self._candidates: dict[tuple[KeyId, ...], Candidates] = {}

    def __repr__(self) -> str:
        trusted, revoked = sum(key.trusted for key in self._keys), len(self.revocations)
        return f"<Keyring of {len(self._keys)} keys, {trusted} trusted, and {revoked} revoked hashes>"

    def __eq__(self, other: object) -> bool:
        return self.material == other.material if isinstance(other, Ring) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(key.fingerprint for key in self._keys))

    def __reduce__(self) -> tuple[Any, ...]:
        """For pickle and copy: what the sources held."""
        return Ring, (self.material,)

    def to_json(self) -> dict[str, Any]:
        """Every key and revoked hash as plain JSON values: the document of ``elfsig keys list --json``."""
        return {
            "schema_version": SCHEMA_VERSION,
            "keys": [key.to_json() for key in (*self.keys, *self.unusable)],
            "revoked_hashes": self.revoked_hash_objects(),
            "losses": [loss_object(each) for each in self.losses],
        }

    def revoked_hash_objects(self) -> list[dict[str, Any]]:
        """The entries of ``revoked_hashes``: each hash once, with its source and time."""
        first = {each.revoked: each for each in reversed(self.revocations)}
        return [
            {
                "kind": each.kind,
                "hash": each.hash,
                "digest": each.digest.hex(),
                "source": readable(first[each].source),
                "time": None if (when := first[each].time) is None else time_text(when),
            }
            for each in sorted(first)
        ]

    @property
    def keys(self) -> tuple[Key, ...]:
        return self._keys

    @property
    def revoked_hashes(self) -> frozenset[RevokedHash]:
        """The hashes of files and certificates that are revoked."""
        return frozenset(self._hashes)

    def _marked(self, key: Key) -> Key:
        """The key, with the source that revokes it."""
        if key.revoked:
            return key
        certificate = key.certificate.der if key.certificate else None
        source = self.revokes(certificate, key.fingerprint)
        if source is None:
            return key
        remark = Remark("key-revoked", f"revoked by {source}")
        return replace(key, revoked_by=source, remarks=(*key.remarks, remark))

    # ----------------------------------------------------------------- candidates

    @cached_property
    def _index(self) -> dict[KeyId, list[Key]]:
        index: dict[KeyId, list[Key]] = {}
        for key in self._keys:
            for each in key.ids:
                index.setdefault(each, []).append(key)
        return index

    def candidates(self, ids: Iterable[KeyId]) -> Candidates:
        """Keys with one of ``ids``, then those that have no id of these kinds, trusted ones first each."""
        wanted = tuple(ids)
        known = self._candidates.get(wanted)
        if known is None:
            if len(self._candidates) >= MAX_REMEMBERED:
                self._candidates.clear()
            known = self._candidates[wanted] = self._candidates_of(wanted)
        return known

    def _candidates_of(self, wanted: tuple[KeyId, ...]) -> Candidates:
        named = dict.fromkeys(key for key_id in wanted for key in self.find(key_id))
        kinds = sorted({kind for kind, _ in wanted} or {""})
        rest = dict.fromkeys(key for kind in kinds for key in self.nameless(kind) if key not in named)
        return Candidates(tuple(named), tuple(rest))

    def find(self, key_id: KeyId) -> Sequence[Key]:
        """Keys with this id, trusted ones first."""
        return self._index.get(key_id, ())

    def nameless(self, kind: str) -> Sequence[Key]:
        """Keys without an id of this kind, which can therefore only be tried.

        A bare public key's SKID is only the usual one: its certificate may have used another.
        """
        if kind not in self._nameless:
            self._nameless[kind] = tuple(k for k in self._keys if not has_name(k, kind))
        return self._nameless[kind]

    # ----------------------------------------------------------------- revocation

    def revokes(
        self, certificate: bytes | None = None, key: Key | str | None = None, file: bytes | None = None
    ) -> str | None:
        """The source that revokes any of these, None if no source does.

        ``certificate``: DER; revoked by its key, by the hash of its TBSCertificate (UEFI 32.4.1,
        EFI_CERT_X509_SHA256 and its like) or of itself, since tools make both. ``key``: an entry or a
        fingerprint. ``file``: the content of a file, revoked by its hash.
        """
        if key is not None:
            source = self._by_key(key)
            if source is not None:
                return source
        if certificate is not None and (self._revoked_keys or self._hashes):
            return self._by_certificate(certificate) or (file and self._by_file(file)) or None
        return None if file is None else self._by_file(file)

    @property
    def revokes_files(self) -> bool:
        """Whether any list names files by their hash: only then do files need to be hashed."""
        return any(kind == FILE for kind, _ in self._kinds)

    def _by_key(self, key: Key | str) -> str | None:
        if isinstance(key, str):
            return self._revoked_keys.get(key)
        if key.revoked:
            return key.source
        return key.revoked_by or self._revoked_keys.get(key.fingerprint)

    def _by_certificate(self, der: bytes) -> str | None:
        try:
            parsed = x509.parse(der)
        except ParseError:
            return self._by_hash(CERTIFICATE, der) or self._by_hash(FILE, der)
        source = self._revoked_keys.get(spki_fingerprint(parsed.spki)) if self._revoked_keys else None
        whole = parsed.certificate.der
        forms = ((CERTIFICATE, parsed.tbs), (CERTIFICATE, whole), (FILE, whole))
        return source or next((s for kind, data in forms if (s := self._by_hash(kind, data))), None)

    def _by_file(self, content: bytes) -> str | None:
        return self._by_hash(FILE, content)

    def _by_hash(self, kind: str, data: bytes) -> str | None:
        names = (name for each, name in self._kinds if each == kind)
        digests = ((name, hashlib.new(name, data, usedforsecurity=False).digest()) for name in names)
        return next((s for n, d in digests if (s := self._hashes.get(RevokedHash(kind, n, d)))), None)


def has_name(key: Key, kind: str) -> bool:
    """Whether the key has an id of this kind that a signature would name."""
    if kind == "skid" and key.certificate is None:
        return False
    return any(each[0] == kind for each in key.ids)


def _each_once(keys: Iterable[Key]) -> Iterator[Key]:
    """Keys that differ only in their source, once each: directories hold links to and bundles of the same
    keys. A machine owner key beside which MokListTrustedRT is missing is another one than one given as it is.
    """
    seen: set[tuple[object, ...]] = set()
    for key in keys:
        same = (
            key.fingerprint, key.certificate and key.certificate.der, key.ids, key.keyring, key.vouched,
            key.revoked, key.why, key.provenance and key.provenance.mok_trusted,
        )  # fmt: skip
        if same not in seen:
            seen.add(same)
            yield key
