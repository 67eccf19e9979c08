"""Signed modules by recipe: a corpus module with a CMS of any shape, and certificates as files."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

import corpus
from tests.support import cms as craft
from tests.support.cms import Identity, signer_info

MARKER = b"~Module signature appended~\n"
MODULE = "amd64-6.1.ko"


@cache
def plain() -> bytes:
    """An unsigned module."""
    return corpus.content(MODULE)


def with_trailer(content: bytes, blob: bytes) -> bytes:
    """``content`` with a PKCS#7 trailer as scripts/sign-file appends it."""
    return content + blob + bytes((0, 0, 2, 0, 0, 0, 0, 0)) + len(blob).to_bytes(4, "big") + MARKER


def signed(who: Identity, content: bytes | None = None, *, certificates: Sequence[bytes] = ()) -> bytes:
    """A module signed by ``who`` with SHA-256, as scripts/sign-file does it."""
    data = plain() if content is None else content
    return with_trailer(data, craft.cms(signer_info(who, data), certificates=certificates))


def certificate_file(folder: Path, who: Identity, name: str = "cert.pem") -> Path:
    """The certificate of ``who`` as PEM in ``folder``."""
    path = folder / name
    path.write_bytes(x509.load_der_x509_certificate(who.certificate).public_bytes(serialization.Encoding.PEM))
    return path
