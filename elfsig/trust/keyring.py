"""Key rings from the sources that the user names: files, directories, kernel images, in any known form.

The syntax of the command line and the library: prefixes that name a keyring, pins, roots as text.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterable, Iterator, Sequence

from elfsig.errors import KeySourceError
from elfsig.lazy_dataclass import replace
from elfsig.model import Key, Why
from elfsig.trust import merkle
from elfsig.trust.entries import Material, MerkleRoot, Origin, gather
from elfsig.trust.forms import SOURCES, read_source
from elfsig.trust.paths import ROLES, read_path
from elfsig.trust.ring import Ring

__all__ = [
    "ROLES",
    "SOURCES",
    "Ring",
    "fingerprints",
    "load",
    "pin_digest",
    "read_argument",
    "read_path",
    "read_source",
]

PIN, MERKLE = "SHA256:", "merkle:"


def read_argument(text: str, trusted: bool) -> Material:
    """The entries of one SRC of the command line, prefix included; not for pins. Raises KeySourceError."""
    if text.startswith(MERKLE):
        return Material(merkle_roots=(merkle.from_words(text, trusted),))
    prefix, colon, rest = text.partition(":")
    role = prefix if colon and prefix in ROLES else None
    path = rest if role else text
    if not path:
        raise KeySourceError(f"{text!r}: no file name", code="key-source-unreadable")
    return read_path(path, Origin(path, role, trusted))


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


def pinned(found: Material, pins: dict[str, str]) -> Material:
    """The same entries, of which only those that pins name are vouched for, however they were given.

    A pin names a key, a certificate or a root of module hashes. It does not vouch for what was computed
    from signatures, or for what is revoked. Raises KeySourceError for a pin that does not match any entry.
    """
    missing = dict(pins)
    keys = tuple(_pinned(found.keys, pins, missing))
    roots = tuple(_pinned_roots(found.merkle_roots, pins, missing))
    if missing:
        text = f"{next(iter(missing.values()))}: no key with this fingerprint given"
        raise KeySourceError(text, code="pin")
    return replace(found, keys=keys, merkle_roots=roots)


def _pinned(keys: Iterable[Key], pins: dict[str, str], missing: dict[str, str]) -> Iterator[Key]:
    for key in keys:
        hits = pins.keys() & set(fingerprints(key))
        for hit in hits:
            missing.pop(hit, None)
        if hits and key.why.yields_to_pin:
            yield replace(key, vouched=True, why=Why.SOURCE)
        else:
            yield replace(key, vouched=False, why=Why.NOT_PINNED if key.vouched else key.why)


def _pinned_roots(
    roots: Iterable[MerkleRoot], pins: dict[str, str], missing: dict[str, str]
) -> Iterator[MerkleRoot]:
    for root in roots:
        hit = root.digest.hex() in pins
        missing.pop(root.digest.hex(), None)
        yield root._replace(trusted=hit, why=Why.SOURCE if hit else Why.NOT_PINNED)


def load(trust: Sequence[str], keys: Sequence[str] = ()) -> Ring:
    """The ring for ``--trust`` sources (vouched for) and ``--keys`` sources (only tried).

    A ``SHA256:`` pin among ``trust`` leaves only the keys that pins name trusted. Raises KeySourceError
    for a source without a usable key.
    """
    pins = {pin_digest(text): text for text in trust if text.startswith(PIN)}
    parts = [read_argument(text, True) for text in trust if not text.startswith(PIN)]
    parts += [read_argument(text, False) for text in keys]
    found = gather(parts)
    return Ring(pinned(found, pins) if pins else found)
