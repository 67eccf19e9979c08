"""List and verify the signatures in a file or a tree."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from elfsig.api.guard import public
from elfsig.api.keys import KeySources, keyring
from elfsig.batch.tree import Examination
from elfsig.batch.tree import verify_tree as examine_tree
from elfsig.errors import UsageError
from elfsig.model import FileReport, Format, SignatureReport
from elfsig.opened.evidence import LIMIT
from elfsig.opened.links import Links
from elfsig.opened.module import Module, ModuleSource, open_module
from elfsig.registry import Registry, load
from elfsig.verbs.verify.detached import from_argument, from_file
from elfsig.verbs.verify.examine import Outside, Question, examine


@public
def open(source: ModuleSource, *, registry: Registry | None = None, limit: int = LIMIT) -> Module:
    """Open ``source`` once, for any number of calls: every function takes the result instead of it.

    ``source`` is a path, a bytes-like object, a binary stream, or the result of an editing function.
    ``registry`` holds the formats to look for (None: all that are installed). ``limit`` bounds, in bytes,
    the file and what it decompresses to. Everything is parsed on demand. Raises ReadError.
    """
    return open_module(source, registry, limit=limit)


def formats(plugins: bool = True) -> tuple[Format, ...]:
    """The known signature formats, in probing order; ``plugins=False``: the built-in ones."""
    return load(plugins).formats


@public
def list_signatures(
    source: ModuleSource, *, registry: Registry | None = None, limit: int = LIMIT
) -> tuple[SignatureReport, ...]:
    """The signatures of ``source``, outermost first, parsed and not checked.

    Raises ReadError. Faults of a signature are in its report.
    """
    return examine(open_module(source, registry, limit=limit), Question(check=False)).signatures


@public
def verify(
    source: ModuleSource,
    trust: KeySources = (),
    keys: KeySources = (),
    *,
    detached: ModuleSource | None = None,
    modarg: str | None = None,
    hashes: bool = True,
    registry: Registry | None = None,
    limit: int = LIMIT,
) -> FileReport:
    """Verify the signatures of ``source``. The report decides nothing by itself: call its
    ``require_valid()``, or compare its ``verdict``.

    ``trust``: the keys that the caller vouches for; ``keys``: keys that are only tried, and never make a
    file ``valid``. Each is a source as :func:`elfsig.keyring` takes it, or several. ``detached`` or
    ``modarg`` give a signature that is not in the file: the content of a signature file, or a module
    argument (``modsign=...``). ``hashes``: compute ``sha256`` and ``content_sha256``. Raises ReadError,
    KeySourceError, UsageError; ParseError for a malformed ``modarg``.
    """
    question = Question(keyring(trust, keys), hashes)
    module = open_module(source, registry, limit=limit)
    return examine(module, question, outside_of(detached, modarg, limit))


def outside_of(detached: ModuleSource | None, modarg: str | None, limit: int) -> Outside | None:
    """The signature that is not in the file. Raises UsageError, ReadError, ParseError."""
    if detached is not None and modarg is not None:
        raise UsageError("give either detached or modarg, not both")
    if detached is not None:
        return from_file(open_module(detached, limit=limit).content)
    return None if modarg is None else from_argument(modarg)


@public
def verify_tree(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    trust: KeySources = (),
    keys: KeySources = (),
    *,
    jobs: int = 1,
    all_files: bool = False,
    hashes: bool = True,
    registry: Registry | None = None,
    limit: int = LIMIT,
    follow_links: bool = True,
) -> Iterator[FileReport]:
    """Verify every module below ``paths``; the reports come one by one, in the order of the walk.

    ``paths`` are files and directories, which are walked for modules (``all_files``: for every file). A file
    that cannot be read has a report with ``error``, and the walk continues. Symbolic links below a directory
    that lead to a file are followed, each file once, except with ``follow_links=False``; a module outside the
    directories has the warning link-outside. ``jobs``: the number of worker
    processes, 0 for one per processor; they are forked, so a program with threads gets none. The
    other parameters are those of :func:`verify`. Raises KeySourceError, UsageError before the first report.
    """
    question, known = Question(keyring(trust, keys), hashes, any_file=all_files), registry or load()
    places = paths_of(paths)

    what = Examination(known, question, limit=limit)
    return examine_tree(places, what, jobs=jobs, all_files=all_files, links=Links(follow_links))


def paths_of(paths: object) -> list[str]:
    """The paths one by one. Raises UsageError for what is not a path."""
    single = isinstance(paths, (str, os.PathLike, bytes, bytearray, memoryview))
    each_path = list(paths) if isinstance(paths, Iterable) and not single else [paths]
    return [_path(each) for each in each_path]


def _path(value: object) -> str:
    if isinstance(value, (str, os.PathLike)):
        name = os.fsdecode(value)
        try:
            os.fsencode(name)
        except UnicodeEncodeError:
            raise UsageError(f"{name!r} cannot be the name of a file", code="not-found") from None
        return name
    raise UsageError(f"a {type(value).__name__} is not a path", code="wrong-type")
