"""``elfsig keys certificate``: make a self-signed certificate for a key that is already there."""

from __future__ import annotations

import os
from typing import NamedTuple

import click

from elfsig.cli.commands.keys.generate import genkey_of
from elfsig.cli.options.common import hash_type, hash_wished
from elfsig.cli.settings import complain, visible
from elfsig.errors import SigningError, UsageError
from elfsig.host.commands import UNPRINTABLE, operand, to_paste
from elfsig.kernels.suits import key_warning
from elfsig.keygen.certificate import DAYS
from elfsig.keygen.files import write_all
from elfsig.model import Signer
from elfsig.signers import open_signer
from elfsig.verbs.keys.certify import Certified, certificate_files


class Wish(NamedTuple):
    """What the certificate is to say: the options of the same names."""

    common_name: str | None
    hash_name: str | None
    days: int
    genkey: str | None
    codesigning: bool
    module_only: bool


@click.command("certificate")
@click.option("--key", required=True, metavar="KEY", help="Certify this key: a file, or a pkcs11: URI.")
@click.option("-o", "--output", required=True, metavar="NAME", help="Write NAME.crt and NAME.der.")
@click.option("--name", "common_name", metavar="TEXT", help="Set the common name of the certificate.")
@click.option(
    "--hash", "hash_name", type=hash_type, metavar="HASH", help="Sign the certificate with this hash."
)
@click.option(
    "--genkey",
    metavar="FILE",
    type=click.Path(),
    help="Take the certificate's fields from this x509.genkey file.",
)
@click.option(
    "--days", type=click.IntRange(min=1), default=DAYS, show_default=True, help="Set the validity in days."
)
@click.option("--codesigning", is_flag=True, help="Allow code signing, for DKMS and machine owner keys.")
@click.option(
    "--module-only",
    is_flag=True,
    help="Allow signing modules only, so that shim does not boot anything signed with it.",
)
@click.option("--force", is_flag=True, help="Overwrite files.")
@click.option("-q", "--quiet", is_flag=True, help="Print only problems.")
def command(key: str, output: str, force: bool, quiet: bool, **wish: object) -> None:
    """Make a self-signed certificate for a key in a file or a token, with the extensions of x509.genkey.

    A key in a token makes one signature for it, and stays where it is.
    """
    made = _made(key, os.path.basename(output), Wish(**wish))  # type: ignore[arg-type]  # click's options
    read = [each for each in (key, wish["genkey"]) if isinstance(each, str)]
    paths = write_all(os.path.dirname(output), made.items, replace=force, never=read)
    for path, item in zip(paths, made.items, strict=True):
        if not quiet:
            click.echo(f"{visible(path)}: {item.what}")
    if warning := key_warning(made.certificate, None):
        complain(warning, word="warning: ")
    if not quiet:
        click.echo("next:")
        words = ["elfsig", "sign", "--format", "pkcs7", "--key", "KEY"]
        for each in (
            ["mokutil", "--import", operand(f"{output}.der")],
            [*words, "--cert", operand(f"{output}.crt"), "--in-place", "M.ko"],
        ):
            click.echo(f"  {to_paste(each) or UNPRINTABLE}")


def _made(key: str, name: str, wish: Wish) -> Certified:
    """Raises UsageError, SigningError."""
    if not name:
        raise UsageError("-o NAME is the start of file names, not a directory", code="output")
    if wish.common_name is None and wish.genkey is None:
        raise UsageError("the certificate needs a name: use --name TEXT, or --genkey FILE", code="subject")
    genkey = genkey_of(
        wish.genkey, wish.common_name, codesigning=wish.codesigning, module_only=wish.module_only
    )
    signer = open_signer(key)
    if not isinstance(signer, Signer):
        raise SigningError(f"{key}: GnuPG's keys sign no certificates here: export it", code="wrong-key")
    chosen = hash_wished(wish.hash_name).name if wish.hash_name else genkey.hash
    return certificate_files(signer, name, genkey, chosen, days=wish.days)
