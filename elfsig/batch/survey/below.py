"""The files below a directory that a survey reads: regular files, and what links to files outside lead to.

A link to something in the directories that were given adds nothing: that is met anyway. Links that lead
elsewhere are followed if they, or their targets, have the name of a module, package, archive or image, as
those of a pool of packages have; the others are counted (:class:`elfsig.opened.links.Links`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from elfsig.containers.names import expected_by_name
from elfsig.errors import ReadError
from elfsig.opened.links import IGNORED, Links
from elfsig.opened.source import read_error
from elfsig.verbs.survey.recognise import is_named_module


def files_below(root: str, links: Links) -> Iterator[tuple[str, ReadError | None]]:
    """Every file, sorted, and what cannot be listed or opened with its error."""
    failed: list[OSError] = []
    for folder, folders, names in os.walk(root, onerror=failed.append):
        folders.sort()
        yield from _unlisted(root, failed)
        linked = {name for name in folders if os.path.islink(os.path.join(folder, name))}
        for name in sorted((*names, *linked)):
            path = os.path.join(folder, name)
            if name in linked or os.path.islink(path):
                yield from _linked(path, root, links)
            elif os.path.isfile(path):
                yield path, None
            elif _is_named(name):
                yield path, ReadError("is not a regular file", code="not-a-regular-file")
    yield from _unlisted(root, failed)  # the last directory, or ``root`` itself


def _unlisted(root: str, failed: list[OSError]) -> Iterator[tuple[str, ReadError]]:
    """Take the directories that could not be listed from ``failed``."""
    while failed:
        reason = failed.pop(0)
        yield reason.filename or root, read_error(reason)


def _is_named(path: str) -> bool:
    name = os.fsencode(os.path.basename(path))
    return is_named_module(name) or expected_by_name(name) is not None


def _linked(path: str, root: str, links: Links) -> Iterator[tuple[str, ReadError | None]]:
    """The entry for a symbolic link that is followed."""
    named = _is_named(path)
    try:
        found = links.resolve(path, root)
    except OSError as reason:
        if named:
            yield path, read_error(reason)
        return
    if not found.startswith("/"):
        inside = found == "directory" and links.is_inside(os.path.realpath(path))
        if os.path.basename(path) not in IGNORED and not inside and (named or found == "directory"):
            links.ignore(path, found)
    elif not (named or _is_named(found)):
        if not links.is_inside(found):
            links.ignore(path, "other")
    elif links.taken(path, found, found_by_walk=True) is not None:
        yield path if os.path.realpath(path) == found else found, None
