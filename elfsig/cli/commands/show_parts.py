"""``elfsig show --extract``, ``--asn1`` and ``--packets``: signatures taken apart."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import click

from elfsig.batch.tree import Examination, Examiner
from elfsig.cli import exit_codes
from elfsig.cli.hints import hinted
from elfsig.cli.render.words import plural, remark_words
from elfsig.cli.settings import complain, visible
from elfsig.cli.streams import outlive_readers
from elfsig.envelopes.cms.dump import lines
from elfsig.errors import WriteError
from elfsig.model import FileReport, SignatureReport, optional
from elfsig.opened.atomic import settle, write_atomic
from elfsig.opened.inputs import Inputs, is_inside
from elfsig.opened.module import Module
from elfsig.opened.walk import WalkedFile, top_folders
from elfsig.registry import Registry
from elfsig.verbs.inspect.extract import pieces


def dumped(report: FileReport, registry: Registry, *, asn1: bool, packets: bool, own: bool) -> str:
    """The signatures of a file element by element, each under a line that names it: as ASN.1, as OpenPGP
    packets, or as its own encoding has them."""
    found = [
        line
        for sig in _blobs(report)
        for line in (*_head(report, sig), *_dump(sig, registry, asn1, packets, own))
    ]
    if not found:
        what = "no signature's bytes" if report.signatures else "no signature"
        complain(f"{what}, nothing to show", report.path, word="note: ")
    return "".join(f"{line}\n" for line in found)


def _blobs(report: FileReport) -> Iterator[SignatureReport]:
    """One signature for each blob: the signers of a CMS share theirs."""
    seen: set[int] = set()
    for sig in report.signatures:
        if sig.blob not in seen and sig.place.blob:
            seen.add(sig.blob)
            yield sig


def _head(report: FileReport, sig: SignatureReport) -> Iterator[str]:
    size, where = plural(len(sig.place.blob), "byte"), sig.place.blob_start
    yield visible(f"{report.path}: {sig.format or 'unknown'} signature, {size} at {where:#x}")


def _dump(sig: SignatureReport, registry: Registry, asn1: bool, packets: bool, own: bool) -> Iterator[str]:
    blob = sig.place.blob
    if asn1:
        yield from _asn1(blob)
    if packets:
        yield from _packets(blob)
    if own:
        yield from map(visible, _own(sig, registry))


def _own(sig: SignatureReport, registry: Registry) -> Iterable[str]:
    """As the envelope lists it; where nothing could be parsed, the first of the format."""
    if sig.claims is not None:
        envelope = registry.envelopes[sig.claims.envelope]
    elif sig.format is not None:
        envelope = registry.get(sig.format).pairs[0].envelope
    else:
        return ["  no listing: no format claims these bytes"]
    lines = optional.dump(envelope, sig.place.blob)
    return [f"  no listing of {envelope.id}: see its fields with show"] if lines is None else lines


def _asn1(blob: bytes) -> Iterator[str]:
    return (
        lines(blob)
        if blob[:1] == b"\x30"
        else iter(["  not ASN.1: use show without options to see its fields"])
    )


def _packets(blob: bytes) -> Iterator[str]:
    from elfsig.envelopes.openpgp.dump import lines

    return (
        lines(blob)
        if blob[0] & 0x80
        else iter(["  not OpenPGP packets: use show without options to see its fields"])
    )


def extract(
    entries: Iterator[WalkedFile],
    paths: Sequence[str],
    folder: str,
    what: Examination,
    *,
    force: bool,
    code_of: Callable[[FileReport], int],
) -> int:
    """Write the parts of every file meant by ``paths`` below ``folder``, where the layout of a tree is kept;
    each of several trees has a folder of its own name. Returns the exit code."""
    outlive_readers()
    codes, folders, tops = [], set[str](), top_folders(paths)
    taken, inputs = dict[str, str](), Inputs(paths)
    examiner = Examiner(what)
    for entry in entries:
        report, module, *_ = examiner(entry)
        codes.append(code_of(report))
        if module is None:
            complain("; ".join(remark_words([report.error] if report.error else [])), entry.path)
            continue
        try:
            stem = os.path.join(folder, _below(entry, tops))
            _refuse(entry.path, stem, folder, taken.setdefault(stem, entry.path))
            folders.add(os.path.dirname(stem))
            _write(module, stem, force, inputs)
        except WriteError as fault:
            complain(hinted(str(fault), fault.hint), entry.path)
            codes.append(exit_codes.BAD)
    for each in folders:
        settle(each)
    return exit_codes.combined(codes)


def _below(entry: WalkedFile, tops: Mapping[str, str]) -> str:
    if entry.root is None:
        return os.path.basename(entry.path)
    return os.path.join(tops.get(entry.root, ""), os.path.relpath(entry.path, entry.root))


def _refuse(path: str, stem: str, folder: str, first: str) -> None:
    """Raises WriteError where the parts of another file have the same names, or a link in ``folder`` leads
    out of it."""
    if first != path:
        raise WriteError(f"its parts would overwrite those of {first}", code="same-target")
    where = os.path.realpath(os.path.dirname(stem))
    if not is_inside(where, os.path.realpath(folder)):
        text = f"its parts would be written to {where}, out of {folder}: a link leads there"
        raise WriteError(text, code="output-elsewhere")


def _write(module: Module, stem: str, force: bool, inputs: Inputs) -> None:
    """All parts of one file, or none where one of them already exists. Raises WriteError."""
    taken = pieces(module)
    for text in remark_words(taken.remarks):
        complain(text, module.path, word="warning: ")
    if not taken.pieces:
        complain("no signature, nothing to extract", module.path, word="note: ")
        return
    there = next((stem + p.suffix for p in taken.pieces if os.path.lexists(stem + p.suffix)), None)
    if there is not None and not force:
        raise WriteError(f"{there} already exists; --force overwrites it", code="exists")
    if (
        read := next((stem + p.suffix for p in taken.pieces if inputs.file_at(stem + p.suffix)), None)
    ) is not None:
        raise WriteError(f"{read} is read by this run, and would be overwritten", code="output-is-input")
    try:
        os.makedirs(os.path.dirname(stem) or ".", exist_ok=True)
    except OSError as reason:
        raise WriteError(f"cannot create a directory for {stem}: {(reason.strerror or '').lower()}") from None
    for piece in taken.pieces:
        for remark in write_atomic(stem + piece.suffix, piece.data, sync=False, follow=False):
            complain(remark.text, stem + piece.suffix, word="warning: ")
        click.echo(f"{visible(stem + piece.suffix)}: {piece.what}, {plural(len(piece.data), 'byte')}")
