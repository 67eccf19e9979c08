"""Calls of the kernel that Python does not offer, by way of the C library."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache
from typing import Any

_PDEATHSIG, _SET_SECCOMP, _NO_NEW_PRIVS = 1, 22, 38
_FILTER = 2
_CAPABILITY_VERSION_3 = 0x20080522


class _Program(ctypes.Structure):
    """``struct sock_fprog``: the number of instructions, and where they are."""

    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_char_p))


@cache
def _library() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def system_call(number: int, *arguments: int | bytes | None) -> int:
    """The result of a system call, or its error number below zero, as in the kernel.

    Bytes are passed as a pointer to them, None as a null pointer.
    """
    words = [ctypes.c_long(a) if isinstance(a, int) else ctypes.c_char_p(a) for a in arguments]
    ctypes.set_errno(0)
    function = _library().syscall
    function.restype = ctypes.c_long
    result = int(function(ctypes.c_long(number), *words))
    return result if result >= 0 else -ctypes.get_errno()


def _prctl(option: int, *words: Any) -> None:
    padded = (*words, *(0,) * (4 - len(words)))
    converted = [ctypes.c_ulong(word) if isinstance(word, int) else word for word in padded]
    if _library().prctl(ctypes.c_int(option), *converted):
        fault = ctypes.get_errno()
        raise OSError(fault, os.strerror(fault))


def end_with_parent(signal: int) -> None:
    """Have the kernel send ``signal`` to this process when its parent ends."""
    _prctl(_PDEATHSIG, signal)


def no_new_privileges() -> None:
    """Programs that this process executes never get more rights than it has. Raises OSError."""
    _prctl(_NO_NEW_PRIVS, 1)


def filter_calls(program: bytes) -> None:
    """Install a filter of system calls, for good. Needs no_new_privs. Raises OSError."""
    _prctl(_SET_SECCOMP, _FILTER, ctypes.byref(_Program(len(program) // 8, program)))


def keep_capabilities(mask: int) -> None:
    """Give up all capabilities but those of ``mask`` that this process has. Raises OSError."""
    header = ctypes.create_string_buffer(_CAPABILITY_VERSION_3.to_bytes(4, sys.byteorder) + bytes(4), 8)
    data = (ctypes.c_uint32 * 6)()
    _capabilities("capget", header, data)
    for at in range(6):  # effective, permitted, inheritable of capabilities 0-31, then of 32-63
        data[at] &= mask >> 32 * (at // 3) & 0xFFFFFFFF if at % 3 < 2 else 0
    _capabilities("capset", header, data)


def _capabilities(function: str, header: Any, data: Any) -> None:
    if getattr(_library(), function)(header, data):
        fault = ctypes.get_errno()
        raise OSError(fault, os.strerror(fault))
