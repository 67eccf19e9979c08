"""DKMS on this machine, kept to directories of a test: in a mount namespace of its own, /etc/dkms and
/lib/modules are other directories."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.cli import CHECKOUT, environment
from tests.support.tools import need

MODULE, VERSION = "elfsig-hello", "1.0"
SOURCE = CHECKOUT / "tests" / "dkms_module"


def headers() -> tuple[str, Path]:
    """(release, build directory) of Debian's kernel headers; skips without them."""
    build = Path(need("kernel-headers"))
    return build.parent.name, build


def executables(folder: Path) -> Path:
    """A directory with ``elfsig`` and ``elfsig-sign-file`` of this checkout, as an installation has them."""
    folder.mkdir(exist_ok=True)
    paths = shlex.quote(environment()["PYTHONPATH"])
    for name, module in (("elfsig", "elfsig"), ("elfsig-sign-file", "elfsig.cli.commands.sign_file")):
        script = folder / name
        run = f"exec {shlex.quote(sys.executable)} -m {module}"
        script.write_text(f'#!/bin/sh\nPYTHONPATH={paths} {run} "$@"\n')
        script.chmod(0o755)
    return folder


@dataclass(frozen=True, slots=True)
class Sandbox:
    """DKMS with trees of its own below ``root``: /etc/dkms is ``etc`` there, /lib/modules ``installed``."""

    root: Path
    kernel: str

    @property
    def etc(self) -> Path:
        return self.root / "etc"

    def run(self, *words: str | Path, code: int = 0) -> str:
        """Run a command inside; what it said on both streams."""
        mounts = 'mount --bind "$0/etc" /etc/dkms && mount --bind "$0/installed" /lib/modules && exec "$@"'
        inside = ["sh", "-c", mounts, self.root, *words]
        done = subprocess.run(
            [need("unshare"), "--mount", *map(str, inside)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL,
            env={**os.environ, "PATH": f"{self.root}/bin:{os.environ['PATH']}:/usr/sbin:/sbin"},
        )  # fmt: skip
        assert done.returncode == code, done.stdout
        return done.stdout

    def dkms(self, verb: str) -> str:
        return self.run(need("dkms"), verb, f"{MODULE}/{VERSION}", "-k", self.kernel)

    def built(self) -> Path:
        """The one module that was built."""
        found = list((self.root / "tree" / MODULE / VERSION / self.kernel).glob("*/module/*.ko*"))
        assert len(found) == 1, found
        return found[0]

    def installed(self) -> Path:
        found = list((self.root / "installed" / self.kernel).rglob("elfsig_hello.ko*"))
        assert len(found) == 1, found
        return found[0]


def sandbox(root: Path) -> Sandbox:
    """A fresh sandbox with the test module's source in it. Skips where DKMS cannot run."""
    need("dkms")
    if os.geteuid() != 0:
        pytest.skip("opt-in: DKMS builds as root only")
    kernel, build = headers()
    for name in ("etc/framework.conf.d", "tree", f"installed/{kernel}", "source"):
        (root / name).mkdir(parents=True)
    (root / "installed" / kernel / "build").symlink_to(build.resolve())
    executables(root / "bin")
    source = root / "source" / f"{MODULE}-{VERSION}"
    subprocess.run(["cp", "-r", SOURCE, source], check=True)
    text = f'dkms_tree="{root}/tree"\nsource_tree="{root}/source"\n'
    (root / "etc" / "framework.conf").write_text(text)
    return Sandbox(root, kernel)
