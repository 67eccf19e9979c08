"""Writing key material: new files, readable by the owner alone, complete or absent, whatever the umask."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, NamedTuple

from elfsig.errors import WriteError
from elfsig.opened.atomic import TEMPORARY, new_sibling, settle
from elfsig.opened.inputs import Inputs
from elfsig.opened.source import system_text

SECRET, PUBLIC = 0o600, 0o644
FOLDER = 0o700
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS)
"""Errors from file systems without hard links, such as FAT."""

_LIST = "elfsig-keys"
"""The name of the list of files that are being written."""


class Item(NamedTuple):
    """One file to write: its name, content, mode, and what it is in words."""

    name: str
    data: bytes
    mode: int
    what: str


def secret_last(items: Iterable[Item]) -> list[Item]:
    """The items in the order to write them in: when what is secret is there, all is."""
    return sorted(items, key=lambda each: each.mode == SECRET)


def write_new(path: str, data: bytes, mode: int, *, replace: bool = False) -> None:
    """Write ``path`` with exactly ``mode``. An existing file (or link) is kept unless ``replace``.

    The content is never in a file that others can open, nor incomplete under its name: it is written to a
    file without a name, of which nothing is left when the process is killed; where the file system has none,
    to a sibling with mode 0600. Raises WriteError; code ``exists`` for an existing file.
    """
    folder, name = os.path.split(path)
    folder = folder or "."
    try:
        unnamed = None if replace else _unnamed(folder)
        if unnamed is None or not _linked(unnamed, data, mode, path):
            _by_sibling(folder, name, data, mode, replace)
    except FileExistsError:
        raise WriteError(f"{path} already exists", code="exists", hint="overwrite") from None
    except OSError as reason:
        raise WriteError(f"{path}: not written: {system_text(reason)}") from None
    settle(folder)


def _unnamed(folder: str) -> int | None:
    """A new file without a name (open(2), O_TMPFILE), None on file systems that have none."""
    try:
        return os.open(folder, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, SECRET)
    except OSError as reason:
        if reason.errno in (*_NO_LINKS, errno.EISDIR, errno.EINVAL, errno.ENOENT):
            return None
        raise


def _linked(descriptor: int, data: bytes, mode: int, path: str) -> bool:
    """Fill a file without a name and give it one; False where that is not possible. Raises OSError."""
    with os.fdopen(descriptor, "wb") as stream:
        _fill(stream, data, mode)
        folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:  # with a directory, os.link follows the link in /proc (linkat(2), AT_SYMLINK_FOLLOW)
            os.link(f"/proc/self/fd/{descriptor}", path, src_dir_fd=folder)
        except OSError as reason:
            if reason.errno in (*_NO_LINKS, errno.ENOENT):  # no /proc, for instance
                return False
            raise
        finally:
            os.close(folder)
    return True


def _by_sibling(folder: str, name: str, data: bytes, mode: int, replace: bool) -> None:
    descriptor, sibling = new_sibling(folder, name, SECRET)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            _fill(stream, data, mode)
            _place(sibling, os.path.join(folder, name), replace)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(sibling)


def _fill(stream: BinaryIO, data: bytes, mode: int) -> None:
    stream.write(data)
    os.fchmod(stream.fileno(), mode)
    stream.flush()
    os.fsync(stream.fileno())


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


# --------------------------------------------------------------------------- several files


def write_all(
    folder: str, items: list[Item], *, replace: bool = False, never: Iterable[str] = ()
) -> list[str]:
    """Write every item below ``folder``, which is created if missing. Returns the paths in order.

    If one of them exists, nothing is written unless ``replace``; if one of them is a file in ``never``, such
    as the key itself, nothing is. What a killed run has written of its files is removed. Raises WriteError.
    """
    paths = [os.path.join(folder, item.name) for item in items]
    read = Inputs(never)
    for path in paths:
        if (other := read.file_at(path)) is not None:
            raise WriteError(f"{path} would overwrite {other}, which is read", code="output-is-input")
    _undo(folder or ".")
    there = [path for path in paths if os.path.lexists(path)]
    if there and not replace:
        raise WriteError(f"{there[0]} already exists", code="exists", hint="overwrite")
    try:
        os.makedirs(folder or ".", exist_ok=True)
    except OSError as reason:
        raise WriteError(f"{folder}: {system_text(reason)}") from None
    with _begun(folder or ".", [] if replace else items):
        for item in secret_last(items):
            write_new(os.path.join(folder, item.name), item.data, item.mode, replace=replace)
    return paths


@contextmanager
def _begun(folder: str, items: list[Item]) -> Iterator[None]:
    """Keep a list of ``items`` in ``folder`` while the body writes them: the name of each, and the SHA-256 of
    what is public. When the body raises, they are removed. Raises WriteError."""
    if len(items) < 2:
        yield
        return
    lines = [f"{'-' if each.mode == SECRET else sha256(each.data).hexdigest()} {each.name}" for each in items]
    try:
        descriptor, path = new_sibling(folder, _LIST, SECRET)
    except OSError as reason:
        raise WriteError(f"{folder}: not written: {system_text(reason)}") from None
    with os.fdopen(descriptor, "wb") as stream:
        try:
            stream.write(os.fsencode("\n".join([*lines, ""])))
            stream.flush()
            yield
        except OSError as reason:
            raise WriteError(f"{folder}: not written: {system_text(reason)}") from None
        finally:
            _forget(path)


def _undo(folder: str) -> None:
    """Remove the files of runs that were killed before they had written all of them."""
    with suppress(OSError):
        for name in os.listdir(folder):
            if name.startswith(f".{_LIST}.") and name.endswith(TEMPORARY):
                _undo_one(os.path.join(folder, name))


def _undo_one(path: str) -> None:
    with suppress(OSError):
        with open(path, "rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)  # a run that goes on holds it
        _forget(path)


def _forget(path: str) -> None:
    """Remove a list, and what is there of its files unless all of them are."""
    folder = os.path.dirname(path)
    with suppress(OSError):
        lines = [os.fsdecode(line).partition(" ") for line in Path(path).read_bytes().splitlines()]
        files = [(digest, os.path.join(folder, os.path.basename(name))) for digest, _, name in lines]
        if not all(os.path.lexists(each) for _, each in files):
            for digest, each in files:
                if os.path.isfile(each) and sha256(Path(each).read_bytes()).hexdigest() == digest:
                    os.unlink(each)
    with suppress(OSError):
        os.unlink(path)
