"""Which of the modules that DKMS built a file is a copy of: by its code, since anybody can use a name."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from elfsig.errors import ElfsigError
from elfsig.host.dkms import Built, built
from elfsig.kernels.names import module_name
from elfsig.opened.module import Module, open_module
from elfsig.registry import Registry


def same_code(one: Module, other: Module) -> bool:
    """Whether two modules are the same but for signatures; False where the extent of one is uncertain."""
    try:
        return one.bare == other.bare
    except ElfsigError:
        return False


def built_as(module: Module, among: Iterable[Built], registry: Registry | None = None) -> Built | None:
    """The build whose code this is; None if it is of none of them."""
    for each in among:
        with suppress(ElfsigError):
            if same_code(module, open_module(str(each.path), registry)):
                return each
    return None


def origin(root: Path, path: Path, registry: Registry | None = None) -> tuple[Built | None, Built | None]:
    """What DKMS says about a file: the build that it is, or is a copy of; else the one whose name it has.

    Raises ElfsigError where DKMS's configuration or the file cannot be read.
    """
    name = module_name(str(path))
    named = [each for each in built(root) if module_name(str(each.path)) == name]
    if (itself := next((each for each in named if _same(each.path, path)), None)) is not None:
        return itself, None
    mine = [each for each in named if any(_same(copy, path) for copy in each.installed)]
    if not mine:
        return None, None
    return built_as(open_module(str(path), registry), mine, registry), mine[0]


def _same(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False
