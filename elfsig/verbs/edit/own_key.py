"""own_key: a keyring of the signing keys, to check new signatures before they are written."""

from __future__ import annotations

from collections.abc import Iterable

from elfsig.envelopes.openpgp.keys import key_body, v4_fingerprint
from elfsig.envelopes.openpgp.make import created_of
from elfsig.envelopes.openpgp.packets import ALGORITHM_IDS
from elfsig.model import Key, Keyring, PacketSigner, Signer
from elfsig.trust.entries import Origin, material
from elfsig.trust.make import key_from_certificate, key_from_public
from elfsig.trust.ring import Ring

SOURCE = "the signing key"


def own_ring(signers: Iterable[Signer | PacketSigner], key_created: int = 0) -> Keyring | None:
    """The public keys of ``signers``, trusted; None where a signer only makes packets.

    ``key_created`` decides the OpenPGP id of a bare key. Raises KeySourceError, SigningError,
    ParseError.
    """
    found: list[Key] = []
    for signer in signers:
        if not isinstance(signer, Signer):
            return None
        found += _keys(signer, Origin(SOURCE), key_created)
    return Ring(material(found))


def _keys(signer: Signer, origin: Origin, key_created: int) -> list[Key]:
    ids = []
    if signer.algorithm in ALGORITHM_IDS:
        ids = [("openpgp", v4_fingerprint(key_body(signer.public, created_of(signer, key_created)))[-8:])]
    found = [key_from_certificate(signer.certificate.der, origin)] if signer.certificate else []
    return [*found, key_from_public(signer.public, origin, ids=ids)]
