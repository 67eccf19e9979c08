"""Symbolic links in directories that are searched for modules: where they lead, and what was done about them.

depmod and modprobe follow links to files, so what a link leads to can be loaded. Red Hat's weak-updates
directories consist of such links.
"""

from __future__ import annotations

import errno
import os
import stat as modes
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from elfsig.opened.evidence import MODULE_SUFFIXES
from elfsig.opened.source import MOST_LINKS, impossible

KEPT: Final = 1000
"""Links of each kind whose names are kept; all are counted."""

IGNORED: Final = frozenset({"build", "source"})
"""Links of these names are ignored, as depmod does: they lead to the kernel's source."""

ROOT_SIGNS: Final = ("etc/passwd", "etc/os-release", "etc/fstab", "sbin/init", "bin/sh")
"""Files by which the root of an installed system is known."""

REASONS: Final = {
    "directory": "leads to a directory",
    "missing": "leads to nothing",
    "loop": "is part of a loop of links",
    "special": "leads to a device, a FIFO or a socket",
    "off": "links are not to be followed",
    "edited": "files are not written through links",
    "other": "leads to a file elsewhere that has not the name of a module or container",
}
"""Why a link is not followed, by its code."""


class LinkTarget(NamedTuple):
    """Where a link leads. ``path`` has no link in it; ``outside``: it is not below the trees given."""

    path: str
    outside: bool


class MetLink(NamedTuple):
    """A link that was met. ``target`` is a path without links, or what the link says if it leads nowhere.
    ``why`` is a key of REASONS for one that was not followed."""

    path: str
    target: str
    why: str | None = None


class LinkList:
    """Links of one kind: how many there are, and the first of them."""

    count: int

    def __init__(self) -> None:
        self.count = 0
        self.first: list[MetLink] = []

    def add(self, link: MetLink) -> None:
        """Count ``link``, and keep it if there is room."""
        self.count += 1
        if len(self.first) < KEPT:
            self.first.append(link)


class Links:
    """What a walk does about symbolic links, and which it met.

    ``follow`` False: none is followed. ``editing``: files are to be written, which is not done through links,
    so that none is followed whose target is not found anyway. ``once`` False: every link to a file is
    followed, whatever else leads there. ``root``: the directory that is the root of the system the links were
    made for, where that is known; absolute links are resolved below it. Without it, the root is taken from a
    path that ends in ``lib/modules``, as that of a mounted image.

    ``followed`` counts the links whose targets are examined under the link's name; ``examined_anyway`` those
    whose targets are examined under another name. ``outside`` are those of both kinds that lead outside the
    trees, ``renamed`` those of the second kind whose name is that of another module.
    """

    root: str | None
    follow: bool
    editing: bool
    once: bool
    followed: int
    examined_anyway: int
    outside: LinkList
    renamed: LinkList
    not_followed: LinkList

    def __init__(
        self,
        follow: bool = True,
        root: str | os.PathLike[str] | None = None,
        *,
        editing: bool = False,
        once: bool = True,
    ) -> None:
        self.follow, self.editing, self.once = follow, editing, once
        self.root = None if root is None else os.path.realpath(root)
        self.followed = self.examined_anyway = 0
        self.outside, self.renamed, self.not_followed = LinkList(), LinkList(), LinkList()
        self._trees: set[str] = set()
        self._reached: set[str] = set()

    def expect(self, paths: Iterable[str]) -> None:
        """Note what is examined anyway: the files and directories that were given."""
        for path in paths:
            if "\0" not in path:
                real = os.path.realpath(path)
                if os.path.isdir(real):
                    self._trees.add(real)
                else:
                    self._reached.add(real)

    def ignore(self, link: str, why: str) -> None:
        """Count a link that is not followed."""
        self.not_followed.add(MetLink(link, _said(link), why))

    def resolve(self, link: str, tree: str) -> str:
        """The real path of the file that a link in ``tree`` leads to (it starts with ``/``), or a key of
        REASONS.

        Raises OSError where it cannot be decided: for a directory that may not be searched.
        """
        try:
            path = _target(link, *self._root_of(tree))
            status = os.lstat(path)
        except OSError as reason:
            if reason.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
                return "missing"
            if reason.errno == errno.ELOOP:
                return "loop"
            raise
        if modes.S_ISREG(status.st_mode):
            return path
        return "directory" if modes.S_ISDIR(status.st_mode) else "special"

    def taken(self, link: str, target: str, found_by_walk: bool) -> LinkTarget | None:
        """Where a link to a file leads, if the file is to be examined under the link's name.

        ``found_by_walk``: a file of this name is selected wherever a walk meets it.
        """
        outside = not self.is_inside(target)
        if outside:
            self.outside.add(MetLink(link, target))
        if self.once and (target in self._reached or (found_by_walk and not outside)):
            self.examined_anyway += 1
            if _stem(link) != _stem(target):
                self.renamed.add(MetLink(link, target))
            return None
        if self.editing:
            self.not_followed.add(MetLink(link, target, "edited"))
            return None
        self._reached.add(target)
        self.followed += 1
        return LinkTarget(target, outside)

    # ------------------------------------------------------------------ trees and roots

    def is_inside(self, real: str) -> bool:
        """Whether a path without links is one of the directories that were given, or below one."""
        return real in self._trees or any(parent in self._trees for parent in _parents(real))

    def _root_of(self, tree: str) -> tuple[str, bool]:
        """The root for absolute links of a tree, and whether that is certain."""
        real = os.path.realpath(tree)
        if self.root is not None and f"{real}/".startswith(f"{self.root.rstrip('/')}/"):
            return self.root, True
        parts = real.split("/")
        at = next((n for n in range(1, len(parts) - 1) if parts[n : n + 2] == ["lib", "modules"]), None)
        if at is None:
            return "/", True
        root = "/".join(parts[: at - 1 if parts[at - 1] == "usr" else at]) or "/"
        return root, root == "/" or any(os.path.lexists(os.path.join(root, sign)) for sign in ROOT_SIGNS)


