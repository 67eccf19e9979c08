"""Whether an initramfs has a copy of a module: by the names in its archives, all of which must be read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from elfsig.containers.contract import Member
from elfsig.containers.walk import ContainerRecord, walk
from elfsig.errors import ElfsigError
from elfsig.kernels.names import module_name
from elfsig.opened.evidence import MODULE_SUFFIXES
from elfsig.opened.inside import outermost

ARCHIVES = frozenset({"cpio", "initramfs"})


def words(path: Path, real: Path, name: str) -> str:
    """Whether the initramfs at ``path`` (a link, perhaps, to ``real``) has a copy of the module ``name``."""
    records: list[ContainerRecord] = []
    try:
        for each in _contents(real):
            if each == name:
                return f"{path} has a copy of the module too, which may differ: rebuild it after signing"
            if isinstance(each, ContainerRecord):
                records.append(each)
    except ElfsigError as reason:
        return _not_known(path, reason.text)
    lost = next((each.error for each in records if each.error is not None), None)
    if lost is not None:
        return _not_known(path, lost.text)
    if not any(each.kind in ARCHIVES for each in records):
        return _not_known(path, "it is not an initramfs of a known form")
    return f"{path} has no copy of the module"


def _not_known(path: Path, why: str) -> str:
    return f"{path} cannot be read ({why}): whether it has a copy of the module is not known"


def _contents(path: Path) -> Iterator[str | ContainerRecord]:
    """The names of all modules, as the kernel calls them, and how far each archive could be read."""
    seen = 0

    def decide(member: Member) -> str | None:
        """Only the file itself, compressed streams and further archives are gone into."""
        nonlocal seen
        seen += 1
        return "member" if member.kind == "file" and seen > 1 else None

    with outermost(str(path)) as (reader, chain):
        for each in walk(reader, chain, decide=decide):
            if isinstance(each, ContainerRecord):
                yield each
            elif _is_module(name := os.fsdecode(each.member.name)):
                yield module_name(name)


def _is_module(name: str) -> bool:
    return name.endswith(MODULE_SUFFIXES) and "/lib/modules/" in f"/{name}"
