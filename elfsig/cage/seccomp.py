"""The filter of system calls: a classic BPF program over ``struct seccomp_data``.

Sources: linux/seccomp.h, linux/filter.h, linux/audit.h.

Three responses. What reading and computing take is allowed. What only an attack makes (network, programs,
other processes, changes of files) ends the process with SIGSYS. All else fails with ENOSYS, as on an older
kernel, which libraries know how to handle. Threads are allowed, processes are not: RLIMIT_NPROC, the other
means against them, does not bind root.
"""

from __future__ import annotations

import errno
import os
import struct
import sys
from collections.abc import Iterator
from typing import NamedTuple

from elfsig.cage import system_calls

_LOAD, _JUMP_EQUAL, _JUMP_BITS, _RETURN = 0x20, 0x15, 0x45, 0x06
"""BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K, BPF_JMP|BPF_JSET|BPF_K, BPF_RET|BPF_K."""

ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
"""SECCOMP_RET_ALLOW, SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_ERRNO (its low 16 bits are the error)."""

_NUMBER, _MACHINE, _ARGUMENTS = 0, 4, 16
"""Offsets in ``struct seccomp_data``."""

_X32 = 0x40000000
"""In the number of a call: x86_64's x32 calls, which would slip past a list of numbers."""

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
"""Flags of open that lead to a file being written; the same on all machines here (asm-generic/fcntl.h)."""

_CLONE_THREAD = 0x00010000
_DESCRIPTOR_COMMANDS = (0, 1, 2, 3, 4, 1030)
"""F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC: not F_SETOWN, which has signals sent."""


class Machine(NamedTuple):
    """``audit`` is the AUDIT_ARCH of linux/audit.h, ``column`` that of the table of calls."""

    audit: int
    column: str
    order: str = "little"


MACHINES = {
    "x86_64": Machine(0xC000003E, "x86_64"),
    "aarch64": Machine(0xC00000B7, "generic"),
    "riscv64": Machine(0xC00000F3, "generic"),
    "loongarch64": Machine(0xC0000102, "generic"),
    "ppc64le": Machine(0xC0000015, "ppc64"),
    "ppc64": Machine(0x80000015, "ppc64", "big"),
    "s390x": Machine(0x80000016, "s390x", "big"),
}
"""By ``uname -m``, for processes of 64 bits."""


class Step(NamedTuple):
    """One instruction, ``struct sock_filter``."""

    code: int
    value: int
    true: int = 0
    false: int = 0


def this_machine() -> Machine | None:
    """The machine of this process; None if its calls are not known here."""
    return MACHINES.get(os.uname().machine) if sys.maxsize > 1 << 32 else None


def steps(machine: Machine, pid: int) -> list[Step]:
    """The program for a process on ``machine``; ``pid`` is its own, the only one that it may signal."""
    first = [
        Step(_LOAD, _MACHINE),
        Step(_JUMP_EQUAL, machine.audit, 1, 0),
        Step(_RETURN, KILL),
        Step(_LOAD, _NUMBER),
    ]
    if machine.column == "x86_64":
        first += [Step(_JUMP_BITS, _X32, 0, 1), Step(_RETURN, KILL)]
    known = system_calls.numbers(system_calls.HARMLESS, machine.column)
    allowed = [Step(_JUMP_EQUAL, number, 0, 1) for number in known.values()]
    body = [each for jump in allowed for each in (jump, Step(_RETURN, ALLOW))]
    for name, number in system_calls.numbers(system_calls.CONDITIONAL, machine.column).items():
        block = list(_conditional(name, machine, pid))
        body += [Step(_JUMP_EQUAL, number, 0, len(block)), *block]
    for number in system_calls.numbers(system_calls.FORBIDDEN, machine.column).values():
        body += [Step(_JUMP_EQUAL, number, 0, 1), Step(_RETURN, KILL)]
    return [*first, *body, Step(_RETURN, ERRNO | errno.ENOSYS)]


def program(machine: Machine, pid: int) -> bytes:
    """:func:`steps` as the kernel takes them, in the byte order of this machine."""
    return b"".join(struct.pack("=HBBI", s.code, s.true, s.false, s.value) for s in steps(machine, pid))


def _conditional(name: str, machine: Machine, pid: int) -> Iterator[Step]:
    """What follows once the number is that of ``name``; every path returns."""
    low, high = (0, 4) if machine.order == "little" else (4, 0)

    def argument(index: int, half: int = low) -> Step:
        return Step(_LOAD, _ARGUMENTS + 8 * index + half)

    if name in ("open", "openat"):
        yield argument(1 if name == "open" else 2)
        yield Step(_JUMP_BITS, _WRITING, 0, 1)
        yield from (Step(_RETURN, KILL), Step(_RETURN, ALLOW))
    elif name == "clone":
        yield argument(1 if machine.column == "s390x" else 0)
        yield Step(_JUMP_BITS, _CLONE_THREAD, 0, 1)
        yield from (Step(_RETURN, ALLOW), Step(_RETURN, KILL))
    elif name == "prlimit64":  # reading a limit: no new value is given
        yield argument(2)
        yield Step(_JUMP_EQUAL, 0, 0, 3)
        yield argument(2, high)
        yield Step(_JUMP_EQUAL, 0, 0, 1)
        yield from (Step(_RETURN, ALLOW), Step(_RETURN, KILL))
    elif name in ("kill", "tgkill"):
        yield argument(0)
        yield Step(_JUMP_EQUAL, pid, 0, 1)
        yield from (Step(_RETURN, ALLOW), Step(_RETURN, KILL))
    elif name == "fcntl":
        yield argument(1)
        for command in _DESCRIPTOR_COMMANDS:
            yield from (Step(_JUMP_EQUAL, command, 0, 1), Step(_RETURN, ALLOW))
        yield Step(_RETURN, ERRNO | errno.EPERM)
    else:  # ioctl: nothing here is a terminal
        yield Step(_RETURN, ERRNO | errno.ENOTTY)
