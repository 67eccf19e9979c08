"""Every command shows examples, and what they show is a command line that the command takes."""

from __future__ import annotations

import re
import shlex

import click
import pytest

from elfsig.cli.app import elfsig as program
from elfsig.cli.command_table import COMMANDS
from elfsig.cli.commands.keys.group import COMMANDS as KEYS
from elfsig.cli.examples import EXAMPLES
from tests.support.cli import elfsig

NAMES = [*COMMANDS, *(f"keys {name}" for name in KEYS)]


def test_no_command_lacks_examples_and_no_example_a_command() -> None:
    assert sorted(EXAMPLES) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_help_shows_them(name: str) -> None:
    shown = elfsig(*name.split(), "--help").out
    assert all(line in shown for line in EXAMPLES[name])


@pytest.mark.parametrize("line", [line for lines in EXAMPLES.values() for line in lines])
def test_the_command_takes_them(line: str) -> None:
    words = shlex.split(re.split(r" [|>] ", line)[0])
    assert words.pop(0) == "elfsig"
    command: click.Command = program
    context = click.Context(command, info_name="elfsig")
    while isinstance(command, click.Group):
        found = command.get_command(context, words.pop(0))
        assert found is not None
        command = found
        context = click.Context(command, info_name=command.name, parent=context)
    if words != ["--help"]:
        command.make_parser(context).parse_args(list(words))
