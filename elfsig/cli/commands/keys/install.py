"""``elfsig keys install``: the current key pair of a key directory, copied to where a package wants it."""

from __future__ import annotations

import click

from elfsig.cli.settings import visible
from elfsig.keygen.keydir import install


@click.command("install")
@click.argument("destination", metavar="DEST", type=click.Path())
@click.option(
    "--key-dir", default="certs-local", show_default=True, metavar="DIR", type=click.Path(),
    help="Where keys generate --key-dir put them.",
)  # fmt: skip
@click.option("--public-only", is_flag=True, help="Without the private key.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing about what went well.")
def command(destination: str, key_dir: str, public_only: bool, quiet: bool) -> None:
    """Copy the current keys of DIR to DEST, with the link current that leads to them.

    For the package step of a kernel's build: modules that are built against its headers are signed with
    these keys. Running it again changes nothing.
    """
    folder = install(key_dir, destination, public_only=public_only)
    if not quiet:
        click.echo(visible(folder))
