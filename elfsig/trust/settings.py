"""What other tools' files say about trust in their own certificates: OpenSSL's settings, p11-kit's marks.

``TRUSTED CERTIFICATE`` (PEM_STRING_X509_TRUSTED) is a certificate and a CertAux (crypto/x509/x_x509a.c)::

    SEQUENCE { trust SEQUENCE OF OID OPTIONAL, reject [0] SEQUENCE OF OID OPTIONAL, alias UTF8String OPTIONAL,
               keyid OCTET STRING OPTIONAL, other [1] SEQUENCE OF AlgorithmIdentifier OPTIONAL }

p11-kit's files hold objects of lines ``name: value``, in any order with the PEM block of the object; of the
names only ``x-distrusted`` takes trust away (p11-kit's trust module, persist format).
"""

from __future__ import annotations

import re
from bisect import bisect_right

from elfsig.crypto import der
from elfsig.crypto.certificate import element
from elfsig.errors import KeySourceError, ParseError
from elfsig.lazy_dataclass import replace
from elfsig.model import Key, Remark, Why
from elfsig.trust.der_forms import certificate
from elfsig.trust.entries import REVOKED, Material, Origin

FOR_MODULES = frozenset({"1.3.6.1.5.5.7.3.3", "2.5.29.37.0"})
"""codeSigning and anyExtendedKeyUsage (RFC 5280 4.2.1.12): the uses that a module's signature is one of."""

REJECT, ALIAS, OTHER = 0xA0, 0x0C, 0xA1
_ORDER = (der.SEQUENCE, REJECT, ALIAS, der.OCTETS, OTHER)
REJECTED = Remark("key-revoked", "the trust settings in its file reject it for code signing")

_OBJECT = re.compile(rb"(?:^|[\r\n])[ \t]*\[p11-kit-object-v1\]")
_DISTRUSTED = re.compile(rb"(?:^|[\r\n])[ \t]*x-distrusted[ \t]*:[ \t]*\"?true", re.IGNORECASE)


def trusted_certificate(data: bytes, at: int, origin: Origin) -> Material:
    """The key of a certificate that OpenSSL's settings may follow. Raises ParseError.

    It revokes where they reject code signing or every use. Where they list uses without either it is only
    tried, as OpenSSL takes what is not listed for rejected (crypto/x509/x509_trust.c, obj_trust).
    """
    end = der.read(data, at, len(data)).next
    trusted, rejected = _uses(data, end) if end < len(data) else (None, frozenset[str]())
    if rejected & FOR_MODULES:
        found = certificate(data, at, replace(origin, keyring=REVOKED))
        return replace(found, keys=tuple(map(_rejected, found.keys)))
    if trusted is not None and not trusted & FOR_MODULES:
        origin = origin.only_tried(Why.NOT_FOR_MODULES)
    return certificate(data, at, origin)


def _rejected(key: Key) -> Key:
    return replace(key, remarks=(*key.remarks, REJECTED))


def _uses(data: bytes, at: int) -> tuple[frozenset[str] | None, frozenset[str]]:
    """The uses that are trusted, None where they are not limited, and those that are rejected."""
    outer = element(data, at, len(data), der.SEQUENCE, "trust settings")
    if outer.next != len(data):
        raise ParseError("bytes after the trust settings", offset=outer.next, code="trust-settings")
    fields = list(der.children(data, outer))
    places = [_ORDER.index(each.tag) if each.tag in _ORDER else -1 for each in fields]
    if places != sorted(set(places)) or -1 in places:
        raise ParseError("its trust settings are damaged", offset=at, code="trust-settings")
    oids = {each.tag: frozenset(_oids(data, each)) for each in fields if each.tag in (der.SEQUENCE, REJECT)}
    return oids.get(der.SEQUENCE), oids.get(REJECT, frozenset())


def _oids(data: bytes, node: der.Node) -> list[str]:
    each = list(der.children(data, node))
    if any(child.tag != der.OID for child in each):
        raise ParseError("its trust settings are damaged", offset=node.start, code="trust-settings")
    return [der.oid_text(data, child) for child in each]


# --------------------------------------------------------------------------- p11-kit


class Objects:
    """The objects of a text in p11-kit's form, as offsets, and which of them are marked as distrusted."""

    def __init__(self, text: bytes) -> None:
        self._starts = [0, *(each.start() for each in _OBJECT.finditer(text))]
        self._left = {self._object(each.start()) for each in _DISTRUSTED.finditer(text)}
        self._marked = frozenset(self._left)

    def _object(self, at: int) -> int:
        return bisect_right(self._starts, at) - 1

    def distrusts(self, at: int) -> bool:
        """Whether a certificate at this offset is in a distrusted object."""
        number = self._object(at)
        self._left.discard(number)
        return number in self._marked

    def complete(self, source: str) -> None:
        """Raises KeySourceError where a distrusted object has no certificate in it (but only a name)."""
        if self._left:
            text = f"{source}: a distrusted object without a PEM block cannot be read"
            raise KeySourceError(text, offset=self._starts[min(self._left)], code="revocation-lost")
