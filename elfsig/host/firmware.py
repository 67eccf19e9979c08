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
FIRMWARE = "sys/firmware"
ATTRIBUTES = 4
"""Bytes before the data of a variable, as efivarfs shows it."""

NON_VOLATILE = 1

State = Literal["on", "off", "validation-off", "unknown"]

WORDS: dict[State, str] = {
    "on": "Secure Boot is on",
    "off": "Secure Boot is off",
    "validation-off": "Secure Boot is on in the firmware, but shim's validation was disabled (mokutil"
    " --disable-validation), so the kernel treats it as off",
    "unknown": "whether Secure Boot is on is not known",
}


_SWITCHES: tuple[tuple[str, str, State, bool], ...] = (
    ("SetupMode", GLOBAL, "off", False),
    ("MokSBStateRT", SHIM, "validation-off", True),
)
"""Variables that switch Secure Boot off where they are 1; the last only if it is not the user's."""


class SecureBootState(NamedTuple):
    """Whether Secure Boot is on, and why that is said where no variable says it."""

    state: State
    why: str | None = None

    @property
    def words(self) -> str:
        """The state in words."""
        return WORDS[self.state] + (f": {self.why}" if self.why else "")


class Variable(NamedTuple):
    """A UEFI variable: its attributes, and its data."""

    attributes: int
    data: bytes

    @property
    def is_users(self) -> bool:
        """Whether a running system can have set it: variables of the firmware and of shim's are volatile."""
        return bool(self.attributes & NON_VOLATILE)


@dataclass
class Firmware:
    """The UEFI variables of the system with these files."""

    files: Files

    def variable(self, name: str, vendor: str) -> Variable | None:
        """A variable in efivarfs; None where it is missing or cannot be read."""
        data = self.files.bytes(f"{EFIVARS}/{name}-{vendor}")
        if data is None or len(data) <= ATTRIBUTES:
            return None
        return Variable(int.from_bytes(data[:ATTRIBUTES], "little"), data[ATTRIBUTES:])

    @cached_property
    def names(self) -> list[str] | None:
        """The names of all variables; None where this system does not show them."""
        return self.files.names(self.files.path(EFIVARS)) or None

    def shows(self, name: str, vendor: str) -> bool:
        """Whether there is a variable of this name, readable or not."""
        return f"{name}-{vendor}" in (self.names or ())

    def paths(self, name: str, vendor: str) -> Iterator[Path]:
        """Where a variable may be found."""
        yield self.files.path(f"{EFIVARS}/{name}-{vendor}")
        if vendor == SHIM:
            yield self.files.path(f"{MOKVARS}/{name}")

    @cached_property
    def boot(self) -> SecureBootState:
        """Whether Secure Boot is on, as efi_get_secureboot() of the kernel's EFI stub decides.

        It treats Secure Boot as off where MokSBStateRT is 1 and cannot have been set from the running
        system (its attribute NON_VOLATILE is clear).
        """
        if self.names is None:
            return self._without_variables()
        if not self.shows("SecureBoot", GLOBAL):
            return SecureBootState("off", "this firmware has no variable SecureBoot")
        boot = self.variable("SecureBoot", GLOBAL)
        if boot is None or len(boot.data) != 1:
            return _unread("SecureBoot", boot)
        if boot.data[0] == 0:
            return SecureBootState("off")
        for name, vendor, state, volatile in _SWITCHES:
            found = self.variable(name, vendor)
            if self.shows(name, vendor) and (found is None or len(found.data) != 1):
                return _unread(name, found)
            if found is not None and found.data[0] == 1 and not (volatile and found.is_users):
                return SecureBootState(state)
        return SecureBootState("on")

    def _without_variables(self) -> SecureBootState:
        """A kernel that was not started by EFI shows other firmware, if any is shown; containers hide it."""
        shown = self.files.names(self.files.path(FIRMWARE))
        if shown and "efi" not in shown:
            return SecureBootState("off", "this system was not started by UEFI")
        return SecureBootState("unknown", "this system shows no UEFI variables")

    @property
    def state(self) -> State:
        """Whether Secure Boot is on."""
        return self.boot.state

    @property
    def secure_boot(self) -> bool | None:
        """Whether the kernel treats Secure Boot as on; None where that is not known."""
        return None if self.state == "unknown" else self.state == "on"

    @cached_property
    def ignores_db(self) -> bool:
        """Whether the kernel leaves UEFI's db out (mokutil --ignore-db): MokIgnoreDB exists."""
        copies = self.files.is_file(self.files.path(f"{MOKVARS}/MokIgnoreDB"))
        return copies or self.variable("MokIgnoreDB", SHIM) is not None

    @cached_property
    def trusts_moks(self) -> bool:
        """Whether the machine owner let the kernel trust machine owner keys (mokutil --trust-mok).

        uefi_check_trust_mok_keys() looks at the table that shim hands over, and not at the variable, which
        the running system can make: that counts only where no table is shown.
        """
        if self.files.names(self.files.path(MOKVARS)):
            return self.files.is_file(self.files.path(f"{MOKVARS}/MokListTrustedRT"))
        return self.variable("MokListTrustedRT", SHIM) is not None


def _unread(name: str, found: Variable | None) -> SecureBootState:
    """The kernel asks for one byte: a longer variable is an error for it, of whichever value."""
    if found is None:
        return SecureBootState("unknown", f"the variable {name} cannot be read")
    return SecureBootState("unknown", f"the variable {name} has {len(found.data)} bytes, not one")
