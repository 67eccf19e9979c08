"""Where a module on a system comes from: a package of the distribution, DKMS, neither, or not known.

Packages come first, since a module of DKMS may have the name of a vendor's; and what DKMS built is known by
its content, not by its name. Nothing is written.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

from elfsig.errors import ElfsigError
from elfsig.host.commands import to_paste
from elfsig.host.databases import Search, place, search
from elfsig.host.dkms import system_ids
from elfsig.host.dkms_copies import origin
from elfsig.kernels.names import SUFFIX, module_name
from elfsig.opened.links import resolved
from elfsig.registry import Registry

Kind = Literal["package", "dkms", "differs", "none", "unknown"]

_MODULES = re.compile(r"(?:/usr)?/lib/modules/([^/]+)/(.+)")
AMONG_KERNEL_S = "it is where the kernel's own modules are"
_RELEASED = re.compile(r"(.+)-([^-]+-[^-]+)\Z")


class Source(NamedTuple):
    """Where a module comes from.

    ``name`` is that of the package, or of the DKMS module with its version. ``tool``: the package manager.
    ``kind``: "differs" from what DKMS built as ``name``; "none" of the databases that were read to their end
    lists it; "unknown" where one could not be read, or there is none. ``why`` says what is not known,
    ``denied`` that root could read it. ``vendor``: why the file may be one that a package has or had, empty
    where nothing says so. ``again``: the command of the package manager, without the package.
    """

    kind: Kind
    name: str = ""
    tool: str = ""
    why: str = ""
    denied: bool = False
    vendor: str = ""
    again: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """The origin in words."""
        return {
            "package": f"it belongs to the package {self.name}",
            "dkms": f"it was built by DKMS ({self.name})",
            "differs": f"it differs from what DKMS built under its name ({self.name})",
            "none": "it does not belong to a package, and DKMS did not build it",
            "unknown": f"not known: {self.why}",
        }[self.kind]

    @property
    def reinstall(self) -> str | None:
        """The command that reinstalls the package; None if there is no package, or no such command."""
        if self.kind != "package" or not self.again or self.name.startswith("-"):
            return None
        released = _RELEASED.match(self.name)
        exact = f"{released[1]}={released[2]}" if released and self.again[0] == "zypper" else self.name
        return to_paste(["sudo", *self.again, exact])


# --------------------------------------------------------------------------- looking it up


def source_of(root: Path, path: Path, registry: Registry | None = None) -> Source:
    """Where the module at ``path`` comes from, on the system below ``root``."""
    real, inside = _located(root, path)
    found = search(root, inside, str(path))
    if found.owner is not None:
        package, tool = found.owner
        return Source("package", package, tool, again=_again(root, tool))
    faults: list[ElfsigError] = list(found.faults)
    same = differing = None
    try:
        same, differing = origin(root, real, registry)
    except ElfsigError as fault:
        faults.append(fault)
    if same is not None:
        return Source("dkms", same.name)
    vendor = _vendor(root, real, inside, found)
    if differing is not None and vendor != AMONG_KERNEL_S:
        return Source("differs", differing.name)
    why = "; ".join(fault.text for fault in faults)
    denied = any(fault.code == "permission-denied" for fault in faults)
    if not found.consulted:
        why = why or "no list of files of a package manager was found"
    return Source("unknown" if why else "none", why=why, denied=denied, vendor=vendor)


def _located(root: Path, path: Path) -> tuple[Path, str | None]:
    """The file, links resolved inside ``root``, and its path on that system; None if it is not there."""
    top = os.path.realpath(root)
    given = os.path.join(os.path.realpath(os.path.dirname(os.path.abspath(path))), os.path.basename(path))
    base = "" if top == "/" else top
    if not given.startswith(f"{base}/"):
        return path, None
    try:
        real = resolved(given, top)
    except OSError:
        return path, None
    return Path(real), real[len(base) :]


def _vendor(root: Path, real: Path, inside: str | None, found: Search) -> str:
    """Why the file may stand in the place of a vendor's module."""
    at = _MODULES.fullmatch(inside or "")
    if at is not None and at[2].startswith("kernel/"):
        return AMONG_KERNEL_S
    for each in found.namesakes:
        other = _MODULES.fullmatch(each.path)
        if at is None or (other and other[1] == at[1]):
            return f"the package {each.package} has a module of this name, {each.path}"
    releases = [at[1]] if at else _releases(root)
    others = (each for release in releases for each in _files(root, release, module_name(str(real))))
    other_file = next((each for each in others if place(each) != place(inside or "")), None)
    return "" if other_file is None else f"there is another module of this name, {other_file}"


def _tops(root: Path) -> list[str]:
    """The directories of modules; /lib is a link where it is the same as /usr/lib."""
    return ["/usr/lib/modules", *([] if os.path.islink(root / "lib") else ["/lib/modules"])]


def _releases(root: Path) -> list[str]:
    found: set[str] = set()
    for top in _tops(root):
        with suppress(OSError):
            found.update(os.listdir(root / top.lstrip("/")))
    return sorted(found)


def _files(root: Path, release: str, name: str) -> Iterator[str]:
    """The files of a kernel with the module name ``name``, as paths on that system; no links."""
    for top in _tops(root):
        base = root / top.lstrip("/") / release
        for folder, _, names in os.walk(base):
            for each in sorted(names):
                path = Path(folder, each)
                if SUFFIX.search(each) and module_name(each) == name and not path.is_symlink():
                    yield f"{top}/{release}/{path.relative_to(base)}"


# --------------------------------------------------------------------------- package managers


_ZYPPER, _DNF, _YUM = ("zypper", "install", "--force"), ("dnf", "reinstall"), ("yum", "reinstall")
_OF_RPM = (("usr/bin/dnf", _DNF), ("usr/bin/dnf5", _DNF), ("usr/bin/yum", _YUM), ("usr/bin/zypper", _ZYPPER))
"""Programs, and how they reinstall a package: the first one that is there, unless it is SUSE."""
_AGAIN = {
    "dpkg": ("apt-get", "install", "--reinstall"),
    "pacman": ("pacman", "-S"),
    "apk": ("apk", "fix", "--reinstall"),
}
IMAGE_BASED = "run/ostree-booted"
"""There the packages are those of an image, which is replaced as a whole."""


def _again(root: Path, tool: str) -> tuple[str, ...]:
    """The words that reinstall a package there; none where they are not known."""
    if tool in _AGAIN:
        return _AGAIN[tool]
    if os.path.lexists(root / IMAGE_BASED):
        return ()
    if {"suse", "opensuse", "sles"} & system_ids(root):
        return _ZYPPER
    return next((words for program, words in _OF_RPM if os.path.lexists(root / program)), ())
