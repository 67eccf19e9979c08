"""What is not read in a directory of key sources: a loss, an error, or nothing that anybody misses.

What is not read where a directory vouches for keys only costs these keys. Where it revokes, what is not read
would be trusted: that is an error, except for a text without anything in it that looks like a key or a hash.
"""

from __future__ import annotations

import os
import re

from elfsig.crypto import der
from elfsig.errors import KeySourceError, ParseError
from elfsig.model import Loss
from elfsig.recognition.kinds import Family
from elfsig.recognition.sniff import kind_of
from elfsig.recognition.text import plain_text
from elfsig.trust import efi_variables
from elfsig.trust.entries import REVOKED, Material, Origin

KEY_SUFFIXES = frozenset({
    ".pem", ".crt", ".cer", ".der", ".cert", ".pub", ".key", ".esl", ".auth", ".p7b", ".p7c", ".gpg", ".asc",
    ".pgp", ".x509", ".p12", ".pfx", ".p11-kit",
})  # fmt: skip
"""Names of files that are meant to hold keys: an unreadable one is reported."""

WITHOUT_KEYS = frozenset({"empty", "text", "script", "pdf", "png", "jpeg"})
"""Kinds of files (:mod:`elfsig.recognition`) that lie beside keys and are none."""

_MATERIAL = re.compile(
    rb"[0-9A-Fa-f]{32}|(?:[0-9A-Fa-f]{2}[: ]){12}|[A-Za-z0-9+/]{48}|BEGIN |Certificate:|Modulus|x-distrusted"
    rb"|(?:tbs|bin):|\[(?:key|SHA)|SHA256:"
)
"""Hashes, base64 and words of lists of keys: a text with one of them may be such a list."""

MUST_BE_READ = "everything in a directory that revokes must be read"

_LABEL = re.compile(rb"-BEGIN ([A-Z0-9 #]{1,64})-")


def lost(origin: Origin, reason: KeySourceError, data: bytes = b"") -> Material:
    """What remains of a file of which ``reason`` says why it has no usable content; ``data`` if it was read.

    Raises KeySourceError for one that is to revoke, and for one of which a revoked part was lost.
    """
    text = reason.text.removeprefix(origin.source).removeprefix(":").strip()
    loss = Material(losses=(Loss(origin.source, "file", text),))
    prose = reason.code == "not-key-source" and not _is_meant(origin.name)
    if _revokes(origin):
        if prose and _is_prose(data):
            return loss
        whole = "" if reason.code == "revocation-lost" else f" ({MUST_BE_READ})"
        raise KeySourceError(f"{origin.source}: {text}{whole}", code=reason.code, offset=reason.offset)
    if reason.code == "revocation-lost":
        raise reason
    return Material() if prose or (reason.code == "private-key" and _is_alone(data)) else loss


def _revokes(origin: Origin) -> bool:
    """Whether a file of unknown content is to revoke: its name may only say so for an EFI list."""
    named = efi_variables.strongest(origin.name, origin.around)
    return origin.revoking or (named is not None and named.purpose.keyring == REVOKED)


def _is_meant(name: str) -> bool:
    """Whether the name is that of a file with keys: by its suffix, or as an EFI variable (db-d719...)."""
    suffix = os.path.splitext(name)[1].lower()
    return suffix in KEY_SUFFIXES or efi_variables.purpose(name, exact=True) is not None


def _is_prose(data: bytes) -> bool:
    kind = kind_of(data)
    return kind is not None and kind.code in WITHOUT_KEYS and not _MATERIAL.search(plain_text(data))


def _is_alone(data: bytes) -> bool:
    """Whether a file with a private key holds nothing else: a directory is expected to have such files."""
    labels = [each.decode() for each in _LABEL.findall(plain_text(data))]
    if labels:
        return all(each.endswith((" PARAMETERS", "PRIVATE KEY")) for each in labels)
    kind = kind_of(data)
    try:
        whole = der.read(data, 0, len(data)).next == len(data)
    except ParseError:
        return False
    return whole and kind is not None and kind.family is Family.PRIVATE_KEY and kind.code != "pkcs12"
