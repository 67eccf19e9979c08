"""Optional members of carriers, coverages and envelopes, and their defaults.

A carrier, coverage or envelope of a third party works with the members of its contract alone. Code that
needs more goes through the functions here, each of which names the member and its default.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, Protocol

from elfsig.elf.image import Image
from elfsig.lazy_tuple import NamedTuple
from elfsig.model.key import Key
from elfsig.model.message import Coverage, Message
from elfsig.model.place import Carrier, Mark, Place
from elfsig.model.signature import Envelope, Signature
from elfsig.model.verdict import Remark

PublicForm = Literal["certificate", "openpgp", "key"]


class Part(NamedTuple):
    """A part of a signature that ``show --extract`` writes to a file of its own.

    ``suffix`` is appended to the module's name, ``what`` describes the part. ``signer`` is the number of
    the signature in its blob that the part belongs to, 0 for the first, or for all of them.
    """

    suffix: str
    data: bytes
    what: str
    signer: int = 0


class RsaBody(NamedTuple):
    """What the PKCS#1 v1.5 padding of a signature contains if it signs what ``how`` names."""

    how: str
    content: bytes


class RecordedDigest(NamedTuple):
    """A part of a digest that a signature records, and the same part of the digest of a message."""

    claimed: bytes
    computed: bytes


Scheme = Literal["rsa", "rsa-pss", "dsa", "ecdsa", "message"]
"""How a value is checked: RSA with PKCS#1 v1.5 padding or a variant of it, RSASSA-PSS, DSA and ECDSA with r
and s in DER, or an algorithm that signs the message itself (EdDSA, ML-DSA)."""

RsaForm = Literal["info", "bare", "hex", "hex-newline", "unpadded"]
"""What an RSA value holds: in type 1 padding a DigestInfo, the bare digest, or the digest in hex (followed by
a line feed); or the digest alone, with zeros in front."""


class SignedValue(NamedTuple):
    """A signature's value and the bytes that it is over, in terms that general tools understand.

    ``hash`` is elfsig's name, "" for schemes that sign the message itself. ``value`` is an RSA value as long
    as the modulus, r and s in DER, or the value as it is. What is hashed is the message and ``suffix``; or
    ``statement`` instead, which holds the digest of the message by ``digest_hash`` at ``digest_at``.
    ``form`` is for RSA; ``mask_hash`` and ``salt`` (bytes) are those of RSASSA-PSS.
    """

    scheme: Scheme
    hash: str
    value: bytes
    suffix: bytes = b""
    statement: bytes | None = None
    digest_hash: str | None = None
    digest_at: int = 0
    form: RsaForm = "info"
    mask_hash: str = ""
    salt: int = 0


class HashStep(NamedTuple):
    """One step of a chain of SHA-256: of ``before``, then the message (first step) or the result of the step
    before, then ``after``."""

    before: bytes
    after: bytes = b""


Tool = Literal["gpgv", "cms"]
"""A general tool that reads the signature as it is: gpgv, or openssl cms."""


class _SignedValues(Protocol):
    def __call__(
        self, signature: Signature, message: Message, key: Key | None, /
    ) -> Iterable[SignedValue]: ...


# --------------------------------------------------------------------------- envelopes


def suffix(envelope: Envelope) -> str:
    """``suffix``: the suffix of a file that holds only such a signature. Default: ``.signature``."""
    found: str = getattr(envelope, "suffix", ".signature")
    return found


def suffixes(envelope: Envelope) -> tuple[str, ...]:
    """``suffix``, then ``also_suffixes``: further suffixes of such files. Default: none."""
    more: tuple[str, ...] = getattr(envelope, "also_suffixes", ())
    return (suffix(envelope), *more)


def from_file(envelope: Envelope, data: bytes) -> bytes:
    """``from_file(data)``: the blob as modules carry it, out of a file that holds only the signature
    (armoured, as PEM, or with a type byte in front). May raise ParseError. Default: ``data`` as it is."""
    member = getattr(envelope, "from_file", None)
    return data if member is None else bytes(member(data))


def parts(envelope: Envelope, blob: bytes, signatures: Sequence[Signature]) -> Iterable[Part]:
    """``parts(blob, signatures)``: what can be extracted from a blob besides itself and the signatures'
    values. Default: nothing."""
    member = getattr(envelope, "parts", None)
    found: Iterable[Part] = () if member is None else member(blob, signatures)
    return found


def public_form(envelope: Envelope, payload: str | None) -> PublicForm:
    """``public_form(payload)``: how a signature of this payload names its signer, hence what verifiers
    need: a ``certificate``, an ``openpgp`` ring, or the public ``key`` alone. Default: ``key``."""
    member = getattr(envelope, "public_form", None)
    found: PublicForm = "key" if member is None else member(payload)
    return found


def rsa_bodies(envelope: Envelope, signature: Signature, message: Message) -> Iterable[RsaBody]:
    """``rsa_bodies(signature, message)``: what the padding of an RSA PKCS#1 v1.5 signature over ``message``
    contains, each possibility in turn. May raise crypto.checks.Unsupported for a hash that this machine
    lacks. Default: nothing, so that keys are not recovered from such signatures."""
    member = getattr(envelope, "rsa_bodies", None)
    found: Iterable[RsaBody] = () if member is None else member(signature, message)
    return found


