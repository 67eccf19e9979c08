"""Key rings made from what the user names: files, directories, kernel images, in any of the known forms.

The kind of a file is told from its content. What it holds is looked up by every name a signature may use.
"""

from __future__ import annotations

import hashlib
import re
import stat
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from elfsig.crypto.certificate import parse
from elfsig.errors import KeySourceError, ParseError
from elfsig.model import Key, KeyId, Remark
from elfsig.opened.evidence import read_error
from elfsig.trust import efi, ima, kernel_image, merkle, openpgp, pem
from elfsig.trust.make import Material, MerkleRoot, Origin, RevokedHash, gather

ROLES = ("builtin", "secondary", "machine", "platform", "revoked")
MAX_SOURCE = 1 << 30
PIN, MERKLE = "SHA256:", "merkle:"


class Ring:
    """Keys to check against: an implementation of :class:`elfsig.model.Keyring`.

    ``keys`` are in the order in which they were given, trusted ones first. ``unusable`` are keys of
    algorithms that cannot be checked here. A key that is revoked keeps its role but is not trusted. Roots of
    module hashes are among the keys, with ``public`` None.
    """

    def __init__(self, material: Material) -> None:
        self.revoked_hashes: frozenset[RevokedHash] = material.revoked_hashes
        self.merkle_roots: tuple[MerkleRoot, ...] = material.merkle_roots
        self.unusable: tuple[Key, ...] = material.unusable
        keys = _each_once([*_without_revoked(material), *map(merkle.as_key, material.merkle_roots)])
        self._keys = tuple(sorted(keys, key=lambda key: not key.trusted))
        self._nameless: dict[str, tuple[Key, ...]] = {}

    @property
    def keys(self) -> tuple[Key, ...]:
        return self._keys

    @cached_property
    def _index(self) -> dict[KeyId, list[Key]]:
        index: dict[KeyId, list[Key]] = {}
        for key in self._keys:
            for each in key.ids:
                index.setdefault(each, []).append(key)
        return index

    def find(self, key_id: KeyId) -> Sequence[Key]:
        """Keys that bear this id, trusted ones first."""
        return self._index.get(key_id, ())

    def nameless(self, kind: str) -> Sequence[Key]:
        """Keys without an id of this kind, which can therefore only be tried.

        A bare public key's SKID is only the usual one: its certificate may have used another.
        """
        if kind not in self._nameless:
            self._nameless[kind] = tuple(k for k in self._keys if not _has_name(k, kind))
        return self._nameless[kind]


def _each_once(keys: Iterable[Key]) -> list[Key]:
    """Keys that differ in their source alone, once: directories hold links and bundles of the same."""
    found: dict[tuple[object, ...], Key] = {}
    for key in keys:
        same = (key.fingerprint, key.certificate and key.certificate.der, key.ids, key.role, key.trusted)
        found.setdefault(same, key)
    return list(found.values())


def _has_name(key: Key, kind: str) -> bool:
    if kind == "skid" and key.certificate is None:
        return False
    return any(each[0] == kind for each in key.ids)


def _without_revoked(material: Material) -> list[Key]:
    """Every key; those that a revocation names are not trusted."""
    revoked = {key.fingerprint for key in material.keys if key.role == "revoked"}
    return [
        replace(key, trusted=False, remarks=(*key.remarks, Remark("key-revoked", "revoked by a key source")))
        if key.trusted and (key.fingerprint in revoked or _hash_revoked(key, material.revoked_hashes))
        else key
        for key in material.keys
    ]


def _hash_revoked(key: Key, revoked: frozenset[RevokedHash]) -> bool:
    """Whether the certificate is revoked by the hash of its TBSCertificate."""
    if key.certificate is None or not revoked:
        return False

    tbs = parse(key.certificate.der).tbs
    names = {each.hash for each in revoked if each.kind == "tbs"}
    return any(RevokedHash("tbs", n, hashlib.new(n, tbs).digest()) in revoked for n in names)


# --------------------------------------------------------------------------- sources


class Source(NamedTuple):
    """One form that keys come in: ``sniff`` tells from the content, ``load`` reads it.

    ``load`` raises ParseError or KeySourceError. ``in_directories``: also taken when a walk meets it.
    """

    name: str
    sniff: Callable[[bytes], bool]
    load: Callable[[bytes, Origin], Material]
    in_directories: bool = True


SOURCES: tuple[Source, ...] = (
    Source("kernel image", kernel_image.is_kernel, kernel_image.read),
    Source("EFI signature list", efi.is_list, efi.read),
    Source("PEM", pem.is_pem, pem.read_pem),
    Source("DER", pem.is_der, pem.read_der),
    Source("OpenPGP key ring", openpgp.is_ring, openpgp.read_ring),
    Source("IMA key", ima.is_key, ima.read),
    Source("unknown form", kernel_image.is_anything, kernel_image.read, False),
)
"""Every form, in the order in which they are asked; the last one takes what is left."""


