"""EFI signature lists: db, dbx, MokListRT, MokListXRT, as exported or as efivarfs shows them.

Layout (UEFI specification, 32.4.1 EFI_SIGNATURE_LIST): 16-byte type GUID, u32 size of the whole list,
u32 size of a header, u32 size of each entry, all little-endian; the header; entries of a 16-byte owner GUID
and the data. efivarfs puts 4 attribute bytes in front of the first list.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

from elfsig.errors import ParseError
from elfsig.trust.make import (
    Material,
    Origin,
    RevokedHash,
    gather,
    key_from_certificate,
    key_from_public,
    material,
)

HEADER, OWNER, ATTRIBUTES = 28, 16, 4
RSA_EXPONENT = 65537
REVOKED = "revoked"

VARIABLES = {"dbx": REVOKED, "MokListXRT": REVOKED, "MokListX": REVOKED, "db": "platform",
             "MokListRT": "machine", "MokList": "machine"}  # fmt: skip
"""Which keyring the kernel puts a variable's entries into (security/integrity/platform_certs/load_uefi.c)."""


class Entry(NamedTuple):
    """One entry: the GUID of its list, its data without the owner, and where that is."""

    type: UUID
    data: bytes
    at: int


def _certificate(entry: Entry, origin: Origin) -> Material:
    return material([key_from_certificate(entry.data, origin)])


def _rsa2048(entry: Entry, origin: Origin) -> Material:
    try:
        public = RSAPublicNumbers(RSA_EXPONENT, int.from_bytes(entry.data)).public_key()
    except ValueError as reason:
        raise ParseError(f"not a usable RSA key: {reason}", offset=entry.at, code="not-key") from None
    return material([key_from_public(public, origin)])


def _hash(kind: str, name: str, size: int) -> Callable[[Entry, Origin], Material]:
    """Reader for entries that start with a digest; behind it may stand the time of the revocation."""

    def read(entry: Entry, origin: Origin) -> Material:
        if len(entry.data) < size:
            raise ParseError(f"{name} entry of {len(entry.data)} bytes", offset=entry.at, code="efi-entry")
        revoked = {RevokedHash(kind, name, entry.data[:size])} if origin.role == REVOKED else ()
        return Material(revoked_hashes=frozenset(revoked))

    return read


TYPES: dict[UUID, Callable[[Entry, Origin], Material]] = {
    UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072"): _certificate,
    UUID("3c5766e8-269c-4e34-aa14-ed776e85b3b6"): _rsa2048,
    UUID("826ca512-cf10-4ac9-b187-be01496631bd"): _hash("bin", "sha1", 20),
    UUID("0b6e5233-a65c-44c9-9407-d9ab83bfc8bd"): _hash("bin", "sha224", 28),
    UUID("c1c41626-504c-4092-aca9-41f936934328"): _hash("bin", "sha256", 32),
    UUID("ff3e5307-9fd0-48c9-85f1-8ad56c701e01"): _hash("bin", "sha384", 48),
    UUID("093e0fae-a6c4-4f50-9f1b-d41e2b89c19a"): _hash("bin", "sha512", 64),
    UUID("3bd2a492-96c0-4079-b420-fcf98ef103ed"): _hash("tbs", "sha256", 32),
    UUID("7076876e-80c2-4ee6-aad2-28b349a6865b"): _hash("tbs", "sha384", 48),
    UUID("446dbf63-2502-4cda-bcfa-2465d2b0fe9d"): _hash("tbs", "sha512", 64),
}
"""Signature types of UEFI 32.4.1 (EFI_CERT_*_GUID); unknown ones are passed over."""


def _start(data: bytes) -> int | None:
    """Where the first list starts: at 0, behind the attributes, or nowhere."""
    known = (at for at in (0, ATTRIBUTES) if len(data) >= at + HEADER)
    return next((at for at in known if UUID(bytes_le=data[at : at + 16]) in TYPES), None)


def is_list(data: bytes) -> bool:
    """Whether this starts with a list of a known type."""
    return _start(data) is not None


def variable_role(name: str) -> str | None:
    """The keyring that a file of this name belongs to: "dbx-d719...", "MokListRT-605d...", "db.esl"."""
    return VARIABLES.get(name.partition("-")[0].partition(".")[0])


def entries(data: bytes) -> Iterator[Entry]:
    """Every entry of every list. Raises ParseError."""
    at = _start(data) or 0
    while at < len(data):
        if at + HEADER > len(data):
            raise ParseError("EFI signature list is cut off", offset=at, code="efi-truncated")
        kind, (size, header, each) = (
            UUID(bytes_le=data[at : at + 16]),
            struct.unpack_from("<III", data, at + 16),
        )
        body = size - HEADER - header
        if at + size > len(data) or body < 0 or each <= OWNER or body % each:
            raise ParseError(
                f"EFI signature list of {size} bytes with a header of {header} and entries of {each}",
                offset=at,
                code="efi-list",
            )
        for entry in range(at + HEADER + header, at + size, each):
            yield Entry(kind, data[entry + OWNER : entry + each], entry + OWNER)
        at += size


def read(data: bytes, origin: Origin) -> Material:
    """Keys of all lists, and the hashes where the source is one of revocations. Raises ParseError."""
    return gather(TYPES[entry.type](entry, origin) for entry in entries(data) if entry.type in TYPES)
