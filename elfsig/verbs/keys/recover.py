"""keys recover: the public key that made two or more RSA signatures, from the signatures alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from elfsig.envelopes.openpgp.keys import key_body, key_id_of
from elfsig.errors import ParseError, VerificationError
from elfsig.model import Key, KeyId, Signature, Why
from elfsig.model.json_form import time_text
from elfsig.opened.module import Module
from elfsig.opened.places import LocatedSignature
from elfsig.trust.entries import Origin
from elfsig.trust.make import key_from_public
from elfsig.trust.marks import recovered_text
from elfsig.trust.recover import EXPONENTS, Equation, Solution, Tell, arithmetic, equation, made_by, recover

SPAN = 30 * 86400
"""How many seconds before a signature its OpenPGP key's creation time is searched for: it is part of the
key's id, and not known."""


class Claim(NamedTuple):
    """One RSA signature: the file it is in, its format, and what it says about the unknown key."""

    path: str
    format: str
    layer: int
    signature: Signature
    equation: Equation


class StoredId(NamedTuple):
    """A key id that a signature names: ``follows`` from the recovered key, does not, or None: it cannot be
    checked with a bare key. ``text`` says how."""

    kind: str
    value: bytes
    follows: bool | None
    text: str


@dataclass(frozen=True, slots=True)
class Recovered:
    """A key, the signatures that it made, those of the same files that it did not make, and what their key
    ids say. ``pem`` is the key with a label by which elfsig recognizes it."""

    key: Key
    exponent: int
    made: tuple[Claim, ...]
    others: tuple[Claim, ...]
    ids: tuple[StoredId, ...]
    pem: bytes


# --------------------------------------------------------------------------- what the files say


def claims(module: Module) -> list[Claim]:
    """The RSA signatures of one file from which an equation can be made."""
    sound = [found for found in module.places if found.place.fault is None]
    return [claim for found in sound for claim in _claims_at(module, found)]


def _claims_at(module: Module, found: LocatedSignature) -> Iterator[Claim]:
    """Those of the first claimant that has any; its coverages are joined, since it is not known which was
    signed."""
    for format_ in found.claimants:
        merged: dict[tuple[str, bytes], Claim] = {}
        for pair in format_.pairs:
            try:
                signatures = pair.envelope.parse(found.place.blob, found.place.params)
                message = module.message(pair.coverage, found.image, found.place)
            except ParseError:
                continue
            for signature in signatures:
                made = equation(pair.envelope, signature, message)
                if made is not None:
                    claim = Claim(module.path, format_.id, found.layer, signature, made)
                    _merge(merged, claim)
        if merged:
            yield from merged.values()
            return


def _merge(merged: dict[tuple[str, bytes], Claim], claim: Claim) -> None:
    name = claim.signature.envelope, claim.signature.value
    known = merged.get(name)
    if known is not None:
        bodies = {body.content: body for body in (*claim.equation.bodies, *known.equation.bodies)}
        claim = known._replace(equation=Equation(known.equation.value, tuple(reversed(bodies.values()))))
    merged[name] = claim


def _groups(found: Sequence[Claim]) -> list[list[Claim]]:
    """Signatures that name one key by the same id, largest group first; where no two do, all together."""
    groups: list[list[Claim]] = []
    for claim in found:
        ids = set(claim.signature.key_ids)
        same = next((g for g in groups if ids & set(g[0].signature.key_ids)), None)
        if same is None:
            groups.append([claim])
        else:
            same.append(claim)
    worth = sorted((g for g in groups if len(_distinct(g)) > 1), key=len, reverse=True)
    return worth or [list(found)]


def _distinct(found: Sequence[Claim]) -> list[Equation]:
    """Each value once: the same signature in a second file adds no information."""
    return list({claim.equation.number: claim.equation for claim in found}.values())


# --------------------------------------------------------------------------- the verb


