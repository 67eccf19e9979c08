"""Checking one signer of a CMS: its signed attributes, its value, the certificates that came with it."""

from __future__ import annotations

from elfsig.crypto.checks import Unsupported, judge
from elfsig.envelopes.cms.envelope import Claim
from elfsig.envelopes.cms.statement import Statement, stream_digest
from elfsig.model import Key, Keyring, Message, Outcome, Remark, Signature, Verdict


def verify(signature: Signature, message: Message, keys: Keyring) -> Outcome:
    """The outcome for a signature that Cms.parse gave; see model.Envelope. Never raises."""
    if signature.fault is not None:
        return Outcome(Verdict.MALFORMED, signature.fault.text, None, (signature.fault,))
    contradiction = next((r for r in signature.remarks if r.code == "hash-mismatch"), None)
    if contradiction is not None and signature.algorithm == "rsa":
        # Kernels read no RSA identifier that names a hash; in one of ECDSA they do not look at it.
        text = f"{contradiction.text}: one hash contradicts the other"
        return Outcome(Verdict.UNSUPPORTED, text)
    claim: Claim = signature.detail
    try:
        statement = Statement(
            signature.algorithm or _unknown(signature),
            signature.hash,
            claim.params,
            signature.value,
            message if claim.signed_der is None else claim.signed_der,
        )
        if claim.signed_der is not None and stream_digest(message, signature.hash) != claim.message_digest:
            return Outcome(
                Verdict.INVALID,
                "the signed messageDigest is not the digest of the content: the content was changed",
            )
    except Unsupported as missing:
        shown = signature.hash_text if missing.args[0] == "hash None" else None
        name = f"hash {shown}" if shown else missing.args[0]
        return Outcome(Verdict.UNSUPPORTED, f"{name} cannot be checked here")
    outcome = judge(signature, keys, statement.attempt)
    if claim.certificates and outcome.verdict in (Verdict.UNKNOWN_KEY, Verdict.UNTRUSTED):
        from elfsig.envelopes.cms.chain import through_embedded

        outcome = through_embedded(signature, statement, keys, outcome)
    return _with_length(signature, outcome)


def _unknown(signature: Signature) -> str:
    raise Unsupported(signature.algorithm_text or "the signature algorithm")


def _with_length(signature: Signature, outcome: Outcome) -> Outcome:
    """Name an RSA value that is not as long as the modulus: it matches here and in no kernel."""
    key: Key | None = outcome.key
    if key is None or key.algorithm != "rsa" or not signature.value:
        return outcome
    size = (key.bits + 7) // 8
    if outcome.verdict not in (Verdict.VALID, Verdict.UNTRUSTED) or len(signature.value) == size:
        return outcome
    text = f"value of {len(signature.value)} bytes for a modulus of {size}; kernels answer EKEYREJECTED"
    remark = Remark("value-length", text, signature.facts.get("value_offset"))
    return outcome._replace(remarks=(*outcome.remarks, remark))
