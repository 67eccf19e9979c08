"""What is a URL, and what of it may be shown."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from elfsig.model.json_values import shown

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


def is_url(text: str) -> bool:
    """Whether ``text`` names something that is not in the file system. A file of this name takes
    precedence."""
    return _URL.match(text) is not None and not os.path.lexists(text)


def protocol(url: str) -> str:
    """What stands before ``://``, in lower case."""
    found = _URL.match(url)
    return found[1].lower() if found is not None else ""


__all__ = ["RemoteEntry", "RemoteFile", "is_url", "protocol", "shown"]


class RemoteFile(NamedTuple):
    """A file that a URL leads to.

    ``url`` is the source as it was given, with credentials if there are any; ``path`` is what the file system
    calls the file, None for the one that ``url`` itself names.
    """

    url: str
    path: str | None = None


class RemoteEntry(NamedTuple):
    """One entry of a listing: ``shown`` is its URL for people and records, without credentials.

    ``error`` is (code, text) where it is a directory that could not be listed.
    """

    shown: str
    file: RemoteFile
    error: tuple[str, str] | None = None
