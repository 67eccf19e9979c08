"""certify: a self-signed certificate for an existing key, in the files that its user expects."""

from __future__ import annotations

from elfsig.errors import UsageError
from elfsig.keygen.certificate import DAYS, self_signed_by
from elfsig.keygen.files import PUBLIC, Item
from elfsig.keygen.genkey import Genkey
from elfsig.lazy_tuple import NamedTuple
from elfsig.model import Signer
from elfsig.verbs.keys.generate import certificate_pem

HASHES = {384: "sha384", 521: "sha512"}
"""The hash that suits an elliptic curve, by the size of its field in bits; SHA-256 for all other keys."""


class Certified(NamedTuple):
    """``certificate`` is DER; ``items`` are the files to write."""

    certificate: bytes
    items: list[Item]


def certificate_files(
    signer: Signer, name: str, genkey: Genkey, hash_name: str | None = None, *, days: int = DAYS
) -> Certified:
    """``name``.crt (PEM) and ``name``.der for the key of ``signer``.

    ``hash_name`` None: what suits the key. Raises UsageError for kinds of keys whose certificates kernels
    do not read, SigningError.
    """
    if signer.algorithm == "dsa":
        raise UsageError("kernels do not read certificates with DSA keys", code="key-type")
    usual = HASHES.get(signer.key_bits, "sha256") if signer.algorithm == "ecdsa" else "sha256"
    made = self_signed_by(signer, genkey, hash_name or usual, days=days)
    items = [
        Item(f"{name}.crt", certificate_pem(made), PUBLIC, "certificate"),
        Item(f"{name}.der", made, PUBLIC, "certificate, DER, for mokutil"),
    ]
    return Certified(made, items)
