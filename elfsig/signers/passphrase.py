"""Where the passphrase of a private key comes from: the environment, else the terminal, else nowhere."""

from __future__ import annotations

import os
from contextlib import suppress

from elfsig.errors import SigningError

VARIABLE = "KBUILD_SIGN_PIN"
"""The environment variable of the kernel's sign-file."""


def ask(what: str) -> bytes:
    """The passphrase for ``what``, a key's name as the user gave it; the PIN where that is a pkcs11: URI.

    ``KBUILD_SIGN_PIN`` decides where it is set. A prompt appears on the controlling terminal; without
    one this raises SigningError instead of waiting.
    """
    given = os.environb.get(VARIABLE.encode())
    if given is not None:
        return given
    secret = "PIN" if what.startswith("pkcs11:") else "passphrase"
    if not _has_terminal():
        text = f"{what} needs a {secret}: set {VARIABLE}, there is no terminal to ask on"
        raise SigningError(text, code="no-passphrase")
    from getpass import getpass

    try:
        return getpass(f"{secret[0].upper()}{secret[1:]} for {what}: ").encode()
    except (EOFError, KeyboardInterrupt):
        raise SigningError(f"{what}: no {secret} was given", code="no-passphrase") from None


def choose(what: str) -> bytes:
    """A new passphrase for ``what``: from ``KBUILD_SIGN_PIN``, else asked twice. Raises SigningError."""
    given = VARIABLE in os.environ
    if not given and not _has_terminal():
        text = f"a passphrase for {what}: set {VARIABLE}, there is no terminal to ask on"
        raise SigningError(text, code="no-passphrase")
    first = ask(what)
    if not first:
        raise SigningError(f"{what}: an empty passphrase protects nothing", code="no-passphrase")
    if not given and ask(f"{what}, again") != first:
        raise SigningError(f"{what}: the two passphrases differ", code="no-passphrase")
    return first


def can_ask() -> bool:
    """Whether :func:`ask` would get an answer: from the environment, or at a terminal."""
    return VARIABLE in os.environ or _has_terminal()


def _has_terminal() -> bool:
    with suppress(OSError):
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
        return True
    return False
