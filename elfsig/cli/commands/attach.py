"""``elfsig attach``: attach an existing signature to a module."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from elfsig.batch.edit import Output, edit
from elfsig.cli.commands.sign_job import existing_of
from elfsig.cli.options.common import format_type, limit_option, path_type
from elfsig.cli.options.files import source_name
from elfsig.cli.options.key_rings import key_ring
from elfsig.cli.options.needs import AttachCommand
from elfsig.cli.options.output import output_options, report
from elfsig.cli.settings import Settings
from elfsig.errors import EditRefused, ParseError, UsageError
from elfsig.model import Existing
from elfsig.opened.module import Module, open_module
from elfsig.verbs.edit.attach import OF_THE_SOURCE, attach, taken
from elfsig.verbs.edit.change import Change, tail_of

if TYPE_CHECKING:
    from elfsig.model import Keyring
    from elfsig.verbs.edit.attach import Attached


@click.command("attach", cls=AttachCommand)
@click.argument("path", metavar="FILE", type=path_type)
@click.option(
    "--from", "source", metavar="SIGNED|PART", type=path_type,
    help="Take the signature from this file: a signed module, or a detached signature.",
)  # fmt: skip
@click.option(
    "--format",
    "format_id",
    type=format_type,
    help="Take the signature of this format, or read a detached one as this format.",
)
@click.option(
    "--layer",
    type=click.IntRange(min=0),
    metavar="N",
    help="Take the signature of layer N, counted from the outermost, which is 0.",
)
@click.option(
    "--trust",
    multiple=True,
    metavar="SRC",
    type=source_name,
    help="Require a valid signature by a key in SRC.",
)
@click.option("--replace", is_flag=True, help="Remove all existing signatures first.")
@click.option("--stack", is_flag=True, help="Keep existing signatures, and attach this one after them.")
@click.option(
    "--engine", type=click.Choice(["exact", "lief"]), default="exact", help="Choose what edits the ELF file."
)
@click.option(
    "--force", is_flag=True, help="Attach it even if it does not verify, or breaks another signature."
)
@click.option("-q", "--quiet", is_flag=True, help="Print only problems and the summary.")
@limit_option
@output_options
@click.pass_obj
def command(
    settings: Settings, /, path: str, source: str, output: Output, limit: int, quiet: bool, **how: Any
) -> int:
    """Attach an existing signature to FILE: a vendor's to your rebuild, or a detached one to its module.

    All signatures of a signed module are taken, innermost first, unless --format or --layer selects one. A
    detached signature is a CMS (.p7s), OpenPGP packets (.pgp, .asc), an IMA signature (.sig, .digsig), a
    module argument, or a complete trailer.
    """
    registry = settings.registry
    how["existing"] = existing_of(how.pop("replace"), how.pop("stack"))
    keys = key_ring(how.pop("trust"), ())
    taken_from = open_module(source, registry, limit=limit)

    def change(module: Module) -> Change:
        try:
            return _change(module, taken_from, keys, **how)
        except (ParseError, UsageError) as fault:
            if fault.code in OF_THE_SOURCE:
                fault.text = f"{source}: {fault.text}"
            raise

    return report(edit([path], change, output, registry, jobs=1, limit=limit), quiet)


def _change(
    module: Module,
    source: Module,
    keys: Keyring | None,
    *,
    format_id: str | None,
    layer: int | None,
    **how: Any,
) -> Change:
    tail = tail_of(module)
    if tail is not None and how["existing"] is not Existing.REPLACE:
        text = "signed after compression, which no kernel sees; --replace puts the signature inside instead"
        raise EditRefused(text, offset=len(tail), code="already-signed")
    choice = {"existing": how["existing"], "engine": how["engine"]}
    parts = taken(module, source, keys, format_id=format_id, layer=layer, **choice)
    done = attach(module, parts, keys, origin=source, **how)
    return Change(done.content, "attached", _text(done), done.remarks)


def _text(done: Attached) -> str:
    made = ", ".join(f"{part.name} signature ({len(part.blob)} bytes)" for part in done.parts)
    worth = f", {done.verdict}" if done.verdict is not None else ""
    instead = ", instead of " + ", ".join(map(str, done.removed)) if done.removed else ""
    return f"attached {made}{worth}{instead}"
