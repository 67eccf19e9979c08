"""Writing: the output half of elfsig's file I/O. A target is replaced as a whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat as modes
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from elfsig.errors import WriteError
from elfsig.model import Remark
from elfsig.opened.source import is_stream, system_text

STALE_XATTRS = ("security.ima", "security.evm")
"""Extended attributes that hold a hash or signature of the file that they are on."""

_NOT_OWNED = (errno.EPERM, errno.EACCES, errno.EINVAL)
"""Errors of giving a file to another owner: EINVAL is for one that this user namespace has no number for."""

_REFUSED = (errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EINVAL, errno.ENOSPC)


def write_atomic(
    path: str,
    data: bytes,
    *,
    like: str | None = None,
    expect: os.stat_result | None = None,
    mode: int | None = None,
    sync: bool = True,
    follow: bool = True,
) -> tuple[Remark, ...]:
    """Replace the content of the file ``path`` by ``data`` atomically: at any time it has all of the old or
    the new.

    A temporary file is written next to it, synced, and renamed over it. A symbolic link stays, its target is
    replaced; with ``follow=False`` the link itself is replaced if it leads to a file or to nothing.
    Mode, owner and extended attributes are those of ``like`` (default: of the file that is replaced), the
    mode is ``mode`` where that is given. With ``expect``, the status when the old content was read, a file
    that changed since is not replaced. With ``sync=False`` the caller does :func:`settle`, once for many
    files. Remarks: stale-xattr, xattr-not-kept, owner-not-kept, hard-link. Raises WriteError.
    """
    target = os.path.realpath(path) if os.path.islink(path) else path
    try:
        current = _status(target)
        if is_stream(path):
            raise not_a_file()
        if target != path and not follow:
            target, current = path, None
        if expect is not None and not _same(current, expect):
            raise WriteError("the file changed after it was read; not replaced", code="changed-meanwhile")
        model = like if like is not None else (target if current else None)
        remarks = _replace(target, data, model, expect, mode)
        if sync:
            settle(os.path.dirname(target))
    except WriteError as refused:
        refused.path = refused.path or path
        raise
    except OSError as reason:
        fault = WriteError(f"not written: {system_text(reason)}")
        fault.path = path
        raise fault from None
    if current is not None and current.st_nlink > 1:
        remarks.append(
            Remark("hard-link", f"{current.st_nlink - 1} other name(s) of this file keep the old content")
        )
    return tuple(remarks)


def create_atomic(path: str, data: bytes) -> bool:
    """Write a new file, which gets its name when it is whole; False where there is one of this name already.
    Raises OSError, also on file systems without hard links."""
    folder, name = os.path.split(path)
    descriptor, sibling = new_sibling(folder or ".", name, 0o666)
    try:
        write_pieces(descriptor, data)
        os.fsync(descriptor)
        os.link(sibling, path)
    except FileExistsError:
        return False
    finally:
        with suppress(OSError):
            os.unlink(sibling)
        os.close(descriptor)
    settle(folder)
    return True


@contextmanager
def replacing(path: str, *, follow: bool = True) -> Iterator[BinaryIO]:
    """A file to write in the body, which then takes the place of ``path``: as a whole, or not at all.

    What :func:`write_atomic` does for content that is in memory; mode, owner and extended attributes of a
    file that is replaced are kept as far as possible. With ``follow=False`` a link is itself replaced. When
    the body raises, nothing remains of what it wrote. Raises WriteError, also for what the body's own writing
    raises (OSError).
    """
    target = os.path.realpath(path) if follow and os.path.islink(path) else path
    folder, name = os.path.split(target)
    try:
        if is_stream(path):
            raise not_a_file()
        model = target if not os.path.islink(target) and _status(target) else None
        descriptor, sibling = new_sibling(folder or ".", name, 0o600 if model else 0o666)
        try:
            with open(descriptor, "wb") as file:
                yield file
                file.flush()
                if model is not None:
                    take_after(descriptor, model)
                os.fsync(descriptor)
                os.replace(sibling, target)
        except BaseException:  # also when interrupted: nothing is left behind
            with suppress(OSError):
                os.unlink(sibling)
            raise
        settle(folder)
    except WriteError as refused:
        refused.path = refused.path or path
        raise
    except BrokenPipeError:  # what the body printed: the file itself is no pipe
        raise
    except OSError as reason:
        fault = WriteError(f"not written: {system_text(reason)}")
        fault.path = path
        raise fault from None


def _status(target: str) -> os.stat_result | None:
    try:
        status = os.lstat(target)
    except FileNotFoundError:
        return None
    if not modes.S_ISREG(status.st_mode):
        raise not_a_file()
    return status


def not_a_file() -> WriteError:
    """The error of writing to what is not a regular file."""
    return WriteError("not written: it exists and is not a regular file", code="not-a-regular-file")


def _same(current: os.stat_result | None, expect: os.stat_result) -> bool:
    return current is not None and all(
        getattr(current, field) == getattr(expect, field)
        for field in ("st_dev", "st_ino", "st_size", "st_mtime_ns")
    )


def _replace(
    target: str, data: bytes, model: str | None, expect: os.stat_result | None, mode: int | None
) -> list[Remark]:
    folder, name = os.path.split(target)
    descriptor, sibling = new_sibling(folder or ".", name, 0o600 if model else 0o666)
    try:
        try:
            write_pieces(descriptor, data)
            remarks = take_after(descriptor, model) if model else []
            if mode is not None:
                os.fchmod(descriptor, mode)
            os.fsync(descriptor)
            if expect is not None and not _same(_status(target), expect):
                raise WriteError(
                    "the file changed while it was being replaced; not replaced", code="changed-meanwhile"
                )
            os.replace(sibling, target)
        finally:
            os.close(descriptor)
    except BaseException:  # also when interrupted: nothing is left behind
        with suppress(OSError):
            os.unlink(sibling)
        raise
    return remarks


TEMPORARY = ".elfsig-tmp"
"""The suffix of temporary files."""

_LEFT = re.compile(r"\..+\.[0-9a-z_]{8,12}" + re.escape(TEMPORARY), re.DOTALL)
"""The names that :func:`new_sibling`, :func:`new_folder` and tempfile give."""


def new_sibling(folder: str, name: str, mode: int) -> tuple[int, str]:
    """A new file in the target's directory, open for writing, and its path; no walk takes it for a module.

    It is locked while it is open: see :func:`remove_leftovers`. Raises OSError.
    """
    short = os.fsdecode(os.fsencode(name)[:200])
    while True:
        path = os.path.join(folder, f".{short}.{os.urandom(6).hex()}{TEMPORARY}")
        with suppress(FileExistsError):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
            with suppress(OSError):  # a file system without locks: then nobody removes it either
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_nlink:
                return descriptor, path
            os.close(descriptor)  # another run removed it as a leftover before it was locked


def folds_case(folder: str) -> bool:
    """Whether a directory takes names for the same that differ in upper and lower case; False where that
    cannot be tried, since nothing can be written there."""
    with suppress(OSError):
        descriptor, path = new_sibling(folder or ".", "case", 0o600)
        try:
            return os.path.lexists(os.path.join(folder, os.path.basename(path).upper()))
        finally:
            os.unlink(path)
            os.close(descriptor)
    return False


def new_folder(parent: str, name: str) -> tuple[str, int]:
    """A new folder in ``parent``, for what becomes ``name`` when it is whole: its path, and a descriptor.

    It is locked while the descriptor is open: see :func:`remove_leftovers`. Raises OSError.
    """
    while True:
        path = os.path.join(parent, f".{name[:100]}.{os.urandom(6).hex()}{TEMPORARY}")
        os.mkdir(path, 0o700)
        with suppress(FileNotFoundError):  # another run removed it as a leftover before it was locked
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_nlink:
                return path, descriptor
            os.close(descriptor)


def remove_folder(path: str) -> None:
    """Remove a folder with all that is in it, as far as that is possible."""
    for base, folders, files in os.walk(path, topdown=False):
        for name in (*folders, *files):
            each = os.path.join(base, name)
            with suppress(OSError):
                (os.rmdir if name in folders and not os.path.islink(each) else os.unlink)(each)
    with suppress(OSError):
        os.rmdir(path)


def remove_leftovers(folder: str) -> int:
    """Remove the temporary files and folders that a killed run left in ``folder``; returns how many.

    Those of a running process are locked, and stay; so do those of other users, who could exchange what is in
    a folder while it is removed.
    """
    with suppress(OSError), os.scandir(folder or ".") as found:
        return sum(_abandoned(item.path) for item in list(found) if _LEFT.fullmatch(item.name))
    return 0


def _abandoned(path: str) -> bool:
    """Remove one temporary file or folder, unless a process holds its lock."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            about = os.fstat(descriptor)
            if about.st_uid != os.geteuid():
                return False
            (remove_folder if modes.S_ISDIR(about.st_mode) else os.unlink)(path)
        finally:
            os.close(descriptor)
        return True
    return False


