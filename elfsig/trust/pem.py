"""Certificates and public keys in PEM and DER, any number in one file.

PEM: RFC 7468. DER by its shape: certificate (RFC 5280), SubjectPublicKeyInfo, RSAPublicKey (RFC 8017
A.1.1); concatenated, as kernels hold their list. Private keys are refused, whatever they are wrapped in.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

from elfsig.crypto import der
from elfsig.crypto.certificate import BIT_STRING, element
from elfsig.errors import KeySourceError, ParseError
from elfsig.model import Key, Remark, Why
from elfsig.trust.entries import Material, Origin, material
from elfsig.trust.make import PRIVATE_KEY, key_from_certificate, key_from_public, key_from_spki

BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----[ \t]*\r?\n(.*?)-----END \1-----", re.DOTALL)
BEGIN = re.compile(rb"^-----BEGIN (?!PGP )[A-Z0-9 ]+-----", re.MULTILINE)
TEXT_LIMIT = 1 << 16
"""A PEM file may have text in front of its first block; this is how far it is looked for."""

RECOVERED = "recovered, not published"
SIGNER_OF = "same signer as "
NAMES_SHOWN = 8
_RECOVERED = re.compile(rb"^# %b$" % RECOVERED.encode(), re.MULTILINE)
_SIGNER_OF = re.compile(rb"^# %b(.+)$" % SIGNER_OF.encode(), re.MULTILINE)


def is_pem(data: bytes) -> bool:
    """Whether this is text with a PEM block in it."""
    head = data[:TEXT_LIMIT]
    return b"\0" not in head[:512] and BEGIN.search(head) is not None


def is_der(data: bytes) -> bool:
    """Whether this starts with a DER SEQUENCE that has the shape of something known here."""
    try:
        return _shape(data, 0) in SHAPES
    except ParseError:
        return False


def read_pem(data: bytes, origin: Origin) -> Material:
    """The keys of every PEM block. Raises ParseError, and KeySourceError for a private key.

    One that text in front of it calls recovered has the role recovered and is never trusted.
    """
    return material(_keys(data, origin))


def _keys(data: bytes, origin: Origin) -> Iterator[Key]:
    behind = 0
    for block in BLOCK.finditer(data):
        text = data[behind : block.start()]
        for key in _block(block, origin):
            yield _as_recovered(key, text) if _RECOVERED.search(text) else key
        behind = block.end()


def recovered_text(names: Iterable[str], facts: Iterable[str] = ()) -> bytes:
    """The text in front of the PEM block of a key that was computed from the signatures in these files."""
    lines = [f"# {RECOVERED}", *(f"# {SIGNER_OF}{_one_line(name)}" for name in names)]
    lines += [f"# {fact}" for fact in facts]
    lines.append("# Nobody vouches for this key: it was computed from the signatures that it verifies.")
    return "\n".join(lines).encode() + b"\n"


def _one_line(name: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in name)


def _as_recovered(key: Key, text: bytes) -> Key:
    """The key as what it is: a name for whoever signed certain files."""
    names = [name.decode(errors="replace") for name in _SIGNER_OF.findall(text)]
    more = [f"{len(names) - NAMES_SHOWN} more"] if len(names) > NAMES_SHOWN else []
    label = SIGNER_OF + ", ".join([*names[:NAMES_SHOWN], *more]) if names else RECOVERED
    remark = Remark("key-recovered", "the key was recovered from signatures: who holds it is not known")
    why = Why.REVOKED if key.revoked else Why.RECOVERED
    return replace(key, keyring="user", vouched=False, why=why, label=label, remarks=(*key.remarks, remark))


def _block(block: re.Match[bytes], origin: Origin) -> Iterator[Key]:
    label = block[1].decode()
    if label.endswith("PRIVATE KEY"):
        raise KeySourceError(f"{origin.source} {PRIVATE_KEY}", offset=block.start(), code="private-key")
    read = LABELS.get(label)
    if read is None:
        return
    try:
        body = binascii.a2b_base64(block[2])
    except binascii.Error as reason:
        raise ParseError(f"PEM block {label}: {reason}", offset=block.start(), code="pem") from None
    yield read(body, 0, origin)


def read_der(data: bytes, origin: Origin) -> Material:
    """The keys of concatenated DER values; what lies behind the last whole one is passed over.

    Raises ParseError when the first one cannot be read, and KeySourceError for a private key.
    """
    keys, at = [], 0
    while data[at : at + 1] == b"\x30":
        try:
            keys.append(SHAPES[_shape(data, at)](data, at, origin))
        except (ParseError, KeyError):
            if not keys:
                raise ParseError("neither certificate nor public key", offset=at, code="not-key") from None
            break
        at = der.read(data, at, len(data)).next
    return material(keys)


def _shape(data: bytes, at: int) -> tuple[int, ...]:
    """Tags of the elements inside the SEQUENCE at ``at``: enough of them to tell what it is."""
    outer = element(data, at, len(data), der.SEQUENCE, "key or certificate")
    first = der.read(data, outer.body, outer.end)
    if first.tag == der.INTEGER and first.end - first.body == 1:
        return (der.INTEGER,)
    return tuple(each.tag for each in islice(der.children(data, outer), 4))


def _certificate(data: bytes, at: int, origin: Origin) -> Key:
    return key_from_certificate(data, origin, at)


def _public_key(data: bytes, at: int, origin: Origin) -> Key:
    return key_from_spki(data[at : der.read(data, at, len(data)).next], origin)


def _rsa_public_key(data: bytes, at: int, origin: Origin) -> Key:
    outer = element(data, at, len(data), der.SEQUENCE, "RSA public key")
    first = element(data, outer.body, outer.end, der.INTEGER, "modulus")
    second = element(data, first.next, outer.end, der.INTEGER, "exponent")
    n, e = (int.from_bytes(data[v.body : v.end], signed=True) for v in (first, second))
    try:
        return key_from_public(RSAPublicNumbers(e, n).public_key(), origin)
    except ValueError as reason:
        raise ParseError(f"not a usable RSA key: {reason}", offset=at, code="not-key") from None


def _private(data: bytes, at: int, origin: Origin) -> Key:
    raise KeySourceError(f"{origin.source} {PRIVATE_KEY}", offset=at, code="private-key")


Reader = Callable[[bytes, int, Origin], Key]

SHAPES: Mapping[tuple[int, ...], Reader] = {
    (der.SEQUENCE, der.SEQUENCE, BIT_STRING): _certificate,
    (der.SEQUENCE, BIT_STRING): _public_key,
    (der.INTEGER, der.INTEGER): _rsa_public_key,
    (der.INTEGER,): _private,  # PKCS#1, PKCS#8, SEC1, PKCS#12: a version number first
    (der.SEQUENCE, der.OCTETS): _private,  # encrypted PKCS#8
}
LABELS: Mapping[str, Reader] = {
    "CERTIFICATE": _certificate,
    "X509 CERTIFICATE": _certificate,
    "TRUSTED CERTIFICATE": _certificate,
    "PUBLIC KEY": _public_key,
    "RSA PUBLIC KEY": _rsa_public_key,
}
