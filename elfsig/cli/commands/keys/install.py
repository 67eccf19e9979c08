"""``elfsig keys install``: copy the current key pair of a key directory into a package."""

from __future__ import annotations

import click

from elfsig.cli.settings import visible
from elfsig.keygen.keydir import install


@click.command("install")
@click.argument("destination", metavar="DEST", type=click.Path())
@click.option(
    "--key-dir", default="certs-local", show_default=True, metavar="DIR", type=click.Path(),
    help="Copy from this directory, which keys generate --key-dir wrote.",
)  # fmt: skip
@click.option("--public-only", is_flag=True, help="Copy only the certificate, hash and type.")
@click.option("-q", "--quiet", is_flag=True, help="Print only problems.")
def command(destination: str, key_dir: str, public_only: bool, quiet: bool) -> None:
    """Copy the current keys of the key directory to DEST, with the link "current" to them.

    For the packaging step of a kernel build: modules built against its headers are signed with these keys.
    Running it again changes nothing.
    """
    folder = install(key_dir, destination, public_only=public_only)
    if not quiet:
        click.echo(visible(folder))
