"""Where a module is: the root directory of its system, its release, and its path below that."""

from __future__ import annotations

import os

from elfsig.kernels.names import release_of
from elfsig.lazy_tuple import NamedTuple

MODULES = ("lib", "modules")


class Position(NamedTuple):
    """Where a module is. ``below`` is its path below ``lib/modules/RELEASE``, else below the directory given.

    ``root`` is the directory that has ``lib/modules`` or ``usr/lib/modules``, which may be in a container;
    else the directory given. ``release`` and ``host`` are None where they are not known.
    """

    root: str
    release: str | None
    below: str
    host: str | None = None


def position(path: str, top: str | None = None, host: str | None = None) -> Position:
    """The position of a module at ``path``; ``top`` is the directory given that led to it.

    The path may lead into containers (``a.deb!/data.tar.xz!/lib/modules/...``).
    """
    parts = path.split("/")
    for at in range(len(parts) - 4, -1, -1):
        if (parts[at], parts[at + 1]) == MODULES:
            above = parts[: at - 1 if at and parts[at - 1] == "usr" else at]
            root = "/".join(above) or ("/" if path.startswith("/") else ".")
            return Position(root, parts[at + 2], "/".join(parts[at + 3 :]), host)
    if top is not None and path.startswith(f"{top.rstrip('/')}/"):
        return Position(top, None, path[len(top.rstrip("/")) + 1 :], host)
    return Position(os.path.dirname(path) or ".", None, os.path.basename(path), host)


def built_for(where: Position, vermagic: str | None) -> Position:
    """``where`` with the release of the module's vermagic, if the path has none.

    A vermagic from a hostile file may contain a path; it is ignored, as it would name another directory.
    """
    release = release_of(vermagic)
    if where.release is not None or release in (None, ".", "..") or "/" in release:
        return where
    return where._replace(release=release)


def joined(root: str, rest: str) -> str:
    """``rest`` below a root directory, which may be ``/``."""
    return f"{root.rstrip('/')}/{rest}"
