"""UEFI's variables as a file for the emulator: the keys that firmware and shim hand to the kernel.

The firmware is Debian's build of OVMF, with or without Secure Boot. A store is written as edk2 itself would
(MdeModulePkg/Include/Guid/VariableFormat.h): variables follow each other, and one that is replaced is marked
as deleted and written again at the end.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import pytest

PAIRS = (("OVMF_CODE.fd", "OVMF_VARS.fd"), ("OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"))
SECURE_PAIRS = (
    ("OVMF_CODE_4M.secboot.fd", "OVMF_VARS_4M.ms.fd"), ("OVMF_CODE.secboot.fd", "OVMF_VARS.ms.fd"),
)  # fmt: skip
"""Builds with Secure Boot and SMM, and stores with Microsoft's keys enrolled, by which shim is signed."""
FOLDER = Path("/usr/share/OVMF")

IMAGE_SECURITY = UUID("d719b2cb-3d3a-4596-a3bc-dad00e67656f")
"""EFI_IMAGE_SECURITY_DATABASE_GUID, the owner of db and dbx (UEFI specification, 32.6.1)."""
SHIM = UUID("605dab50-e046-4300-abb6-3dd810dd8b23")
"""SHIM_LOCK_GUID, the owner of shim's variables (shim's MokVars.txt)."""
SECURE_BOOT_ENABLE = UUID("f0a30bc7-af08-4556-99c4-001009c93a44")
"""gEfiSecureBootEnableDisableGuid, the owner of edk2's own switch for Secure Boot."""
X509 = UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072")
SHA256 = UUID("c1c41626-504c-4092-aca9-41f936934328")
TBS_SHA256 = UUID("3bd2a492-96c0-4079-b420-fcf98ef103ed")
"""EFI_CERT_X509_SHA256_GUID: the hash of a certificate's signed part, and 16 bytes for a time."""
NOBODY = UUID("00000000-0000-4000-8000-000000000001")

AUTHENTICATED, BOOT_ONLY = 0x27, 0x03
"""Attributes: non-volatile and for the boot phase both, the first also for run time and authenticated."""
VARIABLE_ADDED, _DELETED, START = 0x3F, 0xFD, 0x55AA
_STORE_AT, _STORE_HEADER = 0x30, 28
_VARIABLE = struct.Struct("<HBBIQ16sIII16s")
"""AUTHENTICATED_VARIABLE_HEADER, 60 bytes."""


class Firmware(NamedTuple):
    """The code, and a store of variables to go with it."""

    code: Path
    variables: Path


def find(*, secure: bool = False) -> Firmware:
    """The firmware of this machine, ``secure`` the one with Secure Boot; skips the test without one."""
    for code, variables in SECURE_PAIRS if secure else PAIRS:
        if (FOLDER / code).exists() and (FOLDER / variables).exists():
            return Firmware(FOLDER / code, FOLDER / variables)
    pytest.skip("needs ovmf: apt package ovmf")


def flash(code: Path, variables: Path) -> Iterator[str]:
    """QEMU's arguments for the two flash chips."""
    common = "if=pflash,format=raw,unit="
    yield from ("-drive", f"{common}0,readonly=on,file={code}", "-drive", f"{common}1,file={variables}")


def signature_list(kind: UUID, entries: Iterable[bytes]) -> bytes:
    """EFI_SIGNATURE_LISTs, one for each entry since their sizes differ (UEFI specification, 32.4.1)."""
    return b"".join(
        kind.bytes_le + struct.pack("<III", 44 + len(e), 0, 16 + len(e)) + NOBODY.bytes_le + e
        for e in entries
    )


class _Variable(NamedTuple):
    """Where a variable is, its state, and what it is."""

    at: int
    state: int
    name: str
    owner: UUID
    data: bytes


class Store:
    """A copy of a store of variables; ``image`` is what the emulator gets."""

    def __init__(self, image: bytes) -> None:
        self._image = bytearray(image)
        (header,) = struct.unpack_from("<H", image, _STORE_AT)
        (size,) = struct.unpack_from("<I", image, header + 16)
        self._first, self._limit = header + _STORE_HEADER, header + size

    @property
    def image(self) -> bytes:
        return bytes(self._image)

    def _variables(self) -> Iterator[_Variable]:
        at = self._first
        while self._image[at : at + 2] == START.to_bytes(2, "little"):
            _, state, _, _, _, _, _, name, data, owner = _VARIABLE.unpack_from(self._image, at)
            start = at + _VARIABLE.size + name
            word = self._image[start - name : start].decode("utf-16-le").rstrip("\0")
            yield _Variable(at, state, word, UUID(bytes_le=owner), bytes(self._image[start : start + data]))
            at = (start + data + 3) & ~3

    def get(self, name: str, owner: UUID) -> bytes:
        """The content of a variable, nothing where there is none."""
        found = [
            v.data for v in self._variables() if (v.name, v.owner, v.state) == (name, owner, VARIABLE_ADDED)
        ]
        return found[-1] if found else b""

    def set(self, name: str, owner: UUID, data: bytes, attributes: int = BOOT_ONLY) -> None:
        """Write a variable; as on flash, bits of the old one only fall."""
        at = self._first
        for old in self._variables():
            if (old.name, old.owner, old.state) == (name, owner, VARIABLE_ADDED):
                self._image[old.at + 2] = old.state & _DELETED
            size = _VARIABLE.size + 2 * len(old.name) + 2 + len(old.data)
            at = (old.at + size + 3) & ~3
        wide = name.encode("utf-16-le") + b"\0\0"
        stamp = struct.pack("<HBB12x", 2020, 1, 1) if attributes == AUTHENTICATED else bytes(16)
        sizes = (len(wide), len(data), owner.bytes_le)
        record = _VARIABLE.pack(START, VARIABLE_ADDED, 0, attributes, 0, stamp, 0, *sizes) + wide + data
        assert at + len(record) <= self._limit, "too many certificates for the store"
        self._image[at : at + len(record)] = record

    def add(self, name: str, owner: UUID, lists: bytes, attributes: int = AUTHENTICATED) -> None:
        """Append signature lists to a variable; nothing is done where there are none."""
        if lists:
            self.set(name, owner, self.get(name, owner) + lists, attributes)
