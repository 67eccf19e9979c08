"""The words that the parts of elfsig speak to each other: plain, frozen data, and the contracts.

A signature scheme answers three independent questions. *Where* do the signature's bytes lie: a
:class:`Carrier`. *Which bytes* does it sign: a :class:`Coverage`. *How* is it encoded: an
:class:`Envelope`. A :class:`Format` is one named combination of the three, and the kernels that used it.

Offsets and sizes are bytes; ranges are half open; every offset is in the decompressed content unless it
says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, NoReturn, Protocol, runtime_checkable

if TYPE_CHECKING:
    from elfsig.elf.image import Image

PlaceKind = Literal["section", "note", "trailer", "detached"]


class Verdict(StrEnum):
    """One word per signature or file; it never says more than was established. It has no truth value."""

    VALID = "valid"
    """Matches a key that the user vouches for."""
    UNTRUSTED = "untrusted"
    """Matches a key that was merely to be tried; who holds it is not established."""
    UNKNOWN_KEY = "unknown-key"
    """Well-formed; none of the keys given is the one."""
    INVALID = "invalid"
    """A given key has this key id, or opens the padding, and yet it does not match."""
    UNSUPPORTED = "unsupported"
    """An algorithm or form that cannot be checked."""
    NOT_A_SIGNATURE = "not-a-signature"
    """Proves nothing even when intact (the encrypted digest of 2004)."""
    MALFORMED = "malformed"
    """Remains of a signature that cannot be parsed or are displaced; a damaged ELF."""
    UNSIGNED = "unsigned"
    """No trace of a signature."""
    UNCHECKED = "unchecked"
    """No key source was given."""

    def __bool__(self) -> NoReturn:
        raise TypeError("a verdict has no truth value: compare it, for example with Verdict.VALID")


class Remark(NamedTuple):
    """One observation: ``code`` for machines, ``text`` for people, ``offset`` in the content or None."""

    code: str
    text: str
    offset: int | None = None


class ByteRange(NamedTuple):
    """Half-open range of bytes in the content."""

    start: int
    end: int

    @property
    def size(self) -> int:
        """Length of the range in bytes."""
        return self.end - self.start


# --------------------------------------------------------------------------- carriers


class TrailerInfo(NamedTuple):
    """The 12-byte ``struct module_signature`` in front of the marker (include/linux/module_signature.h).

    ``sig_len`` is big-endian in the file; the other fields are one byte each, ``pad`` three bytes.
    When a signature is made, the carrier fills in ``sig_len``.
    """

    algo: int = 0
    hash: int = 0
    id_type: int = 0
    signer_len: int = 0
    key_id_len: int = 0
    pad: bytes = b"\0\0\0"
    sig_len: int = 0


class SectionInfo(NamedTuple):
    """How a signature's section is declared: ELF ``sh_type``, ``sh_flags``, ``sh_addralign``.

    ``owner`` and ``note_type`` are those of the ELF note inside it, where the section holds one.
    """

    name: str
    type: int
    flags: int
    align: int
    owner: bytes | None = None
    note_type: int | None = None


class MagicInfo(NamedTuple):
    """The length field in front of the 30-byte magic text of 2012: its raw bytes and its style."""

    style: Literal["ascii", "u16"]
    length_field: bytes = b""


Params = TrailerInfo | SectionInfo | MagicInfo | None


@dataclass(frozen=True, slots=True)
class Place:
    """Where one signature lies.

    ``carrier`` is the id of the carrier that found it. ``start:end`` is everything that the carrier added
    to the file, wrapper included; ``blob_start`` is where the envelope's bytes ``blob`` begin. A place
    whose wrapper is damaged or displaced has a ``fault`` and is reported ``malformed``; its ``blob`` is
    what could still be made out, often nothing. ``where`` is "file" for bytes behind a compressed stream.
    ``treated_as_unsigned``: the kernels of this carrier see no signature at all here.
    """

    kind: PlaceKind
    carrier: str
    start: int
    end: int
    blob_start: int
    blob: bytes
    params: Params
    section: str | None = None
    index: int | None = None
    fault: Remark | None = None
    remarks: tuple[Remark, ...] = ()
    where: Literal["content", "file"] = "content"
    treated_as_unsigned: bool = False


class Carrier(Protocol):
    """Where a signature's bytes lie. Implementations are immutable and do no I/O."""

    @property
    def id(self) -> str:
        """Unique name, for example ``trailer:modsig`` or ``section:module_sig``."""
        ...

    @property
    def kind(self) -> PlaceKind:
        """What sort of place it is: it decides where in a stack a signature lies."""
        ...

    @property
    def short_name(self) -> str:
        """What ``list`` prints in the Name column: the section's name, or the trailer's marker in short."""
        ...

    def find(self, image: Image) -> Sequence[Place]:
        """The places of this carrier in ``image``, the one that kernels look at first.

        Never raises: what is damaged becomes a place with a ``fault``.
        """
        ...

    def attach(self, image: Image, blob: bytes, params: Params, *, engine: str = "exact") -> bytes:
        """The content up to ``image.end`` with ``blob`` attached. Raises EditRefused, ParseError.

        ``engine`` ("exact" or "lief") edits the ELF structure; carriers that leave it alone ignore it.
        """
        ...

    def detach(self, image: Image, place: Place, *, engine: str = "exact") -> bytes:
        """The content up to ``image.end`` without ``place``. Raises EditRefused, ParseError."""
        ...


