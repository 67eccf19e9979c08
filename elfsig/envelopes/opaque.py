"""Envelope for what is recognised and cannot be read: bytes that no specification explains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from elfsig.errors import SigningError
from elfsig.model import (
    Keyring,
    Message,
    Outcome,
    PacketSigner,
    Params,
    Signature,
    Signer,
    SignOptions,
    Verdict,
)


@dataclass(frozen=True, slots=True)
class Opaque:
    """A blob that is only named."""

    id: str

    def parse(self, blob: bytes, params: Params) -> Sequence[Signature]:
        """One signature without any field. Never raises."""
        return (Signature(self.id, None, None, blob, algorithm_text="unknown"),)

    def verify(self, signature: Signature, message: Message, keys: Keyring) -> Outcome:
        """Always UNSUPPORTED."""
        return Outcome(Verdict.UNSUPPORTED, "no specification of this form is known")

    def create(
        self, message: Message, signer: Signer | PacketSigner, options: SignOptions
    ) -> tuple[bytes, Params]:
        """Always SigningError."""
        raise SigningError("no specification of this form is known, so none can be made")
