"""What UEFI and shim tell the kernel of a system: the state of Secure Boot, and which keys they pass on.

Sources: drivers/firmware/efi/libstub/secureboot.c (is Secure Boot on), security/integrity/platform_certs
(load_uefi.c and machine_keyring.c: which variables are read), shim's MokVars.txt. Variables are read from
efivarfs, whose files begin with four bytes of attributes, and from the copies in mok-variables.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

from elfsig.host.files import Files

EFIVARS, MOKVARS = "sys/firmware/efi/efivars", "sys/firmware/efi/mok-variables"
SHIM, GLOBAL = "605dab50-e046-4300-abb6-3dd810dd8b23", "8be4df61-93ca-11d2-aa0d-00e098032b8c"
SECURITY = "d719b2cb-3d3a-4596-a3bc-dad00e67656f"
NON_VOLATILE = 1

State = Literal["on", "off", "validation-off", "unknown"]

WORDS: dict[State, str] = {
    "on": "Secure Boot is on",
    "off": "Secure Boot is off",
    "validation-off": "Secure Boot is on in the firmware, but shim's validation was disabled (mokutil"
    " --disable-validation), so the kernel treats it as off",
    "unknown": "whether Secure Boot is on is not known: this system shows no UEFI variables",
}


class Variable(NamedTuple):
    """A UEFI variable: its attributes, and its data."""

    attributes: int
    data: bytes


@dataclass
class Firmware:
    """The UEFI variables of the system with these files."""

    files: Files

    def variable(self, name: str, vendor: str) -> Variable | None:
        """The path of a variable in efivarfs."""
        data = self.files.bytes(f"{EFIVARS}/{name}-{vendor}")
        if data is None or len(data) < 4:
            return None
        return Variable(int.from_bytes(data[:4], "little"), data[4:])

    def paths(self, name: str, vendor: str) -> Iterator[Path]:
        """Where a variable may be found."""
        yield self.files.path(f"{EFIVARS}/{name}-{vendor}")
        yield self.files.path(f"{MOKVARS}/{name}")

    @cached_property
    def state(self) -> State:
        """Whether Secure Boot is on, as efi_get_secureboot() of the kernel's EFI stub decides.

        It treats Secure Boot as off where MokSBStateRT is 1 and cannot have been set from the running
        system (its attribute NON_VOLATILE is clear).
        """
        boot = self.variable("SecureBoot", GLOBAL)
        if boot is None:
            return "unknown" if self.files.names(self.files.path(EFIVARS)) is None else "off"
        setup = self.variable("SetupMode", GLOBAL)
        if boot.data[:1] != b"\1" or (setup is not None and setup.data[:1] == b"\1"):
            return "off"
        validation = self.variable("MokSBStateRT", SHIM)
        if validation is None or validation.data[:1] != b"\1" or validation.attributes & NON_VOLATILE:
            return "on"
        return "validation-off"

    @property
    def secure_boot(self) -> bool:
        """Whether the kernel treats Secure Boot as on."""
        return self.state == "on"

    @cached_property
    def ignores_db(self) -> bool:
        """Whether the kernel leaves UEFI's db out (mokutil --ignore-db): MokIgnoreDB exists."""
        copies = self.files.is_file(self.files.path(f"{MOKVARS}/MokIgnoreDB"))
        return copies or self.variable("MokIgnoreDB", SHIM) is not None

    @cached_property
    def trusts_moks(self) -> bool:
        """Whether the machine owner let the kernel trust machine owner keys (mokutil --trust-mok)."""
        copies = self.files.is_file(self.files.path(f"{MOKVARS}/MokListTrustedRT"))
        return copies or self.variable("MokListTrustedRT", SHIM) is not None
