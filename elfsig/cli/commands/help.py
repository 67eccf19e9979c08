"""``elfsig help``: the help of a command."""

from __future__ import annotations

import click


@click.command("help")
@click.argument("words", nargs=-1, metavar="[COMMAND]...")
@click.pass_context
def command(ctx: click.Context, words: tuple[str, ...]) -> None:
    """Show the help of COMMAND (such as verify, or keys list); without COMMAND, that of elfsig."""
    parent = ctx.parent
    assert parent is not None and isinstance(parent.command, click.Group)
    if not words:
        click.echo(parent.get_help())
        return
    name, found, rest = parent.command.resolve_command(parent, [*words, "--help"])
    assert name is not None and found is not None
    found.main(rest, name, standalone_mode=False, parent=parent)
