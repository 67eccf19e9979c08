"""Key rings from what callers have: paths and key rings made before."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import cast

from elfsig.errors import UsageError
from elfsig.model import Keyring
from elfsig.trust.keyring import load

KeySources = Keyring | str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


def keyring(trust: KeySources = (), keys: KeySources = ()) -> Keyring | None:
    """The key ring of these sources, for many calls of :func:`verify`; None where none was given.

    Raises KeySourceError for a source without a usable key.
    """
    vouched, tried = _words(trust), _words(keys)
    if vouched is None:
        if keys:
            raise UsageError("a key ring and further key sources exclude each other")
        return cast("Keyring", trust)
    if tried is None:
        raise UsageError("a key ring is given as trust: it says of each key whether it is vouched for")
    if not vouched and not tried:
        return None
    return load(vouched, tried)


def _words(sources: KeySources) -> list[str] | None:
    """The sources as the command line has them; None for a ready key ring."""
    if isinstance(sources, (str, os.PathLike)):
        return [os.fspath(sources)]
    if isinstance(sources, Sequence):
        return [os.fspath(each) for each in sources]
    return None