def recover_key(files: Sequence[Module], tell: Tell, exponents: Sequence[int] = EXPONENTS) -> Recovered:
    """The key that made the signatures of ``files``. ``tell`` gets a line before each long step.

    Raises VerificationError without two RSA signatures, or without two by the same key; UsageError where
    gmpy2 is needed and missing.
    """
    found = [claim for module in files for claim in claims(module)]
    if len(_distinct(found)) < 2:
        raise VerificationError(_too_few(found), code="too-few-signatures")
    by = arithmetic()
    for group in _groups(found):
        if (key := recover(_distinct(group), exponents, tell, by)) is not None:
            return _recovered(key, found)
    raise VerificationError("no two of the signatures were made by the same RSA key", code="not-one-key")


def _too_few(found: Sequence[Claim]) -> str:
    text = f"two different RSA signatures by the same key are needed, found {len(_distinct(found))}"
    if len(found) > 1:
        text += f": {len(found)} have the same value, since they sign the same content"
    return text


def _recovered(numbers: Solution, found: Sequence[Claim]) -> Recovered:
    made = tuple(claim for claim in found if made_by(claim.equation, numbers))
    others = tuple(claim for claim in found if claim not in made)
    public = RSAPublicNumbers(numbers.exponent, numbers.modulus).public_key()
    names = tuple(dict.fromkeys(claim.path for claim in made))
    key = key_from_public(public, Origin(", ".join(names), vouched=False, why=Why.RECOVERED))
    ids = tuple(_ids(made, key))
    armoured: bytes = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    confirmed = [f"{each.kind} {each.value.hex()}, {each.text}" for each in ids if each.follows]
    return Recovered(key, numbers.exponent, made, others, ids, recovered_text(names, confirmed) + armoured)


# --------------------------------------------------------------------------- the stored ids


def _ids(made: Sequence[Claim], key: Key) -> Iterator[StoredId]:
    seen: set[KeyId] = set()
    for claim in made:
        for kind, value in claim.signature.key_ids:
            if (kind, value) not in seen and kind in _CHECKS:
                yield StoredId(kind, value, *_CHECKS[kind](value, key, claim.signature))
            seen.add((kind, value))


Checked = tuple[bool | None, str]


def _own(kind: str, how: str, certain: bool) -> Callable[[bytes, Key, Signature], Checked]:
    """Check an id that follows from the key; not ``certain``: certificates may have another."""

    def check(value: bytes, key: Key, signature: Signature) -> Checked:
        if (kind, value) in key.ids:
            return True, how
        return (False, f"not {how}") if certain else (None, f"not {how}; a certificate may have another")

    return check


def _openpgp(value: bytes, key: Key, signature: Signature) -> Checked:
    """RFC 4880, 12.2: of a v3 key the modulus' last 8 bytes; of a v4 key a hash with its creation in it."""
    numbers = key.public.public_numbers()
    if numbers.n.to_bytes(key.bits // 8 + 1)[-8:] == value:
        return True, "the modulus' last bytes (version 3 key)"
    if key_id_of(key.public, 0) == value:
        return True, "version 4 key with the creation time 0"
    created = _created(value, key.public, signature.created)
    if created is None:
        return None, "the key's creation time, on which it depends, is not known"
    return True, f"version 4 key created {_time(created)}"


def _created(value: bytes, public: Any, until: int | None) -> int | None:
    """The creation time that gives a v4 key this id, at or shortly before ``until``; None where none does."""
    body = key_body(public, 0)
    head, tail = b"\x99" + len(body).to_bytes(2) + body[:1], body[5:]
    for moment in range(until or 0, max(0, (until or 0) - SPAN), -1):
        state = hashlib.sha1(head + moment.to_bytes(4) + tail, usedforsecurity=False)
        if state.digest()[-8:] == value:
            return moment
    return None


def _time(moment: int) -> str:
    return time_text(moment)


_CHECKS: dict[str, Callable[[bytes, Key, Signature], Checked]] = {
    "skid": _own("skid", "SHA-1 of the key", False),
    "digsig1": _own("digsig1", "SHA-1 of IMA's key form", True),
    "digsig2": _own("digsig2", "SHA-1 of the key, shortened", False),
    "openpgp": _openpgp,
}
"""Ids that can be compared with a bare key; issuer and serial cannot."""
