"""The child's side: give up rights, one layer after the other, and say which layers the machine has."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import cache

from elfsig.cage import kernel, landlock, seccomp
from elfsig.lazy_dataclass import dataclass

LAYERS = ("limits", "landlock", "capabilities", "seccomp")
"""The layers, in the order in which they are applied. ``landlock`` is followed by the version: landlock-7."""

_DAC_READ_SEARCH = 1 << 2
"""The only capability that is kept where there is one: root examines the files of others with it."""

_DESCRIPTORS = 64
_SYSTEM = (
    "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo", "/etc/ld.so.cache", "/etc/localtime",
    "/etc/ssl", "/dev/null", "/dev/urandom",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Limits:
    """What one child may use.

    ``processor`` and ``clock`` are seconds, of processor time and by the clock. ``memory`` is address space
    in bytes, on top of what this process has when the child starts. ``records`` is what the child
    may report, in bytes. ``scratch`` is the most that it may write to the file of :mod:`elfsig.cage.room`, in
    bytes; 0: it gets none.
    """

    processor: int = 300
    clock: float = 600.0
    memory: int = 4 << 30
    records: int = 256 << 20
    scratch: int = 64 << 30


@dataclass(frozen=True, slots=True)
class Held:
    """Which layers a child is in (``held``), and why the others are missing (``missing``: layer, reason)."""

    held: tuple[str, ...]
    missing: tuple[tuple[str, str], ...] = ()


def lock(limits: Limits, readable: Iterable[str]) -> Held:
    """Confine this process, for good.

    It may read the files and directories ``readable`` and what Python and the C library consist of. A layer
    that the machine lacks, or refuses, is in the result's ``missing``.
    """
    held: list[str] = []
    missing: list[tuple[str, str]] = []

    def apply(layer: str, step: Callable[[], str | None]) -> None:
        try:
            held.append(step() or layer)
        except (OSError, ValueError) as reason:
            missing.append((layer, str(getattr(reason, "strerror", None) or reason)))

    kernel.end_with_parent(signal.SIGKILL)
    apply("limits", lambda: _set_limits(limits))
    apply("landlock", lambda: _restrict([*readable, *library_paths()]))
    apply("capabilities", lambda: kernel.keep_capabilities(_DAC_READ_SEARCH))
    apply("seccomp", _filter)
    return Held(tuple(held), tuple(missing))


def _set_limits(limits: Limits) -> None:
    used = _address_space()
    _lower(resource.RLIMIT_CPU, limits.processor, limits.processor + 2)
    _lower(resource.RLIMIT_AS, used + limits.memory)
    _lower(resource.RLIMIT_FSIZE, limits.scratch)
    _lower(resource.RLIMIT_NOFILE, _DESCRIPTORS)
    _lower(resource.RLIMIT_CORE, 0)


def _lower(which: int, soft: int, hard: int | None = None) -> None:
    most = resource.getrlimit(which)[1]
    wanted = soft if hard is None else hard
    top = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
    resource.setrlimit(which, (min(soft, top), top))


def _address_space() -> int:
    """Bytes of address space that this process has."""
    with open("/proc/self/statm", "rb", buffering=0) as stream:
        return int(stream.read(256).split()[0]) * resource.getpagesize()


def _restrict(readable: Sequence[str]) -> str:
    kernel.no_new_privileges()
    has = landlock.version()
    if not has:
        raise ValueError("this kernel does not have Landlock, or it is switched off")
    landlock.restrict(readable, has)
    return f"landlock-{has}"


def _filter() -> None:
    machine = seccomp.this_machine()
    if machine is None:
        raise ValueError(f"no table of system calls for {os.uname().machine}")
    kernel.no_new_privileges()
    kernel.filter_calls(seccomp.program(machine, os.getpid()))


@cache
def library_paths() -> tuple[str, ...]:
    """What Python reads while it runs: its own directories, the C library's, and where modules are imported
    from. The root directory is never among them."""
    own = [sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix, *sys.path, *_SYSTEM]
    found = sorted({os.path.realpath(path) for path in own if path} - {"/"})
    return tuple(path for path in found if not any(path.startswith(f"{other}/") for other in found))
