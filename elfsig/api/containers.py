"""Modules inside packages, archives, images and compressed files."""

from __future__ import annotations

from collections.abc import Iterator

from elfsig.api.guard import public
from elfsig.containers.contract import Context
from elfsig.containers.walk import ContainerRecord, walk
from elfsig.errors import ReadError
from elfsig.opened.evidence import LIMIT, MODULE_SUFFIXES, Source, evidence_of
from elfsig.opened.inside import outermost
from elfsig.opened.module import Module
from elfsig.registry import Registry, load
from elfsig.verbs.survey.recognise import is_module


@public
def members(source: Source, *, registry: Registry | None = None, limit: int = LIMIT) -> Iterator[Module]:
    """The modules in a package, archive, image or compressed file, container in container, in stored order.

    ``source`` is a path, a path into a container (``a.deb!/data.tar.xz``), bytes or a binary stream. Each
    module's ``path`` is one that other functions accept. A file that is itself a module is the only one.
    ``limit`` bounds each module in bytes, before and after decompression. Raises ReadError, UsageError; and
    after the last module the first ReadError or ContainerError, with the path of what could not be read to
    its end.
    """
    formats = registry or load()
    incomplete: ReadError | None = None
    context = Context()
    with outermost(source, context) as (reader, chain):
        for found in walk(reader, chain, context):
            if isinstance(found, ContainerRecord):
                incomplete = incomplete or _named(found.error, found.path)
            elif found.what == "module" and found.member.reader is not None:
                try:
                    evidence = evidence_of(found.member.reader.all(limit), found.path, limit)
                except ReadError as reason:
                    incomplete = incomplete or _named(reason, found.path)
                    continue
                module = Module(evidence, formats)
                if _is_module(module):
                    yield module
    if incomplete is not None:
        raise incomplete


def _named(error: ReadError | None, path: str) -> ReadError | None:
    if error is not None:
        error.path = error.path or path
    return error


def _is_module(module: Module) -> bool:
    """Whether it is called a module or has what only modules have: other object files are relocatable too."""
    return module.path.endswith(MODULE_SUFFIXES) or is_module(module.image)
