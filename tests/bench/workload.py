"""What the benchmarks work on: Debian's amd64 kernel modules, and what has to be made of them first."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.measure import elfsig_command, run
from tests.support.kernels import cached
from tests.support.packages import locate, package_of

SIGNED = 1000
"""Modules that are signed."""


@dataclass(frozen=True, slots=True)
class Workload:
    """``tree`` holds ``modules``, all signed with the key of ``certificate``; ``scratch`` is for outputs."""

    tree: Path
    modules: list[Path]
    vmlinuz: Path
    certificate: Path
    scratch: Path

    @property
    def megabytes(self) -> float:
        return sum(path.stat().st_size for path in self.modules) / 1e6

    @property
    def largest(self) -> int:
        return max(path.stat().st_size for path in self.modules)


def tool(name: str) -> str:
    """Path of an outside program. Exits where it is missing."""
    found = locate(name)
    if found is None:
        raise SystemExit(f"needs {name}: apt package {package_of(name)}")
    return found


@contextmanager
def workload() -> Iterator[Workload]:
    """The work, with a temporary directory in memory where there is one. Exits where there is no kernel."""
    kernel = cached("amd64")
    if kernel is None:
        raise SystemExit("needs Debian's kernel package for amd64: python -m tests.setup")
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(prefix="elfsig-bench-", dir=memory) as folder:
        scratch = Path(folder)
        run([*elfsig_command(), "keys", "extract", kernel.vmlinuz(), "-o", scratch / "keys"])
        certificate = next((scratch / "keys").iterdir())
        tree = next(kernel.path.glob("**/lib/modules"))
        yield Workload(tree, kernel.modules(), kernel.vmlinuz(), certificate, scratch)


def unsigned(work: Workload, count: int) -> Path:
    """A directory of ``count`` unsigned modules of all sizes."""
    folder = work.scratch / "unsigned"
    if not folder.exists():
        step = len(work.modules) / count
        chosen = [work.modules[int(i * step)] for i in range(count)]
        signed = work.scratch / "chosen"
        signed.mkdir()
        for number, path in enumerate(chosen):
            (signed / f"{number:04}-{path.name}").symlink_to(path)
        run([*elfsig_command(), "strip", "-q", *sorted(signed.iterdir()), "--output-dir", folder])
    return folder
