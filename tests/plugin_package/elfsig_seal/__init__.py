"""An example of a third party's formats: a *seal* after the module, or in a section, which no kernel reads.

Seal: 32 bytes SHA-256 of the signer's public key (DER subjectPublicKeyInfo), then the signature over the
SHA-256 of what the format covers (RSA PKCS#1 v1.5, or ECDSA in DER). ``seal`` appends it to the content,
followed by a version byte, its length as a big-endian u16, and the seven bytes ``SEALED\\n``.
``seal-section`` has it in a section ``.seal``. In a file of its own it is hexadecimal text after ``seal:``.
Carriers, envelope and wrapper are new, the coverages are elfsig's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import ClassVar, Final, NamedTuple

from elfsig.plugins import (
    FILEORDER,
    SHT_PROGBITS,
    Basis,
    EditRefused,
    Format,
    Image,
    Key,
    Keyring,
    Mark,
    Match,
    Message,
    NewSection,
    Outcome,
    PacketSigner,
    Pair,
    Params,
    ParseError,
    Part,
    Place,
    PlaceKind,
    Remark,
    RsaBody,
    Signature,
    Signer,
    SignOptions,
    WholeFile,
    cut_out,
    digest_of,
    insert_section,
    judge,
    plain_bodies,
    raw_signer,
    remove_section,
    signed_message,
    try_digest,
)

MAGIC: Final = b"SEALED\n"
HASH: Final = "sha256"
SECTION: Final = ".seal"
PREFIX: Final = b"seal:"


class SealInfo(NamedTuple):
    """What the trailer says beside the seal: a version byte, and the seal's length."""

    version: int = 1
    length: int = 0


@dataclass(frozen=True, slots=True)
class SealTrailer:
    """Seal, version byte, u16 length, magic, at the very end."""

    marks: ClassVar[tuple[Mark, ...]] = (Mark(MAGIC, "seal mark", 4),)
    id: str = "trailer:seal"
    kind: PlaceKind = "trailer"
    short_name: str = "SEALED"

    def find(self, image: Image) -> Sequence[Place]:
        """At most one place; a length that does not fit is a fault."""
        mark = image.end - len(MAGIC)
        if mark < 3 or image.data[mark : image.end] != MAGIC:
            return ()
        return (self.before(image, mark, image.end),)

    def before(self, image: Image, mark: int, end: int) -> Place:
        """The trailer whose magic starts at ``mark``, as a place that ends at ``end``."""
        room = max(0, mark - 3)
        info = SealInfo(image.data[room], int.from_bytes(image.data[room + 1 : mark]))
        start = room - info.length
        if start < 0 or mark < 3:
            fault = Remark("seal-length", f"a seal of {info.length} bytes does not fit", room)
            return Place("trailer", self.id, room, end, room, b"", info, fault=fault)
        return Place("trailer", self.id, start, end, start, image.data[start:room], info)

    def attach(self, image: Image, blob: bytes, params: Params, *, engine: str = "exact") -> bytes:
        """The content, then the seal."""
        if not isinstance(params, SealInfo):
            raise EditRefused("a seal needs its version")
        return image.bytes() + blob + bytes([params.version]) + len(blob).to_bytes(2) + MAGIC

    def detach(self, image: Image, place: Place, *, engine: str = "exact") -> bytes:
        """The content without the seal."""
        return cut_out(image, place)


@dataclass(frozen=True, slots=True)
class SealSection:
    """A section of its own, the first of its name. ``marks`` are section names in such carriers."""

    marks: ClassVar[tuple[Mark, ...]] = (Mark(SECTION.encode()),)
    in_elf: ClassVar[bool] = True
    id: str = "section:seal"
    kind: PlaceKind = "section"
    short_name: str = SECTION

    def find(self, image: Image) -> Sequence[Place]:
        """At most one place."""
        found = image.elf.named(SECTION.encode()) if image.elf else ()
        for section in found[:1]:
            start, end = section.row.offset, section.row.end
            if section.row.type != SHT_PROGBITS or end > image.end:
                fault = Remark("seal-section", f"section [{section.nr}] holds no bytes of the file", None)
                return (Place("section", self.id, 0, 0, 0, b"", None, SECTION, section.nr, fault),)
            blob = image.data[start:end]
            return (Place("section", self.id, start, end, start, blob, None, SECTION, section.nr),)
        return ()

    def attach(self, image: Image, blob: bytes, params: Params, *, engine: str = "exact") -> bytes:
        """With one more section, proven to differ in nothing else."""
        return insert_section(image.bytes(), NewSection(SECTION.encode(), blob, SHT_PROGBITS, 0, 1), engine)

    def detach(self, image: Image, place: Place, *, engine: str = "exact") -> bytes:
        """Without the section, proven to differ in nothing else."""
        if place.index is None:
            raise EditRefused("not a section")
        return remove_section(image.bytes(), place.index, engine)


@dataclass(frozen=True, slots=True)
class SealEnvelope:
    """Key fingerprint and value."""

    suffix: ClassVar[str] = ".seal"
    modinfo_name: ClassVar[str] = "SEAL"
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

        return judge(signature, keys, attempt, signed_message(message))

    def create(
        self, message: Message, signer: Signer | PacketSigner, options: SignOptions
    ) -> tuple[bytes, Params]:
        """A seal by an RSA or EC key. Raises SigningError."""
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        values = raw_signer(signer, "a seal")
        public = values.public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return sha256(public).digest() + values.sign_digest(digest_of(message, HASH), HASH), SealInfo()

    def from_file(self, data: bytes) -> bytes:
        """The seal out of ``seal:`` and hexadecimal digits. Raises ParseError."""
        if not data.startswith(PREFIX):
            return data
        try:
            return bytes.fromhex(data.removeprefix(PREFIX).decode("ascii"))
        except ValueError:
            raise ParseError("a seal in a file of its own is hexadecimal", offset=len(PREFIX)) from None

    def parts(self, blob: bytes, signatures: Sequence[Signature]) -> Iterator[Part]:
        """The seal as it goes into a file of its own, and the key's fingerprint."""
        yield Part(".seal.txt", PREFIX + blob.hex().encode(), "the seal as text")
        for signature in signatures:
            yield Part(".fingerprint", signature.key_id or b"", "the key's fingerprint")

    def rsa_bodies(self, signature: Signature, message: Message) -> Iterator[RsaBody]:
        """An ordinary signature."""
        return plain_bodies(signature, message)

    def dump(self, blob: bytes) -> Iterator[str]:
        """Fingerprint and value."""
        yield f"fingerprint {blob[:32].hex()}"
        yield f"value {blob[32:].hex()}"


def _wrap(params: Params, algorithm: str, options: SignOptions) -> Params:
    """The wrapper's fields for a seal of any origin."""
    return SealInfo()


SEAL: Final = Format(
    id="seal",
    title="Example seal",
    carrier=SealTrailer(),
    pairs=(Pair(WholeFile(), SealEnvelope()),),
    kernels="none",
    basis=Basis.SOURCE,
    basis_text="an example of a third-party format",
    wrap=_wrap,
)

SEAL_SECTION: Final = Format(
    id="seal-section",
    title="Example seal in a section",
    carrier=SealSection(),
    pairs=(Pair(FILEORDER, SealEnvelope()),),
    kernels="none",
    basis=Basis.SOURCE,
    basis_text="an example of a third-party format",
)

FORMATS: Final = (SEAL, SEAL_SECTION)
"""What the entry point names."""
