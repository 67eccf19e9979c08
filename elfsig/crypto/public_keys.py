"""Public keys of the cryptography library: what kind they are, and the form in which they are compared."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from elfsig.crypto import der
from elfsig.crypto.certificate import element, parse
from elfsig.crypto.oids import BY_OID, CURVE_NAMES, EC_PUBLIC_KEY, RSA_PSS
from elfsig.errors import KeySourceError, ParseError
from elfsig.lazy_tuple import NamedTuple
from elfsig.model import Key

_KINDS = {
    "RSAPublicKey": "rsa", "DSAPublicKey": "dsa", "ECPublicKey": "ecdsa", "Ed25519PublicKey": "ed25519",
    "Ed448PublicKey": "ed448", "MLDSA44PublicKey": "mldsa44", "MLDSA65PublicKey": "mldsa65",
    "MLDSA87PublicKey": "mldsa87",
}  # fmt: skip
"""elfsig's name for each class of cryptography's public keys."""

_FIXED_BITS = {"ed25519": 256, "ed448": 456, "mldsa44": 10496, "mldsa65": 15616, "mldsa87": 20736}
"""Sizes of public keys whose algorithm has one size only (RFC 8032, FIPS 204 table 2)."""

MAX_RSA_BITS, SMALL_RSA_BITS, MAX_EXPONENT_BITS = 16384, 3072, 64
"""OpenSSL's OPENSSL_RSA_MAX_MODULUS_BITS, OPENSSL_RSA_SMALL_MODULUS_BITS, OPENSSL_RSA_MAX_PUBEXP_BITS
(include/openssl/rsa.h): with larger numbers every value would be reported as a mismatch."""

MAX_DSA_BITS, DSA_ORDERS = 10000, (160, 224, 256)
"""OPENSSL_DSA_MAX_MODULUS_BITS (include/openssl/dsa.h), and the sizes of q that DSA_do_verify() takes."""


def public_kind(public: Any) -> tuple[str, int, str | None] | None:
    """(algorithm, size in bits, curve) of a public key of the cryptography library; None if it cannot sign.

    The curve is cryptography's name for it, None for keys other than EC.
    """
    algorithm = _KINDS.get(type(public).__name__)
    if algorithm is None:
        return None
    bits = _FIXED_BITS.get(algorithm) or public.key_size
    return algorithm, bits, public.curve.name if algorithm == "ecdsa" else None


def describe(public: Any) -> tuple[str, int, str | None]:
    """(algorithm, bits, curve) of a public key of the cryptography library.

    Raises KeySourceError for a kind of key that cannot make signatures (X25519, say).
    """
    kind = public_kind(public)
    if kind is None:
        raise KeySourceError(f"a {type(public).__name__} cannot make signatures", code="key-algorithm")
    return kind


class Described(NamedTuple):
    """A public key, or what is known of one that cannot be used here: ``why`` says why not.

    ``loaded`` is the library's object, None where it refuses the key. ``algorithm`` is elfsig's word, the
    dotted identifier of an algorithm that elfsig does not know. ``spki`` is the normal form, of a key that
    cannot be read the form as it is. ``unreadable``: the library does not accept its encoding.
    ``restriction``: see :class:`elfsig.model.Key`.
    """

    loaded: Any | None
    algorithm: str
    bits: int
    curve: str | None
    spki: bytes
    restriction: bytes | None = None
    why: str | None = None
    unreadable: bool = False

    @property
    def public(self) -> Any | None:
        """The library's object of a key that can be used."""
        return None if self.why else self.loaded


def described(public: Any, restriction: bytes | None = None) -> Described:
    """A key of the cryptography library. Raises KeySourceError as :func:`describe` does."""
    algorithm, bits, curve = describe(public)
    encoded = encode_spki(public, restriction)
    name = "rsa-pss" if restriction else algorithm
    return Described(public, name, bits, curve, encoded, restriction, _beyond(public, algorithm))


def too_large(public: Any) -> str | None:
    """Why no signature by this key can be verified anywhere, None for one of a usual size.

    Kernels read no number of more than 16384 bits either (lib/crypto/mpi/mpicoder.c, MAX_EXTERN_MPI_BITS).
    """
    kind = public_kind(public)
    if kind is None or kind[0] != "rsa" or public.key_size <= MAX_RSA_BITS:
        return None
    return (
        f"an RSA key of {public.key_size} bits: OpenSSL and kernels verify none of more than {MAX_RSA_BITS}"
    )


