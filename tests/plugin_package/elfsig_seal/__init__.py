"""An example format of a third party: a *seal* behind the module, which no kernel reads.

Layout behind the content: 32 bytes SHA-256 of the signer's public key (DER subjectPublicKeyInfo), the
signature over the SHA-256 of the content (RSA PKCS#1 v1.5 or ECDSA in DER), its length as a big-endian
u16, and the seven bytes ``SEALED\\n``. Carrier and envelope are new, the coverage is elfsig's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from elfsig.coverages.whole_file import WholeFile
from elfsig.crypto.checks import Match, digest_of, try_digest
from elfsig.crypto.judge import judge
from elfsig.elf.image import Image
from elfsig.envelopes.digsig import raw_signer
from elfsig.errors import ParseError
from elfsig.model import (
    Basis,
    Format,
    Key,
    Keyring,
    Message,
    Outcome,
    PacketSigner,
    Pair,
    Params,
    Place,
    PlaceKind,
    Remark,
    Signature,
    Signer,
    SignOptions,
)

MAGIC: Final = b"SEALED\n"
HASH: Final = "sha256"


@dataclass(frozen=True, slots=True)
class SealTrailer:
    """Blob, u16 length, magic, at the very end."""

    id: str = "trailer:seal"
    kind: PlaceKind = "trailer"
    short_name: str = "SEALED"

    def find(self, image: Image) -> Sequence[Place]:
        """At most one place; a length that does not fit is a fault."""
        stop = image.end - len(MAGIC) - 2
        if stop < 0 or image.data[stop + 2 : image.end] != MAGIC:
            return ()
        size = int.from_bytes(image.data[stop : stop + 2], "big")
        start = stop - size
        if start < 0:
            fault = Remark("seal-length", f"a seal of {size} bytes does not fit", stop)
            return (Place("trailer", self.id, stop, image.end, stop, b"", None, fault=fault),)
        return (Place("trailer", self.id, start, image.end, start, image.data[start:stop], None),)

    def attach(self, image: Image, blob: bytes, params: Params, *, engine: str = "exact") -> bytes:
        """The content with the seal behind it."""
        return image.bytes() + blob + len(blob).to_bytes(2, "big") + MAGIC

    def detach(self, image: Image, place: Place, *, engine: str = "exact") -> bytes:
        """The content without the seal."""
        return image.data[: place.start] + image.data[place.end : image.end]


@dataclass(frozen=True, slots=True)
class SealEnvelope:
    """Key fingerprint and value."""

    id: str = "seal"

    def parse(self, blob: bytes, params: Params) -> Sequence[Signature]:
        """One signature. Raises ParseError for a blob without a value."""
        if len(blob) <= 32:
            raise ParseError(f"a seal of {len(blob)} bytes, more than 32 expected", offset=len(blob))
        algorithm = "ecdsa" if blob[32] == 0x30 and len(blob) < 200 else "rsa"
        return (Signature(self.id, algorithm, HASH, blob[32:], key_id=blob[:32]),)

    def verify(self, signature: Signature, message: Message, keys: Keyring) -> Outcome:
        """Against the key with this fingerprint."""
        digest = digest_of(message, HASH)

        def attempt(key: Key) -> Match:
            if key.fingerprint != (signature.key_id or b"").hex():
                return Match.FOREIGN
            return try_digest(key, key.algorithm, HASH, digest, signature.value)

        return judge(signature, keys, attempt)

    def create(
        self, message: Message, signer: Signer | PacketSigner, options: SignOptions
    ) -> tuple[bytes, Params]:
        """A blob by an RSA or EC key."""
        from hashlib import sha256

        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        values = raw_signer(signer, "a seal")
        public = values.public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return sha256(public).digest() + values.sign_digest(digest_of(message, HASH), HASH), None


SEAL: Final = Format(
    id="seal",
    title="Example seal",
    carrier=SealTrailer(),
    pairs=(Pair(WholeFile(), SealEnvelope()),),
    kernels="none",
    basis=Basis.SOURCE,
    basis_text="an example of a third-party format",
)
