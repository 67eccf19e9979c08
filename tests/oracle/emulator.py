"""QEMU as a child process: what it is started with, how long it may take, and what its guest printed."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tests.oracle.report import BootFailed, Report, parse
from tests.support.tools import need

TIMEOUT = 600
"""Seconds that a machine may take: an idle processor needs a twentieth, a busy one has taken a quarter."""

ACCELERATOR = "ELFSIG_ACCEL"
"""Environment variable with QEMU's accelerator. The default is tcg, which needs no /dev/kvm: many a machine
that is itself a guest offers a /dev/kvm under which these kernels do not come up."""


class Emulator:
    """One machine in ``folder``: its consoles, "console" and "report", are files there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._begun = 0.0

    def start(self, arguments: Sequence[str | Path]) -> None:
        """Start it; both serial ports go to files. Skips where QEMU is missing."""
        accelerator = os.environ.get(ACCELERATOR, "tcg")
        command: list[str | Path] = [need("qemu-system-x86_64"), "-accel", accelerator]
        command += ["-nodefaults", "-display", "none", "-no-reboot"]
        for name in ("console", "report"):
            (self.folder / name).unlink(missing_ok=True)
            command += ["-serial", f"file:{self.folder / name}"]
        self._begun = time.monotonic()
        words = [*map(str, command), *map(str, arguments)]
        quiet = subprocess.DEVNULL
        with (self.folder / "errors").open("wb") as errors:
            self._process = subprocess.Popen(words, stdin=quiet, stdout=quiet, stderr=errors)

    @property
    def seconds(self) -> float:
        """How long it has been running."""
        return time.monotonic() - self._begun

    def text(self, name: str) -> str:
        """What was written to the port "console" or "report" so far, or QEMU's own "errors"."""
        path = self.folder / name
        return path.read_text(errors="surrogateescape") if path.exists() else ""

    def running(self) -> bool:
        """Whether it has not ended. Raises BootFailed where QEMU itself failed."""
        assert self._process is not None
        code = self._process.poll()
        if code is not None and code > 0:
            raise BootFailed(self.text("errors"))
        return code is None

    def wait(self, limit: float = TIMEOUT, silence: float | None = None) -> None:
        """Until it has ended. Raises BootFailed after ``limit`` seconds.

        ``silence``: it is stopped, without an error, once it has printed nothing for so many seconds.
        """
        size, heard = -1, time.monotonic()
        while self.running():
            now = len(self.text("console")) + len(self.text("report")) if silence is not None else 0
            if now != size:
                size, heard = now, time.monotonic()
            if silence is not None and time.monotonic() - heard > silence:
                self.stop()
            elif self.seconds > limit:
                self.stop()
                raise BootFailed(f"no answer within {limit:.0f} s: {self.tail()}")
            time.sleep(0.1)

    def stop(self) -> None:
        """End it, if it is still running."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def report(self, limit: float = TIMEOUT) -> Report:
        """The report of its guest, once it has ended. Raises BootFailed."""
        try:
            self.wait(limit)
        finally:
            self.stop()
        found = parse(self.text("report"))
        if found is None:
            raise BootFailed(f"the report is not whole: {self.tail()}")
        found.seconds = self.seconds
        return found

    def tail(self) -> str:
        """The end of what the guest printed."""
        return "\n".join(self.text(name)[-1500:] for name in ("console", "report"))
