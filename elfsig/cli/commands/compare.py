"""``elfsig compare``: whether two files are the same module, and how they differ."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import PurePath
from typing import NamedTuple

import click

from elfsig.batch.isolation import isolated
from elfsig.batch.workers import run
from elfsig.cli import exit_codes
from elfsig.cli.hints import hinted
from elfsig.cli.options.common import Machine, jobs_option, limit_option, machine_options
from elfsig.cli.options.files import source_type
from elfsig.cli.progress import watched
from elfsig.cli.reading import STDIN, Result, collect, source_of, tell_of_links
from elfsig.cli.render import compare as render_compare
from elfsig.cli.render.table import laid_out
from elfsig.cli.render.words import plural
from elfsig.cli.settings import Settings, complain, visible
from elfsig.errors import ElfsigError, ReadError, UsageError
from elfsig.model.json_form import dumps
from elfsig.opened.evidence import MODULE_SUFFIXES
from elfsig.opened.links import Links
from elfsig.opened.module import Module, open_module
from elfsig.opened.walk import WalkedFile, walk
from elfsig.registry import Registry
from elfsig.verbs.inspect.compare import compare
from elfsig.verbs.inspect.comparison import Comparison, Conclusion, bare_object, comparison_object
from elfsig.verbs.inspect.digest import coverages

PACKED = tuple(suffix.removeprefix(".ko") for suffix in MODULE_SUFFIXES if suffix != ".ko")
ONLY = {"a": "only in A", "b": "only in B"}
ORDER = (*(each.value for each in Conclusion), *ONLY.values(), "unreadable")


class FilePair(NamedTuple):
    """Two files of the same name: ``path`` is relative, or None when two files are compared. A file that was
    named itself may be ``-``, standard input."""

    path: str | None
    a: WalkedFile | None
    b: WalkedFile | None
    error: ElfsigError | None = None


class Asked(NamedTuple):
    """What to do with every pair."""

    registry: Registry
    machine: Machine
    coverage: str | None
    limit: int


@click.command("compare")
@click.argument("a", metavar="A", type=source_type)
@click.argument("b", metavar="B", type=source_type)
@click.option("--coverage", metavar="C", help="Compare only the bytes that this coverage covers.")
@machine_options
@jobs_option
@limit_option
@click.pass_obj
def command(
    settings: Settings, a: str, b: str, coverage: str | None, machine: Machine, jobs: int, limit: int
) -> int:
    """Compare two modules without their signatures, or two trees of modules by relative path.

    \b
    identical      all bytes are the same
    repacked       same content, compressed differently
    resigned       same content, different signatures or none
    moved          same content and signatures, at different places
    stripped       one lacks debug data or symbols; loaded content is the same
    relinked       loaded content is the same, at different places
    unloaded       loaded content is the same, something else differs
    relocations    same text and data, different relocations (gkh's scheme
                   does not cover them)
    same-textdata  same text and data, other loaded content differs
    different      code or data differs

    Of changed sections the bytes are shown, old and new, with the function or object that they are in.
    Exit codes: 0 for the first four (with --coverage: if the covered bytes are the same), else 1. In trees,
    names are compared without the suffix of a compression, and identical modules are only counted.
    """
    registry = settings.registry
    if coverage is not None and coverage not in (known := coverages(registry)):
        raise UsageError(f"unknown coverage {coverage!r}: choose from {', '.join(known)}")
    if a == b == STDIN:
        raise UsageError("A and B cannot both be standard input")
    if os.path.isdir(a) is not os.path.isdir(b):
        raise UsageError("A and B must both be files, or both be directories")
    asked = Asked(registry, machine, coverage, limit)
    trees = os.path.isdir(a)
    links = Links(once=False)
    pairs = [*_pairs(a, b, links)] if trees else [FilePair(None, WalkedFile(a), WalkedFile(b))]
    results = _spread(asked, pairs, jobs)
    counts, code = collect(watched(results), settings, machine, "comparisons")
    if trees:
        counted = ", ".join(f"{counts[word]} {word}" for word in ORDER if counts.get(word))
        complain(f"{plural(sum(counts.values()), 'file')}: {counted}")
        tell_of_links(links)
    return code


def _pairs(a: str, b: str, links: Links) -> Iterator[FilePair]:
    """The files of two trees by name, without the suffix of a compression, sorted."""
    links.expect([a, b])
    one, other = _tree(a, links), _tree(b, links)
    lost = {name: each.error for tree in (one, other) for name, each in tree.items() if each.error}
    for name in sorted({*one, *other}):
        above = (str(folder) for folder in PurePath(name).parents)
        if name in lost:
            yield FilePair(name, None, None, lost[name])
        elif not any(folder in lost for folder in above):
            yield FilePair(name, one.get(name), other.get(name))


def _tree(root: str, links: Links) -> dict[str, WalkedFile]:
    """Name below ``root`` -> file, or what could not be read, with its error. Raises ReadError if that is
    ``root`` itself, or it has no module."""
    found: dict[str, WalkedFile] = {}
    for entry in walk([root], links=links):
        name = os.path.relpath(entry.path, root)
        if entry.error is not None:
            entry.error.path = entry.path
            if name == os.curdir:
                raise entry.error
            found[name] = entry
            continue
        packed = next((s for s in PACKED if name.endswith(s)), "")
        stem = name.removesuffix(packed)
        found[stem if stem not in found else name] = entry
    return found


def _spread(asked: Asked, pairs: list[FilePair], jobs: int) -> Iterator[Result]:
    if len(pairs) == 1:
        return map(_worker(asked), pairs)

    work = _worker(asked)

    def lost(pair: FilePair, how: str) -> Result:
        return work(pair._replace(error=ReadError(f"no result: {how}", code="process-died")))

    return run(work, pairs, jobs, lost=lost)


def _worker(asked: Asked) -> Callable[[FilePair], Result]:
    def work(pair: FilePair) -> Result:
        if pair.error is not None:
            raise pair.error
        if pair.a is None or pair.b is None:
            return _single(pair, asked)
        return _both(pair, pair.a, pair.b, asked)

    def failed(pair: FilePair, fault: ElfsigError) -> Result:
        return _failed(pair, fault, asked)

    return isolated(work, failed, asked.registry)


def _both(pair: FilePair, a: WalkedFile, b: WalkedFile, asked: Asked) -> Result:
    found = compare(_opened(a, asked), _opened(b, asked))
    word = found.conclusion.value
    return Result(pair.path or a.path, _text(pair, found, asked), word, _code(found, asked.coverage))


def _opened(file: WalkedFile, asked: Asked) -> Module:
    """The module in a file. Raises ReadError."""
    if file.root is None:
        return open_module(source_of(file.path), asked.registry, limit=asked.limit)
    return file.open(asked.registry, limit=asked.limit)


def _code(found: Comparison, coverage: str | None) -> int:
    if coverage is None:
        return exit_codes.GOOD if found.is_same else exit_codes.BAD
    same = next((each.same for each in found.profiles if each.coverage == coverage), None)
    codes = {True: exit_codes.GOOD, False: exit_codes.BAD, None: exit_codes.NO_VERDICT}
    return codes[same]


def _text(pair: FilePair, found: Comparison, asked: Asked) -> str:
    if asked.machine.wanted:
        return dumps(comparison_object(found, pair.path))
    if pair.path is None:
        return "".join(f"{laid_out(line)}\n" for line in render_compare.lines(found))
    if found.conclusion is Conclusion.IDENTICAL:
        return ""
    return f"{visible(pair.path)}: {found.conclusion.value}: {visible(found.sentence)}\n"


def _single(pair: FilePair, asked: Asked) -> Result:
    """A file that only one of the trees has."""
    words = ONLY["a" if pair.b is None else "b"]
    path = pair.path or ""
    text = f"{visible(path)}: {words}\n"
    if asked.machine.wanted:
        text = _bare(pair, conclusion=words.replace(" ", "-").lower(), text=words)
    return Result(path, text, words, exit_codes.BAD)


def _failed(pair: FilePair, fault: ElfsigError, asked: Asked) -> Result:
    path = fault.path or pair.path or (pair.a.path if pair.a is not None else "")
    error = {"code": fault.code, "text": fault.text, "offset": fault.offset}
    text = _bare(pair, error=error) if asked.machine.wanted else ""
    return Result(path, text, "unreadable", exit_codes.UNREADABLE, hinted(str(fault), fault.hint))


def _bare(pair: FilePair, **filled: object) -> str:
    return dumps({**bare_object(pair.path), **filled})