def recorded_digest(envelope: Envelope, signature: Signature, message: Message) -> RecordedDigest | None:
    """``recorded_digest(signature, message)``: what a signature records of its digest beside the value, which
    nothing protects, and what ``message`` gives. None where the digest cannot be computed. Default: None."""
    member = getattr(envelope, "recorded_digest", None)
    found: RecordedDigest | None = None if member is None else member(signature, message)
    return found


def records_digests(envelope: Envelope) -> bool:
    """Whether its signatures may record something of their digest: see :func:`recorded_digest`."""
    return getattr(envelope, "recorded_digest", None) is not None


def signed_values(
    envelope: Envelope, signature: Signature, message: Message, key: Key | None
) -> Iterable[SignedValue]:
    """``signed_values(signature, message, key)``: each way in which the value may be over ``message`` if
    ``key`` made it; the signature matches if one of them does. Without a key, what can be said whatever key
    made it. Default: nothing, no general tool can check it."""
    member: _SignedValues | None = getattr(envelope, "signed_values", None)
    return () if member is None else member(signature, message, key)


def hash_steps(envelope: Envelope, signature: Signature) -> Sequence[HashStep]:
    """``hash_steps(signature)``: for a proof without a key, how the message leads to its root. Default:
    nothing."""
    member = getattr(envelope, "hash_steps", None)
    found: Sequence[HashStep] = () if member is None else member(signature)
    return found


def tool(envelope: Envelope) -> Tool | None:
    """``tool``: the general tool that reads a blob of this envelope as it is. Default: None."""
    found: Tool | None = getattr(envelope, "tool", None)
    return found


def dump(envelope: Envelope, blob: bytes) -> Iterable[str] | None:
    """``dump(blob)``: the elements of a blob as lines of text, up to what cannot be read. Never raises.
    Default: None, no listing."""
    member = getattr(envelope, "dump", None)
    found: Iterable[str] | None = None if member is None else member(blob)
    return found


def modinfo_name(envelope: Envelope) -> str:
    """``modinfo_name``: what modinfo prints as ``sig_id``. Default: the envelope's id."""
    found: str = getattr(envelope, "modinfo_name", envelope.id)
    return found


def opaque_value(envelope: Envelope) -> bool:
    """``opaque_value``: whether only the signature's ``value`` depends on the bytes of that value, so
    that what was parsed from one blob holds for others that differ only there. Default: False."""
    return bool(getattr(envelope, "opaque_value", False))


# --------------------------------------------------------------------------- coverages


def verbatim(coverage: Coverage) -> bool:
    """``verbatim``: whether the message is all bytes before the signature as they stand, so that every file
    has one, and trailers before the signature are part of it. Default: False, it is made from sections."""
    return bool(getattr(coverage, "verbatim", False))


# --------------------------------------------------------------------------- carriers


def in_elf(carrier: Carrier) -> bool:
    """``in_elf``: whether its places are part of the ELF structure, which trailers cover. Default: by the
    carrier's kind, True for sections and notes."""
    return bool(getattr(carrier, "in_elf", carrier.kind in ("section", "note")))


def marks(carrier: Carrier) -> tuple[Mark, ...]:
    """``marks``: texts, one of which is present wherever the carrier finds a place. Default: none, so that
    remains are not looked for, and the carrier is asked about every file."""
    found: tuple[Mark, ...] = getattr(carrier, "marks", ())
    return found


ENOUGH = 64
"""Minimum number of bytes from the end of a file that :func:`may_end` is given."""


def may_end(carrier: Carrier, tail: bytes) -> bool:
    """``may_end(tail)``: whether a file whose last bytes are ``tail`` can end in a place of this carrier.
    ``tail`` has at least ENOUGH bytes. Default: True, this needs the whole file."""
    member = getattr(carrier, "may_end", None)
    return True if member is None else bool(member(tail))


def before(carrier: Carrier, image: Image, mark: int, end: int) -> Place | None:
    """``before(image, mark, end)``: the trailer whose mark starts at ``mark``, as a place that ends at
    ``end``, for marks that are not at the very end. Default: None, only the mark itself is recognised."""
    member = getattr(carrier, "before", None)
    found: Place | None = None if member is None else member(image, mark, end)
    return found


def unmarked(carrier: Carrier, image: Image) -> Place | None:
    """``unmarked(image)``: what is left of a trailer at the end of ``image`` that has lost its mark. Default:
    None."""
    member = getattr(carrier, "unmarked", None)
    found: Place | None = None if member is None else member(image)
    return found


def anomalies(carrier: Carrier, image: Image) -> Sequence[Remark]:
    """``anomalies(image)``: what resembles a signature of this carrier and is not one to any kernel, as a
    section of the wrong type. Default: nothing."""
    member = getattr(carrier, "anomalies", None)
    found: Sequence[Remark] = () if member is None else member(image)
    return found
