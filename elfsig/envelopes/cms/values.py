"""Values in a CMS, and in the certificates embedded in it, in terms that general tools understand."""

from __future__ import annotations

from collections.abc import Iterator

from elfsig.crypto.checks import MESSAGE_ALGORITHMS, Unsupported
from elfsig.envelopes.cms.chain import parse_embedded
from elfsig.envelopes.cms.statement import Statement, pss_numbers
from elfsig.envelopes.cms.types import Claim
from elfsig.errors import ParseError
from elfsig.model import Key, Scheme, Signature, SignedValue

_SCHEMES: dict[str, Scheme] = {
    "rsa": "rsa", "rsa-pss": "rsa-pss", "dsa": "dsa", "ecdsa": "ecdsa",
    **dict.fromkeys(MESSAGE_ALGORITHMS, "message"),
}  # fmt: skip


def signed_values(signature: Signature, key: Key | None) -> Iterator[SignedValue]:
    """The value over the message, or over the signed attributes (RFC 5652, 5.4), which hold its digest.

    ``key`` None: whatever key made it.
    """
    claim: Claim = signature.detail
    try:
        found = _value(signature.algorithm or "", signature.hash, claim.params, signature.value, key)
    except Unsupported:
        return
    attributes, digest = claim.signed_der, claim.message_digest
    if found is None or attributes is None:
        yield from () if found is None else (found,)
        return
    at = attributes.find(digest) if digest else -1
    if at < 0 or signature.hash is None:
        yield found._replace(statement=attributes)
    else:
        yield found._replace(statement=attributes, digest_hash=signature.hash, digest_at=at)


def certificate_value(certificate: bytes, issuer: Key) -> SignedValue | None:
    """The signature of a certificate (RFC 5280, 4.1.1.3), if ``issuer`` made it; its ``statement`` is the
    tbsCertificate. None for one that cannot be read, and for algorithms that are not known."""
    try:
        signed: Statement = parse_embedded(certificate).signed
        found = _value(signed.algorithm, signed.hash, signed.params, signed.value, issuer)
    except (ParseError, Unsupported):
        return None
    if found is None or not isinstance(signed.stream, bytes):
        return None
    return found._replace(statement=signed.stream)


def _value(
    algorithm: str, hash_name: str | None, params: bytes | None, value: bytes, key: Key | None
) -> SignedValue | None:
    """The value for a key of its kind; None for another. Raises Unsupported."""
    scheme = _SCHEMES.get(algorithm)
    kinds = ("rsa", "rsa-pss") if scheme == "rsa-pss" else (algorithm,)
    if scheme is None or (key is not None and key.algorithm not in kinds):
        return None
    if scheme == "message":
        return SignedValue(scheme, "", value)
    if hash_name is None:
        return None
    if scheme != "rsa-pss":
        return SignedValue(scheme, hash_name, value)
    mask_hash, salt = pss_numbers(params)
    return SignedValue(scheme, hash_name, value, mask_hash=mask_hash, salt=salt)
