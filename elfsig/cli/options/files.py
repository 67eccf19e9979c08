"""Files on the command line: a command writes none of those that it reads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import combinations
from typing import Any, Final, NamedTuple

import click

from elfsig.errors import UsageError
from elfsig.opened.evidence import MODULE_SUFFIXES
from elfsig.opened.inputs import Inputs, head_of, identity_of
from elfsig.opened.source import INSIDE, is_stream

STREAM: Final = "-"

REPORTS: Final = (b"<", b"{", b"PAR1")
"""What SVG, HTML, XML, JSON and Parquet start with."""

HEAD: Final = max(map(len, REPORTS))


class FileType(click.Path):
    """A path as it was typed. Commands report unreadable files one by one; click would end the whole run with
    a usage error because of one such file among many.

    ``stream``: ``-`` is standard input or output. ``whole``: every file of a directory is read, also what
    looks like a report.
    """

    instead: str = "standard input is not read here: name a file (./- for one of this name)"

    def __init__(self, stream: bool = False, *, whole: bool = False) -> None:
        super().__init__(readable=False)
        self.stream: bool = stream
        self.whole: bool = whole

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """``value``. Raises BadParameter for ``-`` where that is not a stream."""
        if value == STREAM and not self.stream:
            self.fail(f"{STREAM}: {self.instead}", param, ctx)
        return super().convert(value, param, ctx)


class SourceName(click.types.StringParamType):
    """The name of a key, a source of keys or a baseline: a file or something else, but not a stream."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """``value``. Raises BadParameter for ``-``."""
        if value == STREAM:
            self.fail(f"{STREAM}: {FileType.instead}", param, ctx)
        return super().convert(value, param, ctx)


class OutputType(FileType):
    """A file that the command writes. ``found``: the command itself says what is wrong with its place."""

    instead = "standard output is not written here: name a file (./- for one of this name)"

    def __init__(self, stream: bool = False, *, found: bool = False) -> None:
        super().__init__(stream)
        self.found = found


class FolderType(FileType):
    """A directory that results are written to; it need not exist."""

    instead = "standard output is not written here: name a directory"


class Named(NamedTuple):
    """A file on the command line: the option or argument, and its value."""

    param: click.Parameter
    path: str

    @property
    def option(self) -> str:
        """What it is called on the command line."""
        if isinstance(self.param, click.Argument):
            return (self.param.metavar or str(self.param.name).upper()).strip("[].")
        return self.param.opts[0]


class WritingCommand(click.Command):
    """A command that writes files: before it starts, they are compared with each other and with all that it
    reads."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Raises UsageError for an output that cannot be written, or would overwrite what is
        read, or another output."""
        outputs = [each for each in _named(ctx) if isinstance(each.param.type, OutputType)]
        if outputs:
            _check(outputs, ctx)
        for each in _named(ctx):
            if isinstance(each.param.type, FolderType):
                _refuse_folder(each)
        return super().invoke(ctx)


def kept_from(ctx: click.Context, name: str) -> tuple[str, ...]:
    """The files on the command line that results of the option ``name`` must not overwrite, besides the
    files to change."""
    others = (
        _place(each.path)
        for each in _named(ctx)
        if each.param.name != name and isinstance(each.param, click.Option)
    )
    return tuple(path for path in others if not os.path.isdir(path))


def _named(ctx: click.Context) -> Iterator[Named]:
    """All values that may be paths: key sources and kernels are words, too."""
    for param in ctx.command.params:
        value = ctx.params.get(param.name or "")
        for each in value if isinstance(value, tuple) else (value,):
            if isinstance(each, str) and not isinstance(param.type, click.Choice):
                yield Named(param, each)


def _check(outputs: list[Named], ctx: click.Context) -> None:
    for one, other in combinations(outputs, 2):
        if _is_same(one.path, other.path):
            raise UsageError(f"{one.option} and {other.option} name the same file: {one.path}")
    written = [each.param for each in outputs]
    inputs = [each for each in _named(ctx) if each.param not in written and each.path != STREAM]
    for output in outputs:
        if output.path == STREAM:
            _refuse_mixing(output, ctx)
        elif not output.param.type.found:  # type: ignore[attr-defined]
            _refuse_place(output)
        for each in inputs:
            _refuse_input(output, each)


def _is_same(one: str, other: str) -> bool:
    identity = identity_of(one)
    same = identity is not None and identity == identity_of(other)
    return same or os.path.realpath(one) == os.path.realpath(other)


def _refuse_mixing(output: Named, ctx: click.Context) -> None:
    for name, option in (("as_json", "--json"), ("as_jsonl", "--jsonl")):
        if ctx.params.get(name):
            raise UsageError(f"{output.option} - and {option} cannot both be written to stdout")


def _refuse_place(output: Named) -> None:
    """Raises UsageError where no file can be written."""
    folder = os.path.dirname(os.path.realpath(output.path))
    why = None
    if os.path.exists(output.path) and not os.path.isfile(output.path):
        why = "it exists and is not a regular file"
    elif is_stream(output.path):
        why = "it is a stream or a device, not a regular file"
    elif not os.path.isdir(folder):
        why = "there is no such directory"
    elif not os.access(folder, os.W_OK | os.X_OK):
        why = "its directory cannot be written to"
    if why is not None:
        raise UsageError(f"{output.option} {output.path}: {why}", code="output")


def _refuse_folder(output: Named) -> None:
    """Raises UsageError where the directory cannot be made, or nothing can be written to it."""
    existing = os.path.realpath(output.path)
    while not os.path.lexists(existing):
        existing = os.path.dirname(existing)
    if not (os.path.isdir(existing) and os.access(existing, os.W_OK | os.X_OK)):
        what = "cannot be written to" if os.path.isdir(existing) else "is not a directory"
        raise UsageError(f"{output.option} {output.path}: {existing} {what}", code="output")


def _refuse_input(output: Named, read: Named) -> None:
    """Raises UsageError where ``output`` is the file ``read``, or in that directory and not a report."""
    inputs = Inputs([_place(read.path)])
    target = output.path
    if inputs.file_at(target, follow=True) is None and not (
        inputs.tree_of(target, follow=True) and _is_read(target, read)
    ):
        return
    hint = "in-place" if isinstance(read.param, click.Argument) and output.option == "-o" else None
    text = f"{output.option} {target} would overwrite what {read.option} names: {read.path}"
    raise UsageError(text, code="output-is-input", hint=hint)


def _place(word: str) -> str:
    """The path in ``word``: without the role of a key source, and of a pattern the directory it starts in."""
    path = word.partition(":")[2]
    if _is_there(word) or not _is_there(path):
        path = word
    at = min((path.find(char) for char in "*?[" if char in path), default=-1)
    return path if at < 0 or os.path.lexists(path) else os.path.dirname(path[:at]) or "."


def _is_there(path: str) -> bool:
    """Whether there is such a file, or the container that the path leads into."""
    return any(map(os.path.lexists, (path, path.partition(INSIDE)[0])))


def _is_read(target: str, tree: Named) -> bool:
    """Whether a file in a directory that is read may be among what is read there: a report that an earlier
    run wrote is not."""
    head = head_of(target, HEAD)
    if head is None:
        return isinstance(tree.param, click.Argument) and target.endswith(MODULE_SUFFIXES)
    return bool(head) and (getattr(tree.param.type, "whole", False) or not head.startswith(REPORTS))


path_type: Final = FileType()
source_name: Final = SourceName()
source_type: Final = FileType(stream=True)
"""Also standard input."""
answers_type: Final = FileType(whole=True)
output_type: Final = OutputType()
folder_type: Final = FolderType()
stream_type: Final = OutputType(stream=True)
"""Also standard output."""
