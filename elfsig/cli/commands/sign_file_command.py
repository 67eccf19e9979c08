"""``elfsig sign-file``: the kernel tool's arguments, passed on as they are."""

from __future__ import annotations

import click

from elfsig.cli.commands.sign_file import USAGE, status


@click.command(
    "sign-file",
    context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]},
    help="Drop-in replacement for the kernel's scripts/sign-file.\n\n\b\n"
    + USAGE.format(name="elfsig sign-file").replace("\n\n", "\n\n\b\n"),
    add_help_option=True,
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def command(words: tuple[str, ...]) -> int:
    return status(words, "elfsig sign-file")
