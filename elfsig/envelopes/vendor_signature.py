"""Section ``.signature``: two vendor kernels' own schemes, recognised and shown, not checked.

Both derive from the kernel code of 2003; the vendors are not known. (a) an OpenPGP v4 packet, RSA-2048 and
SHA-1, over names, headers and contents of all other sections. (b) ``Sign``, version 1 and an RSA block.
"""

from __future__ import annotations

from collections.abc import Sequence

from elfsig.envelopes.openpgp.envelope import OpenPgp
from elfsig.errors import ParseError, SigningError
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
    Verdict,
)

MAGIC = b"Sign"
WHY = "which bytes this vendor's kernel signed is known only from its source, and has never been tested"


@dataclass(frozen=True, slots=True)
class VendorSignature:
    """Identifies either scheme; every verdict is unsupported."""

    id: str = "vendor-signature"

    def parse(self, blob: bytes, params: Params) -> Sequence[Signature]:
        """The signature packets, or the one RSA block. Raises ParseError for neither."""
        if blob[:4] == MAGIC:
            return [self._block(blob)]
        try:
            return [each._replace(envelope=self.id) for each in OpenPgp().parse(blob, params)]
        except ParseError as fault:
            raise ParseError(
                f"neither 'Sign' nor an OpenPGP signature: {fault.text}", offset=fault.offset
            ) from None

    def _block(self, blob: bytes) -> Signature:
        """Magic, four bytes of version, the RSA block."""
        if len(blob) < 8:
            raise ParseError("version expected after 'Sign', the section ends", offset=4)
        if blob[4:8] not in (b"\0\0\0\1", b"\1\0\0\0"):
            raise ParseError(f"'Sign' of version {blob[4:8].hex()}: version 1 expected", offset=4)
        return Signature(self.id, "rsa", None, blob[8:], facts={"magic": "Sign", "version": 1})

    def verify(self, signature: Signature, message: Message, keys: Keyring) -> Outcome:
        """Always unsupported."""
        return Outcome(Verdict.UNSUPPORTED, WHY)

    def create(
        self, message: Message, signer: Signer | PacketSigner, options: SignOptions
    ) -> tuple[bytes, Params]:
        """Refused."""
        raise SigningError(f"vendor-signature cannot be made: {WHY}", code="unsupported")
