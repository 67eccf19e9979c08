"""``elfsig kernels``: the kernels that elfsig can simulate, as a table; or one of them in full."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from elfsig.cli.options.common import Machine, json_option, kernel_type
from elfsig.cli.render.documents import write_document
from elfsig.cli.render.kernel import BASES, looks_at
from elfsig.cli.render.table import aligned, laid_out
from elfsig.cli.settings import Settings
from elfsig.errors import UsageError
from elfsig.kernels.catalogue import PROFILES
from elfsig.kernels.policy import WALKS, secure_boot_words
from elfsig.kernels.select import AUTO, choose

HEADINGS = ("Id", "Looks at", "Coverage", "Unsigned when enforcing", "Basis", "Releases")


@click.command("kernels")
@click.argument("kernel", required=False, type=kernel_type, metavar="[KERNEL]")
@json_option
@click.pass_obj
def command(settings: Settings, kernel: str | None, machine: Machine) -> None:
    """List the kernels that elfsig can simulate; with KERNEL (an id or a release), show one in full.

    A simulation covers the signature check and the ELF checks before it. Later checks (vermagic, symbols
    and so on) are not simulated.

    Basis: booted (tested on real kernels), original-code (the kernel's own code was run), source (the
    kernel's source was read), recalled (not checked).
    """
    if kernel == AUTO:
        raise UsageError("auto needs a module: use elfsig explain FILE --kernel auto")
    chosen = [choose(kernel).profile] if kernel is not None else list(PROFILES.values())
    rows = [row for row in chosen if row is not None]
    if machine.wanted:
        write_document(settings, machine, kernels=[profile_object(row) for row in rows])
    elif kernel is not None:
        for row in rows:
            click.echo(laid_out("\n".join(_full(row))))
    else:
        click.echo(aligned([HEADINGS, *(_row(each) for each in rows)]))


def _row(each: Any) -> tuple[str, ...]:
    assert each.walk in WALKS
    reply = each.replies.enforcing.get(each.unsigned)
    answer = each.unsigned if reply is None else reply.errno or "loads"
    return (
        each.id,
        each.look.format,
        each.look.coverage,
        answer,
        each.basis.value,
        each.releases.words or "by id only",
    )


def _full(each: Any) -> Iterator[str]:
    yield f"{each.id}: {each.title}"
    yield from (f"  note: {text}" for text in _caveats(each))
    yield (
        f"  releases: such as {each.releases.words}"
        if each.releases.words
        else "  releases: chosen by id only"
    )
    yield f"  looks at: {looks_at(each)}"
    yield f"  hashes: {', '.join(sorted(each.crypto.hashes - each.crypto.absent))}"
    yield f"  algorithms: {', '.join(sorted(each.crypto.algorithms - each.crypto.absent))}"
    rings = (", ".join(sorted(ring)) for ring in each.trust.rings)
    yield f"  keyrings that count: {'; then '.join(rings)}"
    yield f"  steps: {', '.join(step.name for step in WALKS[each.walk])}"
    yield from (f"  enforces with: {text}" for text in each.switches)
    yield f"  {secure_boot_words(each)}"
    yield from _replies(each)
    yield f"  basis: {each.basis.value} ({BASES[each.basis]}): {each.source}"
    yield from (f"  not checked: {text}" for text in each.recalled)
    yield from (f"  note: {text}" for text in each.notes)


def _caveats(each: Any) -> list[str]:
    """What is to be known before anything else is believed."""
    return [each.caveat] if each.caveat else []


def _replies(each: Any) -> Iterator[str]:
    tables = (
        ("permissive", each.replies.permissive),
        ("enforcing", each.replies.enforcing),
        ("lockdown", each.replies.lockdown),
    )
    for mode, table in tables:
        if table:
            shown = (f"{inner} -> {reply.errno or 'loads'}" for inner, reply in table.items())
            yield f"  {mode}: {', '.join(shown)}; any other error unchanged"


def profile_object(each: Any) -> dict[str, Any]:
    """A profile as JSON values."""

    def table(replies: Any) -> dict[str, Any] | None:
        return None if replies is None else {inner: reply._asdict() for inner, reply in replies.items()}

    return {
        "id": each.id,
        "title": each.title,
        "releases": each.releases.words,
        "format": each.look.format,
        "carrier": each.look.carrier,
        "coverage": each.look.coverage,
        "hashes": sorted(each.crypto.hashes - each.crypto.absent),
        "algorithms": sorted(each.crypto.algorithms - each.crypto.absent),
        "keyrings": [sorted(ring) for ring in each.trust.rings],
        "unsigned": each.unsigned,
        "replies": {
            "permissive": table(each.replies.permissive),
            "enforcing": table(each.replies.enforcing),
            "lockdown": table(each.replies.lockdown),
        },
        "fips": each.fips,
        "steps": [step.name for step in WALKS[each.walk]],
        "switches": list(each.switches),
        "basis": each.basis.value,
        "source": each.source,
        "notes": [*_caveats(each), *each.notes],
    }