def _parents(path: str) -> Iterator[str]:
    while path != "/":
        path = os.path.dirname(path)
        yield path


def _said(path: str) -> str:
    """What a link says."""
    try:
        return os.readlink(path)
    except OSError:  # it was removed meanwhile
        return "?"


def _stem(path: str) -> str:
    """The name of a module's file without its suffix, with ``-`` and ``_`` equal, as for kernels."""
    name = os.path.basename(path)
    suffix = next((each for each in MODULE_SUFFIXES if name.endswith(each)), "")
    return name.removesuffix(suffix).replace("-", "_")


def _target(path: str, root: str, certain: bool) -> str:
    """The real path of what a link leads to. Raises OSError.

    Where ``root`` was only guessed, a target that is missing there is looked for from the root of this
    system; and so is, below any root, one that was written as a path of this system.
    """
    try:
        return resolved(path, root)
    except (FileNotFoundError, NotADirectoryError):
        if root == "/":
            raise
        here = resolved(path, "/")
        if certain and not here.startswith(f"{root}/"):
            raise
        return here


def resolved(path: str, root: str) -> str:
    """``path`` without any symbolic link, as a process would see it whose root directory is ``root``.

    Both are paths of this system; ``path`` is below ``root``, and ``root`` has no links. Neither ``..`` nor
    an absolute link leads out of ``root``, as with openat2's RESOLVE_IN_ROOT. Raises OSError, with ELOOP for
    too many links.
    """
    base = "" if root == "/" else root
    real = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    return resolved_below(base, real[len(base) :])


def resolved_below(root: str, path: str) -> str:
    """As :func:`resolved`, for a path of the system whose root directory is ``root``: no directory on it, and
    no link, leads out of ``root``."""
    if impossible(path) is not None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    base = "" if root == "/" else root
    current, left = base, MOST_LINKS
    pending = path.split("/")[::-1]
    while pending:
        name = pending.pop()
        if name in ("", "."):
            continue
        if name == "..":
            current = current if current == base else os.path.dirname(current)
            continue
        following = f"{current}/{name}"
        mode = os.lstat(following).st_mode
        if not modes.S_ISLNK(mode):
            if pending and not modes.S_ISDIR(mode) and any(pending):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), following)
            current = following
            continue
        left -= 1
        if left < 0:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        text = os.readlink(following)
        current = base if text.startswith("/") else current
        pending += text.split("/")[::-1]
    return current or "/"
