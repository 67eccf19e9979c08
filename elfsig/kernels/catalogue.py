"""All profiles by id: oldest first, distributions last. A new row goes into one module of ``tables``."""

from __future__ import annotations

from collections.abc import Mapping

from elfsig.errors import UsageError
from elfsig.kernels.profile import Profile
from elfsig.kernels.tables import debian, mainline, oracle, redhat, sections, suse, ubuntu, vendors
from elfsig.kernels.tables.family import Family

VENDORS: tuple[Profile, ...] = (
    *sections.ROWS, *redhat.ROWS, *oracle.ROWS, *debian.ROWS, *ubuntu.ROWS, *suse.ROWS, *vendors.ROWS,
)  # fmt: skip
"""Rows of one vendor's kernels. At most one of them fits a release."""

FAMILIES: Mapping[str, Family] = {
    each.id: each
    for each in (
        *redhat.FAMILIES, *debian.FAMILIES, *ubuntu.FAMILIES, *suse.FAMILIES, *vendors.FAMILIES,
    )
}  # fmt: skip
"""Distributions that follow mainline, for their releases without a row of their own."""

MAINLINE: tuple[Profile, ...] = mainline.ROWS

PROFILES: Mapping[str, Profile] = {
    row.id: row
    for row in (
        *sections.ROWS, *MAINLINE, *redhat.ROWS, *oracle.ROWS, *debian.ROWS, *ubuntu.ROWS, *suse.ROWS,
        *vendors.ROWS,
    )
}  # fmt: skip

ALIASES: Mapping[str, str] = {
    "debian": "debian-6.12",
    "rhel6": "rhel6-late",
    "rhel8+": "rhel8",
    "sles": "sles-6.4",
    "mainline": MAINLINE[-1].id,
}
"""Names that stand for one of several rows: the newest that is widely used."""


def get(name: str) -> Profile:
    """The profile of this id or alias, or of a family and a mainline row (``fedora-6.9``).

    Raises UsageError that lists the ids.
    """
    found = PROFILES.get(ALIASES.get(name, name))
    if found is not None:
        return found
    family, _, row = name.partition("-")
    base = next((each for each in MAINLINE if each.id == row), None)
    if family in FAMILIES and base is not None and base.walk == "cms":
        return FAMILIES[family].row(base)
    raise UsageError(f"unknown kernel {name!r}: choose from {', '.join(PROFILES)}", code="unknown-kernel")
