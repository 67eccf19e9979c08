"""``elfsig coverage``: which bytes of a file each of its signatures protects, and which not."""

from __future__ import annotations

import re
import secrets
import sys
from typing import NamedTuple

import click

from elfsig.cli import exit_codes
from elfsig.cli.hints import hinted
from elfsig.cli.options.common import Machine, limit_option, machine_options, trust_options
from elfsig.cli.options.detached import outside_of, outside_options
from elfsig.cli.options.files import WritingCommand, source_type, stream_type
from elfsig.cli.options.key_rings import key_ring
from elfsig.cli.options.legacy import Variants, legacy_options
from elfsig.cli.progress import watched
from elfsig.cli.reading import source_of
from elfsig.cli.render.coverage.page import page
from elfsig.cli.render.coverage.svg import document
from elfsig.cli.render.coverage.text import map_object, text
from elfsig.cli.render.documents import write_document
from elfsig.cli.render.table import laid_out
from elfsig.cli.settings import Settings, visible
from elfsig.errors import UsageError
from elfsig.model import Verdict
from elfsig.opened.atomic import write_atomic
from elfsig.opened.module import Module, open_module
from elfsig.verbs.inspect.cover import Cover, covers
from elfsig.verbs.inspect.prove import Proof, chosen, every, prove, prover
from elfsig.verbs.verify.examine import Outside, Question
from elfsig.verbs.verify.other_files import not_a_module

RANDOM = 32
"""Number of random bytes that ``--prove`` changes by default."""


class CoverageCommand(WritingCommand):
    """``--prove`` needs no value: the next word is not taken as one."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        stop = args.index("--") if "--" in args else len(args)
        words = [f"--prove={RANDOM}" if word == "--prove" else word for word in args[:stop]]
        return super().parse_args(ctx, words + args[stop:])


class ProofSize(NamedTuple):
    """How much to prove: ``extra`` random bytes, None for every byte."""

    extra: int | None
    seed: int


@click.command("coverage", cls=CoverageCommand)
@click.argument("path", metavar="FILE", type=source_type)
@trust_options
@click.option("--coverage", metavar="C", help="Map this coverage, even if FILE has no such signature.")
@click.option(
    "--prove",
    "prove_wish",
    metavar="[=N|=all]",
    help="Check the map: change N random bytes, or all, one at a time, and verify again.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    metavar="N",
    help="Choose the same random bytes as an earlier run with this seed.",
)
@click.option(
    "--html",
    type=stream_type,
    metavar="F",
    help="Write an HTML page with the map to F; - is stdout.",
)
@click.option("--svg", type=stream_type, metavar="F", help="Write the map as SVG to F; - is stdout.")
@outside_options
@legacy_options
@machine_options
@limit_option
@click.pass_obj
def command(
    settings: Settings,
    path: str,
    trust: tuple[str, ...],
    keys: tuple[str, ...],
    coverage: str | None,
    prove_wish: str | None,
    seed: int | None,
    html: str | None,
    svg: str | None,
    detached: str | None,
    modarg: str | None,
    variants: Variants,
    machine: Machine,
    limit: int,
) -> int:
    """Show which bytes of FILE each signature protects, section by section.

    \b
    verbatim   hashed as is: any change breaks the signature
    signature  the signature itself
    derived    determines a computed part of what is hashed
    steering   determines what is hashed, or where it is found
    open       not covered: no change is noticed

    The map is computed from the bytes that are hashed. Offsets are in the decompressed file. With --trust
    the coverage of the signature is established by verification; --prove checks the map byte by byte.
    """
    wish = _wish(prove_wish, seed)
    question = Question(key_ring(trust, keys))
    outside = outside_of(detached, modarg, single=True)
    module = open_module(source_of(path), variants(settings.registry), limit=limit)
    found = covers(module, question, coverage, outside)
    proofs = [_proof(module, each, question, outside, wish) for each in found]
    written = _write_pictures(html, svg, module, found, proofs)
    if machine.wanted:
        _write_json(settings, machine, module, found, proofs)
    elif "-" not in written:
        _print(settings, module, path, found, proofs)
    return _code(found, proofs, wish is not None)


def _wish(wanted: str | None, seed: int | None) -> ProofSize | None:
    if wanted is None:
        return None
    number = secrets.randbits(32) if seed is None else seed
    if wanted != "all" and not re.fullmatch("[0-9]{1,18}", wanted):
        raise UsageError(f"--prove={wanted}: expected a number of bytes, or all")
    return ProofSize(None if wanted == "all" else int(wanted), number)


def _proof(
    module: Module, cover: Cover, question: Question, outside: Outside | None, wish: ProofSize | None
) -> Proof | None:
    if wish is None or cover.message is None:
        return None
    changes = every(cover, wish.seed) if wish.extra is None else chosen(cover, wish.seed, wish.extra)
    work = prover(module, cover, question, outside)
    return prove(work, watched(changes, "bytes"), wish.seed)


def _other(module: Module) -> str:
    """What the file is, where it is not a module."""
    other = not_a_module(module)
    return "" if other is None else f"; {hinted(other.text, other.hint)}"


def _print(
    settings: Settings, module: Module, path: str, found: list[Cover], proofs: list[Proof | None]
) -> None:
    if not found:
        click.echo(f"{visible(path)}: no signature, nothing is protected{_other(module)}")
    for number, (cover, proof) in enumerate(zip(found, proofs, strict=True)):
        first, *lines = text(cover, proof, settings.colored(sys.stdout))
        click.echo("\n".join(([""] if number else []) + [laid_out(f"{visible(path)}: {first}"), *lines]))


def _write_json(
    settings: Settings,
    machine: Machine,
    module: Module,
    found: list[Cover],
    proofs: list[Proof | None],
) -> None:
    maps = [map_object(cover, proof) for cover, proof in zip(found, proofs, strict=True)]
    write_document(settings, machine, path=visible(module.path), content_size=len(module.content), maps=maps)


def _write_pictures(
    html: str | None,
    svg: str | None,
    module: Module,
    found: list[Cover],
    proofs: list[Proof | None],
) -> list[str]:
    """Write the requested pictures. Returns the names of the files."""
    if html is not None:
        _write(page(module, found, proofs), html)
    if svg is not None:
        _write(document(module, found), svg)
    return [name for name in (html, svg) if name is not None]


def _write(text: str, output: str) -> None:
    data = text.encode("utf-8", "backslashreplace")
    if output == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return

    write_atomic(output, data)


def _code(found: list[Cover], proofs: list[Proof | None], proving: bool) -> int:
    """BAD for a damaged signature, a map that verification contradicts, or nothing to prove."""
    signatures = [each.signature for each in found if each.signature is not None]
    damaged = any(each.verdict is Verdict.MALFORMED for each in signatures)
    failed = any(proof is not None and not proof.holds for proof in proofs)
    idle = proving and not any(proofs)
    return exit_codes.BAD if damaged or failed or idle else exit_codes.GOOD
