"""Signers: private keys, wherever they are stored, by the syntax of ``--key``."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias, get_args

from elfsig.errors import SigningError, UsageError
from elfsig.model import PacketSigner, Signer
from elfsig.signers.key_file import read_file

if TYPE_CHECKING:
    from types import ModuleType

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
    from cryptography.x509 import Certificate

    from elfsig.signers.pkcs11_list import TokenContent

SignerKey: TypeAlias = "str | os.PathLike[str] | bytes | bytearray | memoryview | PrivateKeyTypes"
"""What :func:`open_signer` takes as a key."""

SignerCertificate: TypeAlias = "str | os.PathLike[str] | bytes | bytearray | memoryview | Certificate"
"""What :func:`open_signer` takes as a certificate."""

GIVEN = "<certificate>"
"""The name of a certificate given as bytes or as an object."""


def open_signer(
    key: SignerKey,
    cert: SignerCertificate | None = None,
    *,
    read: Callable[[str], bytes] = read_file,
    ask: Callable[[str], bytes] | None = None,
) -> Signer | PacketSigner:
    """Return the signer for ``key``.

    ``key``: the path of a private key (PEM or DER); a text with one of the prefixes ``pkcs11:``, ``gpg:`` and
    ``gpg1:``; the content of a key file as bytes; or a private key object of the cryptography library.
    ``cert`` is its certificate, if it is not in the key file: a path, the content of a file, or
    an ``x509.Certificate``. ``ask`` returns the passphrase for the key's name (default: it is read from the
    terminal, or from ``KBUILD_SIGN_PIN``). ``read`` returns the content of a file. Raises SigningError;
    UsageError for an object of another type.
    """
    from elfsig.signers import passphrase

    ask = ask or passphrase.ask
    cert_name, read = _certificate_input(cert, read)
    if isinstance(key, (str, os.PathLike)):
        name = _path(key, "key")
        scheme, colon, _ = name.partition(":")
        opener = SCHEMES.get(scheme) if colon and isinstance(key, str) else None
        return (opener or _open_file)(name, cert_name, read, ask)
    return _from_memory(key, None if cert_name is None else read(cert_name), cert_name, ask)


def _from_memory(
    key: object, cert: bytes | None, cert_name: str | None, ask: Callable[[str], bytes]
) -> Signer:
    """The signer for a key given as bytes or as an object."""
    from elfsig.signers.pem import load_signer, signer_of

    said = cert_name or "<key>"
    if isinstance(key, (bytes, bytearray, memoryview)):
        return load_signer(bytes(key), cert, ask, key_name="<key>", cert_name=said)
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

    if not isinstance(key, get_args(PrivateKeyTypes)):
        text = f"a {type(key).__name__} is not a private key: pass a path, bytes or a private key object"
        raise UsageError(text, code="wrong-type")
    return signer_of(key, cert, key_name="<key>", cert_name=said)


def _certificate_input(
    cert: object, read: Callable[[str], bytes]
) -> tuple[str | None, Callable[[str], bytes]]:
    """A name for the certificate, and a ``read`` that returns it: openers take certificates by name."""
    if cert is None:
        return None, read
    if isinstance(cert, (str, os.PathLike)):
        return _path(cert, "certificate"), read
    if isinstance(cert, (bytes, bytearray, memoryview)):
        data = bytes(cert)
    else:
        from cryptography.hazmat.primitives.serialization import Encoding
        from cryptography.x509 import Certificate

        if not isinstance(cert, Certificate):
            text = f"a {type(cert).__name__} is not a certificate: pass a path, bytes or an x509.Certificate"
            raise UsageError(text, code="wrong-type")
        data = cert.public_bytes(Encoding.DER)
    return GIVEN, lambda path: data if path is GIVEN else read(path)


def _path(value: str | os.PathLike[str], what: str) -> str:
    path = os.fsdecode(value)
    if path.startswith("-----BEGIN "):
        raise UsageError(f"the {what} is PEM in a str: pass it as bytes", code="wrong-type")
    return path


Opener = Callable[[str, str | None, Callable[[str], bytes], Callable[[str], bytes]], Signer | PacketSigner]


def _open_file(
    key: str, cert: str | None, read: Callable[[str], bytes], ask: Callable[[str], bytes]
) -> Signer | PacketSigner:
    from elfsig.signers.pem import load_signer

    certificate = None if cert is None else read(cert)
    return load_signer(read(key), certificate, ask, key_name=key, cert_name=cert or key)


def _open_gpg(
    key: str, cert: str | None, read: Callable[[str], bytes], ask: Callable[[str], bytes]
) -> Signer | PacketSigner:
    from elfsig.signers.gpg import parse_key

    if cert is not None:
        raise SigningError(f"{key}: GnuPG's keys have no certificate", code="wrong-key")
    signer = parse_key(key)
    if signer is None:
        raise SigningError(f"{key}: not a key in GnuPG", code="wrong-key")
    return signer


def _open_token(
    key: str, cert: str | None, read: Callable[[str], bytes], ask: Callable[[str], bytes]
) -> Signer | PacketSigner:
    signer: Signer = _tokens().open_token(key, cert, read, ask)
    return signer


def list_tokens(uri: str, ask: Callable[[str], bytes] | None = None) -> list[TokenContent]:
    """The keys in the tokens that a ``pkcs11:`` URI matches; ``ask`` returns the PIN, where there is one.

    Raises SigningError.
    """
    found: list[TokenContent] = _tokens().list_tokens(uri, ask)
    return found


def _tokens() -> ModuleType:
    """What needs python-pkcs11, which is optional. Raises SigningError."""
    try:
        import elfsig.signers.pkcs11 as tokens
    except ModuleNotFoundError as missing:
        if missing.name != "pkcs11":
            raise
        text = "keys in tokens need the Python package python-pkcs11: pip install 'elfsig[pkcs11]'"
        raise SigningError(text, code="no-pkcs11") from None
    return tokens


SCHEMES: dict[str, Opener] = {"gpg": _open_gpg, "gpg1": _open_gpg, "pkcs11": _open_token}
"""Prefixes of ``--key`` before a colon."""