# --------------------------------------------------------------------------- coverages


class FileRange(NamedTuple):
    """A piece of a message that is a range of the content, hashed as it stands."""

    start: int
    end: int
    section: int | None = None


class Derived(NamedTuple):
    """A piece of a message that was computed; ``depends`` are the file bytes that decide what it is.

    They may be a sequence that is worked out when it is first looked at: digests never need it.
    """

    data: bytes
    depends: Sequence[ByteRange] = ()
    section: int | None = None
    label: str = ""


Piece = FileRange | Derived


class Hasher(Protocol):
    """Anything that bytes can be fed to, such as a hashlib object."""

    def update(self, data: Any, /) -> object:
        """Take in the next bytes-like object."""
        ...


class Message(NamedTuple):
    """The exact byte stream that a coverage signs: an ordered list of pieces over one content.

    It is fed, never pre-hashed, since envelopes hash more behind it (OpenPGP's trailer, digsig's header).
    ``steering`` are bytes that are not in the stream but decide what is (offsets, names, flags).
    """

    coverage: str
    data: bytes
    pieces: tuple[Piece, ...]
    remarks: tuple[Remark, ...] = ()
    steering: Sequence[ByteRange] = ()

    @property
    def size(self) -> int:
        """Length of the stream in bytes."""
        return sum(len(p.data) if isinstance(p, Derived) else p.end - p.start for p in self.pieces)

    def chunks(self) -> Iterable[bytes | memoryview]:
        """The stream in order, without copies of the file's bytes."""
        view = memoryview(self.data)
        for piece in self.pieces:
            yield piece.data if isinstance(piece, Derived) else view[piece.start : piece.end]

    def feed(self, hasher: Hasher) -> None:
        """Feed the whole stream to ``hasher.update``."""
        for chunk in self.chunks():
            hasher.update(chunk)

    def to_bytes(self) -> bytes:
        """The stream as one bytes object (ML-DSA and Ed25519 sign the message itself)."""
        return b"".join(self.chunks())


class Coverage(Protocol):
    """Which bytes a signature signs. Implementations are immutable and do no I/O."""

    @property
    def id(self) -> str:
        """Unique name, for example ``fileorder``: part of the interface."""
        ...

    def message(self, image: Image, place: Place | None) -> Message:
        """The stream over ``image``, leaving out ``place`` (None: nothing is attached yet).

        ``image`` ends where the trailers outside of ``place`` begin. Raises ParseError.
        """
        ...


# --------------------------------------------------------------------------- keys


class Certificate(NamedTuple):
    """What elfsig needs of an X.509 certificate. Names are DER; times are seconds since 1970."""

    der: bytes
    issuer: bytes
    subject: bytes
    serial: int
    skid: bytes | None
    subject_text: str
    issuer_text: str
    not_before: int
    not_after: int


KeyId = tuple[str, bytes]
"""A way to name a key: ("issuer-serial", DER issuer + b"|" + serial), ("skid", ...), ("x509-name", ...),
("openpgp", 8 bytes), ("digsig1", 8 bytes), ("digsig2", 4 bytes)."""


