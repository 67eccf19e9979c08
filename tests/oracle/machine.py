"""One run: a kernel booted with an initramfs, and the report that its first program wrote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.oracle import firmware, initramfs
from tests.oracle.emulator import Emulator
from tests.oracle.report import Report

MODES = ("permissive", "lockdown", "enforcing")
"""In this order: a running kernel can be made stricter, and never laxer. Lockdown stays on when enforcing."""

AS_BOOTED = "as-booted"
"""The mode of a kernel that nobody makes stricter than its firmware made it."""

COMMAND_LINE = "console=ttyS0 quiet loglevel=1 panic=-1 reboot=t edd=off no_timer_check"
"""Without the last word a kernel on a busy host may take its timer for broken, and stop."""
COMPRESSED = ".compressed"
"""How the names of cases end that the kernel itself is to unpack."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What is booted. ``db`` are certificates in DER; ``dbx`` signature lists; without either there is no
    firmware, and the kernel is started directly. ``before``: modules that are loaded first."""

    kernel: Path
    db: Sequence[bytes] = ()
    dbx: bytes = b""
    before: Mapping[str, bytes] = field(default_factory=dict)


def run(machine: Machine, cases: Mapping[str, bytes], folder: Path, modes: Sequence[str] = MODES) -> Report:
    """Boot and ask about every case in each mode. Raises BootFailed; skips where QEMU is missing."""
    size = sum(map(len, cases.values()))
    (folder / "initrd").write_bytes(initramfs.build(cases, machine.before, modes).to_bytes())
    arguments = [*_hardware(machine, folder), "-m", str(512 + 4 * (size >> 20))]
    arguments += ["-initrd", str(folder / "initrd"), "-kernel", str(machine.kernel), "-append", COMMAND_LINE]
    emulator = Emulator(folder)
    emulator.start(arguments)
    return emulator.report()


def _hardware(machine: Machine, folder: Path) -> Iterator[str]:
    yield from ("-machine", "pc", "-cpu", "max")
    if not machine.db and not machine.dbx:
        return
    found = firmware.find()
    store = firmware.Store(found.variables.read_bytes())
    store.add("db", firmware.IMAGE_SECURITY, firmware.signature_list(firmware.X509, machine.db))
    store.add("dbx", firmware.IMAGE_SECURITY, machine.dbx)
    (folder / "variables").write_bytes(store.image)
    yield from firmware.flash(found.code, folder / "variables")
