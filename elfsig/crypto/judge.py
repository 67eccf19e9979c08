"""Combining checks with single keys into an outcome: the same rule for every envelope."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set

from elfsig.crypto.checks import KEY_UNSUPPORTED, MESSAGE_ALGORITHMS, Match, Unsupported
from elfsig.crypto.diagnosis import NOT_THIS_KEY, Signed, diagnose, wrong_length
from elfsig.crypto.pkcs1 import from_number, modulus_size, open_padding
from elfsig.model import Candidates, Cause, Key, KeyId, Keyring, Outcome, Signature, Verdict, Why

MISMATCH = Cause("mismatch", "the content or the signature was changed, or another key has the same id")


OTHER_ID = "other-id"
"""Code of the cause where a given key made the value and the signature names another certificate or id."""

KEYS_UNTRIED = "keys-untried"
"""Code of the cause where some of the given keys cannot be checked with here, and may have made the value."""

CERTIFICATE_MISSING = "certificate-missing"
"""Code of the cause where a certificate of the named issuer is given, and not the one that is named."""


def judge(
    signature: Signature, keys: Keyring, attempt: Callable[[Key], Match], signed: Signed | None = None
) -> Outcome:
    """Try the keys that have one of the signature's ids, then those without an id of this kind.

    ``attempt`` checks the value with one key. ``signed`` is what the value should sign; with it, the
    reason for a mismatch under an RSA key is determined. A key that the user vouches for takes precedence
    over one that is only tried.
    """
    named, tried = asked = keys.candidates(signature.key_ids)
    failed: list[Key] = []
    restricted: list[Key] = []
    hits: list[Key] = []
    try:
        for number, key in enumerate((*named, *tried)):
            match = attempt(key)
            if match is Match.YES:
                hits.append(key)
            elif match is Match.RESTRICTED:
                restricted.append(key)
            elif number < len(named) or _is_maker(key, match, signature):
                failed.append(key)
    except Unsupported as missing:
        return Outcome(Verdict.UNSUPPORTED, f"{missing.args[0]} cannot be checked here")
    if hits:
        return _matched(hits, keys)
    if restricted:
        return _restricted(restricted[0])
    if failed:
        return _mismatched(signature, _most_telling(failed, signature), frozenset(named), signed)
    return _unnamed(signature, keys, attempt, asked)


def _restricted(key: Key) -> Outcome:
    """RFC 4055 1.2: a key with the identifier id-RSASSA-PSS is for that scheme only, and with its parameters
    for no others (3.3). OpenSSL refuses such a value, kernels do not load such a key."""
    text = f'"{key.label}" made it, whose key is restricted to RSASSA-PSS (RFC 4055 1.2): it is not for this'
    return Outcome(Verdict.UNSUPPORTED, text, key, anchor=key, cause=Cause("key-restricted", text))


def _unnamed(
    signature: Signature, keys: Keyring, attempt: Callable[[Key], Match], asked: Candidates
) -> Outcome:
    """The outcome where no key that was ``asked`` made the value: it may be one that cannot be used here, or
    one that the signature does not name."""
    ids, unusable = frozenset(signature.key_ids), tuple(getattr(keys, "unusable", ()))
    lost = next((key for key in unusable if not key.ids.isdisjoint(ids)), None)
    if lost is not None:
        text = f'the signer\'s key "{lost.label}" cannot be used ({_why_unusable(lost)})'
        return Outcome(Verdict.UNSUPPORTED, text, lost, anchor=lost, cause=Cause("key-unusable", text))
    kinds = _KINDS.get(signature.algorithm or "", ())
    tried = {key.fingerprint for key in (*asked.named, *asked.nameless)}
    others = {key.fingerprint: key for key in reversed(keys.keys) if key.algorithm in kinds}
    try:
        for fingerprint, key in others.items():
            if fingerprint not in tried and attempt(key) is Match.YES:
                return _by_another_id(key, keys, ids)
    except Unsupported as missing:
        text = f"none of the given keys has the id that it names; {missing.args[0]} cannot be checked here"
        return Outcome(Verdict.UNKNOWN_KEY, text, cause=Cause(KEYS_UNTRIED, text))
    untried = [key for key in unusable if key.algorithm in kinds and key.certificate is None]
    if untried:
        text = f"not made by any of the given keys that can be used; {_why_unusable(untried[0])}"
        return Outcome(Verdict.UNKNOWN_KEY, text, cause=Cause(KEYS_UNTRIED, text))
    text = "not made by any of the given keys"
    above = issuer_among(keys.keys, ids)
    if above is None:
        return Outcome(Verdict.UNKNOWN_KEY, text)
    text = f'{text}; it names a certificate that "{above.label}" issued, not the given one of that name'
    text = f"{text} (from {above.source})"
    return Outcome(Verdict.UNKNOWN_KEY, text, cause=Cause(CERTIFICATE_MISSING, text))


def issuer_among(keys: Iterable[Key], ids: Iterable[KeyId]) -> Key | None:
    """The key whose certificate has the name of the issuer that a signature gives, and is not the one named.

    A signature names its certificate by issuer and serial number: of a chain, the name is not the signer's.
    """
    wanted = [value for kind, value in ids if kind == "issuer-serial"]
    if not wanted:
        return None
    named = ((key, key.certificate.subject + b"|") for key in keys if key.certificate is not None)
    return next((key for key, start in named if any(each.startswith(start) for each in wanted)), None)


_KINDS: Mapping[str, tuple[str, ...]] = {
    each: (each,) for each in ("rsa", "dsa", "ecdsa", *sorted(MESSAGE_ALGORITHMS))
} | {"rsa-pss": ("rsa", "rsa-pss")}
"""The kinds of key that can have made a value of each signature algorithm."""


def _why_unusable(key: Key) -> str:
    return next((each.text for each in key.remarks if each.code == KEY_UNSUPPORTED), "it cannot be checked")


def _by_another_id(key: Key, keys: Keyring, ids: Set[KeyId]) -> Outcome:
    """A given key made the value, and kernels do not find it by what the signature names: a certificate
    that was renewed with the same key has another serial number, an OpenPGP key made again another time."""
    named = "certificate" if any(kind in _CERTIFICATE_IDS for kind, _ in ids) else "id"
    text = f'the key of "{key.label}" (from {key.source}) made it, but it names another {named}'
    source = keys.revokes(key=key)
    if source is not None:
        text = f"{text}; {source} revokes this key"
    return Outcome(Verdict.UNKNOWN_KEY, text, key, anchor=key, cause=Cause(OTHER_ID, text))


_CERTIFICATE_IDS = frozenset({"issuer-serial", "skid", "x509-name"})


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
