"""``elfsig keys recover``: compute the public key that made two RSA signatures from the signatures."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from elfsig.cli.options.common import Machine, json_option, limit_option, paths_argument
from elfsig.cli.options.files import WritingCommand, output_type
from elfsig.cli.reading import source_of
from elfsig.cli.render.documents import write_document
from elfsig.cli.settings import Settings, complain, visible
from elfsig.errors import WriteError
from elfsig.opened.atomic import write_atomic
from elfsig.opened.module import open_module
from elfsig.trust.recover import EXPONENTS
from elfsig.verbs.keys.recover import recover_key

if TYPE_CHECKING:
    from elfsig.model.json_form import Json
    from elfsig.verbs.keys.recover import Claim, Recovered


@click.command("recover", cls=WritingCommand)
@paths_argument("FILE...", stream=True)
@click.option("-o", "--output", metavar="KEY.pem", type=output_type, help="Write the key to KEY.pem.")
@click.option(
    "--exponent",
    type=click.IntRange(3),
    metavar="E",
    help="Assume this public exponent (default: try the usual ones).",
)
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
@limit_option
@json_option
@click.pass_obj
def command(
    settings: Settings,
    machine: Machine,
    paths: Sequence[str],
    output: str | None,
    exponent: int | None,
    force: bool,
    limit: int,
) -> None:
    """Compute the public key that made two or more RSA signatures in the FILEs, of any format.

    This does not give the private key, and does not say who owns the key: the file records that it was
    recovered, and verify --trust reports its signatures as untrusted. It shows whether two modules were
    signed by the same key, even if the certificate is lost.

    The usual exponent 65537 needs gmpy2 (pip install 'elfsig[recover]') and takes minutes. Exit code 1 if no
    two signatures were made by the same key.
    """
    if output is not None and os.path.lexists(output) and not force:
        raise WriteError(f"{output} already exists; --force overwrites it", code="exists")
    files = [open_module(source_of(path), settings.registry, limit=limit) for path in paths]
    with _interruptible():
        found = recover_key(files, _tell, EXPONENTS if exponent is None else (exponent,))
    if output is not None:
        for remark in write_atomic(output, found.pem):
            complain(remark.text, output, word="warning: ")
    if machine.wanted:
        write_document(settings, machine, recovered=_object(found))
        return
    if output is None:
        click.echo(found.pem, nl=False)
    for line in _lines(found, output):
        click.echo(line, err=output is None)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C end the process directly: one long computation in C does not notice signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _tell(text: str) -> None:
    if sys.stderr.isatty():
        complain(f"{text}; this takes a while")


def _lines(found: Recovered, output: str | None) -> Iterator[str]:
    key = found.key
    where = f", written to {visible(output)}" if output is not None else ""
    yield f"recovered an RSA-{key.bits} public key, exponent {found.exponent}{where}"
    yield f"  fingerprint: SHA256:{key.fingerprint}"
    for claim in found.made:
        yield f"  made:        {_claim_words(claim)}"
    for claim in found.others:
        yield f"  not made:    {_claim_words(claim)}"
    for each in found.ids:
        word = {True: "follows from the key", False: "contradicts the key", None: "not confirmed"}
        yield f"  key id:      {each.kind} {each.value.hex()} {word[each.follows]}: {each.text}"


def _claim_words(claim: Claim) -> str:
    signer = f', says it is by "{visible(claim.signature.signer)}"' if claim.signature.signer else ""
    return f"{visible(claim.path)} ({claim.format}{signer})"


def _object(found: Recovered) -> Json:

    return {
        "key": found.key.to_json(),
        "exponent": found.exponent,
        "pem": found.pem.decode(),
        "made": [_claim_object(claim) for claim in found.made],
        "others": [_claim_object(claim) for claim in found.others],
        "ids": [
            {"kind": each.kind, "value": each.value.hex(), "follows": each.follows, "text": each.text}
            for each in found.ids
        ],
    }


def _claim_object(claim: Claim) -> Json:
    return {"path": visible(claim.path), "format": claim.format, "layer": claim.layer}
