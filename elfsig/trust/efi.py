"""EFI signature lists: db, dbx, MokListRT, MokListXRT, as exported or as efivarfs shows them.

Layout (UEFI specification, 32.4.1 EFI_SIGNATURE_LIST): 16-byte type GUID, u32 size of the whole list,
u32 size of a header, u32 size of each entry, all little-endian; the header; entries of a 16-byte owner GUID
and the data. efivarfs puts 4 attribute bytes before the first list.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

from elfsig.errors import KeySourceError, ParseError
from elfsig.lazy_dataclass import replace
from elfsig.lazy_tuple import NamedTuple
from elfsig.model import Key, Loss, Why
from elfsig.trust import efi_variables
from elfsig.trust.entries import MAX_LOSSES, Material, Origin, Revocation, RevokedHash
from elfsig.trust.make import key_from_certificate, key_from_public

HEADER, OWNER, ATTRIBUTES = 28, 16, 4
RSA_EXPONENT = 65537
UNSAID = "the name of the list does not say whether it revokes what is on it"


SIGNATURE = "the signature of a file's hash, which names no key and no file"
SM3 = "hashes of SM3 are not computed here"
EXTERNAL = "what is on the list is kept outside of the variable, by a mechanism of the platform"


class ListedEntry(NamedTuple):
    """One entry: the GUID of its list, its data without the owner, the data's offset, and the list's
    number."""

    type: UUID
    data: bytes
    at: int
    list: int


class Bad(NamedTuple):
    """A list whose sizes contradict each other: where it is, and why nothing after it can be read."""

    at: int
    reason: str


Read = Callable[[ListedEntry, Origin], Key | Revocation]


def _certificate(entry: ListedEntry, origin: Origin) -> Key:
    key = key_from_certificate(entry.data, origin)
    assert key.certificate is not None
    if len(key.certificate.der) != len(entry.data):
        extra = len(entry.data) - len(key.certificate.der)
        raise ParseError(f"{extra} bytes after the certificate", offset=entry.at, code="efi-entry")
    return key


def _rsa2048(entry: ListedEntry, origin: Origin) -> Key:
    try:
        public = RSAPublicNumbers(RSA_EXPONENT, int.from_bytes(entry.data)).public_key()
    except ValueError as reason:
        raise ParseError(f"not a usable RSA key: {reason}", offset=entry.at, code="not-key") from None
    return key_from_public(public, origin)


def _hash(kind: str, name: str, size: int, *, timed: bool = False) -> Read:
    """Reader for a digest of ``size`` bytes; a ``timed`` one is followed by the time of the revocation."""
    sizes = (size, size + 16) if timed else (size,)

    def read(entry: ListedEntry, origin: Origin) -> Revocation:
        if len(entry.data) not in sizes:
            raise ParseError(f"{name} entry of {len(entry.data)} bytes", offset=entry.at, code="efi-entry")
        hashed = RevokedHash(kind, name, entry.data[:size])
        return Revocation(hashed, origin.source, origin.provenance, _time(entry.data[size:]))

    return read


def _unread(reason: str) -> Read:
    """Reader for a type whose entries are neither keys nor hashes of files or certificates."""

    def read(entry: ListedEntry, origin: Origin) -> Key:
        raise ParseError(reason, offset=entry.at, code="efi-entry")

    return read


def _time(data: bytes) -> int | None:
    """Seconds since 1970 of an EFI_TIME (UEFI 8.3); None where it is missing or all zeros."""
    if len(data) < 7 or not any(data):
        return None
    try:
        year, month, day, hour, minute, second = struct.unpack_from("<HBBBBB", data)
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    return int(moment.timestamp())


class Kind(NamedTuple):
    """A signature type: its short name, what reads it, and whether it is a hash (which can only revoke)."""

    name: str
    read: Read
    is_hash: bool


TYPES: dict[UUID, Kind] = {
    UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072"): Kind("X509", _certificate, False),
    UUID("3c5766e8-269c-4e34-aa14-ed776e85b3b6"): Kind("RSA2048", _rsa2048, False),
    UUID("826ca512-cf10-4ac9-b187-be01496631bd"): Kind("SHA1", _hash("bin", "sha1", 20), True),
    UUID("0b6e5233-a65c-44c9-9407-d9ab83bfc8bd"): Kind("SHA224", _hash("bin", "sha224", 28), True),
    UUID("c1c41626-504c-4092-aca9-41f936934328"): Kind("SHA256", _hash("bin", "sha256", 32), True),
    UUID("ff3e5307-9fd0-48c9-85f1-8ad56c701e01"): Kind("SHA384", _hash("bin", "sha384", 48), True),
    UUID("093e0fae-a6c4-4f50-9f1b-d41e2b89c19a"): Kind("SHA512", _hash("bin", "sha512", 64), True),
    UUID("3bd2a492-96c0-4079-b420-fcf98ef103ed"): Kind(
        "X509_SHA256", _hash("tbs", "sha256", 32, timed=True), True
    ),
    UUID("7076876e-80c2-4ee6-aad2-28b349a6865b"): Kind(
        "X509_SHA384", _hash("tbs", "sha384", 48, timed=True), True
    ),
    UUID("446dbf63-2502-4cda-bcfa-2465d2b0fe9d"): Kind(
        "X509_SHA512", _hash("tbs", "sha512", 64, timed=True), True
    ),
    UUID("e2b36190-879b-4a3d-ad8d-f2e7bba32784"): Kind("RSA2048_SHA256", _unread(SIGNATURE), False),
    UUID("67f8444f-8743-48f1-a328-1eaab8736080"): Kind("RSA2048_SHA1", _unread(SIGNATURE), False),
    UUID("57347f87-7a9b-403a-b93c-dc4afb7a0ebc"): Kind("SM3", _unread(SM3), False),
    UUID("60d807e5-10b4-49a9-9331-e40437888d37"): Kind("X509_SM3", _unread(SM3), False),
    UUID("452e8ced-dfff-4b8c-ae01-5118862e682c"): Kind("EXTERNAL_MANAGEMENT", _unread(EXTERNAL), False),
}
"""Signature types of UEFI 32.4.1 (EFI_CERT_*_GUID)."""


def _start(data: bytes) -> int | None:
    """Where the first list starts: at 0, after the attributes, or nowhere."""
    known = (at for at in (0, ATTRIBUTES) if len(data) >= at + HEADER)
    return next((at for at in known if UUID(bytes_le=data[at : at + 16]) in TYPES), None)


def is_list(data: bytes) -> bool:
    """Whether this starts with a list of a known type, or like a signed update of a variable."""
    return _start(data) is not None or efi_variables.is_update(data)


def entries(data: bytes, at: int | None = None) -> Iterator[ListedEntry]:
    """Every entry of every list from offset ``at`` on. Raises ParseError at the first impossible list."""
    for each in walk(data, _start(data) or 0 if at is None else at):
        if isinstance(each, Bad):
            raise ParseError(each.reason, offset=each.at, code="efi-list")
        yield each


def walk(data: bytes, at: int) -> Iterator[ListedEntry | Bad]:
    """Every entry of every list from offset ``at`` on, up to the first list with impossible sizes."""
    number = 0
    while at < len(data):
        if at + HEADER > len(data):
            yield Bad(at, "EFI signature list is cut off")
            return
        kind = UUID(bytes_le=data[at : at + 16])
        size, header, each = struct.unpack_from("<III", data, at + 16)
        body = size - HEADER - header
        if at + size > len(data) or body < 0 or each <= OWNER or body % each:
            text = f"EFI signature list of {size} bytes with a header of {header} and entries of {each}"
            yield Bad(at, text)
            return
        for entry in range(at + HEADER + header, at + size, each):
            yield ListedEntry(kind, data[entry + OWNER : entry + each], entry + OWNER, number)
        at += size
        number += 1


# --------------------------------------------------------------------------- as a key source


def read(data: bytes, origin: Origin) -> Material:
    """Keys of all lists, and the hashes where the source is a list of revocations.

    The name of a variable says what it is for (:mod:`elfsig.trust.efi_variables`): keys of a list whose
    name does not say so are only tried, whatever the user says about them. An unreadable entry is skipped
    and reported. Raises ParseError for a signed update whose wrapper is damaged.
    """
    at, container = _start(data), "EFI signature list"
    if at is None:
        update = efi_variables.read_update(data)
        at, container = update.payload, f"variable update signed by {efi_variables.signer(update)}"
    return _entries(data, at, replace(_placed(origin), container=container))


def _placed(origin: Origin) -> Origin:
    """The origin, with what the variable's name says about its keys."""
    if origin.revoking:
        return replace(origin, list=origin.name or None)
    named = efi_variables.strongest(origin.name, origin.around)
    if named is None:
        return origin.only_tried(Why.UNNAMED_LIST)
    if named.purpose.never:
        return replace(origin.only_tried(Why.NOT_FOR_MODULES), list=named.name)
    return replace(origin, proven=named.purpose.keyring, list=named.name)


