"""The group of all commands: global options, lazy loading, and one way out for every error.

A command's callback returns its exit code (None is 0) and raises ElfsigError for what ends it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from io import TextIOWrapper
from typing import Any, NoReturn, TextIO

import click

from elfsig._version import __version__
from elfsig.cli.command_table import COMMANDS
from elfsig.cli.lazy import TableGroup
from elfsig.cli.settings import COLORS, DEBUG, Settings, complain
from elfsig.errors import ElfsigError

INTERRUPTED = 130
"""128 + SIGINT, as shells report it."""

INTERNAL = 70
"""EX_SOFTWARE of sysexits.h: no answer of elfsig's, and none that scripts could mistake for one."""

UNREADABLE = 5

GLOBAL_FLAGS = ("--no-plugins",)
GLOBAL_OPTIONS = ("--color",)


def globals_first(args: Sequence[str]) -> list[str]:
    """``args`` with the global options moved in front of the sub-command, wherever they were written."""
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
    """The top: besides its commands, the way out for all of them."""

    table = COMMANDS

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> NoReturn:
        """Run and exit: never a traceback for what was foreseen, never a word about a closed pipe."""
        words = list(sys.argv[1:] if args is None else args)
        forgiving(sys.stdout)
        sys.exit(self._run(words, prog_name or "elfsig", extra))

    def invoke(self, ctx: click.Context) -> Any:
        """The command's exit code. What click's own main() would handle in ways of its own ends here."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit):
            raise
        except (Exception, KeyboardInterrupt) as reason:  # every way out is in one place: see ending()
            return ending(reason)

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
    """The exit code for what ended a run, said in at most one line on stderr."""
    if isinstance(reason, ElfsigError):
        from elfsig.cli.hints import hinted

        complain(hinted(str(reason), reason.hint), reason.path)
        return reason.exit_code
    if isinstance(reason, BrokenPipeError):
        drop_output()
        return 0
    if isinstance(reason, (KeyboardInterrupt, click.Abort)):
        return INTERRUPTED
    if os.environ.get(DEBUG):
        raise reason
    if isinstance(reason, OSError):
        if reason.filename is None:
            drop_output()
        complain((reason.strerror or str(reason)).lower(), reason.filename)
        return UNREADABLE
    complain(f"internal error, please report it ({DEBUG}=1 shows more): {type(reason).__name__}: {reason}")
    return INTERNAL


def drop_output() -> None:
    """Whatever is still buffered cannot be written: let the interpreter's last flush go nowhere."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def forgiving(stream: TextIO) -> None:
    """Let ``stream`` escape the characters that the locale cannot write."""
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")


@click.group(
    cls=Program,
    context_settings={"help_option_names": ["--help"], "max_content_width": 110},
    epilog="Exit codes: 0 valid or done, 1 not valid or refused, 2 usage, 3 the simulated kernel refuses, "
    "4 no verdict, 5 unreadable or nothing to look at.",
)
@click.option("--color", type=click.Choice(COLORS), default="auto", help="Colour on stdout and stderr.")
@click.option("--no-plugins", is_flag=True, help="Use the built-in formats only.")
@click.version_option(__version__, prog_name="elfsig", message="%(prog)s %(version)s")
@click.pass_context
def elfsig(ctx: click.Context, color: str, no_plugins: bool) -> None:
    """Find, show, verify, make, remove and convert Linux kernel module signatures of every era."""
    settings = ctx.ensure_object(Settings)
    settings.plugins = not no_plugins
    ctx.color = settings.color = settings.choose_color(color)
