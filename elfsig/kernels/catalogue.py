"""All profiles by id: oldest first, distributions last. A new row goes into one module of ``tables``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from elfsig.errors import UsageError
from elfsig.kernels.profile import Profile
from elfsig.kernels.tables import debian, mainline, oracle, redhat, sections, suse, ubuntu, vendors
from elfsig.kernels.tables.family import Family
from elfsig.lazy_dataclass import replace


def _fips_assumed(*tables: tuple[Profile, ...]) -> Iterator[Profile]:
    """The rows of vendors whose crypto/testmgr.c was not read, and who are known to change it."""
    for row in (row for rows in tables for row in rows):
        assumed = bool(row.crypto.fips_absent)
        yield replace(row, crypto=replace(row.crypto, fips_assumed=True)) if assumed else row


_RED_HAT = tuple(_fips_assumed(redhat.ROWS, oracle.ROWS))
_OTHERS = tuple(_fips_assumed(ubuntu.ROWS, suse.ROWS, vendors.ROWS))

VENDORS: tuple[Profile, ...] = (*sections.ROWS, *_RED_HAT, *debian.ROWS, *_OTHERS)
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
    row.id: row for row in (*sections.ROWS, *MAINLINE, *_RED_HAT, *debian.ROWS, *_OTHERS)
}

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