@dataclass(frozen=True, slots=True, eq=False)
class Key:
    """One public key from a key source.

    ``public`` is the cryptography library's object. ``ids`` are all the names it can be looked up by.
    ``trusted`` is True for ``--trust`` sources, False for keys that are merely tried. ``role`` is the
    keyring it comes from: user, builtin, embedded, secondary, machine, platform, revoked, recovered.
    ``fingerprint`` is the SHA-256 over the DER subjectPublicKeyInfo, in hex.
    """

    public: Any
    algorithm: str
    bits: int
    curve: str | None
    ids: frozenset[KeyId]
    source: str
    role: str
    trusted: bool
    fingerprint: str
    label: str
    certificate: Certificate | None = None
    openpgp_fingerprint: bytes | None = None
    created: int | None = None
    remarks: tuple[Remark, ...] = ()


class Keyring(Protocol):
    """Keys to check against. ``elfsig.trust.keyring`` makes them from sources."""

    @property
    def keys(self) -> Sequence[Key]:
        """Every key, trusted ones first."""
        ...

    def find(self, key_id: KeyId) -> Sequence[Key]:
        """Keys that bear this id, trusted ones first."""
        ...

    def nameless(self, kind: str) -> Sequence[Key]:
        """Keys that have no id of this kind at all, which can therefore only be tried."""
        ...


# --------------------------------------------------------------------------- signers


@runtime_checkable
class Signer(Protocol):
    """A private key, wherever it lives, with the certificate that belongs to it."""

    @property
    def algorithm(self) -> str:
        """rsa, dsa, ecdsa, ed25519, ed448, mldsa44, mldsa65 or mldsa87."""
        ...

    @property
    def key_bits(self) -> int:
        """Size of the key: of the modulus, of the curve's field."""
        ...

    @property
    def public(self) -> Any:
        """The public half, as the cryptography library has it."""
        ...

    @property
    def certificate(self) -> Certificate | None:
        """The certificate that belongs to the key; None where the key came without."""
        ...

    def sign_digest(self, digest: bytes, hash_name: str) -> bytes:
        """RSA: PKCS#1 v1.5 with DigestInfo, modulus-sized. DSA, ECDSA: DER SEQUENCE of r and s."""
        ...

    def sign_message(self, message: bytes) -> bytes:
        """ML-DSA and EdDSA: the signature over the message itself."""
        ...

    def sign_block(self, block: bytes) -> bytes:
        """RSA: ``block`` (modulus-sized, big-endian, padding included) to the private exponent."""
        ...


class PacketSigner(Protocol):
    """A signer that hands out whole OpenPGP packets and no raw values: GnuPG."""

    @property
    def algorithm(self) -> str:
        """rsa or dsa: what kernels read in OpenPGP signatures."""
        ...

    @property
    def key_bits(self) -> int:
        """Size of the key, as GnuPG gives it."""
        ...

    def sign_packet(self, stream: bytes, hash_name: str, options: SignOptions) -> bytes:
        """A binary detached OpenPGP signature over ``stream``."""
        ...

    def encrypt_packet(self, stream: bytes) -> bytes:
        """A binary OpenPGP message holding ``stream``, encrypted to this key."""
        ...


class SignOptions(NamedTuple):
    """What the caller chose for a signature that is being made; None leaves it to the format.

    ``hash`` is elfsig's hash name (sha256, sha3-384...). ``keyid``: name the signer by subject key id
    (``sign-file -k``). ``payload``: gkh's openpgp, raw-rsa, encrypted-digest; digsig's v1, v2.
    ``kernel``: the elfsig.kernels.profile.Profile it is for; what that does not read is remarked.
    ``created``: signing time in seconds since 1970. ``key_created``: creation time that gives a PEM key
    its OpenPGP key id. ``force``: go on where the format would refuse for the user's good.
    """

    hash: str | None = None
    coverage: str | None = None
    payload: str | None = None
    keyid: bool = False
    packet_version: int = 4
    section_name: str | None = None
    created: int | None = None
    key_created: int = 0
    force: bool = False
    digest_null: bool = False
    engine: str = "exact"
    kernel: Any = None


# --------------------------------------------------------------------------- envelopes


NO_FACTS: Mapping[str, Any] = {}


class Signature(NamedTuple):
    """One signature as its envelope parsed it: claims, not yet facts.

    ``key_ids`` are looked up in the keyring in order. ``facts`` are what kernels care about (versions,
    attributes, embedded content or certificates, how an algorithm is written). ``fault`` marks a part
    that parses far enough to be shown but that kernels refuse. ``detail`` is the envelope's own parsed
    structure, handed back to its ``verify``. ``algorithm`` is None when the identifier is unknown;
    then ``algorithm_text`` names it as well as can be (an OID, say).
    """

    envelope: str
    algorithm: str | None
    hash: str | None
    value: bytes
    key_ids: tuple[KeyId, ...] = ()
    algorithm_text: str | None = None
    hash_text: str | None = None
    key_bits: int | None = None
    curve: str | None = None
    signer: str | None = None
    key_id: bytes | None = None
    serial: bytes | None = None
    created: int | None = None
    fault: Remark | None = None
    remarks: tuple[Remark, ...] = ()
    facts: Mapping[str, Any] = NO_FACTS
    detail: Any = None


