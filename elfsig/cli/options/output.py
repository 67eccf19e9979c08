"""The output options of the editing commands, and the report of what was done to each file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

import click

from elfsig.batch.edit import Output
from elfsig.cli import exit_codes
from elfsig.cli.hints import hinted
from elfsig.cli.options.files import folder_type, kept_from, output_type
from elfsig.cli.reading import tell_of_links
from elfsig.cli.settings import complain, visible
from elfsig.cli.streams import outlive_readers
from elfsig.errors import UsageError
from elfsig.model import Remark
from elfsig.opened.links import Links
from elfsig.verbs.edit.change import Done


def output_options(callback: Callable[..., Any]) -> Callable[..., Any]:
    """Adds ``-o FILE``, ``--output-dir DIR``, ``--in-place``, ``--dry-run``; the callback gets one argument
    ``output``. A command's own option ``--prepare DIR`` serves as ``--output-dir DIR``."""

    @click.option("-o", "output_file", type=output_type, metavar="FILE", help="Write the result to FILE.")
    @click.option(
        "--output-dir",
        type=folder_type,
        metavar="DIR",
        help="Write results below DIR, keeping the layout of trees.",
    )
    @click.option("--in-place", is_flag=True, help="Replace each file, atomically.")
    @click.option("--dry-run", is_flag=True, help="Do everything except writing.")
    @wraps(callback)
    def wrapped(
        *args: Any,
        output_file: str | None,
        output_dir: str | None,
        in_place: bool,
        dry_run: bool,
        **more: Any,
    ) -> Any:
        outlive_readers()
        elsewhere = more.get("prepare")
        if elsewhere is not None and (output_file, output_dir, in_place) != (None, None, False):
            raise UsageError(
                "--prepare writes to its own directory: leave out -o, --output-dir and --in-place",
                code="output",
            )
        never = kept_from(click.get_current_context(), "output_file")
        output = Output(output_file, elsewhere or output_dir, in_place, dry_run, never)
        code = callback(*args, output=output, **more)
        if dry_run:
            complain("dry run: nothing was written")
        return code

    return wrapped


def report(results: Iterable[Done], quiet: bool = False, links: Links | None = None) -> int:
    """Print one line per file: results on stdout, warnings and errors on stderr (those that are the same for
    many files are counted). Returns the exit code.

    For several files a summary follows on stderr, also where the run was interrupted, and for ``links`` what
    was not followed. Raises what ``results`` raises.
    """
    counts: Counter[str] = Counter()
    codes: set[int] = set()
    messages = Messages()
    try:
        for done in results:
            counts[done.word] += 1
            codes.add(done.code)
            messages.tell(done, quiet)
    except KeyboardInterrupt:
        complain("interrupted: what was done is kept; run it again to go on with the rest")
        raise
    finally:
        messages.tell_rest()
        _sum_up(counts)
    if links is not None:
        tell_of_links(links)
    return exit_codes.combined(codes)


def _sum_up(counts: Counter[str]) -> None:
    """One line on stderr for several files: how many of each kind."""
    if sum(counts.values()) > 1:
        words = ", ".join(f"{count} {word}" for word, count in sorted(counts.items()))
        click.echo(f"{sum(counts.values())} files: {words}", err=True)


class Messages:
    """What is said about each file. Warnings and errors that are the same for many files are printed for the
    first of them, and counted for the others."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()

    def tell(self, done: Done, quiet: bool) -> None:
        """Print what was done to a file: the result, unless ``quiet``, and problems."""
        if done.error is not None:
            self._complain(done.error, done.path, counted=done.code != exit_codes.UNREADABLE)
            return
        if not quiet:
            to = f" -> {visible(done.target)}" if done.target not in (None, done.path) else ""
            click.echo(f"{visible(done.path)}{to}: {visible(done.text)}")
        for remark in done.remarks:
            self._complain(remark._replace(offset=None), done.path, "warning: ")

    def _complain(self, remark: Remark, path: str, word: str = "", *, counted: bool = True) -> None:
        """``counted``: after the first ones; files that could not be read are all named."""
        same = remark.code, word + hinted(remark.text, remark.hint)
        self._counts[same] += counted
        if self._counts[same] <= FIRST:
            where = "" if remark.offset is None else f" (at offset {remark.offset:#x})"
            complain(hinted(remark.text + where, remark.hint), path, word=word)

    def tell_rest(self) -> None:
        """Print how often messages were not printed."""
        for (_, text), count in self._counts.items():
            if count > FIRST:
                complain(f"and {count - FIRST} more: {text}")


FIRST = 3
"""How often one message is printed for different files."""
