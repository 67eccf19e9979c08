"""tokens: the keys in PKCS#11 tokens, in the form of those in key sources."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from elfsig.lazy_tuple import NamedTuple
from elfsig.model import Key
from elfsig.signers import list_tokens
from elfsig.trust.entries import Origin
from elfsig.trust.make import key_from_certificate, key_from_public

if TYPE_CHECKING:
    from elfsig.signers.pkcs11_list import TokenKey


class HeldKey(NamedTuple):
    """A key in a token: ``uri`` names it for signing, ``key`` is its public half (None: the token reveals
    none), ``words`` what the token holds of it."""

    uri: str
    key: Key | None
    words: str


def keys_in_tokens(uri: str, ask: Callable[[str], bytes] | None) -> Iterator[HeldKey]:
    """The keys in every token that ``uri`` matches. ``ask`` returns the PIN; None: no login without one in
    the URI. Raises SigningError."""
    for token in list_tokens(uri, ask):
        for each in token.keys:
            words = ", ".join(each.holds)
            hidden = "" if token.logged_in else " (a private key is not visible without the PIN)"
            yield HeldKey(each.uri, _key(each), words + hidden)


def _key(held: TokenKey) -> Key | None:
    half, origin = held.half, Origin(held.uri, vouched=True)
    if half is None:
        return None
    if half.certificate is not None:
        return key_from_certificate(half.certificate.der, origin)
    return key_from_public(half.public, origin, label=held.label or held.uri)
