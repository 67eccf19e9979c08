"""Writing key material: new files, readable by the owner alone, complete or absent, whatever the umask."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import NamedTuple

from elfsig.errors import WriteError
from elfsig.opened.atomic import new_sibling, settle

SECRET, PUBLIC = 0o600, 0o644
FOLDER = 0o700
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS)
"""Errors from file systems without hard links, such as FAT."""


class Item(NamedTuple):
    """One file to write: its name, content, mode, and what it is in words."""

    name: str
    data: bytes
    mode: int
    what: str


def write_new(path: str, data: bytes, mode: int, *, replace: bool = False) -> None:
    """Write ``path`` with exactly ``mode``. An existing file (or link) is kept unless ``replace``.

    The content is never in a file that others can open, nor incomplete under its name: a sibling with
    mode 0600 is written first. Raises WriteError; code ``exists`` for an existing file.
    """
    folder = os.path.dirname(path) or "."
    try:
        descriptor, sibling = new_sibling(folder, os.path.basename(path), SECRET)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(data)
                os.fchmod(stream.fileno(), mode)
                stream.flush()
                os.fsync(stream.fileno())
                _place(sibling, path, replace)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(sibling)
    except FileExistsError:
        raise WriteError(f"{path} already exists", code="exists", hint="overwrite") from None
    except OSError as reason:
        raise WriteError(f"{path}: not written: {(reason.strerror or str(reason)).lower()}") from None
    settle(folder)


def _place(sibling: str, path: str, replace: bool) -> None:
    """Give the finished file its name. link() fails for an existing name, rename() does not."""
    if not replace:
        try:
            os.link(sibling, path)
            return
        except OSError as reason:
            if reason.errno not in _NO_LINKS:
                raise
        if os.path.lexists(path):
            raise FileExistsError(path)
    os.replace(sibling, path)


def write_all(folder: str, items: list[Item], *, replace: bool = False) -> list[str]:
    """Write every item below ``folder``, which is created if missing. Returns the paths in order.

    If one of them exists, nothing is written unless ``replace``. Raises WriteError.
    """
    paths = [os.path.join(folder, item.name) for item in items]
    there = [path for path in paths if os.path.lexists(path)]
    if there and not replace:
        raise WriteError(f"{there[0]} already exists", code="exists", hint="overwrite")
    try:
        os.makedirs(folder or ".", exist_ok=True)
    except OSError as reason:
        raise WriteError(f"{folder}: {(reason.strerror or str(reason)).lower()}") from None
    for path, item in zip(paths, items, strict=True):
        write_new(path, item.data, item.mode, replace=replace)
    return paths