def _entries(data: bytes, at: int, origin: Origin) -> Material:
    keys: list[Key] = []
    revocations: list[Revocation] = []
    losses: list[Loss] = []
    for each in walk(data, at):
        found = _entry(each, origin)
        if isinstance(found, Key):
            keys.append(found)
        elif isinstance(found, Revocation):
            revocations.append(found)
        elif found is not None and len(losses) < MAX_LOSSES:
            losses.append(found)
    usable = tuple(key for key in keys if key.public is not None)
    unusable = tuple(key for key in keys if key.public is None)
    return Material(usable, unusable, tuple(revocations), losses=tuple(losses))


def _entry(each: ListedEntry | Bad, origin: Origin) -> Key | Revocation | Loss | None:
    """What one entry is; None for a hash on a list that does not revoke."""
    if isinstance(each, Bad):
        return Loss(origin.source, "EFI signature list", each.reason, each.at)
    kind = TYPES.get(each.type)
    if kind is None:
        return Loss(
            origin.source, f"entry of the unknown type {each.type}", "not a UEFI signature type", each.at
        )
    if kind.is_hash and not origin.revoking:
        if origin.why is not Why.UNNAMED_LIST:
            return None
        return Loss(origin.source, f"{kind.name} hash", UNSAID, each.at)
    try:
        return kind.read(each, origin.at(each.at))
    except (ParseError, KeySourceError) as reason:
        return Loss(origin.source, f"{kind.name} entry", reason.text, each.at)