def _beyond(public: Any, algorithm: str) -> str | None:
    """Why the library checks no value with this key, however it was made; None where it does."""
    if (why := too_large(public)) is not None:
        return why
    if algorithm == "rsa":
        exponent = public.public_numbers().e.bit_length()
        if public.key_size > SMALL_RSA_BITS and exponent > MAX_EXPONENT_BITS:
            least = f"more than {MAX_EXPONENT_BITS} with a modulus of more than {SMALL_RSA_BITS}"
            return f"an RSA key with an exponent of {exponent} bits: OpenSSL verifies none of {least}"
    if algorithm == "dsa":
        order = public.parameters().parameter_numbers().q.bit_length()
        if public.key_size > MAX_DSA_BITS:
            return f"a DSA key of {public.key_size} bits: OpenSSL verifies none of more than {MAX_DSA_BITS}"
        if order not in DSA_ORDERS:
            return f"a DSA key with a q of {order} bits: OpenSSL verifies with 160, 224 and 256 only"
    return None


def read_spki(spki: bytes) -> Described:
    """The public key in a DER SubjectPublicKeyInfo. Raises ParseError where it is not one."""
    whole = element(spki, 0, len(spki), der.SEQUENCE, "public key")
    identifier = element(spki, whole.body, whole.end, der.SEQUENCE, "public key's algorithm")
    named = element(spki, identifier.body, identifier.end, der.OID, "public key algorithm")
    oid = der.oid_text(spki, named)
    row = BY_OID.get(oid)
    try:
        public = load_der_public_key(spki)
    except (ValueError, TypeError, UnsupportedAlgorithm) as reason:
        curve = _curve(spki, named, identifier) if oid == EC_PUBLIC_KEY else None
        unreadable = not isinstance(reason, UnsupportedAlgorithm)
        why = _refusal(row.name if row else oid, curve, reason)
        name = (row and row.algorithm) or oid
        return Described(None, name, 0, curve, spki, why=why, unreadable=unreadable)
    if public_kind(public) is None:
        return Described(None, oid, 0, None, spki, why=f"public key algorithm {oid} cannot be checked")
    return described(public, spki[identifier.start : identifier.end] if oid == RSA_PSS else None)


def _curve(spki: bytes, named: der.Node, identifier: der.Node) -> str | None:
    """The curve that the parameters of an EC key name (RFC 5480 2.1.1), None for any other form of them."""
    try:
        parameters = der.read(spki, named.next, identifier.end)
        oid = der.oid_text(spki, parameters) if parameters.tag == der.OID else None
    except ParseError:
        return None
    return CURVE_NAMES.get(oid, oid) if oid else None


def _refusal(name: str, curve: str | None, reason: Exception) -> str:
    """Why the library did not load a key: what it lacks, or what it says of the encoding."""
    if isinstance(reason, UnsupportedAlgorithm):
        what = f"elliptic curve {curve}" if curve else f"public key algorithm {name}"
        return f"{what} cannot be checked here"
    details = str(reason).rpartition("Details: ")[2]
    return f"the library refuses the encoding of this {name} public key: {details}"


def load_spki(spki: bytes) -> Any | None:
    """The public key in a DER SubjectPublicKeyInfo, None if the library does not know or refuses it."""
    try:
        public = load_der_public_key(spki)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    return None if public_kind(public) is None else public


def encode_spki(public: Any, restriction: bytes | None = None) -> bytes:
    """The key as a DER SubjectPublicKeyInfo in its normal form, independent of its source's form.

    Points of elliptic curves are uncompressed, curves are named, RSA keys have the identifier rsaEncryption
    with NULL (RFC 3279 2.3.1, RFC 5480 2): the same key always gives the same bytes. One that is restricted
    to RSASSA-PSS keeps ``restriction``: without it, it would be a key for other signatures.
    """
    encoded: bytes = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if restriction is None:
        return encoded
    bits = der.descend(encoded, der.read(encoded, 0, len(encoded)), 1)
    return der.encode(der.SEQUENCE, restriction, encoded[bits.start : bits.end])


def restriction_of(certificate: bytes) -> bytes | None:
    """The restriction of the key in a DER certificate (:attr:`elfsig.model.Key.restriction`)."""
    try:
        return read_spki(parse(certificate).spki).restriction
    except ParseError:
        return None


def spki_of(key: Key) -> bytes:
    """The normal form of a key that can be used (:func:`encode_spki`)."""
    return encode_spki(key.public, key.restriction)


@lru_cache(maxsize=1024)
def spki_fingerprint(spki: bytes) -> str:
    """SHA-256 over the normal form of the key in a DER SubjectPublicKeyInfo, in hex: equal for equal keys,
    however they were encoded. Of one that cannot be read, over it as it is."""
    try:
        return hashlib.sha256(read_spki(spki).spki).hexdigest()
    except ParseError:
        return hashlib.sha256(spki).hexdigest()
