"""Command groups defined by a table: only the command that runs is imported."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any, ClassVar

import click

from elfsig.lazy_tuple import NamedTuple

COMMANDS = "elfsig.cli.commands"
"""The package that the modules in the rows belong to."""


HELP_OPTIONS = frozenset({"-h", "--help"})


class Row(NamedTuple):
    """A sub-command. ``module``, in :data:`COMMANDS`, has the click command as ``command``.

    ``help`` is its line in the help of the group.
    """

    module: str
    help: str


class TableGroup(click.Group):
    """A group whose sub-commands are the rows of ``table``, in that order."""

    table: ClassVar[Mapping[str, Row]]
    path: ClassVar[tuple[str, ...]] = ()
    """The words that name the group, without the program's name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        row = self.table.get(cmd_name)
        if row is None:
            return None
        command: click.Command = import_module(f"{COMMANDS}.{row.module}").command
        gc.freeze()
        gc.enable()
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """The command that click finds, with its examples if its help is requested.

        Raises UsageError for an unknown command, with the names that are similar.
        """
        word = args[0]
        if word not in self.table and not word.startswith("-") and not ctx.resilient_parsing:
            ctx.fail(f"no such command: {word}{similar(word, self.table)}")
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None and name is not None and HELP_OPTIONS & set(rest):
            from elfsig.cli.examples import with_examples

            command.epilog = with_examples(" ".join((*self.path, name)), command.epilog)
        return name, command, rest

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, row.help) for name, row in self.table.items()])


def similar(word: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown word: the known ones that look like it, or all of them."""
    from difflib import get_close_matches

    close = get_close_matches(word.lower(), known)
    if close:
        return f"; did you mean {' or '.join(close)}?"
    return f"; choose from {', '.join(known)}"
