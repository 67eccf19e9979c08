"""Signers: private keys, wherever they live, by the words of ``--key``."""

from __future__ import annotations

from collections.abc import Callable

from elfsig.errors import KeyFileError, SigningError
from elfsig.model import PacketSigner, Signer

MAX_KEY_FILE = 1 << 20
"""Bytes; no private key or certificate is larger."""


def read_file(path: str) -> bytes:
    """The content of a key or certificate file. Raises KeyFileError that names it."""
    try:
        with open(path, "rb") as stream:
            data = stream.read(MAX_KEY_FILE + 1)
    except OSError as reason:
        raise KeyFileError(f"{path}: {(reason.strerror or str(reason)).lower()}") from None
    if len(data) > MAX_KEY_FILE:
        raise KeyFileError(f"{path}: too large for a key or certificate")
    return data


def open_signer(
    key: str,
    cert: str | None = None,
    *,
    read: Callable[[str], bytes] = read_file,
    ask: Callable[[str], bytes] | None = None,
) -> Signer | PacketSigner:
    """The signer that ``key`` names: a file, or what a scheme of :data:`SCHEMES` stands for.

    ``cert`` is the path of the certificate, where it is not in the key's own file. ``ask`` gives the
    passphrase for a key's name (default: signers.passphrase.ask). Raises SigningError.
    """
    from elfsig.signers import passphrase

    scheme, colon, _ = key.partition(":")
    opener = SCHEMES.get(scheme) if colon else None
    return (opener or _open_file)(key, cert, read, ask or passphrase.ask)


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
    from elfsig.signers.pkcs11 import open_token

    return open_token(key, cert, read, ask)


SCHEMES: dict[str, Opener] = {"gpg": _open_gpg, "gpg1": _open_gpg, "pkcs11": _open_token}
"""Prefixes of ``--key`` before a colon."""
