"""Where a module on a system comes from: a package of the distribution, DKMS, or neither.

Packages are looked up in dpkg's lists of files, else with ``rpm -qf``. Nothing is written.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from elfsig.errors import UsageError
from elfsig.host.dkms import built
from elfsig.host.files import Files

DPKG_LISTS = "var/lib/dpkg/info"
RPM_DATABASES = ("usr/lib/sysimage/rpm", "var/lib/rpm")
NAME_OF_RPM = "%{NAME}-%{VERSION}-%{RELEASE}\n"
TIMEOUT = 30
"""Timeout for rpm, in seconds."""

Kind = Literal["package", "dkms", "none"]


class Source(NamedTuple):
    """Where a module comes from.

    ``name`` is that of the package, or of the DKMS module with its version. ``tool``: "dpkg" or "rpm".
    """

    kind: Kind
    name: str = ""
    tool: str = ""

    @property
    def words(self) -> str:
        """The origin in words."""
        if self.kind == "package":
            return f"it belongs to the package {self.name}"
        if self.kind == "dkms":
            return f"it was built by DKMS ({self.name})"
        return "it does not belong to a package, and DKMS did not build it"

    @property
    def reinstall(self) -> str | None:
        """The command that reinstalls the package; None if there is no package."""
        if self.kind != "package":
            return None
        if self.tool == "dpkg":
            return f"sudo apt-get install --reinstall {self.name}"
        return f"sudo dnf reinstall {self.name}"


def source_of(root: Path, path: Path) -> Source:
    """Where the module at ``path`` comes from, on the system below ``root``."""
    built_by = _dkms(root, path)
    if built_by is not None:
        return built_by
    name = _dpkg(root, path)
    if name is not None:
        return Source("package", name, "dpkg")
    name = _rpm(root, path)
    return Source("none") if name is None else Source("package", name, "rpm")


def _dkms(root: Path, path: Path) -> Source | None:
    try:
        found = built(root)
    except UsageError:
        return None
    for each in found:
        if path in (each.path, *each.installed):
            return Source("dkms", f"{each.module}/{each.version}")
    return None


def _names(root: Path, path: Path) -> set[bytes]:
    """The names a package may list the file by: /lib and /usr/lib are the same directory on many systems."""
    try:
        inside = "/" + str(Path(os.path.abspath(path)).relative_to(os.path.abspath(root)))
    except ValueError:
        return set()
    other = inside.removeprefix("/usr") if inside.startswith("/usr/lib/") else f"/usr{inside}"
    return {os.fsencode(inside), os.fsencode(other)}


def _dpkg(root: Path, path: Path) -> str | None:
    """The package whose list of files (/var/lib/dpkg/info/NAME.list) has the file."""
    names, files = _names(root, path), Files(root)
    for each in _lists(files):
        try:
            content = files.resolved(each).read_bytes()
        except OSError:
            continue
        if any(name in content for name in names) and names & set(content.splitlines()):
            return each.stem.partition(":")[0]
    return None


def _lists(files: Files) -> Iterator[Path]:
    """dpkg's lists, those of kernels first: one of them is nearly always the one."""
    folder = files.path(DPKG_LISTS)
    every = [folder / name for name in files.names(folder) or () if name.endswith(".list")]
    yield from sorted(every, key=lambda path: not path.name.startswith("linux-"))


def _rpm(root: Path, path: Path) -> str | None:
    """The package that rpm names. For a mounted system only its database is read."""
    places = map(Files(root).real, (root / name for name in RPM_DATABASES))
    database = next((each for each in places if each is not None and each.is_dir()), None)
    if database is None:
        return None
    for name in sorted(_names(root, path)):
        command = ["rpm", "--dbpath", str(database.absolute()), "-qf", "--queryformat", NAME_OF_RPM]
        try:
            ran = subprocess.run(
                [*command, os.fsdecode(name)], capture_output=True, timeout=TIMEOUT, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        if ran.returncode == 0 and ran.stdout:
            return ran.stdout.decode("utf-8", "replace").splitlines()[0]
    return None
