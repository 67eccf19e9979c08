"""Modules signed in every format with one throw-away RSA key, and the ring that vouches for it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import corpus
from elfsig import registry
from elfsig.envelopes.openpgp.make import make_ring
from elfsig.model import Existing, Keyring, SignOptions
from elfsig.signers import open_signer
from elfsig.trust import keyring
from elfsig.verbs.edit.sign import sign
from elfsig.verbs.verify.detached import from_argument
from elfsig.verbs.verify.examine import Outside, Question
from tests.support.opened import opened
from tests.support.openpgp import signer as throwaway

REGISTRY = registry.load(plugins=False)
KEY, CERT = corpus.KEYS / "signer.key.pem", corpus.KEYS / "signer.cert.pem"

WAYS = tuple(
    (format_.id, coverage)
    for format_ in REGISTRY.formats
    if "sign" in format_.capabilities
    for coverage in sorted({pair.coverage.id for pair in format_.pairs})
    if (format_.id, coverage) != ("gkh", "textdata-2003")  # read, never signed
)
"""(format, coverage) of everything that can be signed."""


class Made(NamedTuple):
    """A signed module; ``outside`` is the signature if it is not in the file."""

    content: bytes
    outside: Outside | None = None


@cache
def signer() -> Any:
    """The throw-away key with its certificate."""
    return open_signer(str(KEY), str(CERT))


@cache
def era_signer(format_id: str) -> Any:
    """The throw-away key; for the section eras, whose kernels read nothing else, a DSA key."""
    return throwaway("dsa1024") if format_id in ("gkh", "redhat", "note") else signer()


@cache
def question() -> Question:
    """Is it signed with the throw-away key?"""
    return Question(_ring())


def _ring() -> Keyring:
    with TemporaryDirectory() as folder:
        ring = Path(folder) / "ring.gpg"
        ring.write_bytes(make_ring(signer(), "throw-away"))
        return keyring.load([str(CERT), str(ring)])


def made(content: bytes, format_id: str, coverage: str, existing: Existing = Existing.REFUSE) -> Made:
    """``content`` signed in this way, whatever kernels of the format's time would say."""
    options = SignOptions(created=1, force=True, coverage=coverage)
    done = sign(opened(content), REGISTRY.get(format_id), signer(), options, existing=existing).content
    if REGISTRY.get(format_id).carrier.kind != "detached":
        return Made(done)
    return Made(content, from_argument(done.decode()))
