"""keys: what a key source holds, extracting its certificates, and which key made a signature."""

from __future__ import annotations

import hashlib
import os
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from elfsig.crypto.judge import OTHER_ID
from elfsig.crypto.public_keys import spki_of
from elfsig.errors import KeySourceError, WriteError
from elfsig.model import Key, KeyId, SignatureReport, Verdict
from elfsig.opened.atomic import settle, write_atomic
from elfsig.opened.module import Module
from elfsig.opened.source import system_text
from elfsig.trust.marks import text_of
from elfsig.trust.ring import Ring
from elfsig.verbs.verify.examine import Question, examine

# --------------------------------------------------------------------------- extract


@dataclass(frozen=True, slots=True)
class Extracted:
    """One file that was written, and the key in it."""

    path: str
    key: Key


def extract(
    ring: Ring, directory: str, pem: bool = False, force: bool = False, *, every: bool = False
) -> list[Extracted]:
    """Write the trusted certificates (DER, or PEM) and bare public keys (PEM) of ``ring`` into a directory.

    Named by the fingerprint's first 16 digits; different certificates of one key each get those of their own
    SHA-256 too. ``every``: also those that are not trusted, as
    PEM that says so. Raises WriteError, before anything is written where a file exists and
    ``force`` is not given; KeySourceError where no key is trusted and ``every`` is not given.
    """
    keys = [key for key in (*ring.keys, *ring.unusable) if every or key.trusted]
    if not keys:
        raise KeySourceError("none of the keys in these sources is trusted", code="no-key", hint="every-key")
    files = _named(keys, pem)
    if not force:
        for name in files:
            if os.path.lexists(os.path.join(directory, name)):
                raise _there_already(os.path.join(directory, name))
    try:
        Path(directory).mkdir(parents=True, exist_ok=True)
    except OSError as reason:
        raise WriteError(f"{directory}: {system_text(reason)}") from None
    for name, (data, _) in files.items():
        write_atomic(os.path.join(directory, name), data, sync=False, follow=False)
    settle(directory)
    return [Extracted(os.path.join(directory, name), key) for name, (_, key) in files.items()]


def _named(keys: Sequence[Key], pem: bool) -> dict[str, tuple[bytes, Key]]:
    """(content, key) by file name: nothing takes the place of something else."""
    found: dict[str, dict[bytes, Key]] = {}
    for key in keys:
        for name, data in _files(key, pem):
            found.setdefault(name, {}).setdefault(data, key)
    files: dict[str, tuple[bytes, Key]] = {}
    for name, contents in found.items():
        for data, key in contents.items():
            files[name if len(contents) == 1 else _longer(name, data, key)] = data, key
    return files


def _longer(name: str, data: bytes, key: Key) -> str:
    """The name of one of several files of the same key: a certificate that was renewed has another hash, the
    text before a bare key or a twin may differ."""
    stem, dot, suffix = name.partition(".")
    whole = data if key.certificate is None or text_of(key) else key.certificate.der
    return f"{stem}-{hashlib.sha256(whole).hexdigest()[:16]}{dot}{suffix}"


def _there_already(path: str) -> WriteError:
    return WriteError(f"{path} already exists", code="exists", hint="overwrite")


def _files(key: Key, pem: bool) -> Iterator[tuple[str, bytes]]:
    """(name, content) for one key; none for a key that could not be loaded and has no certificate."""
    name = f"{key.role}-{key.fingerprint[:16]}"
    marks = text_of(key)
    if key.certificate is not None:
        data = key.certificate.der
        armoured = marks + _armoured(data, "CERTIFICATE")
        yield (f"{name}.pem", armoured) if pem or marks else (f"{name}.der", data)
    elif key.public is not None:
        yield f"{name}.pub.pem", marks + _armoured(spki_of(key), "PUBLIC KEY")


def _armoured(content: bytes, label: str) -> bytes:
    """DER in PEM (RFC 7468, 5.1 and 13)."""
    text = b64encode(content).decode()
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    return "\n".join((f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", "")).encode()


# --------------------------------------------------------------------------- match


@dataclass(frozen=True, slots=True)
class Match:
    """Which key made a signature, and how that is known.

    ``by``: "mathematics" (the value verifies with the key, whatever id the signature names), "id" (a key
    only has the id that the signature names: ``contradicted`` where the signature was checked and does not
    match), or None.
    """

    signature: SignatureReport
    by: str | None
    keys: tuple[Key, ...]
    contradicted: bool = False


def match(module: Module, ring: Ring) -> list[Match]:
    """For every signature of a file, the key of ``ring`` that made it; empty where no key did."""
    report = examine(module, Question(ring, any_file=True))
    return [_match(each, ring) for each in report.signatures]


def _match(sig: SignatureReport, ring: Ring) -> Match:
    by_another_id = sig.cause is not None and sig.cause.code == OTHER_ID
    if sig.key is not None and (by_another_id or sig.verdict in (Verdict.VALID, Verdict.UNTRUSTED)):
        return Match(sig, "mathematics", (sig.key,))
    ids: Sequence[KeyId] = sig.claims.key_ids if sig.claims else ()
    named = tuple(key for key in (*ring.keys, *ring.unusable) if not key.ids.isdisjoint(ids))
    if sig.verdict is Verdict.INVALID and sig.key is not None and sig.key not in named:
        named = (*named, sig.key)
    return Match(sig, "id" if named else None, named, sig.verdict is Verdict.INVALID)
