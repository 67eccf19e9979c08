"""``elfsig sign``: sign modules in any era's format."""

from __future__ import annotations

from typing import Any, NamedTuple

import click

from elfsig.algorithms import hash_named
from elfsig.cli.options import jobs_option, limit_option, paths_argument
from elfsig.cli.output_options import output_options, report
from elfsig.cli.settings import Settings, complain
from elfsig.errors import UsageError
from elfsig.evidence import Evidence
from elfsig.model import PacketSigner, Signer, SignOptions
from elfsig.verbs.edit import Change, Output, edit


class Existing(NamedTuple):
    """What to do about a module that is signed already; neither: refuse it."""

    replace: bool
    stack: bool


@click.command("sign", epilog="An encrypted key takes its passphrase from KBUILD_SIGN_PIN or the terminal.")
@paths_argument()
@click.option("--format", "format_id", required=True, metavar="ID", help="What to make; see elfsig formats.")
@click.option("--key", required=True, metavar="KEY", help="Private key: PEM or DER file, or gpg:KEYID.")
@click.option("--cert", metavar="CERT", help="Its certificate, where it is not in the same file.")
@click.option("--hash", "hash_name", metavar="HASH", help="Digest, such as sha256.")
@click.option("--coverage", metavar="ID", help="What is signed, where the format leaves a choice.")
@click.option(
    "--payload", metavar="NAME",
    help="gkh: openpgp, raw-rsa, encrypted-digest. crypto-digsig: v1, v2.",
)  # fmt: skip
@click.option("--keyid", is_flag=True, help="Name the signer by subject key id (sign-file -k).")
@click.option("--packet-version", type=click.Choice(["3", "4"]), default="4", help="Of OpenPGP packets.")
@click.option("--section-name", metavar="NAME", help="Of the section, instead of the format's own.")
@click.option("--created", type=int, metavar="SECONDS", help="Signing time since 1970; now by default.")
@click.option(
    "--key-created", type=int, default=0, metavar="SECONDS",
    help="When a PEM key was made: OpenPGP counts it into the key id.",
)  # fmt: skip
@click.option("--engine", type=click.Choice(["exact", "lief"]), default="exact", help="What edits the ELF.")
@click.option("--replace", is_flag=True, help="First remove, exactly, all signatures that are there.")
@click.option("--stack", is_flag=True, help="Sign on top of the signatures that are there.")
@click.option("--force", is_flag=True, help="Go on where elfsig would refuse for your good.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing about what went well.")
@jobs_option
@limit_option
@output_options
@click.pass_obj
def command(
    settings: Settings,
    /,
    paths: tuple[str, ...],
    output: Output,
    jobs: int,
    limit: int,
    quiet: bool,
    **how: Any,
) -> int:
    """Sign modules: plain, or inside their gzip, xz or zstd compression.

    A module that is signed already is refused, unless --replace or --stack says what is meant.
    """
    from elfsig.signers import open_signer
    from elfsig.verbs.sign import sign_file

    registry = settings.registry
    format_ = registry.get(how["format_id"])
    options = _options(how)
    existing = Existing(how["replace"], how["stack"])
    if all(existing):
        raise UsageError("--replace and --stack exclude each other")
    signer = open_signer(how["key"], how["cert"])
    for remark in getattr(signer, "remarks", ()):
        complain(remark.text, how["cert"] or how["key"], word="warning: ")

    def change(evidence: Evidence) -> Change:
        return sign_file(evidence, format_, signer, options, registry, **existing._asdict())

    jobs = _jobs(jobs, signer)
    return report(edit(paths, change, output, jobs=jobs, limit=limit), quiet)


def _options(how: dict[str, Any]) -> SignOptions:
    return SignOptions(
        hash=hash_named(how["hash_name"]).name if how["hash_name"] else None,
        coverage=how["coverage"],
        payload=how["payload"],
        keyid=how["keyid"],
        packet_version=int(how["packet_version"]),
        section_name=how["section_name"],
        created=how["created"],
        key_created=how["key_created"],
        force=how["force"],
        engine=how["engine"],
    )


def _jobs(jobs: int, signer: Signer | PacketSigner) -> int:
    """One at a time unless told otherwise, where an agent may ask for a passphrase."""
    return jobs or (0 if isinstance(signer, Signer) else 1)