def read_source(data: bytes, origin: Origin, *, in_directory: bool = False) -> Material:
    """The keys in the content of one file. Raises KeySourceError that names the source."""
    source = next((s for s in SOURCES if (s.in_directories or not in_directory) and s.sniff(data)), None)
    if source is None:
        raise KeySourceError(f"{origin.source}: not a key source of a known kind", code="not-key-source")
    try:
        found = source.load(data, origin)
    except ParseError as reason:
        raise KeySourceError(f"{origin.source}: {source.name}: {reason}", code=reason.code) from None
    if not found:
        why = "; ".join(sorted({r.text for key in found.unusable for r in key.remarks})) or "none in it"
        raise KeySourceError(f"{origin.source}: {source.name}: no usable key: {why}", code="no-key")
    return found


def read_path(path: Path, origin: Origin) -> Material:
    """The keys of a file or of all files below a directory. Raises KeySourceError."""
    if "\0" in str(path):
        raise KeySourceError(
            f"{origin.source}: no such file: the name holds a NUL", code="key-source-unreadable"
        )
    try:
        if path.is_dir():
            return _read_directory(path, origin)
        return read_source(_content(path), _with_role(origin, path))
    except OSError as reason:
        text = read_error(reason).text + _about_prefixes(origin.source)
        raise KeySourceError(f"{origin.source}: {text}", code="key-source-unreadable") from None


def _about_prefixes(source: str) -> str:
    """Which prefixes there are, for a source that begins like a prefixed one."""
    return f"; keyrings are {', '.join(f'{role}:' for role in ROLES)}" if re.match(r"[a-z]+:", source) else ""


def _content(path: Path) -> bytes:
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):
        raise KeySourceError(f"{path}: is no regular file", code="key-source-unreadable")
    if about.st_size > MAX_SOURCE:
        raise KeySourceError(f"{path}: larger than {MAX_SOURCE} bytes", code="key-source-unreadable")
    return path.read_bytes()


def _with_role(origin: Origin, path: Path) -> Origin:
    """EFI variables are known by their names; what the user says wins."""
    role = origin.role or efi.variable_role(path.name)
    return replace(origin, role=role, trusted=origin.trusted and role != efi.REVOKED)


def _read_directory(path: Path, origin: Origin) -> Material:
    found = []
    for each in sorted(p for p in path.rglob("*") if p.is_file()):
        inner = _with_role(replace(origin, source=str(each)), each)
        try:
            found.append(read_source(_content(each), inner, in_directory=True))
        except (KeySourceError, OSError):
            continue
    if not any(found):
        raise KeySourceError(f"{origin.source}: no key in this directory", code="no-key")
    return gather(found)


# --------------------------------------------------------------------------- the command line's words


def read_argument(text: str, trusted: bool) -> Material:
    """The keys of one SRC of the command line, prefix included; not for pins. Raises KeySourceError."""
    if text.startswith(MERKLE):
        return Material(merkle_roots=(merkle.from_words(text, trusted),))
    prefix, colon, rest = text.partition(":")
    role = prefix if colon and prefix in ROLES else None
    path = rest if role else text
    if not path:
        raise KeySourceError(f"{text!r}: no file is named", code="key-source-unreadable")
    return read_path(Path(path), Origin(path, role, trusted and role != efi.REVOKED))


def pin_digest(text: str) -> str:
    """The SHA-256 in a pin, in hex: given in hex, with or without colons, or in base64 as OpenSSH does.

    Raises KeySourceError.
    """
    value = text.removeprefix(PIN)
    plain = value.replace(":", "").lower()
    if re.fullmatch(r"[0-9a-f]{64}", plain):
        return plain
    try:
        digest = b64decode(value + "=" * (-len(value) % 4), validate=True)
    except (Base64Error, ValueError):
        digest = b""
    if len(digest) != 32:
        raise KeySourceError(f"{text}: not a SHA-256 fingerprint in hex or base64", code="pin")
    return digest.hex()


def fingerprints(key: Key) -> tuple[str, ...]:
    """What a pin may name a key by: SHA-256 of its subjectPublicKeyInfo, and of its certificate."""
    if key.certificate is None:
        return (key.fingerprint,)
    return key.fingerprint, hashlib.sha256(key.certificate.der).hexdigest()


def _pinned(keys: Iterable[Key], pins: dict[str, str]) -> Iterator[Key]:
    """Of the keys only those pinned are trusted, whichever way they were given.

    Raises KeySourceError when a pin is that of none.
    """
    missing = dict(pins)
    for key in keys:
        hits = pins.keys() & set(fingerprints(key))
        for hit in hits:
            missing.pop(hit, None)
        yield replace(key, trusted=bool(hits) and key.role != efi.REVOKED)
    if missing:
        raise KeySourceError(
            f"{next(iter(missing.values()))}: no key with this fingerprint given", code="pin"
        )


def load(trust: Sequence[str], keys: Sequence[str] = ()) -> Ring:
    """The ring for ``--trust`` sources (vouched for) and ``--keys`` sources (merely tried).

    A ``SHA256:`` pin among ``trust`` leaves only the keys that pins name trusted. Raises KeySourceError
    for whatever gives no usable key.
    """
    pins = {pin_digest(text): text for text in trust if text.startswith(PIN)}
    parts = [read_argument(text, True) for text in trust if not text.startswith(PIN)]
    parts += [read_argument(text, False) for text in keys]
    found = gather(parts)
    return Ring(replace(found, keys=tuple(_pinned(found.keys, pins))) if pins else found)
