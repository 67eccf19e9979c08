"""Combining checks with single keys into an outcome: the same rule for every envelope."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set

from elfsig.crypto.checks import Match, Unsupported
from elfsig.crypto.diagnosis import NOT_THIS_KEY, Signed, diagnose, wrong_length
from elfsig.crypto.pkcs1 import from_number, modulus_size, open_padding
from elfsig.model import Cause, Key, Keyring, Outcome, Signature, Verdict, Why

MISMATCH = Cause("mismatch", "the content or the signature was changed, or another key has the same id")


def judge(
    signature: Signature, keys: Keyring, attempt: Callable[[Key], Match], signed: Signed | None = None
) -> Outcome:
    """Try the keys that have one of the signature's ids, then those without an id of this kind.

    ``attempt`` checks the value with one key. ``signed`` is what the value should sign; with it, the
    reason for a mismatch under an RSA key is determined. A key that the user vouches for takes precedence
    over one that is only tried.
    """
    named, tried = keys.candidates(signature.key_ids)
    failed: list[Key] = []
    hits: list[Key] = []
    try:
        for number, key in enumerate((*named, *tried)):
            match = attempt(key)
            if match is Match.YES:
                hits.append(key)
            elif number < len(named) or _is_maker(key, match, signature):
                failed.append(key)
    except Unsupported as missing:
        return Outcome(Verdict.UNSUPPORTED, f"{missing.args[0]} cannot be checked here")
    if hits:
        return _matched(hits, keys)
    if failed:
        return _mismatched(signature, _most_telling(failed, signature), frozenset(named), signed)
    return Outcome(Verdict.UNKNOWN_KEY, "not made by any of the given keys")


def _is_maker(key: Key, match: Match, signature: Signature) -> bool:
    """Whether a key that did not match made the value nevertheless: its RSA padding opens."""
    if key.algorithm != "rsa":
        return False
    if match is Match.LENGTH:
        return bool(signature.value) and open_padding(key, from_number(key, signature.value)) is not None
    return match is Match.NO


def _most_telling(failed: Sequence[Key], signature: Signature) -> Key:
    """The key that made the value if one did, else the first."""
    for key in failed if signature.algorithm == "rsa" else ():
        if key.algorithm == "rsa" and open_padding(key, from_number(key, signature.value)) is not None:
            return key
    return failed[0]


def _matched(hits: Sequence[Key], keys: Keyring) -> Outcome:
    """Valid by a key that is vouched for and not revoked; a revocation takes precedence."""
    for each in hits:
        if (source := keys.revokes(key=each)) is not None:
            text = f"matches, but {source} revokes this key"
            why = Cause("revoked", text, {"source": source})
            return Outcome(Verdict.UNTRUSTED, text, each, anchor=each, cause=why)
    key = next((k for k in hits if k.trusted), hits[0])
    if key.trusted:
        return Outcome(Verdict.VALID, None, key, anchor=key)
    text = f"matches a key from {key.source}, which nobody vouched for"
    if key.why is Why.RECOVERED:
        text = f"{key.label}; whose key it is has not been established"
    elif key.why is not Why.TRIED:
        text = f"{text}: {key.why.text}"
    cause = None if key.why is Why.TRIED else Cause(str(key.why), text)
    return Outcome(Verdict.UNTRUSTED, text, key, anchor=key, cause=cause)


def _rsa_cause(signature: Signature, key: Key, signed: Signed) -> Cause | None:
    if signature.algorithm == "rsa":
        return diagnose(key, signature.hash or "", signature.value, signed)
    if signature.algorithm == "rsa-pss" and len(signature.value) != modulus_size(key):
        return wrong_length(key, signature.value)
    return None


def _mismatched(signature: Signature, key: Key, named: Set[Key], signed: Signed | None) -> Outcome:
    cause = MISMATCH
    if key not in named:
        cause = Cause("content-changed", f'the signature is genuine, by "{key.label}", over other content')
    if signed is not None and signature.hash and key.algorithm == "rsa":
        cause = _rsa_cause(signature, key, signed) or cause
    if cause.code == NOT_THIS_KEY and key in named:
        cause = cause._replace(text=f"{cause.text}; the signature names it by its id")
    return Outcome(Verdict.INVALID, cause.text, key, anchor=key, cause=cause)
