"""A program as signer (``--signer-command``): for key management services that have a tool but no library."""

from __future__ import annotations

import os
import shlex
import subprocess

from elfsig.errors import SigningError
from elfsig.opened.source import system_text
from elfsig.signers.outside import OutsideSigner, PublicHalf, Request
from elfsig.signers.patience import waiting_for

TIMEOUT = 300
"""Seconds allowed for one signature, including a confirmation on a device."""


class CommandSigner(OutsideSigner):
    """Runs ``command`` for every signature. Implements model.Signer; every value is checked.

    The program gets the bytes to sign on standard input: a digest, or for ML-DSA and EdDSA the message.
    {hash}, {algorithm}, {kind} (digest, message, block) and {hex} (the bytes in hexadecimal) are replaced in
    its arguments; ELFSIG_HASH, ELFSIG_ALGORITHM and ELFSIG_KIND are set to the same. It prints the
    signature: raw, hexadecimal or base64. No shell is involved.
    """

    def __init__(self, command: str, half: PublicHalf) -> None:
        super().__init__("signing command", half)
        try:
            self.words: list[str] = shlex.split(command)
        except ValueError as reason:
            raise SigningError(f"signing command: {reason}", code="signer-command") from None
        if not self.words:
            raise SigningError("the signing command is empty", code="signer-command")

    def ask(self, request: Request) -> bytes:
        """The program's output. Raises SigningError if it fails, with its last lines of output."""
        facts = {"hash": request.hash or "", "algorithm": self.algorithm, "kind": request.kind}
        environment = {**os.environ, **{f"ELFSIG_{name.upper()}": value for name, value in facts.items()}}
        words = [_filled(word, {**facts, "hex": request.data.hex()}) for word in self.words]
        try:
            with waiting_for(f"{self.words[0]} to sign"):
                done = subprocess.run(
                    words, input=request.data, capture_output=True, env=environment, timeout=TIMEOUT
                )
        except OSError as reason:
            raise _failed(f"{self.words[0]}: {system_text(reason)}") from None
        except subprocess.TimeoutExpired:
            raise _failed(f"{self.words[0]} returned no signature within {TIMEOUT} seconds") from None
        if done.returncode:
            said = " / ".join(done.stderr.decode("utf-8", "replace").split("\n")[-4:]).strip(" /")
            raise _failed(
                f"{self.words[0]} exited with status {done.returncode}" + (f": {said}" if said else "")
            )
        return done.stdout


def _filled(word: str, facts: dict[str, str]) -> str:
    for name, value in facts.items():
        word = word.replace(f"{{{name}}}", value)
    return word


def _failed(text: str) -> SigningError:
    return SigningError(f"signing command: {text}", code="signer-command")
