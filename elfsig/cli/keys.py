"""``elfsig keys``: what key sources hold, which key made a signature, and new keys."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module

import click

COMMANDS = {
    "list": ("elfsig.cli.keys_list", "What key sources hold."),
    "extract": ("elfsig.cli.keys_extract", "Write the certificates of key sources to files."),
    "openpgp": ("elfsig.cli.keys_openpgp", "Write the OpenPGP ring of a signing key."),
    "generate": ("elfsig.cli.keys_generate", "Make a key pair for signing modules."),
    "install": ("elfsig.cli.keys_install", "Copy the current key pair to where a package wants it."),
    "match": ("elfsig.cli.keys_match", "Which key made a file's signatures."),
    "recover": ("elfsig.cli.keys_recover", "The public key behind two RSA signatures."),
}
"""Sub-command, the module that has it as ``command``, its line in the help."""


class KeysGroup(click.Group):
    """Sub-commands come from the table and are imported when they are run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        found: click.Command = import_module(COMMANDS[cmd_name][0]).command
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(_help(COMMANDS.items()))


def _help(rows: Iterable[tuple[str, tuple[str, str]]]) -> list[tuple[str, str]]:
    return [(name, text) for name, (_, text) in rows]


@click.group("keys", cls=KeysGroup)
def command() -> None:
    """Keys: list them, extract them, find the one that made a signature, make new ones.

    A source is a certificate or public key (PEM, DER), an OpenPGP ring, a kernel image of any age and
    compression, an EFI signature list, an IMA key, or a directory of these; the kind is detected.
    """
