"""What UEFI and shim variables are for, by a file's name; and the wrapper of signed updates.

Names: UEFI specification 3.3 (globally defined variables) and 32 (Secure Boot); shim's MokVars.txt. Which
keyring the kernel puts their entries into: security/integrity/platform_certs/load_uefi.c.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from uuid import UUID

from elfsig.errors import ParseError
from elfsig.lazy_tuple import NamedTuple
from elfsig.trust.entries import REVOKED

_VENDOR = re.compile(r"-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_REVOKING = re.compile(r"dbx|mokx|moklistx")
_KEYS = (
    (re.compile(r"db"), "platform"),
    (re.compile(r"moklist(rt)?[0-9]*"), "machine"),
    (re.compile(r"mok"), "machine"),  # an EFI list only: certificates are called mok.der everywhere
)
_NEVER = re.compile(
    r"(pk|kek|dbt|dbr|[a-z]+default|mok(new|del|auth|delauth|pw|sbstate|dbstate|pwstore))([-_ ~+].*)?"
)
_WORD = re.compile(r"(?<![a-z])(dbx|moklistx|mokx((rt|list|keys?|certs?|hash(es)?|dump)(?![a-z])|(?![a-z])))")
"""No other words begin with "dbx" or "moklistx"; "mokxps13" is the key of a machine."""


class Purpose(NamedTuple):
    """What a variable is for: ``keyring`` of its keys, "revoked" for a list of revocations, or None.

    ``never``: it holds keys that are never for modules (PK, KEK, timestamping, recovery, defaults,
    and keys that await the machine owner's consent).
    """

    keyring: str | None = None
    never: bool = False


def purpose(name: str, *, exact: bool = False) -> Purpose | None:
    """The purpose by a name such as "dbx-d719b2cb-...", "MokListRT", "db.esl", "DBXUpdate.bin".

    None for a name without meaning. A name that contains "dbx" or "MokListX" revokes; with
    ``exact``, for files that are not EFI lists, only if a word is or begins so (vendor_dbx.pem). PK, KEK and
    the others that are not for modules may have more words after them (KEK_2023.crt).
    """
    stem = _VENDOR.sub("", name.lower()).partition(".")[0]
    if (_WORD if exact else _REVOKING).search(stem):
        return Purpose(REVOKED)
    if _NEVER.fullmatch(stem):
        return Purpose(never=True)
    known = _KEYS[:-1] if exact else _KEYS
    return next((Purpose(ring) for pattern, ring in known if pattern.fullmatch(stem)), None)


class Named(NamedTuple):
    """A purpose, and the name that says so."""

    purpose: Purpose
    name: str


def strongest(name: str, around: Iterable[str] = (), *, exact: bool = False) -> Named | None:
    """What a file is for by its own ``name`` and by names ``around`` it; None where none has a meaning.

    What takes trust away goes first, whoever says it: a list of revocations before what is never for modules,
    and both before a keyring, which only the file's own name gives.
    """
    own = purpose(name, exact=exact)
    others = ((each, purpose(each, exact=exact)) for each in around)
    known = [(each, found) for each, found in ((name, own), *others) if found is not None]
    revoking = [each for each in known if each[1].keyring == REVOKED]
    never = [each for each in known if each[1].never]
    first = next(iter([*revoking, *never]), (name, own))
    return None if first[1] is None else Named(first[1], first[0])


MOK_TRUSTED = "moklisttrustedrt"
"""shim creates it if the machine owner lets the kernel trust machine owner keys (mokutil --trust-mok)."""


def is_owners(name: str) -> bool:
    """Whether a name is that of a list of machine owner keys."""
    found = purpose(name)
    return found is not None and found.keyring == "machine"


# --------------------------------------------------------------------------- signed updates

ATTRIBUTES, EFI_TIME = 4, 16
CERT_HEADER, GUID_SIZE = 8, 16
REVISION, EFI_GUID_TYPE = 0x0200, 0x0EF1
PKCS7_GUID = UUID("4aafd29d-68df-49ee-8aa9-347d375665a7")
SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")


class Update(NamedTuple):
    """A signed variable update: where its list starts, and its PKCS#7 SignedData."""

    payload: int
    signature: bytes


def is_update(data: bytes) -> bool:
    """Whether this starts like EFI_VARIABLE_AUTHENTICATION_2, at 0 or after four bytes of attributes."""
    return _wrapper(data) is not None


def _wrapper(data: bytes) -> int | None:
    """Where the WIN_CERTIFICATE_UEFI_GUID starts."""
    for at in (EFI_TIME, ATTRIBUTES + EFI_TIME):
        head = data[at + 4 : at + CERT_HEADER + GUID_SIZE]
        if head == struct.pack("<HH", REVISION, EFI_GUID_TYPE) + PKCS7_GUID.bytes_le:
            return at
    return None


def read_update(data: bytes) -> Update:
    """The parts of a signed update. Raises ParseError.

    Layout: UEFI specification 8.2.2, EFI_VARIABLE_AUTHENTICATION_2: 16 bytes EFI_TIME, then
    WIN_CERTIFICATE_UEFI_GUID (u32 length of all of it, u16 revision 0x200, u16 type 0xef1, GUID, PKCS#7).
    """
    at = _wrapper(data)
    if at is None:
        raise ParseError("not a signed variable update", offset=0, code="efi-update")
    size = int.from_bytes(data[at : at + 4], "little")
    if size < CERT_HEADER + GUID_SIZE or at + size > len(data):
        text = f"signature of {size} bytes in a signed variable update of {len(data)}"
        raise ParseError(text, offset=at, code="efi-update")
    return Update(at + size, data[at + CERT_HEADER + GUID_SIZE : at + size])


def signer(update: Update) -> str:
    """Who signed an update, as its PKCS#7 says; it is not checked, and is never a key."""
    from elfsig.crypto import der
    from elfsig.envelopes.cms.envelope import Cms

    blob = update.signature
    if SIGNED_DATA not in blob[:32]:  # firmware also accepts a SignedData without its ContentInfo
        blob = der.encode(der.SEQUENCE, SIGNED_DATA, der.encode(0xA0, blob))
    try:
        names = [each.signer for each in Cms().parse(blob, None) if each.signer]
    except ParseError:
        return "a signer that cannot be read"
    return ", ".join(dict.fromkeys(names)) or "a signer without a name"
