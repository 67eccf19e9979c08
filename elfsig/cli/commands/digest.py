"""``elfsig digest``: the digest of each coverage, or its exact byte stream."""

from __future__ import annotations

import sys

import click

from elfsig.cli import exit_codes
from elfsig.cli.options.common import (
    Machine,
    hash_type,
    hash_wished,
    limit_option,
    machine_options,
)
from elfsig.cli.options.files import WritingCommand, source_type, stream_type
from elfsig.cli.reading import source_of
from elfsig.cli.render.documents import write_document
from elfsig.cli.render.table import aligned
from elfsig.cli.settings import Settings, complain, visible
from elfsig.coverages.catalogue import SIGNED_AS
from elfsig.crypto.hashes import Hash
from elfsig.errors import UsageError
from elfsig.model import Message
from elfsig.opened.atomic import write_atomic
from elfsig.opened.module import open_module
from elfsig.verbs.inspect.digest import CoverageDigest, Stream, chosen, streams

HEADINGS = ("Coverage", "Bytes", "Digest", "Without")


@click.command("digest", cls=WritingCommand)
@click.argument("path", metavar="FILE", type=source_type)
@click.option("--coverage", metavar="C", help="Print only this coverage (default: all that apply).")
@click.option(
    "--hash",
    "hash_name",
    default="sha256",
    type=hash_type,
    metavar="HASH",
    show_default=True,
    help="Use this hash.",
)
@click.option(
    "--layer",
    type=int,
    metavar="N",
    help="Leave out the signature of layer N, counted from the outermost, which is 0.",
)
@click.option(
    "-o",
    "output",
    type=stream_type,
    metavar="STREAM",
    help="Write the covered bytes to STREAM; - is stdout.",
)
@machine_options
@limit_option
@click.pass_obj
def command(
    settings: Settings,
    path: str,
    coverage: str | None,
    hash_name: str,
    layer: int | None,
    output: str | None,
    machine: Machine,
    limit: int,
) -> int:
    """Print the digest of the bytes that the signatures of FILE cover, without the signatures themselves.

    If FILE has no signature with a coverage, this is the digest that a new signature would have. With
    --coverage the line has the format of sha256sum; -o writes the covered bytes themselves.
    """
    hash_ = _hash(hash_name)
    if coverage is None and (output is not None or layer is not None):
        raise UsageError("-o and --layer need --coverage: each coverage has its own byte stream")
    module = open_module(source_of(path), settings.registry, limit=limit)
    found = streams(module, coverage)
    if coverage is not None:
        found = [chosen(found, layer)]
        if found[0].fault is not None:
            found[0].fault.path = path
            raise found[0].fault
    for text in [] if machine.wanted else _warnings(found):
        complain(text, path, word="warning: ")
    if output is not None and found[0].message is not None:
        _write(found[0].message, output)
    _print(settings, machine, path, hash_, found, to_stdout=output != "-")
    return _code(found)


def _hash(name: str) -> Hash:
    """The hash of this name. Raises UsageError if it is unknown, or not available in this Python."""
    hash_ = hash_wished(name)
    try:
        hash_.new()
    except ValueError as reason:
        raise UsageError(str(reason), code="unknown-hash") from None
    return hash_


def _print(
    settings: Settings, machine: Machine, path: str, hash_: Hash, found: list[Stream], to_stdout: bool
) -> None:
    if not to_stdout:
        return
    if machine.wanted:
        digests = [CoverageDigest.of(each, hash_).to_json() for each in found]
        write_document(settings, machine, path=visible(path), digests=digests)
    elif len({each.coverage for each in found}) == 1 and found[0].message:
        click.echo(f"{_digest(found[0].message, hash_)}  {visible(path)}")
    else:
        click.echo(aligned([HEADINGS, *(_row(each, hash_) for each in found)]))


def _digest(message: Message, hash_: Hash) -> str:
    hasher = hash_.new()
    message.feed(hasher)
    return str(hasher.hexdigest())


def _row(each: Stream, hash_: Hash) -> tuple[str, ...]:
    if each.message is None:
        return (each.coverage, "-", visible(str(each.fault)), "")
    return (each.coverage, str(each.message.size), _digest(each.message, hash_), _without(each))


def _without(each: Stream) -> str:
    place = each.place
    if place is None:
        return "-"
    if place.section is not None:
        return f"[{place.index}] {visible(place.section)}"
    return f"trailer at {place.start:#x}"


def _warnings(found: list[Stream]) -> list[str]:
    """The warnings of all messages, each once."""
    return list(
        dict.fromkeys(remark.text for each in found if each.message for remark in each.message.remarks)
    )


def _write(message: Message, output: str) -> None:
    if output == "-":
        for chunk in message.chunks():
            sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
        return

    write_atomic(output, message.to_bytes())


def _code(found: list[Stream]) -> int:
    """BAD if a coverage that signatures have cannot be computed."""
    failed = any(each.fault is not None and each.coverage not in SIGNED_AS for each in found)
    return exit_codes.BAD if failed else exit_codes.GOOD
