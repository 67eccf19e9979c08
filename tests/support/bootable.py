"""Debian's kernels that an emulator can boot, from 5.10 to the newest: found by the pattern of their names.

A suite other than the system's own gets its own package lists in the cache. What a mirror has dropped is
gone: its tests are skipped with that reason. Standard library only.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from tests.support.kernels import AptRoot, FetchError, Unpacked, cached, keep, updated_root

ARCH = "amd64"
NEWER = ("trixie-backports", "sid", "experimental")
"""Where Debian's newest kernels are."""


class Bootable(NamedTuple):
    """A pattern for the name of an image package, and the suites to look in (none: the system's own).

    Of several names the one with the highest version is meant whose modules are there as well; if there are
    none with modules, then the highest version.
    """

    pattern: str
    suites: tuple[str, ...] = ()


def _of(version: str, suite: str) -> Bootable:
    return Bootable(rf"linux-image-{re.escape(version)}(?:\.\d+)?(?:\+deb\d+)?-cloud-amd64", (suite,))


BOOTABLE = {
    "5.10": Bootable(r"linux-image-5\.10\.0-\d+-amd64", ("bullseye",)),
    "5.10-cloud": Bootable(r"linux-image-5\.10\.0-\d+-cloud-amd64", ("bullseye",)),
    "6.1": Bootable(r"linux-image-6\.1\.0-\d+-cloud-amd64"),
    "6.12": Bootable(r"linux-image-6\.12\.\d+\+deb12-cloud-amd64"),
    "6.12-trixie": _of("6.12", "trixie"),
    **{
        version: _of(version, "trixie-backports")
        for version in ("6.16", "6.17", "6.18", "6.19", "7.0", "7.1", "7.3")
    },
    "7.2": _of("7.2", "sid"),
    "7.3-rc": _of("7.3", "experimental"),
    "newest": Bootable(r"linux-image-\d[\d.]*(?:\+deb\d+)?-cloud-amd64", NEWER),
}
"""Every kernel that can be asked, by a short name. The cloud flavours are small, and have the options for
signatures that the others have; but 5.10 for clouds has no platform keyring, so both are here."""

ALWAYS = ("6.1", "newest")
"""Those that every run of the tests boots; ``python -m tests.oracle`` boots the others."""


def version_key(package: str) -> tuple[int, ...]:
    """Kernel packages in the order of their versions: the numbers in a name."""
    return tuple(int(number) for number in re.findall(r"\d+", package.partition("-cloud")[0]))


def record_name(name: str) -> str:
    """Under which name the cache has a kernel of BOOTABLE."""
    return f"boot-{name}"


def bootable(name: str) -> Unpacked | None:
    """A kernel of BOOTABLE that :func:`fetch_bootable` has unpacked before; None where it is missing."""
    return cached(ARCH, record_name(name))


def fetch_bootable(name: str) -> Unpacked:
    """Download and unpack a kernel of BOOTABLE; what is there in this version already stays.

    While the mirror does not answer, any version is better than none. Raises FetchError.
    """
    known = bootable(name)
    try:
        apt, package = _found(BOOTABLE[name])
        version = apt.version(package)
        if known and (known.package, known.version) == (package, version):
            return known
        return keep(apt, package, version, record_name(name))
    except FetchError:
        if known:
            return known
        raise


def _found(wanted: Bootable) -> tuple[AptRoot, str]:
    """The apt root that has the newest package of a pattern, and the package."""
    roots = [updated_root(ARCH, suite) for suite in wanted.suites or (None,)]
    found = [(apt, name) for apt in roots for name in apt.names(wanted.pattern)]
    found.sort(key=lambda each: version_key(each[1]), reverse=True)
    if not found:
        where = ", ".join(wanted.suites) or "the package sources of this system"
        raise FetchError(f"no package {wanted.pattern} in {where}")
    return next((each for each in found if each[0].is_whole(each[1])), found[0])


# --------------------------------------------------------------------------- Secure Boot

CHAIN = (
    "shim-signed", "shim-helpers-amd64-signed", "grub-efi-amd64-signed", "mokutil", "libefivar1",
    "libkeyutils1",
)  # fmt: skip
"""Signed shim, MokManager and GRUB, and mokutil with its libraries, from the system's own suite."""


def boot_chain() -> Unpacked | None:
    """What :func:`fetch_boot_chain` has unpacked before; None where it is missing."""
    return cached(ARCH, "boot-chain")


def fetch_boot_chain() -> Unpacked:
    """Download and unpack CHAIN into one tree; what is there in these versions stays. Raises FetchError."""
    known, apt = boot_chain(), updated_root(ARCH)
    try:
        version = "_".join(apt.version(package) for package in CHAIN)
        if known and known.version == version:
            return known
        return keep(apt, CHAIN[0], version, "boot-chain", CHAIN)
    except FetchError:
        if known:
            return known
        raise
