"""Envelope for signatures that are recognised but cannot be checked: no specification is known.

What the info block says about them is shown: where the signer's name and the key id end, and the numbers of
the algorithms, as modinfo (libkmod-signature.c) reads them.
"""

from __future__ import annotations

from collections.abc import Sequence

from elfsig.crypto.hashes import HASH_BY_KERNEL
from elfsig.crypto.remarks import odd_name
from elfsig.envelopes.x509_block import ALGORITHMS
from elfsig.errors import SigningError
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
    TrailerInfo,
    Verdict,
)


@dataclass(frozen=True, slots=True)
class Opaque:
    """A blob that is identified only."""

    id: str

    def parse(self, blob: bytes, params: Params) -> Sequence[Signature]:
        """One signature: signer, key id and value as divided by the info block. Never raises."""
        info = params if isinstance(params, TrailerInfo) else TrailerInfo()
        name, rest = blob[: info.signer_len], blob[info.signer_len :]
        key_id, value = rest[: info.key_id_len], rest[info.key_id_len :]
        odd = odd_name(name)
        row = HASH_BY_KERNEL.get(info.hash)
        signature = Signature(
            self.id,
            None,
            None,
            value,
            algorithm_text=ALGORITHMS.get(info.algo, f"number {info.algo}"),
            hash_text=row.name if row else f"number {info.hash}",
            signer=name.decode("utf-8", "backslashreplace") or None,
            key_id=key_id or None,
            remarks=(odd,) if odd else (),
        )
        return (signature,)

    def verify(self, signature: Signature, message: Message, keys: Keyring) -> Outcome:
        """Always UNSUPPORTED."""
        return Outcome(Verdict.UNSUPPORTED, "no specification of this form is known")

    def create(
        self, message: Message, signer: Signer | PacketSigner, options: SignOptions
    ) -> tuple[bytes, Params]:
        """Always SigningError."""
        raise SigningError("no specification of this form is known, so none can be made")
