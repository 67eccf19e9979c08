"""The key sources of a bundle: their hashes, and OpenPGP keys as they have them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Any

from elfsig.errors import ElfsigError
from elfsig.model import Key
from elfsig.model.json_form import readable
from elfsig.opened.evidence import INSIDE
from elfsig.opened.inside import read_inside
from elfsig.trust.keyring import MERKLE, PIN, ROLES
from elfsig.trust.ring import Ring
from elfsig.verbs.bundle.keys import key_folders, openpgp_rings
from elfsig.verbs.bundle.signature import Bundled
from elfsig.verbs.verify.no_keys import NoKeys

Json = dict[str, Any]

MAX_RING = 64 << 20
"""Size in bytes of the largest source from which OpenPGP keys are taken with their user ids."""


def bundled_keys(ring: Ring | None) -> Bundled:
    """The keys that a bundle has: every key of ``ring`` that can be used."""
    if ring is None:
        return Bundled(NoKeys(), {})
    folders = key_folders(ring.keys, dict(_rings(ring.keys)))
    return Bundled(ring, {each.fingerprint: each for each in folders})


def _rings(keys: Iterable[Key]) -> Iterator[tuple[str, bytes]]:
    """OpenPGP keys with their user ids, by fingerprint, from the files that they are from."""
    wanted: dict[str, list[Key]] = {}
    for key in keys:
        if key.openpgp_fingerprint is not None and key.provenance is not None:
            wanted.setdefault(key.provenance.file, []).append(key)
    for path, those in wanted.items():
        try:
            yield from openpgp_rings(_read(path), those)
        except (ElfsigError, OSError, ValueError):  # then gpgv is not asked, and openssl is
            continue


def _read(path: str) -> bytes:
    if INSIDE in path and not os.path.exists(path):
        return read_inside(path, MAX_RING)
    with open(path, "rb") as file:
        data = file.read(MAX_RING + 1)
    return data if len(data) <= MAX_RING else b""


def source_records(trust: Iterable[object], keys: Iterable[object]) -> list[Json]:
    """The key sources: ``source`` as it was given, ``use``, ``sha256`` in hex, and ``files`` of a directory.

    What is neither a path nor bytes has no hash.
    """
    return [_source(each, use) for sources, use in ((trust, "trusted"), (keys, "tried")) for each in sources]


def _source(source: object, use: str) -> Json:
    found: Json = {"source": "", "use": use, "sha256": None, "files": []}
    if isinstance(source, (bytes, bytearray, memoryview)):
        return {**found, "source": "<bytes>", "sha256": sha256(source).hexdigest()}
    if not isinstance(source, (str, os.PathLike)):
        return {**found, "source": f"<{type(source).__name__}>"}
    text = os.fsdecode(source)
    path = path_of(text) if isinstance(source, str) else text
    found["source"] = readable(text)
    if path is None:
        return found
    if os.path.isdir(path):
        return {**found, "files": list(_below(path))}
    return {**found, "sha256": _sha256(path)}


def path_of(text: str) -> str | None:
    """The path in what ``--trust`` takes; None for a pin, and for a root in words."""
    if text.startswith((PIN, MERKLE)):
        return None
    prefix, colon, rest = text.partition(":")
    return rest if colon and prefix in ROLES else text


def _below(folder: str) -> Iterator[Json]:
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(parent, name)
            if os.path.isfile(path):
                yield {"name": readable(os.path.relpath(path, folder)), "sha256": _sha256(path)}


def _sha256(path: str) -> str | None:
    """SHA-256 of a file, or of what a nested path leads to; None where it cannot be read."""
    digest = sha256()
    try:
        if INSIDE in path and not os.path.exists(path):
            digest.update(read_inside(path, 1 << 30))
        else:
            with open(path, "rb") as file:
                while piece := file.read(1 << 20):
                    digest.update(piece)
    except (ElfsigError, OSError):
        return None
    return digest.hexdigest()
