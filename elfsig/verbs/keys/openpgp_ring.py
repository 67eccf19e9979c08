"""openpgp_ring: the public key ring that GnuPG and the kernels of the section eras hold for a signing key."""

from __future__ import annotations

from elfsig.envelopes.openpgp.make import make_ring
from elfsig.errors import SigningError
from elfsig.model import PacketSigner, Signer
from elfsig.signers.gpg import GpgSigner

USER_ID = "elfsig module signing key"


def public_ring(
    signer: Signer | PacketSigner,
    *,
    user_id: str | None = None,
    key_created: int | None = None,
    created: int | None = None,
    hash: str | None = None,
) -> bytes:
    """A binary OpenPGP ring: public key, user id and self-signature. Raises SigningError.

    A bare RSA or DSA key has no OpenPGP form of its own: ``key_created`` (0) decides its key id, ``created``
    (the same) is the time of the self-signature, ``hash`` (SHA-256) its hash. GnuPG's keys are exported as
    they are.
    """
    if not isinstance(signer, Signer):
        if (user_id, key_created, created, hash) != (None,) * 4:
            raise SigningError("a key in GnuPG has its own user id and creation time", code="gnupg-key")
        return _exported(signer)
    when = key_created or 0
    return make_ring(signer, user_id or USER_ID, key_created=when, created=created, hash=hash)


def _exported(signer: PacketSigner) -> bytes:
    if not isinstance(signer, GpgSigner):
        raise SigningError("this signer cannot export a public ring", code="no-ring")
    return signer.export()