class Outcome(NamedTuple):
    """What checking one signature gave."""

    verdict: Verdict
    reason: str | None = None
    key: Key | None = None
    remarks: tuple[Remark, ...] = ()


class Envelope(Protocol):
    """How a signature is encoded. Implementations are immutable and do no I/O (GnuPG signers do)."""

    @property
    def id(self) -> str:
        """Unique name, for example ``cms``: part of the interface."""
        ...

    def parse(self, blob: bytes, params: Params) -> Sequence[Signature]:
        """At least one signature, or ParseError with the offset inside ``blob``."""
        ...

    def verify(self, signature: Signature, message: Message, keys: Keyring) -> Outcome:
        """Check one signature that ``parse`` gave over ``message``. Never raises for bad signatures."""
        ...

    def create(
        self, message: Message, signer: Signer | PacketSigner, options: SignOptions
    ) -> tuple[bytes, Params]:
        """A new blob, and what the wrapper has to say beside it. Raises SigningError."""
        ...


# --------------------------------------------------------------------------- formats


class Basis(StrEnum):
    """Where the knowledge of a format comes from."""

    BOOTED = "booted"
    ORIGINAL_CODE = "original-code"
    SOURCE = "source"
    TOOL_HALF = "tool-half"
    RECALLED = "recalled"


class Pair(NamedTuple):
    """One way to read a format: what is signed, and how that is encoded."""

    coverage: Coverage
    envelope: Envelope
    payload: str | None = None


def _any_params(params: Params) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Format:
    """A signature format as a declaration.

    ``selects`` looks at a place's params and says whether the place is this format's. ``pairs`` are tried
    in order, the first one is the default for signing. ``wrap`` gives the params for ``carrier.attach``
    from those the envelope made, the signer's algorithm and the options. ``capabilities`` are the verbs
    that work: show, verify, sign, strip. ``advise`` gives remarks on, or raises SigningError for, a wish
    to sign: (signer algorithm, options, vermagic or None). ``choose`` picks the pair for signing.
    ``also`` are further carriers at whose places this format's signatures are looked for: one scheme went
    by two section names. ``carrier`` alone is used for signing.
    """

    id: str
    title: str
    carrier: Carrier
    pairs: tuple[Pair, ...]
    kernels: str
    basis: Basis
    basis_text: str
    aliases: tuple[str, ...] = ()
    selects: Callable[[Params], bool] = _any_params
    capabilities: frozenset[str] = frozenset({"show", "verify", "sign", "strip"})
    default_hash: str = "sha256"
    wrap: Callable[[Params, str, SignOptions], Params] | None = None
    advise: Callable[[str, SignOptions, str | None], Sequence[Remark]] | None = None
    choose: Callable[[Sequence[Pair], SignOptions, str | None], Pair] | None = None
    why_unsupported: str | None = None
    also: tuple[Carrier, ...] = ()


# --------------------------------------------------------------------------- reports


class Finding(NamedTuple):
    """One signature of one file, with its verdict: an entry of ``signatures`` in the JSON."""

    format: str | None
    layer: int
    blob: int
    effective: bool
    place: Place
    signature: Signature | None
    coverage: str | None
    verdict: Verdict
    reason: str | None = None
    key: Key | None = None
    warnings: tuple[Remark, ...] = ()


class ElfSummary(NamedTuple):
    """The ELF header in words: class 32 or 64, data little or big, machine and type by name."""

    bits: int
    data: Literal["little", "big"]
    machine: str
    type: str


class FileReport(NamedTuple):
    """Everything that was found out about one file: one object of the JSON's ``files``."""

    path: str
    size: int | None
    sha256: str | None
    compression: str | None
    content_sha256: str | None
    elf: ElfSummary | None
    findings: tuple[Finding, ...]
    verdict: Verdict | None
    warnings: tuple[Remark, ...] = ()
    error: Remark | None = None
    kernel: Mapping[str, Any] | None = None
