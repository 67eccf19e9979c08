"""The top-level command: global options, lazy loading, and the handling of every error.

The callback of a command returns its exit code (None means 0), or raises ElfsigError.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from io import TextIOWrapper
from typing import Any, ClassVar, NoReturn, TextIO

import click

from elfsig._version import __version__
from elfsig.cli.command_table import COMMANDS
from elfsig.cli.lazy import Row, TableGroup
from elfsig.cli.settings import COLORS, Settings, complain
from elfsig.cli.streams import drop
from elfsig.errors import DEBUG, ElfsigError

INTERRUPTED = 130
"""128 + SIGINT, as shells report it."""

INTERNAL = 70
"""EX_SOFTWARE of sysexits.h, distinct from all exit codes that say something about files."""

NOBODY_READS = 141
"""128 + SIGPIPE: what there was to say was not all said, so nothing can be concluded from it."""

UNREADABLE = 5

GLOBAL_FLAGS = ("--no-plugins",)
GLOBAL_OPTIONS = ("--color",)


def globals_first(args: Sequence[str]) -> list[str]:
    """``args`` with the global options moved before the sub-command, wherever they are given."""
    front: list[str] = []
    rest: list[str] = []
    words = iter(args)
    for word in words:
        if word == "--":
            rest += [word, *words]
        elif word in GLOBAL_FLAGS or (word.partition("=")[0] in GLOBAL_OPTIONS and "=" in word):
            front.append(word)
        elif word in GLOBAL_OPTIONS:
            front += [word, *(value for value in (next(words, None),) if value is not None)]
        else:
            rest.append(word)
    return front + rest


class Program(TableGroup):
    """The top-level group, which also ends every command."""

    table: ClassVar[Mapping[str, Row]] = COMMANDS

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> NoReturn:
        """Run and exit, without a traceback for expected errors and without a message for a closed pipe."""
        words = list(sys.argv[1:] if args is None else args)
        forgiving(sys.stdout)
        sys.exit(self._run(words, prog_name or "elfsig", extra))

    def invoke(self, ctx: click.Context) -> Any:
        """The exit code of the command. Exceptions that click's main() would handle are handled here."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit):
            raise
        except (Exception, KeyboardInterrupt) as reason:  # all of them are handled in one place: ending()
            return ending(reason)

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """The context; --help is printed here. Raises Exit where nobody reads it: click would end with 1."""
        try:
            return super().make_context(info_name, args, parent, **extra)
        except BrokenPipeError as reason:
            raise click.exceptions.Exit(ending(reason)) from None

    def _run(self, words: list[str], prog_name: str, extra: dict[str, Any]) -> int:
        extra = {**extra, "standalone_mode": False, "obj": Settings(argv=tuple(words))}
        try:
            code = super().main(globals_first(words), prog_name, **extra)
            sys.stdout.flush()
            return int(code or 0)
        except click.ClickException as error:
            error.show()
            return error.exit_code
        except (Exception, KeyboardInterrupt) as reason:  # likewise
            return ending(reason)


def ending(reason: BaseException) -> int:
    """The exit code for the exception that ended a run, reported in at most one line on stderr."""
    if isinstance(reason, ElfsigError):
        from elfsig.cli.hints import hinted

        complain(hinted(str(reason), reason.hint), reason.path)
        return reason.exit_code
    if isinstance(reason, BrokenPipeError):
        drop_output()
        return NOBODY_READS
    if isinstance(reason, (KeyboardInterrupt, click.Abort)):
        return INTERRUPTED
    if os.environ.get(DEBUG):
        raise reason
    if isinstance(reason, OSError):
        if reason.filename is None:
            drop_output()
        complain((reason.strerror or str(reason)).lower(), reason.filename)
        return UNREADABLE
    complain(
        f"internal error, please report it ({DEBUG}=1 for a traceback): {type(reason).__name__}: {reason}"
    )
    return INTERNAL


def drop_output() -> None:
    """Discard buffered output that cannot be written, so that the interpreter's final flush does not fail."""
    with suppress(OSError, ValueError):
        drop(sys.stdout.fileno())


def forgiving(stream: TextIO) -> None:
    """Make ``stream`` escape the characters that the locale cannot encode."""
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")


@click.group(
    cls=Program,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Exit codes: 0 valid or done, 1 not valid or refused, 2 usage, 3 the simulated kernel refuses, "
    "4 no verdict, 5 unreadable or no modules found.",
)
@click.option(
    "--color", type=click.Choice(COLORS), default="auto", help="Colour the output (default: on terminals)."
)
@click.option("--no-plugins", is_flag=True, help="Use only the built-in formats.")
@click.version_option(__version__, prog_name="elfsig", message="%(prog)s %(version)s")
@click.pass_context
def elfsig(ctx: click.Context, color: str, no_plugins: bool) -> None:
    """Find, show, verify, create, remove and convert Linux kernel module signatures of all kernels."""
    settings = ctx.ensure_object(Settings)
    settings.plugins = not no_plugins
    ctx.color = settings.color = settings.choose_color(color)
