"""The verdict on a record of a survey by the keys of a policy: which of its signatures decides, and what of
the answer the record leaves open."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from elfsig.lazy_tuple import NamedTuple
from elfsig.model import Verdict
from elfsig.verbs.survey.shapes import Each, OneOf, check_of
from elfsig.verbs.verify.layers import RANK
from elfsig.verbs.verify.misnamed import SIGNED

Record = Mapping[str, Any]

REVOKED = "the policy revokes its key"

DECIDES = (Verdict.INVALID, Verdict.UNSIGNED)
"""Words that decide whatever other signers say. No survey says of a file with a signature that it is
unsigned; a record that somebody wrote may."""


class KnownKeys(NamedTuple):
    """The keys that a rule trusts, by their fingerprints. ``why``: what of its sources could not be read.

    ``by_hash``: certificates or files are revoked by their hashes, which records do not have.
    """

    trusted: frozenset[str] = frozenset()
    revoked: frozenset[str] = frozenset()
    by_hash: bool = False
    why: str | None = None


class Decided(NamedTuple):
    """``sig`` decides; None where there is none. ``why`` is the reason where keys decide; ``revoked`` are
    further signers with a revoked key, ``open_`` those of whom it is not known, beside a valid one."""

    sig: Record | None
    verdict: Verdict
    why: str | None = None
    revoked: tuple[Record, ...] = ()
    open_: tuple[Record, ...] = ()


def decided(record: Record, keys: KnownKeys) -> Decided:
    """The verdict by the rule of :func:`elfsig.verbs.verify.layers.decisive`, for these keys."""
    signers = list(_signers(record))
    if not signers:
        return Decided(None, Verdict(record["verdict"]))
    for each in signers:
        given = each is signers[0] or not keys.trusted.isdisjoint(_prints(each))
        if given and (word := _word(each)) in DECIDES:
            return Decided(each, word)
    verdicts = [_verdict(each, keys) for each in signers]
    best = min(range(len(signers)), key=lambda number: RANK.index(verdicts[number][0]))
    sig, (verdict, why) = signers[best], verdicts[best]
    if verdict in SIGNED and _number(sig, "signer_count") > len(signers):
        return Decided(sig, Verdict.UNCHECKED, "the record has only one of several signers")
    if verdict is not Verdict.VALID:
        return Decided(sig, verdict, why)
    others = [(each, said) for each, (_, said) in zip(signers, verdicts, strict=True) if each is not sig]
    revoked = tuple(each for each, said in others if said == REVOKED)
    open_ = tuple(each for each, _ in others if keys.revoked and not _prints(each))
    return Decided(sig, verdict, why, revoked, open_)


def _signers(record: Record) -> Iterator[Record]:
    """The signers of the message that decides: first the one that decided in the survey, by its verdict on
    the file."""
    stated = next((each for each in record["signatures"] if each.get("effective")), None)
    if stated is None:
        return
    yield {**stated, "verdict": record["verdict"]}
    for each in record["signatures"]:
        if each is not stated and each.get("layer") == stated.get("layer"):
            yield each


def _word(sig: Record) -> Verdict:
    return Verdict(sig.get("verdict") or Verdict.UNCHECKED)


def _prints(sig: Record) -> list[str]:
    """Fingerprints of the key that made the value, of the embedded issuers and of the key that vouches."""
    keys = (sig["key"], *(sig.get("chain") or ()), sig.get("anchor"))
    return [each["fingerprint"] for each in keys if each]


def _verdict(sig: Record, keys: KnownKeys) -> tuple[Verdict, str | None]:
    """The verdict on one signature, and the reason where the keys decide."""
    verdict = _word(sig)
    if verdict in (Verdict.UNKNOWN_KEY, Verdict.UNCHECKED):
        return Verdict.UNCHECKED, keys.why or "the survey did not have the key of its signature"
    if verdict not in SIGNED:
        return verdict, None
    if keys.why is not None:
        return Verdict.UNCHECKED, keys.why
    prints = _prints(sig)
    if not prints:
        return Verdict.UNCHECKED, "the record does not say which key its signature matches"
    if not keys.revoked.isdisjoint(prints):
        return Verdict.UNTRUSTED, REVOKED
    trusted = not keys.trusted.isdisjoint(prints)
    if _has_more_issuers(sig) and (keys.revoked or not trusted):
        return Verdict.UNCHECKED, "the record does not have the keys of all embedded certificates"
    if not trusted:
        return Verdict.UNTRUSTED, "the policy does not trust its key"
    if keys.by_hash:
        return Verdict.UNCHECKED, "keys are revoked by hashes that the record does not have"
    return Verdict.VALID, None


def _has_more_issuers(sig: Record) -> bool:
    """Whether certificates are embedded that the survey did not follow: it stops at the first key it has."""
    by_chain = (sig.get("cause") or {}).get("code") == "chain"
    followed = 1 + len(sig.get("chain") or ()) if by_chain else 0
    return _number(sig, "certificates") > followed


def _number(sig: Record, name: str) -> int:
    """One of the numbers among an envelope's facts; 0 where it has none of that name."""
    found: int = (sig.get("facts") or {}).get(name, 0)
    return found


_KEY = {"fingerprint": str}
_CHECKS = {
    "verdict": check_of(OneOf(tuple(each.value for each in RANK))),
    "layer": check_of(int),
    "cause": check_of({}),
    "chain": check_of(Each(_KEY)),
    "anchor": check_of(_KEY),
    "facts": check_of({}),
}
_NUMBERS = ("certificates", "signer_count")


def is_sound(sig: Record) -> bool:
    """Whether what is looked at here has its shape, where a signature of a record has it."""
    if not all(check(sig[name]) for name, check in _CHECKS.items() if sig.get(name) is not None):
        return False
    return all(type((sig.get("facts") or {}).get(name, 0)) is int for name in _NUMBERS)
