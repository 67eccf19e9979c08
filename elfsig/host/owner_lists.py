"""Where a kernel reads the machine owner's list of keys: load_moklist_certs() in load_uefi.c.

Since 5.10 it looks at the table that shim hands over (mok-variables in sysfs), and at the variable only where
that has no MokListRT or a damaged one; before, at the variable. Shim splits a list that is too large for one
variable (MokListRT, MokListRT1, ...), of which kernels read the first; the table has all of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from elfsig.host.firmware import ATTRIBUTES, EFIVARS, MOKVARS, SHIM, Firmware

NAME = "MokListRT"
TABLE_SINCE = (5, 10, 0)
_FURTHER = re.compile(rf"{NAME}\d+-{SHIM}")


@dataclass(frozen=True)
class OwnerLists:
    """The places of MokListRT. ``reads_table``: the kernel in question looks at the table."""

    firmware: Firmware
    reads_table: bool

    @cached_property
    def table(self) -> Path | None:
        """The list in the table."""
        return self._file(f"{MOKVARS}/{NAME}")

    @cached_property
    def variable(self) -> Path | None:
        """The list in the variable."""
        return self._file(f"{EFIVARS}/{NAME}-{SHIM}")

    @cached_property
    def further(self) -> list[Path]:
        """The variables in which a split list goes on."""
        names = filter(_FURTHER.fullmatch, self.firmware.names or ())
        return [self.firmware.files.path(f"{EFIVARS}/{name}") for name in names]

    @property
    def read(self) -> list[Path]:
        """Those that the kernel reads, until one is complete."""
        places = (self.table if self.reads_table else None, self.variable)
        return [path for path in places if path is not None]

    @property
    def every(self) -> list[Path]:
        """All of them, read or not."""
        return [path for path in (self.table, self.variable, *self.further) if path is not None]

    def remarks(self) -> Iterator[str]:
        """What differs from place to place."""
        if self._differ():
            here = "table" if self.reads_table else "variable"
            yield (
                f"{NAME} in the table of shim's variables differs from the variable: the {here} was read"
                " (kernels read the table since 5.10, earlier ones only where a vendor added that)"
            )
        if self.further and (self.table is None or not self.reads_table):
            names = ", ".join(path.name.partition("-")[0] for path in self.further)
            yield f"{NAME} goes on in {names}, which kernels do not read"

    def _differ(self) -> bool:
        if self.table is None or self.variable is None:
            return False
        in_table, here = map(self.firmware.files.content, (self.table, self.variable))
        return in_table is not None and here is not None and in_table != here[ATTRIBUTES:]

    def _file(self, name: str) -> Path | None:
        path = self.firmware.files.path(name)
        return path if self.firmware.files.is_file(path) else None
