"""``elfsig keys``: list, extract, match and generate keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import click

from elfsig.cli.lazy import Row, TableGroup

COMMANDS = {
    "list": Row("keys.list_", "List the keys in key sources."),
    "extract": Row("keys.extract", "Write the certificates of key sources to files."),
    "openpgp": Row("keys.openpgp", "Write the OpenPGP public key of a signing key."),
    "certificate": Row("keys.certificate", "Make a self-signed certificate for an existing key."),
    "generate": Row("keys.generate", "Generate a key pair for signing modules."),
    "install": Row("keys.install", "Copy the current key pair into a package."),
    "match": Row("keys.match", "Find the key that made a file's signatures."),
    "recover": Row("keys.recover", "Compute the public key that made two RSA signatures."),
}


class Keys(TableGroup):
    """The commands about keys."""

    path: ClassVar[tuple[str, ...]] = ("keys",)
    table: ClassVar[Mapping[str, Row]] = COMMANDS


@click.group("keys", cls=Keys)
def command() -> None:
    """List and extract keys, find the one that made a signature, generate new ones.

    A source is a certificate or public key (PEM, DER), an OpenPGP ring, a kernel image of any age and
    compression, an EFI signature list, an IMA key, or a directory of these; the kind is detected.
    """
