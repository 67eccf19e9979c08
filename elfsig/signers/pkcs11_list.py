"""What tokens hold: private keys, public keys and certificates, by id and label."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pkcs11
from pkcs11 import Attribute, ObjectClass

from elfsig.errors import SigningError
from elfsig.lazy_tuple import NamedTuple
from elfsig.signers.outside import PublicHalf, from_certificates, public_half
from elfsig.signers.pkcs11_module import explained, load, matching_tokens, pin_of
from elfsig.signers.pkcs11_objects import attribute, public_of
from elfsig.signers.pkcs11_session import finish
from elfsig.signers.pkcs11_uri import SHOWN, Uri, parse

MAX_OBJECTS = 10_000
"""Objects of one kind in one token to look at."""

KINDS: tuple[tuple[Any, str], ...] = (
    (ObjectClass.PRIVATE_KEY, "private key"),
    (ObjectClass.PUBLIC_KEY, "public key"),
    (ObjectClass.CERTIFICATE, "certificate"),
)


class TokenKey(NamedTuple):
    """The objects of a token with the same id, or else the same label.

    ``uri`` names the key for signing; ``holds`` are the kinds of objects there are, in words; ``half`` is the
    certificate or the public key, None where the token reveals neither.
    """

    uri: str
    label: str
    holds: tuple[str, ...]
    half: PublicHalf | None


class TokenContent(NamedTuple):
    """The keys in one token. ``logged_in``: private keys are visible."""

    label: str
    keys: tuple[TokenKey, ...]
    logged_in: bool


def list_tokens(text: str, ask: Callable[[str], bytes] | None) -> list[TokenContent]:
    """The content of every token that the URI in ``text`` matches.

    ``ask`` returns the PIN; None: without one in the URI, nothing is logged into, and private keys that
    require a login are not found. Raises SigningError; also where no token matches.
    """
    uri = parse(text)
    library = load(uri)
    try:
        return [_content(token, uri, ask) for token in matching_tokens(library, uri)]
    except pkcs11.PKCS11Error as reason:
        raise SigningError(f"{uri.visible}: {explained(reason)}", code="token-failed") from None
    finally:
        finish(library)


def _content(token: Any, uri: Uri, ask: Callable[[str], bytes] | None) -> TokenContent:
    label = str(token.label).strip(" \0")
    said = {"pin-value", "pin-source"} & set(uri.query)
    pin = pin_of(uri, ask or _never, token)[0] if ask is not None or said else None
    session = token.open() if pin is None else token.open(user_pin=pin)
    try:
        return TokenContent(label, tuple(_keys(session, label, uri)), pin is not None)
    finally:
        session.close()


def _never(name: str) -> bytes:
    raise SigningError(f"{name}: no PIN was given", code="no-passphrase")


def _keys(session: Any, token: str, uri: Uri) -> Iterator[TokenKey]:
    """The objects, grouped: those with one id belong together; without an id, those with one label."""
    groups: dict[tuple[bytes, str], list[tuple[str, Any]]] = {}
    for kind, words in KINDS:
        for count, item in enumerate(list(session.get_objects({Attribute.CLASS: kind}))):
            if count == MAX_OBJECTS:
                raise SigningError(
                    f"more than {MAX_OBJECTS} objects of a kind in {token}", code="token-limit"
                )
            identity, label = attribute(item, Attribute.ID) or b"", attribute(item, Attribute.LABEL) or ""
            if _wanted(uri, identity, label):
                groups.setdefault((identity, "" if identity else label), []).append((words, item))
    for (identity, _), items in groups.items():
        label = next((name for _, item in items if (name := attribute(item, Attribute.LABEL))), "")
        holds = tuple(dict.fromkeys(words for words, _ in items))
        yield TokenKey(_uri(token, identity, label), label, holds, _half(session, items))


def _wanted(uri: Uri, identity: bytes, label: str) -> bool:
    return uri.path.get("object", label) == label and uri.id in (None, identity)


def _uri(token: str, identity: bytes, label: str) -> str:
    parts = [f"token={quote(token, safe=SHOWN)}"]
    parts += [f"object={quote(label, safe=SHOWN)}"] if label else []
    parts += ["id=" + "".join(f"%{byte:02x}" for byte in identity)] if identity else []
    return "pkcs11:" + ";".join(parts)


def _half(session: Any, items: list[tuple[str, Any]]) -> PublicHalf | None:
    """The certificate, else the public key, of a group of objects."""
    for words, item in items:
        value = attribute(item, Attribute.VALUE) if words == "certificate" else None
        if value:
            try:
                found = next(from_certificates(value, "the certificate in the token"), None)
            except SigningError:
                continue  # a damaged certificate in the token: its public key may be there
            if found is not None:
                return found
    for words, item in items:
        public = public_of(session, item) if words != "certificate" else None
        if public is not None:
            return public_half(public)
    return None
