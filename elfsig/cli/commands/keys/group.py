"""``elfsig keys``: what key sources hold, which key made a signature, and new keys."""

from __future__ import annotations

import click

from elfsig.cli.lazy import Row, TableGroup

COMMANDS = {
    "list": Row("keys.list_", "What key sources hold."),
    "extract": Row("keys.extract", "Write the certificates of key sources to files."),
    "openpgp": Row("keys.openpgp", "Write the OpenPGP ring of a signing key."),
    "generate": Row("keys.generate", "Make a key pair for signing modules."),
    "install": Row("keys.install", "Copy the current key pair to where a package wants it."),
    "match": Row("keys.match", "Which key made a file's signatures."),
    "recover": Row("keys.recover", "The public key behind two RSA signatures."),
}


class Keys(TableGroup):
    """The commands that deal with keys alone."""

    path = ("keys",)
    table = COMMANDS


@click.group("keys", cls=Keys)
def command() -> None:
    """Keys: list them, extract them, find the one that made a signature, make new ones.

    A source is a certificate or public key (PEM, DER), an OpenPGP ring, a kernel image of any age and
    compression, an EFI signature list, an IMA key, or a directory of these; the kind is detected.
    """
