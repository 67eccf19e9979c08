"""What a key file holds: a private key, the certificates beside it, and the time that OpenPGP keys have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from elfsig.lazy_tuple import NamedTuple

Ask = Callable[[str], bytes]
"""Returns the passphrase for the given name; raises SigningError if there is none."""


class Loaded(NamedTuple):
    """``private`` is an object of the cryptography library, ``certificates`` are DER, ``created`` is the
    creation time of an OpenPGP key in seconds since 1970 (0: it has none)."""

    private: Any
    certificates: tuple[bytes, ...] = ()
    created: int = 0
