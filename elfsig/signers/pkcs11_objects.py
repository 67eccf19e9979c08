"""Objects in a token: the private key that the URI names, its certificate, its public half."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pkcs11
from cryptography.hazmat.primitives.asymmetric.dsa import DSAParameterNumbers, DSAPublicNumbers
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from pkcs11 import Attribute, KeyType, ObjectClass

from elfsig.crypto import der
from elfsig.crypto.public_keys import load_spki
from elfsig.errors import ParseError, SigningError
from elfsig.signers.outside import PublicHalf, from_certificates, public_half
from elfsig.signers.pkcs11_uri import SCHEME, Uri, parse

if TYPE_CHECKING:
    from pkcs11 import Session

_EC_PUBLIC_KEY = "1.2.840.10045.2.1"
_BIT_STRING = 0x03


def private_key(session: Session, uri: Uri) -> Any:
    """The one private key that the URI matches. Raises SigningError that lists the keys present."""
    wanted = _template(uri, pkcs11.ObjectClass.PRIVATE_KEY)
    found: list[Any] = list(session.get_objects(wanted))
    if len(found) == 1:
        return found[0]
    every = found or list(session.get_objects({pkcs11.Attribute.CLASS: pkcs11.ObjectClass.PRIVATE_KEY}))
    names = ", ".join(_shown(key) for key in every) or "no private keys"
    if found:
        raise SigningError(
            f"{uri.visible}: {len(found)} keys match ({names}): add object= or id=", code="ambiguous-key"
        )
    raise SigningError(f"{uri.visible}: no such private key; the token holds {names}", code="no-such-key")


def _template(uri: Uri, object_class: Any) -> dict[Any, Any]:
    wanted: dict[Any, Any] = {Attribute.CLASS: object_class}
    if "object" in uri.path:
        wanted[Attribute.LABEL] = uri.path["object"]
    if uri.id is not None:
        wanted[Attribute.ID] = uri.id
    return wanted


def _shown(key: Any) -> str:
    identity = attribute(key, Attribute.ID) or b""
    return (
        f"object={attribute(key, Attribute.LABEL) or '?'};id={''.join(f'%{byte:02x}' for byte in identity)}"
    )


def attribute(item: Any, which: Any) -> Any:
    """The value of an attribute, None where the token has none or does not reveal it."""
    try:
        return item[which]
    except (pkcs11.PKCS11Error, KeyError, NotImplementedError):
        return None


def find_half(
    session: Session, key: Any, uri: Uri, cert: str | None, read: Callable[[str], bytes]
) -> PublicHalf:
    """The public half: its certificate, else the public key alone. Raises SigningError."""
    public = public_of(session, key)
    if cert is None:
        found = _belonging(_own_certificates(session, key, public), public)
    elif cert.startswith(f"{SCHEME}:"):
        found = _belonging(_certificates(session, parse(cert)), public)
    else:
        found = _belonging(from_certificates(read(cert), cert), public)
    if found is not None:
        return found
    if cert is not None:
        raise SigningError(f"{cert}: no certificate of the key {uri.visible}", code="certificate-of-other")
    if public is None:
        text = f"{uri.visible}: the token holds neither its certificate nor its public key"
        raise SigningError(text, code="no-public-key", hint="cert")
    return public_half(public, None, uri.visible)


def _belonging(halves: Iterator[PublicHalf], public: Any) -> PublicHalf | None:
    """The key's certificate; the first one if the token does not reveal the key's public half."""
    return next((half for half in halves if public is None or half.public == public), None)


def _own_certificates(session: Session, key: Any, public: Any) -> Iterator[PublicHalf]:
    """Those with the key's id first, then all others: ids are set by hand."""
    identity = attribute(key, Attribute.ID)
    if identity:
        yield from _read(session, {Attribute.CLASS: ObjectClass.CERTIFICATE, Attribute.ID: identity})
    if public is not None:
        yield from _read(session, {Attribute.CLASS: ObjectClass.CERTIFICATE})


def _certificates(session: Session, uri: Uri) -> Iterator[PublicHalf]:
    return _read(session, _template(uri, ObjectClass.CERTIFICATE))


def _read(session: Session, wanted: dict[Any, Any]) -> Iterator[PublicHalf]:
    for item in list(session.get_objects(wanted)):
        value = attribute(item, Attribute.VALUE)
        if value:
            yield from from_certificates(value, "the certificate in the token")


# --------------------------------------------------------------------------- public keys


def public_of(session: Session, key: Any) -> Any:
    """The key's public half, None where the token does not reveal it."""
    identity = attribute(key, Attribute.ID)
    wanted = {Attribute.CLASS: ObjectClass.PUBLIC_KEY, Attribute.ID: identity}
    public = next(iter(list(session.get_objects(wanted))), None) if identity else None
    build = {KeyType.RSA: _rsa, KeyType.EC: _ec, KeyType.DSA: _dsa}.get(key.key_type)
    return build(key, public) if build else None


def _rsa(key: Any, public: Any) -> Any:
    for item in (key, public):
        modulus = attribute(item, Attribute.MODULUS) if item is not None else None
        exponent = attribute(item, Attribute.PUBLIC_EXPONENT) if item is not None else None
        if modulus and exponent:
            numbers = (int.from_bytes(each, "big") for each in (exponent, modulus))
            return _loaded(lambda e, n: RSAPublicNumbers(e, n).public_key(), *numbers)
    return None


def _ec(key: Any, public: Any) -> Any:
    params = attribute(public, Attribute.EC_PARAMS) if public is not None else None
    point = attribute(public, Attribute.EC_POINT) if public is not None else None
    if not params or not point:
        return None
    try:
        inner = der.read(point, 0, len(point))
        point = (
            point[inner.body : inner.end] if inner.tag == der.OCTETS and inner.next == len(point) else point
        )
    except ParseError:
        pass  # some tokens return the point without the OCTET STRING that PKCS#11 requires around it
    algorithm = der.encode(der.SEQUENCE, der.encode_oid(_EC_PUBLIC_KEY), params)
    return load_spki(der.encode(der.SEQUENCE, algorithm, der.encode(_BIT_STRING, b"\0", point)))


def _dsa(key: Any, public: Any) -> Any:
    names = (Attribute.PRIME, Attribute.SUBPRIME, Attribute.BASE, Attribute.VALUE)
    values = [attribute(public, name) or b"" for name in names] if public is not None else [b""]
    if not all(values):
        return None
    numbers = (int.from_bytes(value, "big") for value in values)
    return _loaded(
        lambda p, q, g, y: DSAPublicNumbers(y, DSAParameterNumbers(p, q, g)).public_key(), *numbers
    )


def _loaded(build: Callable[..., Any], *numbers: int) -> Any:
    try:
        return build(*numbers)
    except ValueError:
        return None
