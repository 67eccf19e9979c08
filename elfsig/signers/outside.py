"""Common base of private keys outside this process: values are requested from them, and checked.

A token, a signing service or a person returns raw values. Each is converted to the form that envelopes
need and verified with the public key before it is used: a wrong key, a digest that was hashed again, or a
failing device is reported here rather than by a kernel.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from elfsig.crypto import der
from elfsig.crypto.certificate import parse
from elfsig.crypto.checks import MESSAGE_ALGORITHMS, prehashed
from elfsig.crypto.hashes import HASHES
from elfsig.crypto.public_keys import load_spki
from elfsig.errors import ParseError, SigningError
from elfsig.model import Certificate, Remark
from elfsig.signers.pem import certificate_remarks, certificates, padded_digest, signing_kind


class Request(NamedTuple):
    """What is to be signed: a ``digest`` (with its hash), a whole ``message``, or a padded RSA ``block``."""

    kind: Literal["digest", "message", "block"]
    data: bytes
    hash: str | None = None


class PublicHalf(NamedTuple):
    """What is known about a key stored elsewhere. ``public`` is the cryptography library's object."""

    public: Any
    algorithm: str
    key_bits: int
    certificate: Certificate | None = None
    remarks: tuple[Remark, ...] = ()


def public_half(public: Any, certificate: Certificate | None = None, name: str = "the key") -> PublicHalf:
    """From a public key, and its certificate if it has one. Raises SigningError for other keys."""
    kind = signing_kind(public, name, public)
    remarks = tuple(certificate_remarks(certificate)) if certificate else ()
    return PublicHalf(public, kind[0], kind[1], certificate, remarks)


def from_certificates(data: bytes, name: str) -> Iterator[PublicHalf]:
    """The certificates in a PEM file, or the one that a DER file is. Raises SigningError."""
    for each in certificates(data, name):
        try:
            parsed = parse(each)
        except ParseError as fault:
            raise SigningError(f"{name}: not a certificate: {fault}", code="not-a-certificate") from None
        public = load_spki(parsed.spki)
        if public is not None:
            yield public_half(public, parsed.certificate, name)


def read_public(data: bytes, name: str) -> PublicHalf:
    """The first certificate in a file, or the public key that it holds. Raises SigningError."""
    if b"-----BEGIN PUBLIC KEY-----" in data:
        try:
            return public_half(load_pem_public_key(data), None, name)
        except (ValueError, UnsupportedAlgorithm) as reason:
            raise SigningError(f"{name}: not a public key: {reason}", code="not-a-key") from None
    found = next(from_certificates(data, name), None)
    if found is None:
        raise SigningError(f"{name}: no certificate of a usable key in this file", code="not-a-certificate")
    return found


class OutsideSigner:
    """Base of signers whose private key is elsewhere. Implements model.Signer by :meth:`ask`.

    ``name`` is the key's, as the user gave it; ``jobs`` is how many operations may run at a time.
    """

    def __init__(self, name: str, half: PublicHalf) -> None:
        self.name = name
        self.half = half
        self.jobs = 1

    @property
    def public(self) -> Any:
        return self.half.public

    @property
    def algorithm(self) -> str:
        return self.half.algorithm

    @property
    def key_bits(self) -> int:
        return self.half.key_bits

    @property
    def certificate(self) -> Certificate | None:
        return self.half.certificate

    @property
    def remarks(self) -> tuple[Remark, ...]:
        return self.half.remarks

    def ask(self, request: Request) -> bytes:
        """The value that the key's holder returns for ``request``, not yet checked. Raises SigningError."""
        raise NotImplementedError

    def release(self) -> None:
        """Release whatever must not be shared with processes that are about to be started."""

    def sign_digest(self, digest: bytes, hash_name: str) -> bytes:
        """See model.Signer. Raises SigningError."""
        if self.algorithm not in ("rsa", "dsa", "ecdsa"):
            raise SigningError(f"{self.algorithm} signs the message, not a digest")
        if self.algorithm == "rsa":
            padded_digest(digest, hash_name, self.key_bits)
        return self._answer(Request("digest", digest, hash_name))

    def sign_message(self, message: bytes) -> bytes:
        """See model.Signer. Raises SigningError."""
        if self.algorithm not in MESSAGE_ALGORITHMS:
            raise SigningError(f"{self.algorithm} signs a digest, not the message")
        return self._answer(Request("message", message))

    def sign_block(self, block: bytes) -> bytes:
        """See model.Signer. Raises SigningError."""
        if self.algorithm != "rsa":
            raise SigningError(f"{self.algorithm} has no padded blocks")
        return self._answer(Request("block", block))

    def _answer(self, request: Request) -> bytes:
        return checked(self.half, request, self.ask(request), self.name)


