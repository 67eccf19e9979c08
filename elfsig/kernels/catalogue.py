"""All profiles by id, in the order in which history made them, distributions last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from elfsig.errors import UsageError
from elfsig.kernels import tables_distros, tables_sections, tables_trailers
from elfsig.kernels.profile import Profile

PROFILES: Mapping[str, Profile] = {
    row.id: row for row in (*tables_sections.ROWS, *tables_trailers.ROWS, *tables_distros.ROWS)
}

ALIASES: Mapping[str, str] = {
    "debian": "debian-6.12",
    "rhel6": "rhel6-late",
    "rhel8+": "rhel8",
    "mainline": tables_trailers.ROWS[-1].id,
}
"""Names that stand for one of several rows: the newest that is widely used."""


def get(name: str) -> Profile:
    """The profile of this id or alias. Raises UsageError that lists the choices."""
    found = PROFILES.get(ALIASES.get(name, name))
    if found is None:
        raise UsageError(f"unknown kernel {name!r}: known are {', '.join(PROFILES)}", code="unknown-kernel")
    return found


def mainline() -> Sequence[tuple[tuple[int, ...], Profile]]:
    """Mainline rows with the release from which each holds, oldest first."""
    rows = [row for row in tables_trailers.ROWS if row.releases.replace(".", "").isdigit()]
    return [(tuple(map(int, row.releases.split("."))), row) for row in rows]
