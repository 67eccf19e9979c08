"""Commands to paste into a shell: every one that elfsig prints is quoted here.

File names and names of packages come from whoever made them, and a shell runs what it is given.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path

UNPRINTABLE = "no command is given: a name in it has characters that cannot be printed"
"""What to say where :func:`to_paste` gives None: a command that shows such a name differently would mean
another file."""


def to_paste(*commands: list[str]) -> str | None:
    """Commands, each a list of words, as one line for a shell; each runs only if the one before succeeded.

    None where a word cannot be shown as it is.
    """
    line = " && ".join(map(shlex.join, commands))
    return line if line.isprintable() else None


def enrolling(certificate: str) -> list[list[str]]:
    """The commands that have a certificate enrolled as a machine owner key: mokutil takes DER only.

    Raises OSError where it cannot be read.
    """
    with open(certificate, "rb") as stream:
        if stream.read(1) == b"\x30":
            return [["sudo", "mokutil", "--import", certificate]]
    der = f"{os.path.splitext(certificate)[0]}.der"
    if os.path.lexists(der):
        der = f"{certificate}.der"
    convert = ["sudo", "openssl", "x509", "-in", certificate, "-outform", "DER", "-out", der]
    return [convert, ["sudo", "mokutil", "--import", der]]


def argument(path: str | Path) -> str:
    """A path as an argument of a command that may be pasted anywhere: absolute, so not an option either."""
    return os.path.abspath(path)


def operand(path: str) -> str:
    """A path as an argument of a command that is pasted here: not taken for an option."""
    return f"./{path}" if path.startswith("-") else path
