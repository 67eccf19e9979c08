"""Landlock: a process gives up all of the file system but what it names (linux/landlock.h).

Every version of the kernel's interface adds rights that can be given up: 1 (5.13) reading and writing, 2
(5.19) renaming between directories, 3 (6.2) truncating, 4 (6.7) TCP, 5 (6.10) device ioctls, 6 (6.12) signals
and abstract sockets. A kernel without it, or with it switched off, answers version 0.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from contextlib import suppress

from elfsig.cage.kernel import system_call

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
"""The same numbers on every machine."""
_VERSION_FLAG, _PATH_BENEATH = 1, 1

_READ_FILE, _READ_DIRECTORY = 1 << 2, 1 << 3
_RIGHTS = {1: (1 << 13) - 1, 2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
"""Version -> rights on files that it adds (LANDLOCK_ACCESS_FS_*)."""
_TCP = 0b11
_SCOPES = 0b11
"""LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET and LANDLOCK_SCOPE_SIGNAL."""


def version() -> int:
    """The version of the interface that the running kernel has; 0 for none."""
    return max(0, system_call(_CREATE_RULESET, None, 0, _VERSION_FLAG))


def restrict(readable: Iterable[str], has: int) -> None:
    """Leave this process nothing but reading what is at or below the paths ``readable``.

    ``has`` is :func:`version`, at least 1. Paths that do not exist are passed over. Needs no_new_privs.
    Raises OSError.
    """
    handled = 0
    for since, rights in _RIGHTS.items():
        handled |= rights if since <= has else 0
    attributes = struct.pack("=QQQ", handled, _TCP if has >= 4 else 0, _SCOPES if has >= 6 else 0)
    size = 24 if has >= 6 else 16 if has >= 4 else 8
    ruleset = _checked(system_call(_CREATE_RULESET, attributes, size, 0))
    try:
        for path in readable:
            with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
                _allow_reading(ruleset, path)
        _checked(system_call(_RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)


def _allow_reading(ruleset: int, path: str) -> None:
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rights = _READ_FILE | _READ_DIRECTORY if os.path.isdir(path) else _READ_FILE
        _checked(system_call(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, fd), 0))
    finally:
        os.close(fd)


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(-result, os.strerror(-result))
    return result
