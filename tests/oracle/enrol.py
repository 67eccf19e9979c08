"""A key enrolled as a user does it: mokutil in the running system, then MokManager at the console.

Three boots of one machine, whose variables stay: before, MokManager, and after. elfsig runs in the first and
the last, and says what the state of the key is and what to do next.
"""

from __future__ import annotations

import json
import re
import socket
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from tests.oracle import firmware, initramfs, inside
from tests.oracle.kernel import Kernel
from tests.oracle.machine import AS_BOOTED
from tests.oracle.report import BootFailed, Report
from tests.oracle.secure_machine import TIMEOUT, SecureMachine
from tests.support.bootable import boot_chain
from tests.support.cms import Identity
from tests.support.verdicts import signed

MOKUTIL, CERTIFICATE = "/usr/bin/mokutil", "/root/mok.der"
PASSWORD = "elfsig01"
CASE, FILES = "0000", ("sample.ko",)

MENU: Sequence[tuple[str, Sequence[str]]] = (
    (r"Press any key to perform MOK management", ["ret"]),
    (r"Perform MOK management.*Continue boot.*Enroll MOK", ["down", "ret"]),
    (r"\[Enroll MOK\].*Continue", ["down", "ret"]),
    (r"Enroll the key\(s\)\?.*Yes", ["down", "ret"]),
    (r"Password:", [*PASSWORD, "ret"]),
    (r"Perform MOK management.*Reboot", ["ret"]),
)
"""What MokManager shows, and the keys that are pressed then."""


class Keyboard:
    """QEMU's monitor (QMP), as far as it presses keys."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._lines = self._socket.makefile("rw")
        self._lines.readline()
        self._say("qmp_capabilities")

    def _say(self, command: str, **arguments: object) -> None:
        self._lines.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self._lines.flush()
        while "return" not in (answer := json.loads(self._lines.readline())):
            if "error" in answer:
                raise BootFailed(str(answer["error"]))

    def press(self, keys: Sequence[str]) -> None:
        """Press keys one after the other, slowly enough for a firmware that looks every now and then."""
        for key in keys:
            self._say("send-key", **{"keys": [{"type": "qcode", "data": key}], "hold-time": 120})
            time.sleep(0.5)

    def close(self) -> None:
        self._lines.close()
        self._socket.close()


class Enrolled(NamedTuple):
    """What the machine said ``before`` the key was confirmed in MokManager, and ``after``."""

    before: Report
    after: Report


@dataclass(frozen=True)
class Enrolment:
    """A module signed by ``who`` is asked about before and after its certificate is enrolled."""

    kernel: Kernel
    who: Identity

    @cached_property
    def result(self) -> Enrolled:
        """Raises BootFailed."""
        template = firmware.find(secure=True).variables.read_bytes()
        with tempfile.TemporaryDirectory(prefix="enrol") as folder:
            machine = SecureMachine(Path(folder), template)
            before = self._boot(machine, [
                [MOKUTIL, "--sb-state"],
                [MOKUTIL, "--test-key", CERTIFICATE],
                ["/bin/sh", "-c", f"{MOKUTIL} --generate-hash={PASSWORD} >/run/hash"],
                [MOKUTIL, "--hash-file", "/run/hash", "--import", CERTIFICATE],
                [MOKUTIL, "--list-new"],
                inside.explain(FILES),
            ])  # fmt: skip
            self._confirm(machine)
            after = [[MOKUTIL, "--test-key", CERTIFICATE], inside.explain(FILES)]
            return Enrolled(before, self._boot(machine, after))

    def answers(self) -> list[str | None]:
        """The errno for the module before and after."""
        return [report.answers[AS_BOOTED][CASE].errno for report in self.result]

    def facts(self) -> list[Mapping[str, Any]]:
        """What elfsig showed of the machine before and after."""
        documents = [json.loads(report.commands[-1].out[-1]) for report in self.result]
        return [document["system"]["modules"][0] for document in documents]

    def _boot(self, machine: SecureMachine, commands: Sequence[Sequence[str]]) -> Report:
        content = signed(self.who, self.kernel.base)
        archive = initramfs.build({CASE: content}, self.kernel.needed("efivarfs"), [AS_BOOTED], commands)
        chain = boot_chain()
        assert chain is not None
        libraries = [chain.path / folder for folder in ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu")]
        archive.program(str(chain.path / "usr/bin/mokutil"), libraries, MOKUTIL)
        archive.program("/bin/sh")
        archive.file(CERTIFICATE, self.who.certificate)
        inside.add_python(archive)
        inside.add_kernel(archive, self.kernel, dict.fromkeys(FILES, content))
        machine.prepare(self.kernel, archive, pack=True)
        machine.start()
        return machine.report()

    def _confirm(self, machine: SecureMachine) -> None:
        """Go through MokManager, which resets the machine at its end."""
        machine.start()
        emulator, seen = machine.emulator, 0
        try:
            for pattern, keys in MENU:
                rule = re.compile(pattern, re.DOTALL)
                while not rule.search(emulator.text("console"), seen):
                    if not emulator.running() or emulator.seconds > TIMEOUT:
                        raise BootFailed(f"MokManager did not show {pattern}: {emulator.tail()}")
                    time.sleep(0.2)
                time.sleep(1)  # it reads keys a moment after it has drawn
                seen = len(emulator.text("console"))
                keyboard = Keyboard(machine.folder / "qmp")
                keyboard.press(keys)
                keyboard.close()
            emulator.wait(TIMEOUT)
        finally:
            emulator.stop()
