"""tour: commands on modules that ship with elfsig, and the results they should have."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

KEY = ("--key", "test.key", "--cert", "test.crt")
TRUST = ("--trust", "test.crt", "--trust", "test.gpg")


@dataclass(frozen=True, slots=True)
class Step:
    """One command: the text before it, its expected exit code, and a check of its result (a sentence, and
    whether it is true)."""

    text: str
    arguments: tuple[str, ...]
    code: int = 0
    prepare: Callable[[Path], None] | None = None
    check: tuple[str, Callable[[Path], bool]] | None = None


def _change_a_byte(folder: Path) -> None:
    data = bytearray((folder / "6.1-pkcs7.ko").read_bytes())
    data[0x80] ^= 1
    (folder / "changed.ko").write_bytes(data)


def _same(first: str, second: str) -> tuple[str, Callable[[Path], bool]]:
    def check(folder: Path) -> bool:
        return (folder / first).read_bytes() == (folder / second).read_bytes()

    return f"{first} is {second}, byte for byte", check


STEPS = (
    Step("Modules of five eras. Where does each keep its signature?", ("list", ".")),
    Step(
        "Are they genuine? Here we trust the certificate and the OpenPGP ring.",
        ("verify", ".", *TRUST),
    ),
    Step(
        "Change one byte of a module: the signature no longer matches.",
        ("verify", "changed.ko", *TRUST),
        code=1,
        prepare=_change_a_byte,
    ),
    Step(
        "Remove a signature: exactly the bytes that signing added.",
        ("strip", "6.1-pkcs7.ko", "-o", "plain.ko"),
    ),
    Step("Now it is unsigned, which is not the same as damaged.", ("verify", "plain.ko", *TRUST), code=1),
    Step(
        "Sign it again, in the format of current kernels.",
        ("sign", "plain.ko", "--format", "pkcs7", *KEY, "-o", "signed.ko"),
        check=_same("signed.ko", "6.1-pkcs7.ko"),
    ),
    Step("And verify.", ("verify", "signed.ko", *TRUST)),
    Step(
        "ELF sections are edited just as exactly: remove the note from a RHEL 6 module ...",
        ("strip", "2.6.32-note.ko", "-o", "unsigned.ko"),
    ),
    Step(
        "... and sign it with the trailer of Linux 3.7.",
        ("sign", "unsigned.ko", "--format", "x509", *KEY, "-o", "later.ko"),
    ),
    Step("Show every field, under modinfo's names:", ("show", "later.ko")),
)


def unpack(folder: Path) -> None:
    """Copy the samples and their throw-away keys into ``folder``."""
    with as_file(files("elfsig") / "data" / "tour") as samples:
        for path in samples.iterdir():
            shutil.copyfile(path, folder / path.name)


def steps(folder: Path) -> Iterator[Step]:
    """The steps in order, each prepared in ``folder`` when its turn comes."""
    for step in STEPS:
        if step.prepare is not None:
            step.prepare(folder)
        yield step
