"""Which profile a kernel has: by its release, by a module's vermagic, by an image of it.

A release is what ``uname -r`` prints: ``6.1.0-54-amd64``, ``2.6.32-431.el6.x86_64``, ``5.15.0-91-generic``.
Which releases a profile is for stands in its row (:class:`elfsig.kernels.profile.Releases`).
"""

from __future__ import annotations

import os
import re
from functools import lru_cache

from elfsig.errors import UsageError
from elfsig.kernels import config as configs
from elfsig.kernels.catalogue import ALIASES, FAMILIES, MAINLINE, PROFILES, VENDORS, get
from elfsig.kernels.names import release_of
from elfsig.kernels.profile import Profile, version_of
from elfsig.kernels.section_era.module_header import BY_SUFFIX
from elfsig.kernels.tables.mainline import UNMODIFIED
from elfsig.lazy_dataclass import replace
from elfsig.lazy_tuple import NamedTuple
from elfsig.model import Basis
from elfsig.opened.evidence import read
from elfsig.trust.kernel_image import contents

AUTO = "auto"
RELEASE = re.compile(r"\d+\.\d+(?:\.\d+)?(?:[-+.].*)?\Z")
_BANNER = re.compile(rb"Linux version (\d[!-~]{1,128})")
_FORWARD = "3.7-rc1"


def _mainline(release: str) -> Profile:
    """The mainline row of a release's version. Raises UsageError where there is none."""
    version = version_of(release)
    for row in MAINLINE:
        since, before = row.releases.since, row.releases.before
        if row.id != _FORWARD and since <= version and (before is None or version < before):
            return _as_far_as_read(row, release)
    raise UsageError(f"no profile for the release {release}", code="unknown-kernel", hint="kernel")


def _as_far_as_read(row: Profile, release: str) -> Profile:
    """``row``, or as a guess where it was chosen for a version that is newer than all that was looked at."""
    if not row.releases.beyond(release):
        return row
    newest = ".".join(map(str, row.releases.newest))
    return replace(
        row,
        title=f"{row.title}, for {release}: newer than what was looked at",
        basis=Basis.RECALLED,
        recalled=(*row.recalled, f"whatever changed after Linux {newest}"),
        caveat=f"{release} is newer than Linux {newest}, the newest of these kernels that was looked at: what"
        f" changed since is not known, and this is the response of {row.id}",
    )


def _of_unknown_vendor(row: Profile, release: str) -> Profile:
    """Mainline's row for a kernel whose builder is not known, and which says so."""
    return replace(
        row,
        title=f"{row.title}, for {release}: a vendor's kernel, its patches are not known",
        basis=Basis.RECALLED,
        recalled=(*row.recalled, "whatever the builder of this kernel changed"),
        caveat=f"{release} is a vendor's kernel, its patches are not known: this is the response of mainline"
        f" {row.id}" + (f"; {row.caveat}" if row.caveat else ""),
    )


def for_release(release: str) -> Profile:
    """The profile of a release. Raises UsageError where none is known.

    A vendor's row that fits comes first, then a distribution that follows mainline, then mainline itself.
    """
    if re.match(r"2\.6\.32-.*uek", release):
        raise UsageError(
            f"{release}: Oracle's UEK1 was not examined; the nearest rows are rhel6-early and uek2",
            code="unknown-kernel",
        )
    for row in (*VENDORS, MAINLINE[0]):
        if row.releases.fit(release):
            return _as_far_as_read(row, release)
    for family in FAMILIES.values():
        if family.releases.fit(release):
            return family.row(_mainline(release))
    row = _mainline(release)
    return row if re.fullmatch(UNMODIFIED, release) else _of_unknown_vendor(row, release)


@lru_cache(maxsize=64)
def for_kernel(release: str) -> Profile:
    """As :func:`for_release`; where the kernel compares a module's machine before its signature, only that
    which the release names is accepted (``2.6.32-504.el6.x86_64``). Without one, any of the row's is.
    """
    row, machine = for_release(release), BY_SUFFIX.get(release.rpartition(".")[2])
    if row.head is None or machine not in row.head.machines:
        return row
    return replace(row, head=row.head._replace(machines=frozenset({machine})))


def for_module(vermagic: str | None) -> Profile:
    """The profile of the kernel that a module was built for, by its vermagic. Raises UsageError where it has
    none, and where no profile is known."""
    release = release_of(vermagic)
    if release is None:
        raise UsageError(
            "the module has no vermagic, so its kernel is not known; name the kernel", code="no-vermagic"
        )
    return for_kernel(release)


class KernelFile(NamedTuple):
    """What a kernel image says of itself: ``release``, and its configuration where it carries one."""

    release: str
    config: str | None


def read_image(data: bytes) -> KernelFile | None:
    """The release and the configuration in a kernel image of any form; None where there is no banner."""
    release = config = None
    for content in contents(data):
        found = _BANNER.search(content)
        if found:
            release = release or found[1].decode("ascii")
            config = configs.embedded(content)
            if config is not None or release:
                break
    return KernelFile(release, config) if release else None


class Chosen(NamedTuple):
    """What ``--kernel`` names: a profile, or None for the one of each module's own vermagic.

    ``config`` is the image's own configuration; ``image`` the image's path, whose keys the kernel holds.
    """

    profile: Profile | None
    config: str | None = None
    image: str | None = None
    release: str | None = None


def choose(text: str) -> Chosen:
    """The kernel that ``--kernel TEXT`` means: an id, "auto", a release, or a file. Raises UsageError."""
    if text == AUTO:
        return Chosen(None)
    if text in PROFILES or text in ALIASES:
        return Chosen(get(text))
    if not os.path.isfile(text):
        if RELEASE.match(text):
            return Chosen(for_kernel(text), release=text)
        if os.sep in text:
            why = "a directory, not a kernel image" if os.path.isdir(text) else "no such kernel image"
            raise UsageError(f"{text}: {why}", code="unknown-kernel")
        return Chosen(get(text))
    image = read_image(read(text).content)
    if image is None:
        raise UsageError(
            f"{text}: not a kernel image: it has no 'Linux version' in it", code="unknown-kernel"
        )
    return Chosen(for_kernel(image.release), image.config, text, image.release)
