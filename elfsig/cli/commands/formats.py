"""``elfsig formats``: the registry as a table."""

from __future__ import annotations

from typing import Any

import click

from elfsig.cli.options.common import Machine, json_option
from elfsig.cli.render.documents import write_document
from elfsig.cli.render.table import aligned, laid_out
from elfsig.cli.settings import Settings
from elfsig.model import Format
from elfsig.registry import Registry
from elfsig_formats import BUILTIN

HEADINGS = ("Id", "Carrier", "Coverage", "Envelope", "Verbs", "Basis", "Kernels")
VERBS = ("show", "verify", "sign", "strip")


@click.command("formats")
@json_option
@click.pass_obj
def command(settings: Settings, machine: Machine) -> None:
    """List the signature formats, in the order in which they are tried, and what is known about each.

    Basis: booted (tested on real kernels), original-code (the kernel's own code was run), source (the
    kernel's source was read), tool-half (only the signing tool is known), recalled (not checked).
    """
    registry = settings.registry
    if machine.wanted:
        write_document(settings, machine, **formats_object(registry))
        return
    click.echo(aligned([HEADINGS, *(_row(each) for each in registry.formats)]))
    for each in registry.formats:
        names = f" (also {', '.join(each.aliases)})" if each.aliases else ""
        click.echo(laid_out(f"\n{each.id}{names}: {each.title}\n  {each.basis_text}"))
        if each.why_unsupported:
            click.echo(laid_out(f"  {each.why_unsupported}"))


def _row(each: Format) -> tuple[str, ...]:
    return (
        each.id,
        each.carrier.short_name,
        ",".join(dict.fromkeys(pair.coverage.id for pair in each.pairs)) or "-",
        ",".join(dict.fromkeys(pair.envelope.id for pair in each.pairs)) or "-",
        ",".join(verb for verb in VERBS if verb in each.capabilities) or "identify",
        each.basis.value,
        each.kernels,
    )


def formats_object(registry: Registry) -> dict[str, Any]:
    """The registry as JSON values: ``formats`` in the order in which they are tried, and failed plug-ins."""
    return {
        "formats": [_format_object(each) for each in registry.formats],
        "plugin_failures": [{"name": each.name, "reason": each.reason} for each in registry.failures],
    }


def _format_object(each: Format) -> dict[str, Any]:
    carrier = each.carrier
    return {
        "id": each.id,
        "aliases": list(each.aliases),
        "title": each.title,
        "builtin": any(each is known for known in BUILTIN),
        "carrier": {"id": carrier.id, "kind": carrier.kind, "name": carrier.short_name},
        "pairs": [
            {"coverage": pair.coverage.id, "envelope": pair.envelope.id, "payload": pair.payload}
            for pair in each.pairs
        ],
        "capabilities": sorted(each.capabilities),
        "default_hash": each.default_hash,
        "kernels": each.kernels,
        "basis": each.basis.value,
        "basis_text": each.basis_text,
        "why_unsupported": each.why_unsupported,
    }
