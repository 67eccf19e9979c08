"""A signer of a CMS on its way through pkcs7_verify() (crypto/asymmetric_keys/pkcs7_verify.c)."""

from __future__ import annotations

from dataclasses import dataclass

from elfsig.crypto.checks import Match, Unsupported
from elfsig.envelopes.cms.chain import Embedded
from elfsig.envelopes.cms.statement import Statement, stream_digest
from elfsig.envelopes.cms.types import SignerInfo
from elfsig.kernels.forms import ML_DSA
from elfsig.kernels.loading import size_fault
from elfsig.kernels.walk import Case
from elfsig.model import Key, Signature


@dataclass
class Signer:
    """One signer as pkcs7_verify() leaves it: its embedded certificate and those above it, whether the last
    is self-signed, and whether the signer can be computed."""

    parsed: SignerInfo
    signature: Signature
    chain: tuple[Embedded, ...] = ()
    root: bool = False
    unsupported: str | None = None

    @property
    def name(self) -> str:
        """What the signature says about who made it."""
        claim = self.signature
        if claim.signer:
            return f'"{claim.signer}" (serial {claim.serial.hex() if claim.serial else "?"})'
        return f"key id {claim.key_id.hex() if claim.key_id else '?'}"


def value_matches(case: Case, signer: Signer, key: Key) -> bool:
    """public_key_verify_signature(): the value must also be exactly as long as an RSA modulus."""
    claim, signature, message = signer.signature.detail, signer.signature, case.message
    assert message is not None
    crypto, fips = case.profile.crypto, case.mode.fips
    if key.algorithm != signature.algorithm or crypto.lacks(key.algorithm, key.curve, fips=fips) is not None:
        return False
    if key.algorithm == "rsa" and len(signature.value) != (key.bits + 7) // 8:
        return False
    if key.algorithm == "rsa" and signature.hash in crypto.never_with_rsa(fips=fips):
        return False
    if key in case.keys.unusable or size_fault(key, case.profile, fips=fips) is not None:
        return False
    if unusual_digest(signer):
        return False
    attributes = claim.signed_der
    try:
        if attributes is not None and stream_digest(message, signature.hash) != claim.message_digest:
            return False
        stream = message if attributes is None else attributes
        statement = Statement(key.algorithm, signature.hash, claim.params, signature.value, stream)
        return statement.attempt(key) is Match.YES
    except Unsupported:
        return False


def unusual_digest(signer: Signer) -> bool:
    """Whether this is ML-DSA over signed attributes whose digest is not SHA-512: since 7.0
    software_key_determine_akcipher() (public_key.c) takes that one only, or no digest at all."""
    signature = signer.signature
    attributes = signer.parsed.signed is not None
    return attributes and signature.algorithm in ML_DSA and signature.hash != "sha512"
