"""``pkcs11:`` URIs (RFC 7512): which token, which object, which library, and where the PIN comes from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

from elfsig.errors import SigningError

SCHEME = "pkcs11"

_PATH = frozenset(
    {
        "token", "manufacturer", "serial", "model", "library-manufacturer", "library-version",
        "library-description", "object", "type", "id", "slot-id", "slot-manufacturer", "slot-description",
    }
)  # fmt: skip
_QUERY = frozenset({"pin-source", "pin-value", "module-name", "module-path"})
_TYPES = frozenset({"public", "private", "cert", "secret-key", "data"})
SHOWN = ":[]@!$'()*+,="
"""Reserved characters that need no escape in an attribute (RFC 7512, 2.3)."""


class Uri(NamedTuple):
    """A URI's attributes, decoded; ``path`` are those before the question mark.

    ``id`` is in bytes as CKA_ID is; the others are text.
    """

    path: Mapping[str, str]
    query: Mapping[str, str]
    id: bytes | None

    @property
    def visible(self) -> str:
        """The URI without anything secret, for messages."""
        parts = [
            f"{name}={quote(self.id, safe='') if name == 'id' and self.id else quote(value, safe=SHOWN)}"
            for name, value in self.path.items()
        ]
        return f"{SCHEME}:" + ";".join(parts)


def parse(text: str) -> Uri:
    """The URI in ``text``. Raises SigningError, never showing a PIN.

    Unknown attributes are refused in the path, where they would narrow the choice, and ignored
    in the query.
    """
    try:
        text.encode()
    except UnicodeEncodeError:  # bytes of the command line that are not a text
        raise _fault("it is not UTF-8") from None
    scheme, _, rest = text.partition(":")
    if scheme.lower() != SCHEME:
        raise SigningError("not a pkcs11: URI", code="pkcs11-uri")
    front, _, tail = rest.partition("?")
    path = _attributes(front, ";")
    query = {name: value for name, value in _attributes(tail, "&").items() if name in _QUERY}
    unknown = sorted(set(path) - _PATH)
    if unknown:
        raise _fault(f"unknown attribute {unknown[0]!r}: choose from {', '.join(sorted(_PATH))}")
    if path.get("type", "private") not in _TYPES:
        raise _fault(f"type is {path['type']!r}: choose from {', '.join(sorted(_TYPES))}")
    if not re.fullmatch(r"[0-9]{1,20}", path.get("slot-id", "0")):
        raise _fault("slot-id is not a number")
    if {"pin-source", "pin-value"} <= set(query):
        raise _fault("pin-source and pin-value exclude each other")
    identity = path.get("id")
    return Uri(
        {name: _text(name, value) for name, value in path.items()},
        {name: _text(name, value) for name, value in query.items()},
        None if identity is None else unquote_to_bytes(identity),
    )


def _attributes(text: str, separator: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in text.split(separator) if text else ():
        name, equals, value = part.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z0-9_-]+", name):
            raise _fault("it has a part that is not NAME=VALUE")
        if name in found:
            raise _fault(f"{name} is given twice")
        if re.search(r"%(?![0-9A-Fa-f]{2})", value):
            raise _fault(f"a % in {name} is not followed by two hexadecimal digits")
        found[name] = value
    return found


def _text(name: str, value: str) -> str:
    data = unquote_to_bytes(value)
    if name == "id":
        return data.hex()
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise _fault(f"{name} is not UTF-8") from None


def _fault(text: str) -> SigningError:
    return SigningError(f"pkcs11 URI: {text} (RFC 7512)", code="pkcs11-uri")
