"""Files of keys and certificates."""

from __future__ import annotations

from elfsig.errors import KeyFileError, ReadError
from elfsig.opened.source import impossible, read_whole, system_text

MAX_KEY_FILE = 1 << 20
"""Maximum size in bytes: no private key or certificate is larger."""


def read_file(path: str) -> bytes:
    """The content of a key or certificate file. Raises KeyFileError that names it."""
    if (why := impossible(path)) is not None:
        raise KeyFileError(f"{path!r}: {why}")
    try:
        data = read_whole(path, MAX_KEY_FILE + 1)
    except ReadError as reason:
        raise KeyFileError(f"{path}: {reason.text}", offset=reason.offset) from None
    except OSError as reason:
        raise KeyFileError(f"{path}: {system_text(reason)}") from None
    if len(data) > MAX_KEY_FILE:
        raise KeyFileError(f"{path}: too large for a key or certificate")
    return data
