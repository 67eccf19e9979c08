"""Debian's real kernel packages: found through their metapackage, downloaded, unpacked into a cache.

Foreign architectures get an apt root of their own, so nothing of the system is touched and no root is
needed; the package sources are the system's. Standard library only. No package is ever committed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from tests.support.packages import FLAVOURS, retry

ARCHES = ("amd64", "i386", "arm64", "s390x")

SHIM, SHIM_NAME = "shim-unsigned", "shim"
"""The package with the list of what Debian revoked, and its name in the cache."""

CLOUD = "linux-image-6.1.0-56-cloud-amd64"
"""The package that the known-answer vectors named ``-real`` were cut from (version 6.1.192-2)."""

OLDER = "linux-image-6.1.0-54-cloud-amd64"
"""An earlier build of the same modules, to compare with those of CLOUD."""

_PART = r"linux-(?:binary|modules|base)-\d"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
"""The keys of Debian's archive, old suites and new."""

HOOKS = ("APT::Update::Post-Invoke", "APT::Update::Post-Invoke-Success", "DPkg::Post-Invoke")

CHECKOUT = Path(__file__).resolve().parents[2]


class FetchError(Exception):
    """A package could not be found, downloaded or unpacked."""


@dataclass(frozen=True, slots=True)
class Unpacked:
    """One unpacked package; ``root`` is relative to the cache, which may move."""

    arch: str
    package: str
    version: str
    root: str

    @property
    def path(self) -> Path:
        return cache_dir() / self.root

    def modules(self) -> list[Path]:
        """Every module of the package, sorted."""
        return sorted(self.path.glob("**/lib/modules/**/*.ko*"))

    def vmlinuz(self) -> Path:
        """The kernel image of the package: in boot, or from 7.0 next to the modules."""
        places = ("boot/vmlinuz-*", "usr/lib/modules/*/vmlinuz")
        return next(path for place in places for path in self.path.glob(place))

    def config(self) -> Path:
        """The configuration that the kernel was built with; it is in the same places."""
        places = ("boot/config-*", "usr/lib/modules/*/config")
        return next(path for place in places for path in self.path.glob(place))

    @property
    def release(self) -> str:
        """What ``uname -r`` prints under this kernel."""
        return next(path.name for path in self.path.glob("**/lib/modules/*") if path.is_dir())


def cache_dir() -> Path:
    """Where packages are kept: ``ELFSIG_CACHE``, else ``.elfsig-cache`` in the checkout."""
    return Path(os.environ.get("ELFSIG_CACHE") or CHECKOUT / ".elfsig-cache").absolute()


def _record(arch: str, name: str) -> Path:
    return cache_dir() / "kernels" / arch / f"{name}.json"