# --------------------------------------------------------------------------- verifying values with keys


def checked(half: PublicHalf, request: Request, answer: bytes, name: str) -> bytes:
    """``answer`` as a verified value for ``request``. Raises SigningError that says what is wrong.

    It may be raw or, as many services print it, base64 or hex; an EC or DSA value is DER, or r followed by s.
    """
    for each in _decoded(answer):
        value = _formed(half, each)
        if value is not None and _holds(half, request, value):
            return value
    raise SigningError(f"{name}: {_mismatch(half, request, answer)}", code="wrong-signature")


def _decoded(answer: bytes) -> Iterator[bytes]:
    yield answer
    text = b"".join(answer.split())
    if re.fullmatch(rb"(?:[0-9A-Fa-f]{2})+", text):
        yield bytes.fromhex(text.decode())
    try:
        yield binascii.a2b_base64(text.translate(bytes.maketrans(b"-_", b"+/")) + b"==", strict_mode=False)
    except binascii.Error:
        return


def _formed(half: PublicHalf, value: bytes) -> bytes | None:
    """RSA: as long as the modulus. DSA, ECDSA: DER of r and s. None for what cannot be one."""
    if half.algorithm == "rsa":
        size = (half.key_bits + 7) // 8
        plain = value.lstrip(b"\0")
        return plain.rjust(size, b"\0") if 0 < len(plain) <= size else None
    if half.algorithm in ("dsa", "ecdsa"):
        part = (_order_bits(half) + 7) // 8
        if len(value) == 2 * part:
            r, s = int.from_bytes(value[:part], "big"), int.from_bytes(value[part:], "big")
            return der.encode(der.SEQUENCE, der.encode_integer(r), der.encode_integer(s))
    return value


def _order_bits(half: PublicHalf) -> int:
    if half.algorithm == "dsa":
        return int(half.public.parameters().parameter_numbers().q.bit_length())
    return half.key_bits


def opened(half: PublicHalf, value: bytes) -> bytes:
    """An RSA value raised to the public exponent: the padded block that was signed."""
    numbers = half.public.public_numbers()
    number: int = pow(int.from_bytes(value, "big"), numbers.e, numbers.n)
    return number.to_bytes((half.key_bits + 7) // 8, "big")


def _holds(half: PublicHalf, request: Request, value: bytes) -> bool:
    if half.algorithm == "rsa":
        wanted = request.data
        if request.kind == "digest":
            wanted = padded_digest(request.data, request.hash or "", half.key_bits)
        return opened(half, value) == wanted
    scheme: tuple[Any, ...] = ()
    if request.kind == "digest":
        known = prehashed(request.hash or "")
        if known is None:
            raise SigningError(f"{half.algorithm} with {request.hash} cannot be checked here")
        scheme = (known,) if half.algorithm == "dsa" else (ECDSA(known),)
    try:
        half.public.verify(value, request.data, *scheme)
    except (InvalidSignature, ValueError):
        return False
    return True


def _mismatch(half: PublicHalf, request: Request, answer: bytes) -> str:
    """Why ``answer`` is not a signature for ``request``, as far as can be determined."""
    if not answer.strip():
        return "it returned no signature"
    value = _formed(half, answer)
    if half.algorithm == "rsa" and value is not None:
        block = opened(half, value)
        if block[:2] == b"\0\1":
            return _other_content(request, block)
    return (
        f"its answer ({len(answer)} bytes) is not a signature by the {half.algorithm} key given: "
        "another key, another certificate, or not the raw value"
    )


def _other_content(request: Request, block: bytes) -> str:
    inside = block[block.find(b"\0", 2) + 1 :]
    if request.hash is not None and inside.endswith(_hashed(request.data, request.hash)):
        return "it hashed the digest again: it must sign the digest as it is"
    if inside == request.data:
        return "it signed the digest without the DigestInfo around it (RFC 8017, 9.2)"
    return "it signed something other than what it was given"


def _hashed(data: bytes, hash_name: str) -> bytes:
    state = HASHES[hash_name].new()
    state.update(data)
    return bytes(state.digest())
