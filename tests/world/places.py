"""Places where files cannot be written, in a mount namespace of a child process; and users who may not."""

from __future__ import annotations

import ctypes
import functools
import os
import signal
import subprocess
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.tools import need

CLONE_NEWNS = 0x00020000
NOBODY = 65534


def in_child(body: Callable[[], None], *, user: int | None = None, mounts: bool = False) -> None:
    """Run ``body`` in a child of this process, with its own mounts or as another user. What it raises is
    raised here as an AssertionError. Skips where this process may not do that."""
    if os.geteuid():
        pytest.skip("opt-in: mounts and other users need root")
    if mounts and not _has_own_mounts():
        pytest.skip("needs a root directory that is a mount point, and a mount namespace")
    out, into = os.pipe()
    pid = os.fork()
    if not pid:
        said = b""
        try:
            if mounts:
                own_mounts()
            if user is not None:
                os.setgroups([])
                os.setgid(user)
                os.setuid(user)
            body()
        except BaseException:
            said = traceback.format_exc().encode()
        os.write(into, said[-60_000:])
        os._exit(0)
    os.close(into)
    with open(out, "rb") as stream:
        said = stream.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert not said, said.decode("utf-8", "replace")
    assert not status, f"ended by {signal.Signals(-status).name if status < 0 else status}"


@functools.cache
def _has_own_mounts() -> bool:
    """Whether :func:`own_mounts` works: not in a chroot, nor in every container."""
    words = [need("unshare"), "--mount", need("mount"), "--make-rprivate", "/"]
    return subprocess.run(words, capture_output=True).returncode == 0


def own_mounts() -> None:
    """Mounts from now on are of this process only."""
    library = ctypes.CDLL(None, use_errno=True)
    if library.unshare(CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), "unshare")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)


def mount(place: Path, options: str, kind: str = "tmpfs") -> None:
    """Mount a file system at ``place``, which is made."""
    place.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", kind, "-o", options, "none", str(place)], check=True)


def remount(place: Path, options: str) -> None:
    """Change how a file system is mounted."""
    subprocess.run(["mount", "-o", f"remount,{options}", str(place)], check=True)
