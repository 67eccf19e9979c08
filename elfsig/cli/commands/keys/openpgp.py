"""``elfsig keys openpgp``: write a signing key as OpenPGP, for GnuPG and for old kernels."""

from __future__ import annotations

import os

import click

from elfsig.cli.options.common import hash_type
from elfsig.cli.options.files import WritingCommand, output_type
from elfsig.cli.settings import complain, visible
from elfsig.errors import WriteError
from elfsig.opened.atomic import write_atomic
from elfsig.signers import open_signer
from elfsig.trust.openpgp import read
from elfsig.verbs.keys.openpgp_ring import public_ring


@click.command("openpgp", cls=WritingCommand)
@click.argument("key", metavar="KEY")
@click.option("-o", "--output", required=True, metavar="RING", type=output_type, help="Write to RING.")
@click.option("--user-id", metavar="TEXT", help="Set the name in the ring.")
@click.option(
    "--key-created",
    type=click.IntRange(0, 2**32 - 1),
    metavar="SECONDS",
    help="Set the creation time, in seconds since 1970; the key id depends on it (default: 0).",
)
@click.option(
    "--hash",
    "hash_",
    type=hash_type,
    metavar="HASH",
    help="Set the hash of the self-signature (default: sha256).",
)
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
def command(
    key: str, output: str, user_id: str | None, key_created: int | None, hash_: str | None, force: bool
) -> None:
    """Write the OpenPGP public key ring of KEY: a private key (PEM, DER), or gpg:KEYID.

    A PEM key has no OpenPGP key id of its own: its id is that of a version 4 key packet with the creation
    time given here, and signatures name this id. GnuPG can import the ring; kernels that read signatures
    from ELF sections had it compiled in.
    """
    if os.path.lexists(output) and not force:
        raise WriteError(f"{output} already exists; --force overwrites it", code="exists")
    ring = public_ring(open_signer(key), user_id=user_id, key_created=key_created, hash=hash_)
    for remark in write_atomic(output, ring):
        complain(remark.text, output, word="warning: ")
    for each in read(ring, output, "user", True):
        name = next(value.hex() for kind, value in each.ids if kind == "openpgp")
        click.echo(f"{visible(output)}: {each.algorithm} {each.bits}, key id {name}, {visible(each.label)}")
