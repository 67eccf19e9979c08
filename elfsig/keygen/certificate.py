"""Self-signed certificates from a :class:`Genkey`, as ``openssl req -x509`` makes them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import (
    AuthorityKeyIdentifier,
    BasicConstraints,
    ExtendedKeyUsage,
    KeyUsage,
    ObjectIdentifier,
    SubjectKeyIdentifier,
    UnrecognizedExtension,
)

from elfsig.crypto import der
from elfsig.crypto.checks import MESSAGE_ALGORITHMS
from elfsig.crypto.hashes import HASHES
from elfsig.errors import UsageError
from elfsig.keygen.genkey import CODE_SIGNING, Genkey
from elfsig.model import Signer

DAYS = 36500
"""A hundred years, as kbuild uses: kernels do not check dates."""

_NS_COMMENT = "2.16.840.1.113730.1.13"
_IA5 = 0x16
_BIT_STRING = 0x03

_KEY_USAGE = {
    "digitalSignature": "digital_signature", "nonRepudiation": "content_commitment",
    "contentCommitment": "content_commitment", "keyEncipherment": "key_encipherment",
    "dataEncipherment": "data_encipherment", "keyAgreement": "key_agreement",
    "keyCertSign": "key_cert_sign", "cRLSign": "crl_sign", "encipherOnly": "encipher_only",
    "decipherOnly": "decipher_only",
}  # fmt: skip

_EXTENDED = {
    CODE_SIGNING: "1.3.6.1.5.5.7.3.3", "serverAuth": "1.3.6.1.5.5.7.3.1", "clientAuth": "1.3.6.1.5.5.7.3.2",
    "emailProtection": "1.3.6.1.5.5.7.3.4", "timeStamping": "1.3.6.1.5.5.7.3.8",
    "OCSPSigning": "1.3.6.1.5.5.7.3.9", "msCodeInd": "1.3.6.1.4.1.311.2.1.21",
    "msCodeCom": "1.3.6.1.4.1.311.2.1.22", "anyExtendedKeyUsage": "2.5.29.37.0",
}  # fmt: skip


def self_signed_by(signer: Signer, genkey: Genkey, hash_name: str, *, days: int = DAYS) -> bytes:
    """Like :func:`self_signed`, for a key that may be in a token: it is asked for one signature.

    Raises UsageError for a key without a certificate of this kind, SigningError.
    """
    private = getattr(signer, "private", None)
    if private is not None:
        own = None if signer.algorithm in MESSAGE_ALGORITHMS else hash_name
        return self_signed(private, genkey, own, days=days)
    # Another key of the same kind signs a draft: it has the right fields, identifiers and extensions.
    if signer.algorithm == "rsa":
        stand_in: Any = rsa.generate_private_key(65537, 2048)
    elif signer.algorithm == "ecdsa":
        stand_in = ec.generate_private_key(ec.SECP256R1())
    else:
        raise UsageError(f"no certificate is made for a {signer.algorithm} key in a token", code="key-type")
    draft = self_signed(stand_in, genkey, hash_name, days=days, public=signer.public)
    body, algorithm, _ = der.children(draft, der.read(draft, 0, len(draft)))
    signed = draft[body.start : body.next]
    state = HASHES[hash_name].new()
    state.update(signed)
    value = signer.sign_digest(state.digest(), hash_name)
    identifier = draft[algorithm.start : algorithm.next]
    return der.encode(der.SEQUENCE, signed, identifier, der.encode(_BIT_STRING, b"\0", value))


def self_signed(
    private: Any, genkey: Genkey, hash_name: str | None, *, days: int = DAYS, public: Any = None
) -> bytes:
    """The DER of a certificate, version 3, serial number random, valid from now.

    ``hash_name`` None is for algorithms that sign the message itself. ``public`` is the certified key, if it
    is not that of ``private``. Raises UsageError for an unsupported subject, extension or hash.
    """
    name, public = _name(genkey), public or private.public_key()
    now, last = datetime.now(UTC).replace(microsecond=0), datetime(9999, 12, 31, tzinfo=UTC)
    builder = (
        x509.CertificateBuilder(name, name, public, x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(min(now + timedelta(days=min(days, (last - now).days)), last))
    )
    for word, text in genkey.extensions:
        parts = [part.strip() for part in text.split(",") if part.strip()]
        critical = parts[:1] == ["critical"]
        extension = _BUILDERS[word](parts[critical:], public)
        builder = builder if extension is None else builder.add_extension(extension, critical=critical)
    try:
        return builder.sign(private, _hash(hash_name)).public_bytes(Encoding.DER)
    except (UnsupportedAlgorithm, ValueError, TypeError) as reason:
        raise UsageError(f"no certificate can be made with {hash_name}: {reason}", code="hash") from None


def _hash(name: str | None) -> Any:
    if name is None:
        return None
    known = getattr(hashes, HASHES[name].hashlib.upper(), None)
    if known is None:
        raise UsageError(f"no certificate can be signed with {name}", code="hash")
    return known()


def _name(genkey: Genkey) -> Any:
    if not genkey.subject:
        raise UsageError("the certificate would have no name: signers are identified by it", code="subject")
    try:
        fields = [x509.NameAttribute(x509.ObjectIdentifier(oid), text) for oid, text in genkey.subject]
    except ValueError as reason:
        raise UsageError(f"the certificate's name: {reason}", code="subject") from None
    return x509.Name(fields)


# --------------------------------------------------------------------------- extensions


def _basic_constraints(parts: list[str], public: Any) -> Any:
    words = dict(part.partition(":")[::2] for part in parts)
    ca, length = words.pop("CA", "FALSE").upper(), words.pop("pathlen", None)
    known = length is None or re.fullmatch("[0-9]{1,9}", length)
    if words or ca not in ("TRUE", "FALSE") or not known:
        raise _unknown("basicConstraints", parts)
    return BasicConstraints(ca == "TRUE", int(length) if length and ca == "TRUE" else None)


def _key_usage(parts: list[str], public: Any) -> Any:
    if not parts or any(part not in _KEY_USAGE for part in parts):
        raise _unknown("keyUsage", parts)
    wanted = {_KEY_USAGE[part] for part in parts}
    try:
        return KeyUsage(**{name: name in wanted for name in _KEY_USAGE.values()})
    except ValueError as reason:
        raise UsageError(f"keyUsage: {reason}", code="genkey") from None


def _extended_key_usage(parts: list[str], public: Any) -> Any:
    try:
        return ExtendedKeyUsage([ObjectIdentifier(_EXTENDED.get(part, part)) for part in parts])
    except ValueError:
        raise _unknown("extendedKeyUsage", parts) from None


def _subject_key_identifier(parts: list[str], public: Any) -> Any:
    if parts != ["hash"]:
        raise _unknown("subjectKeyIdentifier", parts)
    return SubjectKeyIdentifier.from_public_key(public)


def _authority_key_identifier(parts: list[str], public: Any) -> Any:
    if parts == ["keyid"]:
        return None  # OpenSSL 3 leaves this out of a self-signed certificate, where it is redundant
    if parts != ["keyid:always"]:
        raise _unknown("authorityKeyIdentifier", parts)
    return AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
        _subject_key_identifier(["hash"], public)
    )


def _comment(parts: list[str], public: Any) -> Any:
    text = ", ".join(parts)
    if not text.isascii():
        raise _unknown("nsComment", parts)
    return UnrecognizedExtension(ObjectIdentifier(_NS_COMMENT), der.encode(_IA5, text.encode()))


_BUILDERS: Mapping[str, Callable[[list[str], Any], Any]] = {
    "basicConstraints": _basic_constraints,
    "keyUsage": _key_usage,
    "extendedKeyUsage": _extended_key_usage,
    "subjectKeyIdentifier": _subject_key_identifier,
    "authorityKeyIdentifier": _authority_key_identifier,
    "nsComment": _comment,
}


def _unknown(extension: str, parts: list[str]) -> UsageError:
    return UsageError(f"{extension} = {', '.join(parts) or 'nothing'}: this is not known", code="genkey")
