"""Envelope ``openpgp``: detached OpenPGP signatures (RFC 4880), RSA and DSA, of versions 2 to 4.

The reading and making parts are imported when they are used: most modules hold no such signature.
"""

from __future__ import annotations

from collections.abc import Sequence

from elfsig.lazy_dataclass import dataclass
from elfsig.model import (
    Keyring,
    Message,
    Outcome,
    PacketSigner,
    Params,
    Signature,
    Signer,
    SignOptions,
)


@dataclass(frozen=True, slots=True)
class OpenPgp:
    """``lenient``: armour, and a packet length past the end of the blob, are accepted, as GnuPG does;
    kernels answer EBADMSG to both."""

    lenient: bool = False
    id: str = "openpgp"

    def parse(self, blob: bytes, params: Params) -> Sequence[Signature]:
        """One signature per signature packet. Raises ParseError where there is none."""
        from elfsig.envelopes.openpgp import read as openpgp_read

        return openpgp_read.parse(blob, self.lenient)

    def verify(self, signature: Signature, message: Message, keys: Keyring) -> Outcome:
        """Check over ``message`` and the packet's own completion. See model.Envelope."""
        from elfsig.envelopes.openpgp import read as openpgp_read

        return openpgp_read.verify(signature, message, keys)

    def create(
        self, message: Message, signer: Signer | PacketSigner, options: SignOptions
    ) -> tuple[bytes, Params]:
        """One signature packet of class 0x00; the hash defaults to SHA-1. Raises SigningError."""
        from elfsig.envelopes.openpgp.make import make_signature

        return make_signature(message, signer, options), None
