"""``elfsig keys match``: find which of the given keys made a file's signatures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from elfsig.cli.options.common import Machine, machine_options
from elfsig.cli.options.files import source_type
from elfsig.cli.options.key_rings import tell_of_losses
from elfsig.cli.reading import source_of
from elfsig.cli.render.documents import write_document
from elfsig.cli.settings import Settings, visible
from elfsig.model import Verdict
from elfsig.model.json_form import signature_object
from elfsig.opened.module import open_module
from elfsig.trust.keyring import load
from elfsig.verbs.keys.sources import match

if TYPE_CHECKING:
    from elfsig.verbs.keys.sources import Match

BY_MATHEMATICS, BY_ID_ONLY, NO_MATCH, NOTHING_SIGNED = 0, 4, 4, 1


@click.command("match")
@click.argument("path", metavar="FILE", type=source_type)
@click.argument("sources", nargs=-1, required=True, metavar="SRC...")
@machine_options
@click.pass_obj
def command(settings: Settings, machine: Machine, path: str, sources: Sequence[str]) -> int:
    """Find which key in SRC made each signature of FILE: by verification, or by its id only.

    The sources are not trusted. Exit codes: 0 the outermost signature was made by one of the keys, 1 it is
    missing, malformed, or names a key that did not make it, 4 none of the keys made it.
    """
    found = match(open_module(source_of(path), settings.registry), tell_of_losses(load((), sources)))
    if machine.wanted:
        matches = [
            {
                "signature": signature_object(each.signature),
                "by": each.by,
                "contradicted": each.contradicted,
                "keys": [key.to_json() for key in each.keys],
            }
            for each in found
        ]
        write_document(settings, machine, path=visible(path), matches=matches)
    else:
        for each in found:
            click.echo(f"{visible(path)}: {_words(each)}")
        if not found:
            click.echo(f"{visible(path)}: no signature")
    return _code(found)


def _code(found: Sequence[Match]) -> int:
    if not found or found[0].contradicted or found[0].signature.verdict is Verdict.MALFORMED:
        return NOTHING_SIGNED
    if found[0].by == "mathematics":
        return BY_MATHEMATICS
    return BY_ID_ONLY if found[0].by else NO_MATCH


def _words(each: Match) -> str:
    sig = each.signature
    form = sig.format or "unknown form"
    keys = ", ".join(f'"{visible(key.label)}" ({visible(key.source)})' for key in each.keys)
    if each.by == "mathematics":
        other = ", whose id it does not name" if sig.verdict is Verdict.UNKNOWN_KEY else ""
        return f"{form}: made by {keys}{other}"
    if sig.verdict is Verdict.MALFORMED:
        return f"{form}: malformed: {visible(sig.reason or 'remains of a signature')}"
    if each.contradicted:
        return f"{form}: names {keys}, but does not match that key: {visible(sig.reason or '')}"
    if each.by == "id":
        return f"{form}: by id only: {keys}: {visible(sig.reason or 'not checked')}"
    if sig.verdict is Verdict.UNKNOWN_KEY:
        return f"{form}: {visible(sig.reason or 'not made by any of the given keys')}"
    return f"{form}: not made by any of the given keys: {visible(sig.reason or sig.verdict.value)}"
