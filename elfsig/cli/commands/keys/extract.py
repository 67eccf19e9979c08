"""``elfsig keys extract``: certificates out of kernel images, EFI lists and bundles, into files."""

from __future__ import annotations

from collections.abc import Sequence

import click

from elfsig.cli.settings import visible
from elfsig.trust.keyring import load
from elfsig.verbs.keys.sources import extract


@click.command("extract")
@click.argument("sources", nargs=-1, required=True, metavar="SRC...")
@click.option("-o", "--output-dir", required=True, metavar="DIR", type=click.Path(), help="Where to write.")
@click.option("--pem", is_flag=True, help="Certificates as PEM instead of DER.")
@click.option("--all", "every", is_flag=True, help="Write untrusted keys too, each marked in its PEM file.")
@click.option("--force", is_flag=True, help="Replace files that are there already.")
def command(sources: Sequence[str], output_dir: str, pem: bool, every: bool, force: bool) -> None:
    """Write the trusted certificates in SRC to DIR as ROLE-FINGERPRINT.der; bare public keys as PEM.

    With --pem certificates are PEM too. Each key is written once; what was written is printed. With --all
    revoked, embedded and other untrusted keys are written as well: always as PEM, with a comment that says
    what they are and that elfsig takes at its word wherever the file is given as a key source.
    """
    for each in extract(load(sources), output_dir, pem, force, every=every):
        click.echo(f"{visible(each.path)}: {visible(each.key.label)}")
