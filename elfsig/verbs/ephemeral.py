"""ephemeral: a key pair for one run, as the build rules of 2011 to 2013 made it for developers.

The private half lives in this process's memory and nowhere else; it is gone when the process ends.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from elfsig.errors import SigningError, WriteError
from elfsig.model import Certificate, Format, Signer, SignOptions
from elfsig.signers.pem import FileSigner

NAME: Final = "Ephemeral module signing key"
_DAYS: Final = 36500
_RSA: Final = {"cms": 4096, "x509-block": 4096}
"""Bits by envelope, as in the kernel's x509.genkey; 2048 for the others."""
_DSA_FORMATS: Final = frozenset({"gkh", "redhat", "note"})
"""Their kernels read DSA with SHA-1 only, hence 1024 bits."""
_CERTIFIED: Final = frozenset({"cms", "x509-block"})
_BINARY: Final = (".der", ".x509", ".crt", ".cer")


def make(format_: Format, options: SignOptions) -> Signer:
    """A new key that the format's kernels read, with a certificate where the format names its signer so."""
    from cryptography.hazmat.primitives.asymmetric import dsa, rsa

    envelope = _envelope(format_, options)
    if envelope == "encrypted-digest":
        raise SigningError("an encrypted digest is made through GnuPG: give the key as gpg:KEYID")
    if envelope == "openpgp" and format_.id in _DSA_FORMATS:
        secret: Any = dsa.generate_private_key(1024)
        return FileSigner(secret, secret.public_key(), "dsa", 1024, None)
    bits = _RSA.get(envelope, 2048)
    private = rsa.generate_private_key(65537, bits)
    certificate = _certificate(private) if _wants_certificate(envelope, options) else None
    return FileSigner(private, private.public_key(), "rsa", bits, certificate)


def _envelope(format_: Format, options: SignOptions) -> str:
    """The encoding that will be made: that of the payload asked for, else the first."""
    wanted = (pair for pair in format_.pairs if options.payload in (None, pair.payload))
    return next(wanted, format_.pairs[0]).envelope.id


def _wants_certificate(envelope: str, options: SignOptions) -> bool:
    return envelope in _CERTIFIED or (envelope == "digsig" and options.payload == "v2")


def _certificate(private: Any) -> Certificate:
    """Self-signed, with the extensions of the kernel's x509.genkey."""
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding

    from elfsig.trust.certificate import parse

    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    skid = x509.SubjectKeyIdentifier.from_public_key(private.public_key())
    now = datetime.now(UTC)
    unused = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign",
              "crl_sign", "encipher_only", "decipher_only")  # fmt: skip
    usage = x509.KeyUsage(digital_signature=True, **dict.fromkeys(unused, False))
    built = (
        x509.CertificateBuilder(name, name, private.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=_DAYS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=False)
        .add_extension(skid, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(skid), critical=False)
    )
    return parse(built.sign(private, SHA256()).public_bytes(Encoding.DER)).certificate


def public_half(format_: Format, signer: Signer, options: SignOptions, path: str) -> bytes:
    """What others verify with: a certificate, an OpenPGP ring, or a public key.

    DER for a ``path`` that is called so (.der, .x509, .crt, .cer), else PEM; rings are binary.
    """
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    if _envelope(format_, options) == "openpgp":
        from elfsig.verbs.openpgp_ring import public_ring

        hash_ = "sha1" if signer.algorithm == "dsa" else None
        return public_ring(signer, user_id=NAME, key_created=options.key_created, hash=hash_)
    binary = path.endswith(_BINARY)
    if signer.certificate is None:
        encoding = Encoding.DER if binary else Encoding.PEM
        public: bytes = signer.public.public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)
        return public
    return signer.certificate.der if binary else _pem(signer.certificate.der)


def _pem(certificate: bytes) -> bytes:
    from base64 import encodebytes

    text = encodebytes(certificate).replace(b"\n", b"")
    lines = b"".join(text[at : at + 64] + b"\n" for at in range(0, len(text), 64))
    return b"-----BEGIN CERTIFICATE-----\n" + lines + b"-----END CERTIFICATE-----\n"


def write(path: str, public: bytes, *, force: bool = False) -> None:
    """Write the public half, before anything is signed with the key. Raises WriteError."""
    from elfsig.atomic import write_atomic

    if os.path.lexists(path) and not force:
        raise WriteError(f"{path} is there already; --force replaces it", code="exists")
    write_atomic(path, public)
