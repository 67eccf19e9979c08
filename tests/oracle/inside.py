"""What a guest needs to run elfsig: Python, its standard library, elfsig and the packages that it imports.

All from this machine. Files keep their times, so that the byte code beside them is still good.
"""

from __future__ import annotations

import os
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path

from tests.oracle.initramfs import Archive
from tests.oracle.kernel import Kernel
from tests.support.kernels import CHECKOUT

SITE = "site"
"""Where packages go; the guest's init sets PYTHONPATH to it."""
PYTHON = os.path.realpath(sys.executable)
_LEFT_OUT = re.compile(
    r"(?:tests?|idlelib|tkinter|ensurepip|lib2to3|turtledemo|pydoc_data|distutils|(?:site|dist)-packages|config-.*)"
)
_SHARED = re.compile(r"\.so(?:\.\d+)*\Z")


def add_python(archive: Archive) -> None:
    """Python and elfsig."""
    archive.program(PYTHON)
    library = Path(sysconfig.get_path("stdlib"))
    for path in _below(library):
        _add(archive, path, str(path))
    for name, path in _packages():
        _add(archive, path, f"{SITE}/{name}")
    for folder in (CHECKOUT / "elfsig", CHECKOUT / "formats" / "elfsig_formats"):
        for path in _below(folder):
            _add(archive, path, f"{SITE}/{path.relative_to(folder.parent)}")


def add_kernel(archive: Archive, kernel: Kernel, modules: Mapping[str, bytes]) -> None:
    """The kernel as a package would have installed it, with ``modules`` by file name in "updates"."""
    archive.file(f"boot/vmlinuz-{kernel.release}", kernel.image.read_bytes())
    if kernel.config is not None:
        archive.file(f"boot/config-{kernel.release}", kernel.config.read_bytes())
    base = f"lib/modules/{kernel.release}"
    archive.file(f"{base}/modules.dep", "".join(f"updates/{name}:\n" for name in modules).encode())
    for name, content in modules.items():
        archive.file(f"{base}/updates/{name}", content)


def explain(modules: Iterable[str]) -> list[str]:
    """The command that asks about all ``modules`` in the guest."""
    names = [name.partition(".")[0] for name in modules]
    return [PYTHON, "-m", "elfsig", "explain", "--this-machine", "--jsonl", *names]


def _add(archive: Archive, path: Path, name: str) -> None:
    if _SHARED.search(path.name):
        archive.program(str(path), name=name)
    else:
        archive.file(name, path.read_bytes(), int(path.stat().st_mtime))


def _below(folder: Path) -> Iterator[Path]:
    for top, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not _LEFT_OUT.fullmatch(name)]
        for name in names:
            path = Path(top, name)
            if path.is_file() and path.suffix != ".a":
                yield path


def _packages() -> Iterator[tuple[str, Path]]:
    """The files of all packages that elfsig requires, and its own metadata, which names its formats."""
    wanted, seen = ["elfsig"], set()
    while wanted:
        name = wanted.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # required on other systems only
        for each in distribution.files or ():
            path = Path(str(distribution.locate_file(each)))
            inside = ".." not in each.parts and each.suffix != ".pth"
            if inside and path.is_file() and (name != "elfsig" or ".dist-info" in each.parts[0]):
                yield str(each), path
        required = (need for need in distribution.requires or () if "extra ==" not in need)
        wanted += [re.match(r"[\w.-]+", need)[0] for need in required]  # type: ignore[index]
