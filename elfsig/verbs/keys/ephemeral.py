"""ephemeral: a key pair for one run, as the build rules of 2011 to 2013 made it for developers.

The private key exists only in this process's memory, and is lost when the process ends.
"""

from __future__ import annotations

import os
from base64 import encodebytes
from typing import Any, Final

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from elfsig.crypto.certificate import parse
from elfsig.errors import WriteError
from elfsig.keygen import kinds
from elfsig.keygen.certificate import self_signed
from elfsig.keygen.genkey import KERNEL
from elfsig.model import Certificate, Format, Pair, Signer, SignOptions, optional
from elfsig.signers.pem import FileSigner
from elfsig.verbs.keys.openpgp_ring import public_ring

NAME: Final = "Ephemeral module signing key"
_BINARY: Final = (".der", ".x509", ".crt", ".cer")


def make(format_: Format, options: SignOptions) -> Signer:
    """A new key that the format's kernels read, with a certificate where the format names its signer by one.

    Its kind is that of the format, or of the payload: RSA-4096 for X.509, as in the kernel's x509.genkey;
    DSA-1024 for the section formats, whose kernels read no other kind; RSA-2048 for the rest.
    """
    pair = _pair(format_, options)
    kind = kinds.KINDS[pair.key_kind or format_.key_kind]
    private = kinds.make_private(kind)
    certified = optional.public_form(pair.envelope, options.payload) == "certificate"
    certificate = _certificate(private) if certified else None
    return FileSigner(private, private.public_key(), kind.algorithm, private.key_size, certificate)


def _pair(format_: Format, options: SignOptions) -> Pair:
    """What will be made: the payload asked for, else the first."""
    wanted = (pair for pair in format_.pairs if options.payload in (None, pair.payload))
    return next(wanted, format_.pairs[0])


def _certificate(private: Any) -> Certificate:
    return parse(self_signed(private, KERNEL.with_common_name(NAME), "sha256")).certificate


def public_half(format_: Format, signer: Signer, options: SignOptions, path: str) -> bytes:
    """What others verify with: a certificate, an OpenPGP ring, or a public key.

    DER if the name of ``path`` says so (.der, .x509, .crt, .cer), else PEM; rings are binary.
    """
    if optional.public_form(_pair(format_, options).envelope, options.payload) == "openpgp":
        hash_ = "sha1" if signer.algorithm == "dsa" else None
        return public_ring(signer, user_id=NAME, key_created=options.key_created, hash=hash_)
    binary = path.endswith(_BINARY)
    if signer.certificate is None:
        encoding = Encoding.DER if binary else Encoding.PEM
        public: bytes = signer.public.public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)
        return public
    return signer.certificate.der if binary else _pem(signer.certificate.der)


def _pem(certificate: bytes) -> bytes:
    text = encodebytes(certificate).replace(b"\n", b"")
    lines = b"".join(text[at : at + 64] + b"\n" for at in range(0, len(text), 64))
    return b"-----BEGIN CERTIFICATE-----\n" + lines + b"-----END CERTIFICATE-----\n"


def refuse_existing(path: str) -> None:
    """Raises WriteError where the file exists: it may be the key of another run."""
    if os.path.lexists(path):
        raise WriteError(f"{path} already exists", code="exists", hint="overwrite")
