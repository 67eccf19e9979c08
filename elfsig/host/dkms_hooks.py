"""How a module replaces DKMS's signing: its own POST_BUILD hook, and who may change what root runs."""

from __future__ import annotations

import grp
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from elfsig.errors import UsageError
from elfsig.host.dkms import CONFIG, HOOK, TREE, Built, is_linked, settings, text_of
from elfsig.host.shell import assignments

OVERFLOW: Final = Path("/proc/sys/kernel/overflowuid")
RESERVED: Final = frozenset({"framework", "elfsig-sign", "modules_to_force_install"})
"""Names in /etc/dkms that belong to DKMS or to elfsig, and cannot name a module."""


class Own(NamedTuple):
    """How one module is signed where that is its own setting.

    ``key``, ``certificate`` and ``hash`` are those of elfsig's hook; all None for another hook, whose
    configuration is ``path``.
    """

    path: str
    key: str | None = None
    certificate: str | None = None
    hash: str | None = None

    @property
    def foreign(self) -> bool:
        """Whether something other than elfsig signs the module."""
        return self.key is None


def own_setting(root: Path, module: str, version: str) -> Own | None:
    """The module's own signing setting; None where DKMS signs it with its general configuration."""
    conf = root / CONFIG / f"{module}.conf"
    if is_linked(root, module):
        return _of_hook(root)
    tree = settings(root).get("dkms_tree", TREE).lstrip("/")
    source = f"usr/src/{module}-{version}/dkms.conf"
    for path in (conf, root / tree / module / version / "source" / "dkms.conf", root / source):
        if "sign" in dict(_hooks(text_of(root, path) or "")).get("POST_BUILD", ""):
            return Own(f"/{path.relative_to(root)}")
    return None


def by_setting(root: Path, found: Sequence[Built]) -> list[tuple[Own | None, list[Built]]]:
    """The built modules, grouped by how they are signed."""
    grouped: dict[Own | None, list[Built]] = {}
    for each in found:
        grouped.setdefault(own_setting(root, each.module, each.version), []).append(each)
    return list(grouped.items())


def _hooks(text: str) -> Iterator[tuple[str, str]]:
    """The POST_BUILD of a configuration, arguments included."""
    yield from assignments(text)
    for line in text.split("\n"):
        name, _, value = line.strip().partition("=")
        if name == "POST_BUILD":
            yield name, value


def _of_hook(root: Path) -> Own | None:
    """Key, certificate and hash in the hook that elfsig wrote."""
    text = text_of(root, root / HOOK)
    if text is None:
        return None
    values = dict(assignments(text))
    return Own(f"/{HOOK}", values.get("key"), values.get("certificate"), values.get("hash") or None)


# --------------------------------------------------------------------------- what root runs


def refuse_reserved(modules: tuple[str, ...]) -> None:
    """Raises UsageError for a name whose configuration would replace DKMS's own."""
    for module in modules:
        if module in RESERVED:
            text = f"{module!r} is not a module: /{CONFIG}/{module}.conf belongs to DKMS or to elfsig"
            raise UsageError(text, code="reserved-name")


def changeable(path: Path) -> Path | None:
    """The part of a path, links followed, that users other than root may change; None if there is no such
    part.

    Directories with the sticky bit protect their content. A group that owns a part counts as root's if
    it is root's or "staff", to which Debian gives /usr/local.
    """
    real = Path(os.path.realpath(path))
    trusted = {0, _overflow()}
    for part in (real, *real.parents):
        try:
            about = part.lstat()
        except OSError:
            continue
        if about.st_uid not in trusted or _writable(about):
            return part
    return None


def _overflow() -> int:
    """How files of the real root appear inside a user namespace."""
    try:
        return int(OVERFLOW.read_text())
    except (OSError, ValueError):
        return 0


def _writable(about: os.stat_result) -> bool:
    if stat.S_ISDIR(about.st_mode) and about.st_mode & stat.S_ISVTX:
        return False
    if about.st_mode & stat.S_IWOTH:
        return True
    return bool(about.st_mode & stat.S_IWGRP) and not _is_root_s(about.st_gid)


def _is_root_s(group: int) -> bool:
    try:
        return group == 0 or grp.getgrgid(group).gr_name == "staff"
    except KeyError:
        return False
