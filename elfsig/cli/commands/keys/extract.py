"""``elfsig keys extract``: write the certificates of kernel images, EFI lists and bundles to files."""

from __future__ import annotations

from collections.abc import Sequence

import click

from elfsig.cli.options.key_rings import tell_of_losses
from elfsig.cli.settings import visible
from elfsig.trust.keyring import load
from elfsig.verbs.keys.sources import extract


@click.command("extract")
@click.argument("sources", nargs=-1, required=True, metavar="SRC...")
@click.option(
    "-o", "--output-dir", required=True, metavar="DIR", type=click.Path(), help="Write the files to DIR."
)
@click.option("--pem", is_flag=True, help="Write certificates as PEM instead of DER.")
@click.option("--all", "every", is_flag=True, help="Write untrusted keys too, each marked in its PEM file.")
@click.option("--force", is_flag=True, help="Overwrite existing files.")
def command(sources: Sequence[str], output_dir: str, pem: bool, every: bool, force: bool) -> None:
    """Write the trusted certificates in SRC to DIR as ROLE-FINGERPRINT.der; bare public keys as PEM.

    With --pem, certificates are PEM too. Each key is written once, and the names of the files are printed.
    With --all, revoked, embedded and other untrusted keys are written too: always as PEM, with a comment that
    marks them. elfsig honours the mark when the file is used as a key source.
    """
    for each in extract(tell_of_losses(load(sources)), output_dir, pem, force, every=every):
        click.echo(f"{visible(each.path)}: {visible(each.key.label)}")
