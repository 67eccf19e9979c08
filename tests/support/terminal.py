"""Run a program on a terminal of its own, and type what it asks for."""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tests.support.tools import need


def typed(
    words: Sequence[str | Path], answers: Sequence[tuple[bytes, bytes]], env: Mapping[str, str], cwd: Path
) -> tuple[int, str]:
    """(exit code, everything on the terminal). ``answers``: what to wait for, and the line to type then."""
    primary, secondary = pty.openpty()
    seen, waiting = b"", list(answers)
    controlling = [need("setsid"), "--ctty", "--wait", *words]
    with subprocess.Popen(
        controlling, stdin=secondary, stdout=secondary, stderr=secondary, env=env, cwd=cwd
    ) as process:
        os.close(secondary)
        unanswered = b""
        with suppress(OSError):  # EIO: the last one on the terminal has gone
            while data := os.read(primary, 4096):
                seen += data
                unanswered += data
                if waiting and waiting[0][0] in unanswered:
                    os.write(primary, waiting.pop(0)[1] + b"\n")
                    unanswered = b""
        os.close(primary)
    return process.returncode, seen.decode(errors="replace")
