"""Checking one signer of a CMS: its signed attributes, its value, the embedded certificates."""

from __future__ import annotations

from elfsig.crypto.checks import Unsupported
from elfsig.crypto.diagnosis import Signed, signed_message
from elfsig.crypto.hashes import shown_hash
from elfsig.crypto.judge import judge
from elfsig.envelopes.cms.statement import Statement, stream_digest
from elfsig.envelopes.cms.types import Claim
from elfsig.model import Cause, Keyring, Message, Outcome, Signature, Verdict


def verify(signature: Signature, message: Message, keys: Keyring) -> Outcome:
    """The outcome for a signature returned by Cms.parse; see model.Envelope. Never raises."""
    if signature.fault is not None:
        return Outcome(Verdict.MALFORMED, signature.fault.text, None, (signature.fault,))
    remarks = signature.remarks
    contradiction = next((r for r in remarks if r.code == "hash-mismatch"), None) if remarks else None
    if contradiction is not None and signature.algorithm in ("rsa", "rsa-pss"):
        # Kernels do not support RSA identifiers that name a hash; in those of ECDSA they ignore it.
        text = f"{contradiction.text}: one hash contradicts the other"
        return Outcome(Verdict.UNSUPPORTED, text, cause=Cause(contradiction.code, text))
    claim: Claim = signature.detail
    try:
        statement = _statement(signature, message)
        digest = None if claim.signed_der is None else stream_digest(message, signature.hash)
    except Unsupported as missing:
        shown = signature.hash_text if missing.args[0] == "hash None" else None
        name = f"hash {shown}" if shown else missing.args[0]
        return Outcome(Verdict.UNSUPPORTED, f"{name} cannot be checked here")
    signed = _signed(claim, message)
    outcome = judge(signature, keys, statement.attempt, signed)
    if claim.certificates:
        from elfsig.envelopes.cms.chain import through_embedded

        outcome = through_embedded(signature, statement, keys, outcome, signed)
    if digest is None or digest == claim.message_digest:
        return outcome
    return _other_message(signature, outcome, digest)


def _statement(signature: Signature, message: Message) -> Statement:
    """The value, over the message or over the signed attributes (RFC 5652, 5.4). Raises Unsupported."""
    claim: Claim = signature.detail
    if signature.algorithm is None:
        raise Unsupported(signature.algorithm_text or "the signature algorithm")
    stream = message if claim.signed_der is None else claim.signed_der
    return Statement(signature.algorithm, signature.hash, claim.params, signature.value, stream)


def _signed(claim: Claim, message: Message) -> Signed:
    attributes = claim.signed_der
    if attributes is None:
        return signed_message(message)
    return Signed(lambda name: stream_digest(attributes, name), "signed attributes")


def _other_message(signature: Signature, outcome: Outcome, digest: bytes) -> Outcome:
    """The outcome if the signed messageDigest is not that of the content, which can be seen without a key.

    ``outcome`` is that of the value over the attributes: it says whether the messageDigest is genuine.
    """
    claim: Claim = signature.detail
    signed = (claim.message_digest or b"").hex()
    facts = {"hash": signature.hash, "signed_digest": signed, "digest": digest.hex()}
    text = "the signed messageDigest is not the digest of the content: the content was changed"
    good = outcome.verdict in (Verdict.VALID, Verdict.UNTRUSTED)
    if good and outcome.key is not None:
        name = shown_hash(signature.hash or "")
        text = (
            f'the signature is genuine, by "{outcome.key.label}", over content with {name} {signed} (its'
            f" messageDigest); this file has {digest.hex()}: the content was changed"
        )
    cause = Cause("message-digest", text, facts)
    if not good:
        return Outcome(Verdict.INVALID, text, None, outcome.remarks, cause=cause)
    return outcome._replace(verdict=Verdict.INVALID, reason=text, cause=cause)
