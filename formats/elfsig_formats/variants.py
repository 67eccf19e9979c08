"""Formats read differently from kernels, for forensic work: on request, never by default."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from elfsig.envelopes.encrypted_digest import EncryptedDigest
from elfsig.envelopes.openpgp.envelope import OpenPgp
from elfsig.envelopes.raw_rsa import RawRsa
from elfsig.model import Envelope, Format


def _exchange(format_: Format, kind: type[Envelope], new: Envelope) -> Format:
    pairs = (p._replace(envelope=new) if isinstance(p.envelope, kind) else p for p in format_.pairs)
    return replace(format_, pairs=tuple(pairs))


def lenient(format_: Format) -> Format:
    """OpenPGP packets as GnuPG reads them: armoured, or with a length that runs past the end."""
    return _exchange(format_, OpenPgp, OpenPgp(lenient=True))


def searching(format_: Format) -> Format:
    """Raw RSA blocks in every plausible byte order and padding."""
    return _exchange(format_, RawRsa, RawRsa(search=True))


def opening(decrypt: Callable[[bytes], bytes]) -> Callable[[Format], Format]:
    """Encrypted digests opened: ``decrypt`` gives an OpenPGP message's plaintext, or raises SigningError."""
    return lambda format_: _exchange(format_, EncryptedDigest, EncryptedDigest(decrypt))
