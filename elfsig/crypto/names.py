"""X.501 names as module signatures use them: modinfo's signer, and the signer name of Linux 3.7 to 4.2."""

from __future__ import annotations

from functools import lru_cache

from elfsig.crypto import der
from elfsig.errors import ParseError
from elfsig.lazy_tuple import NamedTuple

COMMON_NAME = "2.5.4.3"
ORGANIZATION = "2.5.4.10"
EMAIL = "1.2.840.113549.1.9.1"

_CODECS = {0x0C: "utf-8", 0x14: "latin-1", 0x1C: "utf-32-be", 0x1E: "utf-16-be"}


class NameEntry(NamedTuple):
    """One attribute of a name: dotted OID, the string's tag, and its bytes."""

    oid: str
    tag: int
    raw: bytes

    @property
    def text(self) -> str:
        """The string decoded by its type; invalid bytes appear as backslash escapes."""
        return self.raw.decode(_CODECS.get(self.tag, "utf-8"), "backslashreplace")


@lru_cache(maxsize=64)
def entries(name: bytes) -> tuple[NameEntry, ...]:
    """The attributes of a DER Name in order (RFC 5280, 4.1.2.4). Raises ParseError."""
    found = []
    for relative in der.children(name, der.read(name, 0, len(name))):
        for pair in der.children(name, relative):
            oid, value = der.descend(name, pair, 0), der.descend(name, pair, 1)
            dotted = der.oid_text(name, oid)
            found.append(NameEntry(dotted, value.tag, name[value.body : value.end]))
    return tuple(found)


def _first(name: bytes, oid: str) -> NameEntry | None:
    return next((entry for entry in entries(name) if entry.oid == oid), None)


NAME_WORDS = {
    "2.5.4.3": "CN", "2.5.4.4": "SN", "2.5.4.5": "serialNumber", "2.5.4.6": "C", "2.5.4.7": "L",
    "2.5.4.8": "ST", "2.5.4.9": "street", "2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.12": "title",
    "2.5.4.42": "GN", "0.9.2342.19200300.100.1.1": "UID", "0.9.2342.19200300.100.1.25": "DC",
    "1.2.840.113549.1.9.1": "emailAddress",
}  # fmt: skip


def name_text(name: bytes) -> str:
    """A DER Name as "O=Magrathea, CN=Glacier signing key"; as hex if it is damaged."""
    try:
        return ", ".join(f"{NAME_WORDS.get(each.oid, each.oid)}={each.text}" for each in entries(name))
    except ParseError:
        return "#" + name.hex()


@lru_cache(maxsize=64)
def common_name(name: bytes) -> str | None:
    """The first commonName, which modinfo prints as ``signer``; None without one or in a damaged name."""
    try:
        found = _first(name, COMMON_NAME)
    except ParseError:
        return None
    return found.text if found else None


@lru_cache(maxsize=64)
def shown_name(name: bytes) -> str:
    """The holder's name in every report, from a DER Name: the common name, which is what modinfo prints
    as signer; else the whole name, such as "O=Magrathea, OU=Planets"; empty for an empty name."""
    return common_name(name) or name_text(name)


def signer_name(subject: bytes) -> bytes | None:
    """What scripts/sign-file of Linux 3.7 writes for a certificate's subject; None if it has no name.

    The e-mail address is used only if organisation and common name are both missing. Of the latter two,
    "O: CN", unless CN starts with O or shares its first seven bytes: then CN alone. Raises ParseError.
    """
    organization, common, email = (_first(subject, oid) for oid in (ORGANIZATION, COMMON_NAME, EMAIL))
    if organization is None or common is None:
        only = organization or common or email
        return only.raw if only else None
    o, cn = organization.raw, common.raw
    if cn.startswith(o) or (len(o) >= 7 and o[:7] == cn[:7]):
        return cn
    return o + b": " + cn
