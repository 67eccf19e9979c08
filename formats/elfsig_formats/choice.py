"""Selecting one of a format's pairs for signing, by the caller's options."""

from __future__ import annotations

from collections.abc import Sequence

from elfsig.errors import SigningError
from elfsig.model import Pair


def by_coverage(format_id: str, pairs: Sequence[Pair], coverage: str) -> Pair:
    """The first pair of this coverage. Raises SigningError that names the choices."""
    found = next((pair for pair in pairs if pair.coverage.id == coverage), None)
    if found is None:
        known = ", ".join(dict.fromkeys(pair.coverage.id for pair in pairs))
        raise SigningError(f"{format_id} has no coverage {coverage!r}: {known}", code="unknown-coverage")
    return found


def by_payload(format_id: str, pairs: Sequence[Pair], payload: str | None) -> Sequence[Pair]:
    """The pairs of this payload (None: the first pair's). Raises SigningError naming the choices."""
    wanted = payload or pairs[0].payload
    found = [pair for pair in pairs if pair.payload == wanted]
    if not found:
        known = ", ".join(dict.fromkeys(pair.payload for pair in pairs if pair.payload))
        raise SigningError(f"{format_id} has no payload {payload!r}: {known}", code="unknown-payload")
    return found
