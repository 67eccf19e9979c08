"""Distributions that follow mainline: what each changes, for the versions that have no row of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from elfsig.kernels.profile import Profile, Releases
from elfsig.lazy_dataclass import dataclass, replace
from elfsig.model import Basis

RETRY = "on ENOKEY it asks the platform keyring (UEFI db) as well, which mainline does not do for modules"
PLATFORM = frozenset({"platform", "machine"})
"""The platform keyring holds UEFI db, and the machine owner keys that the machine keyring did not take."""


@dataclass(frozen=True, slots=True)
class Family:
    """A distribution's changes to mainline. ``fields`` replace those of the mainline row.

    ``recalled`` names what of this was not read for each version. The id of a row is made of both:
    ``fedora-6.9`` is Fedora's change to the mainline row 6.9.
    """

    id: str
    title: str
    releases: Releases
    fields: Mapping[str, Any]
    recalled: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def row(self, base: Profile) -> Profile:
        """Mainline's ``base`` with the changes; before PKCS#7 (4.3) as it is."""
        if base.walk != "cms":
            return base
        return replace(
            base,
            id=f"{self.id}-{base.id}",
            title=f"{self.title}, {base.title}",
            basis=Basis.RECALLED,
            source=f"mainline {base.id}: {base.source}",
            recalled=(*base.recalled, *self.recalled),
            notes=(*base.notes, *self.notes),
            crypto=replace(base.crypto, fips_assumed=True),
            **self.fields,
        )
