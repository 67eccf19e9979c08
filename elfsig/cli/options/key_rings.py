"""The key rings of commands, and what could not be read of their sources.

It is said here for every command: on stderr, and as ``losses`` in JSON.

Keys that are missing change what a command finds, whichever it is. Only the reports of ``verify`` and its
like say it themselves, of each file.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

import click

from elfsig.cli.settings import Settings, complain

if TYPE_CHECKING:
    from elfsig.model import Loss
    from elfsig.trust.ring import Ring

    class Lossy(Protocol):
        """What was read from key sources."""

        @property
        def losses(self) -> Sequence[Loss]: ...

    AnyRing = TypeVar("AnyRing", bound=Lossy | None)

MAX_SAID = 20
"""Key sources of which losses are said on stderr; further ones are only counted."""


def quiet_ring(trust: Iterable[str], keys: Iterable[str] = ()) -> Ring | None:
    """The ring of the given sources, None without any, for commands whose reports say what was lost.

    Raises KeySourceError.
    """
    trust, keys = tuple(trust), tuple(keys)
    if not trust and not keys:
        return None
    from elfsig.trust.keyring import load

    return load(trust, keys)


def key_ring(trust: Iterable[str], keys: Iterable[str] = ()) -> Ring | None:
    """As :func:`quiet_ring`; what could not be read of the sources is said."""
    return tell_of_losses(quiet_ring(trust, keys))


def tell_of_losses(ring: AnyRing) -> AnyRing:
    """``ring``, after what its sources lost has been said and noted for the JSON, each loss once in a run."""
    context = click.get_current_context(silent=True)
    settings = context.find_object(Settings) if context is not None else None
    known = settings.losses if settings is not None else {}
    new = [loss for loss in (ring.losses if ring is not None else ()) if loss not in known]
    known.update(dict.fromkeys(new))
    if new:
        from elfsig.verbs.verify.key_sources import remarks_on

        remarks = list(remarks_on(new))
        for remark in remarks[:MAX_SAID]:
            complain(remark.text, word="warning: ")
        if len(remarks) > MAX_SAID:
            more = len(remarks) - MAX_SAID
            complain(f"{more} more key sources could not be read completely", word="warning: ")
    return ring
