"""An OCI image layout that is a directory: whether the layers that its manifests list are there, whole.

Each blob is a file that is surveyed by itself. That one is missing, or of no known form, nobody would notice:
the record of ``index.json`` says so. What is read is what the index leads to, at names that are hashes.
"""

from __future__ import annotations

import json
import os
from typing import NamedTuple

from elfsig.containers.contract import Budget, Member, damaged
from elfsig.containers.oci import DOCUMENT_LIMIT, Layout
from elfsig.containers.registry import load
from elfsig.errors import ReadError
from elfsig.model import Remark
from elfsig.opened.inside import outermost
from elfsig.verbs.survey.records import ContainerRecord, Layer

_INDEX, _MARK, _BLOBS = "index.json", "oci-layout", "blobs"
KIND = "oci-layout"


def is_layout(path: str, root: str | None) -> bool:
    """Whether a file below a directory is the index of a layout (OCI specification, image-layout.md)."""
    folder, name = os.path.split(path)
    return root is not None and name == _INDEX and os.path.isfile(os.path.join(folder, _MARK))


def files_of(path: str) -> tuple[str, ...]:
    """The index of a layout, and the directory of its blobs if that is not a link to another."""
    blobs = os.path.join(os.path.dirname(path), _BLOBS)
    return (path,) if os.path.islink(blobs) else (path, blobs)


def layout_record(path: str, budget: Budget) -> ContainerRecord:
    """The record of the layout whose index is at ``path``."""
    layout, there = Layout(budget), 0
    index = Layer("file", path)
    fault: ReadError | None = None
    try:
        index = _index(path)
        _read(layout, _File(path, _INDEX.encode()))
        for name in layout.listed():
            file = _File(os.path.join(os.path.dirname(path), os.fsdecode(name)), name)
            there += os.path.lexists(file.path) and _read(layout, file)
        fault = layout.missing()
    except ReadError as reason:
        fault = reason
    return ContainerRecord(path, (index,), KIND, there, 0, None if fault is None else Remark.of(fault))


class _File(NamedTuple):
    """A file of a layout: where it is, and its name there."""

    path: str
    name: bytes


def _index(path: str) -> Layer:
    """The index as a file. Raises ReadError, also where it is none."""
    with outermost(path, hashing=True) as (reader, chain):
        text = reader.all(DOCUMENT_LIMIT)
        reader.finish()
        try:
            manifests = json.loads(text).get("manifests")
        except (ValueError, AttributeError, RecursionError):
            manifests = None
        if not isinstance(manifests, list):
            raise damaged("the index of an image layout does not list manifests", 0)
        return Layer("file", path, None, chain[-1].size, reader.sha256)


def _read(layout: Layout, file: _File) -> bool:
    """Look at a file. Raises ReadError."""
    with outermost(file.path) as (reader, chain):
        member = Member(file.name, "file", reader, chain[-1].size)
        layout.begin(member)
        layout.end(member, recognised=load().find(reader) is not None)
    return True
