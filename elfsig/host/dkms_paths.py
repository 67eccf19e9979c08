"""Paths of keys that name the kernel: ``$kernel_source_dir/certs-local/current/signing_key.pem``.

DKMS expands ``$kernel_source_dir``, ``$kernelver`` and ``$arch`` for each kernel that it builds for. A kernel
package that brings a key for modules built outside it has it in its headers.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from elfsig.host.files import Files

VARIABLES: Final = ("kernel_source_dir", "kernelver", "arch")
_VARIABLE: Final = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_SPECIAL: Final = re.compile(r'([\\"`])')
_DOLLAR: Final = re.compile(r"\$(?!\{?(?:" + "|".join(VARIABLES) + r")\b)")
INSTALL: Final = "/lib/modules"
HASH: Final = "khash"
"""Name of the file with the hash, next to a key (as Arch-SKM's genkeys.py and elfsig keys generate write)."""


def names_kernel(word: str) -> bool:
    """Whether a path has one of the variables in it."""
    return any((found[1] or found[2]) in VARIABLES for found in _VARIABLE.finditer(word))


def shell_word(word: str) -> str:
    """``word`` for a shell script: its variables are expanded there, everything else is literal."""
    if not names_kernel(word):
        return shlex.quote(word)
    escaped = _SPECIAL.sub(r"\\\1", word)
    return '"' + _DOLLAR.sub(r"\\$", escaped) + '"'


def absolute(word: str) -> str:
    """An absolute path; a ``pkcs11:`` URI, or a path that begins with a variable, as it is."""
    return word if word.startswith(("pkcs11:", "$")) else os.path.abspath(word)


def expanded(word: str, root: Path, kernel: str, install: str = INSTALL, arch: str | None = None) -> str:
    """``word`` for one kernel. ``root`` is where the system with it is mounted; the variables' values are
    paths inside it, without ``root``."""
    values = {
        "kernel_source_dir": _source(root, kernel, install),
        "kernelver": kernel,
        "arch": arch or os.uname().machine,
    }
    return _VARIABLE.sub(lambda found: values.get(found[1] or found[2], found[0]), word)


def _source(root: Path, kernel: str, install: str) -> str:
    """The headers of a kernel, as DKMS finds them; links are followed inside ``root``."""
    files, folder = Files(root), f"{install}/{kernel}"
    real = files.real(root / folder.lstrip("/"))
    if real is None or not (real / "build").is_symlink():
        return f"{folder}/build"
    inside = files.inside(real)
    start = str(real) if inside is None else f"/{inside}"
    return os.path.normpath(os.path.join(start, os.readlink(real / "build")))


def kernels(root: Path, install: str = INSTALL) -> Iterator[str]:
    """The kernels whose headers are there."""
    files, folder = Files(root), root / install.lstrip("/")
    yield from (name for name in files.names(folder) or () if files.there(folder / name / "build"))


def hash_beside(root: Path, key: str) -> str | None:
    """The hash in ``khash`` next to a key file of the system at ``root``; None without one."""
    if key.startswith("pkcs11:"):
        return None
    data = Files(root).content(Path(key).parent / HASH)
    return None if data is None else data.decode("utf-8", "replace").strip() or None


def as_named(root: Path, word: str) -> str:
    """A key, certificate or program as the system at ``root`` names it, where it is below ``root``."""
    if word.startswith(("pkcs11:", "$")):
        return word
    real = os.path.join(os.path.realpath(os.path.dirname(word)), os.path.basename(word))
    names = (Files(root).inside(Path(word)), Files(Path(os.path.realpath(root))).inside(Path(real)))
    return next((f"/{name}" for name in names if name is not None), word)