def cached(arch: str, name: str = "image") -> Unpacked | None:
    """What :func:`fetch` has unpacked before, None where nothing is there."""
    try:
        found = Unpacked(**json.loads(_record(arch, name).read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return found if found.path.is_dir() else None


class AptRoot:
    """A private apt state for one architecture, over the package sources of the system.

    ``suite``: another suite of the system's Debian mirror (such as "sid") in their place.
    """

    def __init__(self, arch: str, suite: str | None = None) -> None:
        self.arch = arch
        root = cache_dir() / "apt" / (f"{arch}-{suite}" if suite else arch)
        for each in ("state/lists/partial", "cache/archives/partial"):
            (root / each).mkdir(parents=True, exist_ok=True)
        (root / "status").touch()
        settings = {
            "Dir::State": root / "state",
            "Dir::State::status": root / "status",
            "Dir::Cache": root / "cache",
            "APT::Architecture": arch,
            "APT::Architectures": arch,
            "APT::Sandbox::User": "",
            "Acquire::Retries": 3,
            "Acquire::Languages": "none",
            "Acquire::IndexTargets::deb-src::Sources::DefaultEnabled": "false",
        }
        if suite:
            sources = root / "sources.list"
            sources.write_text(f"deb [signed-by={KEYRING}] {debian_mirror()} {suite} main\n")
            settings |= {"Dir::Etc::sourcelist": sources, "Dir::Etc::sourceparts": "/dev/null"}
        conf = root / "apt.conf"
        lines = [f'{key} "{value}";\n' for key, value in settings.items()]
        # Hooks of the system (cache cleaners in containers) are meant for the system's own root.
        conf.write_text("".join(f"#clear {hook};\n" for hook in HOOKS) + "".join(lines))
        self._options = ["-c", str(conf)]

    def run(self, tool: str, *arguments: str, attempts: int = 3, cwd: Path | None = None) -> str:
        """Standard output of ``apt-get`` or ``apt-cache`` in this root. Raises FetchError."""
        command = [tool, "-q", *self._options, *arguments]
        if cwd is not None:
            command = ["env", "-C", str(cwd), *command]
        done = retry(command, attempts)
        if done.returncode:
            raise FetchError(f"{tool} {' '.join(arguments)} ({self.arch}): {done.stderr.strip()[-500:]}")
        return done.stdout

    def update(self) -> None:
        """Fetch the package lists. One that fails is said and gone without: the next question decides."""
        try:
            self.run("apt-get", "update")
        except FetchError as reason:
            print(f"{reason} (going on with what is there)", file=sys.stderr)

    def image_package(self) -> str:
        """The kernel package that this architecture's metapackage stands for. Raises FetchError."""
        meta = f"linux-image-{FLAVOURS[self.arch]}"
        shown = self.run("apt-cache", "--no-all-versions", "show", meta)
        found = re.search(r"^Depends:.*?(linux-image-\d\S*)", shown, re.MULTILINE)
        if not found:
            raise FetchError(f"{meta} names no kernel package")
        return found[1].rstrip(",")

    def names(self, pattern: str) -> list[str]:
        """The names of all packages that match the regular expression ``pattern`` as a whole."""
        known = self.run("apt-cache", "pkgnames", "linux-image-").split()
        return [name for name in known if re.fullmatch(pattern, name)]

    def parts(self, package: str) -> list[str]:
        """The packages that a kernel consists of: from 6.19 its image and its modules are in others.

        apt writes <NAME> for one that is gone, such as the modules of an older kernel; it is left out.
        """
        said = self.run("apt-cache", "depends", package)
        return [package, *re.findall(rf"Depends: ({_PART}\S*)", said)]

    def is_whole(self, package: str) -> bool:
        """Whether all packages that a kernel consists of are available."""
        return re.search(rf"Depends: <{_PART}", self.run("apt-cache", "depends", package)) is None

    def version(self, package: str) -> str:
        """The version that apt would install. Raises FetchError."""
        shown = self.run("apt-cache", "--no-all-versions", "show", package)
        found = re.search(r"^Version: (\S+)$", shown, re.MULTILINE)
        if not found:
            raise FetchError(f"{package} ({self.arch}) is not available")
        return found[1]

    def download(self, package: str, into: Path) -> Path:
        """The package file of ``package``. Raises FetchError."""
        into.mkdir(parents=True, exist_ok=True)
        self.run("apt-get", "download", package, cwd=into)
        return next(into.glob("*.deb"))


@cache
def debian_mirror() -> str:
    """The Debian mirror that the system's apt uses. Raises FetchError where it uses none."""
    done = retry(["apt-get", "indextargets", "--format", "$(REPO_URI)"])
    found = [uri for uri in done.stdout.split() if uri.rstrip("/").endswith("/debian")]
    if not found:
        raise FetchError("there is no Debian mirror among the package sources of this system")
    return found[0]


@cache
def updated_root(arch: str, suite: str | None = None) -> AptRoot:
    """The private root of ``arch`` (and ``suite``) with fresh package lists, once a process."""
    apt = AptRoot(arch, suite)
    apt.update()
    return apt


def fetch(arch: str, package: str | None = None, name: str = "image") -> Unpacked:
    """Download and unpack a kernel package (by default the architecture's own) into the cache.

    What is already there in the version that apt would give is left as it is, and any version is better
    than none while the mirror does not answer. Raises FetchError.
    """
    known = cached(arch, name)
    apt = updated_root(arch)
    try:
        package = package or apt.image_package()
        version = apt.version(package)
    except FetchError:
        if known:
            return known
        raise
    if known and (known.package, known.version) == (package, version):
        return known
    return keep(apt, package, version, name)


def keep(
    apt: AptRoot, package: str, version: str, name: str, packages: Sequence[str] | None = None
) -> Unpacked:
    """Download and unpack ``package`` and all that belongs to it, and record it as ``name``.

    ``packages``: what belongs to it; by default what a kernel consists of. Raises FetchError.
    """
    root = cache_dir() / "kernels" / apt.arch / f"{package}_{version.replace(':', '%3a')}"
    if not root.is_dir():
        unpack(apt, apt.parts(package) if packages is None else packages, root)
    found = Unpacked(apt.arch, package, version, str(root.relative_to(cache_dir())))
    record = _record(apt.arch, name)
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(json.dumps(asdict(found), indent=1))
    return found


def unpack(apt: AptRoot, packages: Sequence[str], root: Path) -> None:
    """Download and unpack ``packages`` at ``root``, which is complete once it exists. Raises FetchError."""
    work = root.with_name(root.name + ".part")
    for old in (work, root):
        shutil.rmtree(old, ignore_errors=True)
    try:
        for number, package in enumerate(packages):
            deb = apt.download(package, work / f"deb{number}")
            done = subprocess.run(
                ["dpkg-deb", "-x", str(deb), str(work / "tree")], capture_output=True, text=True
            )
            if done.returncode:
                raise FetchError(f"dpkg-deb -x {deb.name}: {done.stderr.strip()}")
        (work / "tree").rename(root)
    finally:
        shutil.rmtree(work, ignore_errors=True)
