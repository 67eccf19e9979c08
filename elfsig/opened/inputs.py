"""The files that a run reads: what it writes must not take their place."""

from __future__ import annotations

import os
from collections.abc import Iterable

from elfsig.opened.source import FLAGS, INSIDE

Identity = tuple[int, int]


class Inputs:
    """Files and directories that a run reads, as they were given; what does not exist is known by its name.

    A file is known by its device and inode, since it may have several names.
    """

    def __init__(self, paths: Iterable[str] = ()) -> None:
        self._files: dict[Identity, str] = {}
        self._places: dict[str, str] = {}
        self._trees: dict[str, str] = {}
        self._folders: dict[str, str] = {}
        for path in paths:
            self._add(path, path.partition(INSIDE)[0])

    def _add(self, given: str, path: str) -> None:
        if "\0" in path:
            return
        if os.path.isdir(path):
            self._trees.setdefault(os.path.realpath(path), given)
            return
        identity = identity_of(path)
        if identity is not None:
            self._files.setdefault(identity, given)
        self._places.setdefault(os.path.realpath(path), given)

    def file_at(self, target: str, *, follow: bool = False) -> str | None:
        """The file that ``target`` is; ``follow``: or that it leads to, where it is a symbolic link."""
        place = os.path.realpath(target) if follow else self.place(target)
        identity = identity_of(target, follow=follow)
        found = None if identity is None else self._files.get(identity)
        return found or self._places.get(place)

    def tree_of(self, target: str, *, follow: bool = False) -> str | None:
        """The directory that ``target`` is in, at any depth."""
        place = os.path.realpath(target) if follow else self.place(target)
        return next((g for tree, g in self._trees.items() if place != tree and is_inside(place, tree)), None)

    def place(self, target: str) -> str:
        """The path of ``target`` without symbolic links in its directories: what a rename replaces."""
        folder, name = os.path.split(target)
        if folder not in self._folders:
            self._folders[folder] = os.path.realpath(folder or ".")
        return os.path.join(self._folders[folder], name)


def identity_of(path: str, *, follow: bool = True) -> Identity | None:
    """Device and inode of a file; None where there is none, or it cannot be seen."""
    try:
        status = os.stat(path, follow_symlinks=follow)
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def head_of(path: str, size: int) -> bytes | None:
    """The first ``size`` bytes of a file; None where there is none, or it cannot be read."""
    try:
        with open(path, "rb", opener=lambda p, _: os.open(p, FLAGS)) as stream:
            return stream.read(size)
    except OSError:
        return None


def is_inside(path: str, tree: str) -> bool:
    """Whether ``path`` is the directory ``tree`` or below it; neither has links in it."""
    return f"{path}/".startswith(f"{tree.rstrip('/')}/")
