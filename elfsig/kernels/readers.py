"""Which released kernels read which format, by the release that a module's vermagic names.

Facts: kernel/module_signing.c and kernel/module/signing.c for the trailers (3.7, 4.3), the vendors' trees for
the section formats. The proposals of 2012 never reached a release.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from elfsig.model import Format, Remark

Version = tuple[int, int, int]
_ALL: Final[Version] = (1 << 30, 0, 0)
_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")


class Era(NamedTuple):
    """Releases from ``first`` to ``last``, both included; one of ``words`` in their names, where there are
    any."""

    first: Version
    last: Version = _ALL
    words: tuple[str, ...] = ()


READERS: Final[Mapping[str, tuple[Era, ...]]] = {
    "pkcs7": (Era((4, 3, 0)),),
    "x509": (Era((3, 7, 0), (4, 2, 99)),),
    "x509-rc1": (Era((3, 7, 0), (3, 7, 0), ("-rc1",)),),
    "note": (Era((2, 6, 32), (2, 6, 32), (".el6",)), Era((2, 6, 39), (2, 6, 39), ("uek",))),
    "redhat": (Era((2, 6, 9), (2, 6, 20), (".el", "fc")),),
    "gkh": (Era((2, 5, 0), (2, 6, 8)),),
    "crypto-pgp": (),
    "crypto-digsig": (),
    "modarg-pgp": (),
}
"""Formats that are not listed are third parties', of whose kernels nothing is known."""


def not_read(format_: Format, vermagic: str | None) -> Remark | None:
    """A remark where the kernel that ``vermagic`` names does not read ``format_``; else, and where it
    cannot be told, None."""
    eras = READERS.get(format_.id)
    release = (vermagic or "").split(" ")[0]
    found = _VERSION.match(release)
    if eras is None or found is None:
        return None
    version = (int(found[1]), int(found[2]), int(found[3] or 0))
    if any(_within(version, release.lower(), era) for era in eras):
        return None
    text = f"the module was built for {release}, which does not read {format_.id}; {format_.kernels}"
    return Remark("kernel-does-not-read", f"{text} did" if not eras else f"{text} do")


def _within(version: Version, release: str, era: Era) -> bool:
    named = not era.words or any(word in release for word in era.words)
    return named and era.first <= version <= era.last
