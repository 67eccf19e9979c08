"""Which installed modules are not to be re-signed with DKMS's builds, although they have their names."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from elfsig.host.dkms import Built
from elfsig.host.dkms_copies import built_as
from elfsig.host.package import AMONG_KERNEL_S, source_of
from elfsig.opened.module import Module


def left(copy: Module, path: Path, each: Built, every: Iterable[Built], root: Path) -> str | None:
    """Why ``path`` need not be a copy of ``each``, with its name and other code; None if it should.

    Another version may be installed, or it is a vendor's module, before which the copy of ``each`` stands.
    """
    rivals = (one for one in every if one.kernel == each.kernel and one.path.name == each.path.name)
    other = built_as(copy, rivals, copy.registry)
    if other is not None:
        return f"it is what DKMS built as {other.name}"
    source = source_of(root, path, copy.registry)
    if source.kind == "package":
        return f"it belongs to the package {source.name}"
    if source.vendor == AMONG_KERNEL_S and len(each.installed) > 1:
        return "it is one of the kernel's own modules, with other code"
    return None
