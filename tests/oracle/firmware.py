"""UEFI's variables as a file for the emulator: db and dbx, from which the kernel takes certificates.

The firmware is OVMF without Secure Boot: the variables are there, and nobody enforces them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import pytest

PAIRS = (("OVMF_CODE.fd", "OVMF_VARS.fd"), ("OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"))
FOLDER = Path("/usr/share/OVMF")

IMAGE_SECURITY = UUID("d719b2cb-3d3a-4596-a3bc-dad00e67656f")
"""EFI_IMAGE_SECURITY_DATABASE_GUID, the owner of db and dbx (UEFI specification, 32.6.1)."""
X509 = UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072")
SHA256 = UUID("c1c41626-504c-4092-aca9-41f936934328")
NOBODY = UUID("00000000-0000-4000-8000-000000000001")

VARIABLE_ADDED, START = 0x3F, 0x55AA
ATTRIBUTES = 0x27
"""Non-volatile, for the boot and the run-time phase, authenticated by time."""
_STORE_AT, _STORE_HEADER = 0x30, 28
_VARIABLE = struct.Struct("<HBBIQ16sIII16s")
"""AUTHENTICATED_VARIABLE_HEADER of edk2 (MdeModulePkg/Include/Guid/VariableFormat.h), 60 bytes."""


class Firmware(NamedTuple):
    """The code, and an empty store of variables to go with it."""

    code: Path
    variables: Path


def find() -> Firmware:
    """The firmware of this machine; skips the test without one."""
    for code, variables in PAIRS:
        if (FOLDER / code).exists() and (FOLDER / variables).exists():
            return Firmware(FOLDER / code, FOLDER / variables)
    pytest.skip("needs ovmf: apt package ovmf")


def signature_list(kind: UUID, entries: Iterable[bytes]) -> bytes:
    """EFI_SIGNATURE_LISTs, one for each entry since their sizes differ (UEFI specification, 32.4.1)."""
    return b"".join(
        kind.bytes_le + struct.pack("<III", 44 + len(e), 0, 16 + len(e)) + NOBODY.bytes_le + e
        for e in entries
    )


def _variable(name: str, data: bytes) -> bytes:
    wide = name.encode("utf-16-le") + b"\0\0"
    stamp = struct.pack("<H14x", 2020)
    head = _VARIABLE.pack(
        START, VARIABLE_ADDED, 0, ATTRIBUTES, 0, stamp, 0, len(wide), len(data), IMAGE_SECURITY.bytes_le
    )
    return head + wide + data


def store(empty: bytes, db: Sequence[bytes], dbx: bytes = b"") -> bytes:
    """A store that holds db, of certificates in DER, and dbx, of signature lists, if there are any."""
    image = bytearray(empty)
    (volume_header,) = struct.unpack_from("<H", image, _STORE_AT)
    (size,) = struct.unpack_from("<I", image, volume_header + 16)
    at, end = volume_header + _STORE_HEADER, volume_header + size
    while image[at : at + 2] == START.to_bytes(2, "little"):
        _, _, _, _, _, _, _, name, data, _ = _VARIABLE.unpack_from(image, at)
        at = (at + _VARIABLE.size + name + data + 3) & ~3
    for name, content in (("db", signature_list(X509, db)), ("dbx", dbx)):
        if content:
            record = _variable(name, content)
            assert at + len(record) <= end, "too many certificates for the store"
            image[at : at + len(record)] = record
            at = (at + len(record) + 3) & ~3
    return bytes(image)
