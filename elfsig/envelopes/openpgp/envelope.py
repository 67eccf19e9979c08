"""Envelope ``openpgp``: detached OpenPGP signatures (RFC 4880), RSA and DSA, of versions 2 to 4.

The reading and making parts are imported on demand: most modules have no such signature.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from elfsig.lazy_dataclass import dataclass
from elfsig.model import (
    Key,
    Keyring,
    Message,
    Outcome,
    PacketSigner,
    Params,
    PublicForm,
    RecordedDigest,
    RsaBody,
    Signature,
    SignedValue,
    Signer,
    SignOptions,
    Tool,
)


@dataclass(frozen=True, slots=True)
class OpenPgp:
    """``lenient``: armour, and a packet length past the end of the blob, are accepted, as in GnuPG;
    kernels return EBADMSG for both."""

    suffix: ClassVar[str] = ".pgp"
    also_suffixes: ClassVar[tuple[str, ...]] = (".asc",)
    modinfo_name: ClassVar[str] = "PGP"
    tool: ClassVar[Tool] = "gpgv"
    lenient: bool = False
    id: str = "openpgp"

    def parse(self, blob: bytes, params: Params) -> Sequence[Signature]:
        """One signature per signature packet. Raises ParseError if there is none."""
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

    def from_file(self, data: bytes) -> bytes:
        """The packets out of ASCII armour. Raises ParseError."""
        from elfsig.envelopes.openpgp.keys import dearmour, is_armoured

        return dearmour(data)[0][1] if is_armoured(data[:4096]) else data

    def public_form(self, payload: str | None) -> PublicForm:
        """The signer is named by a key id that depends on the key's creation time: verifiers need a ring."""
        return "openpgp"

    def rsa_bodies(self, signature: Signature, message: Message) -> Iterator[RsaBody]:
        """A DigestInfo of the message and the packet's own end (RFC 4880, 5.2.4); none if the packet's 16
        bits of the digest differ, so that it is not over this message."""
        from elfsig.envelopes.openpgp import read as openpgp_read

        return openpgp_read.rsa_bodies(signature, message)

    def signed_values(self, signature: Signature, message: Message, key: Key | None) -> Iterator[SignedValue]:
        """The message and the packet's own end (RFC 4880, 5.2.4); none for packets that are not over a
        file."""
        from elfsig.envelopes.openpgp import read as openpgp_read

        return openpgp_read.signed_values(signature, key)

    def recorded_digest(self, signature: Signature, message: Message) -> RecordedDigest | None:
        """The first 16 bits of the digest, which kernels ignore and GnuPG compares for version 3."""
        from elfsig.envelopes.openpgp import read as openpgp_read

        return openpgp_read.recorded_digest(signature, message)

    def dump(self, blob: bytes) -> Iterator[str]:
        """The packets, as ``gpg --list-packets`` lists them."""
        from elfsig.envelopes.openpgp.dump import lines

        return lines(blob)