def open_itself(path: str, flags: int) -> int:
    """An opener for what is appended to: not for what ``path`` leads to if it is a symbolic link. Raises
    OSError."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)


def replace_link(path: str, target: str) -> None:
    """Make ``path`` a symbolic link to ``target`` atomically, whatever it was. Raises OSError.

    What a killed run left of this is removed: one process at a time should do it to ``path``.
    """
    folder, name = os.path.split(path)
    with os.scandir(folder or ".") as items:
        left = [item.path for item in items if item.name.startswith(f".{name}.") and item.is_symlink()]
    for each in left:
        if each.endswith(TEMPORARY):
            os.unlink(each)
    link = os.path.join(folder, f".{name}.{os.urandom(6).hex()}{TEMPORARY}")
    os.symlink(target, link)
    try:
        os.replace(link, path)
    except OSError:
        os.unlink(link)
        raise
    sync_folder(folder)


def write_pieces(descriptor: int, data: bytes) -> None:
    """Write all of ``data``, however little the system takes at a time. Raises OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def take_after(descriptor: int, model: str) -> list[Remark]:
    """Give the new file the owner, extended attributes and mode of ``model``. Raises OSError."""
    remarks: list[Remark] = []
    status = os.stat(model)
    mine = os.fstat(descriptor)
    if (mine.st_uid, mine.st_gid) != (status.st_uid, status.st_gid):
        try:
            os.fchown(descriptor, status.st_uid, status.st_gid)
        except OSError as reason:
            if reason.errno not in _NOT_OWNED:
                raise
            text = f"owner {status.st_uid}:{status.st_gid} could not be kept; the file now belongs to you"
            remarks.append(Remark("owner-not-kept", text))
    for name in _xattrs(model):
        remarks += _copy_xattr(descriptor, model, name)
    os.fchmod(descriptor, modes.S_IMODE(status.st_mode))
    return remarks


def _xattrs(model: str) -> list[str]:
    try:
        return os.listxattr(model)
    except OSError as reason:
        if reason.errno == errno.ENOTSUP:
            return []
        raise


def _copy_xattr(descriptor: int, model: str, name: str) -> list[Remark]:
    try:
        os.setxattr(descriptor, name, os.getxattr(model, name))
    except OSError as reason:
        if reason.errno not in _REFUSED:
            raise
        why = (reason.strerror or "").lower()
        return [Remark("xattr-not-kept", f"extended attribute {name} could not be kept: {why}")]
    if name in STALE_XATTRS:
        text = f"extended attribute {name} is stale: it was made for the old content (evmctl makes a new one)"
        return [Remark("stale-xattr", text)]
    return []


def settle(folder: str) -> None:
    """Make renames in ``folder`` durable, and remove what a killed run left there."""
    remove_leftovers(folder)
    sync_folder(folder)


def sync_folder(folder: str) -> None:
    """Make renames in it durable. Where it cannot be synced (some network file systems), this is ignored."""
    with suppress(OSError):
        descriptor = os.open(folder or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
