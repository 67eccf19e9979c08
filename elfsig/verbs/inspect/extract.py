"""extract: every part of a signed file separately, under the customary file names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from elfsig.errors import EditRefused, ElfsigError, ParseError
from elfsig.kernels import responses
from elfsig.model import Envelope, Remark, Signature, optional
from elfsig.opened.module import Module
from elfsig.opened.places import LocatedSignature
from elfsig.verbs.edit.strip import strip


class Piece(NamedTuple):
    """One part: ``suffix`` is appended to the module's name."""

    suffix: str
    data: bytes
    what: str


class Taken(NamedTuple):
    """The parts of one file, and what could not be extracted."""

    pieces: tuple[Piece, ...]
    remarks: tuple[Remark, ...]


def pieces(module: Module) -> Taken:
    """Everything that can be extracted from a signed file; empty where it has no signature.

    ``.unsigned`` is the module without signatures; ``.p7s``, ``.pgp``, ``.digsig`` (``.sig`` with the type
    byte that evmctl wants) ... the signature; ``.trailer`` or ``.section`` all that the carrier added;
    ``.value`` the raw signature value; ``.signer`` and ``.keyid`` the names of the X.509 era; ``.cert.der``
    embedded certificates; ``.attributes.der`` signed attributes as they are hashed; ``.COVERAGE.stream`` the
    bytes that are signed. For inner signatures the layer's number comes first.
    """
    taken: list[Piece] = []
    remarks: list[Remark] = []
    if module.tail_offset is not None:
        tail = module.raw[module.tail_offset :]
        taken.append(Piece(".tail", tail, "what follows the compressed stream"))
    for each in module.places:
        layer = f".{each.layer}" if each.layer else ""
        if each.place.fault is not None:
            remarks.append(responses.complete(each.place.fault, unsigned=each.place.treated_as_unsigned))
        taken += [piece._replace(suffix=layer + piece.suffix) for piece in _place(module, each, remarks)]
    if taken:
        try:
            plain = strip(module, everything=True).content
            taken.insert(0, Piece(".unsigned", plain, "the module without signatures"))
        except EditRefused as fault:
            remarks.append(Remark.of(fault))
    return Taken(tuple(taken), tuple(remarks))


def _place(module: Module, found: LocatedSignature, remarks: list[Remark]) -> Iterator[Piece]:
    place = found.place
    whole = found.image.data[place.start : place.end]
    envelopes: dict[str, Envelope] = {}
    for format_ in found.claimants:
        envelopes.update({pair.envelope.id: pair.envelope for pair in format_.pairs})
    read = [(e, s) for e in envelopes.values() if (s := _parsed(e, found))]
    name = read[0][0].id if read else next(iter(envelopes), "")
    if place.blob:
        suffix = optional.suffix(envelopes[name]) if name else ".signature"
        yield Piece(suffix, place.blob, f"the {name or 'unknown'} signature")
    if whole and whole != place.blob:
        kind = "trailer" if place.kind == "trailer" else "section"
        yield Piece(f".{kind}", whole, f"the whole {kind}")
    if not read:
        return
    envelope, signatures = read[0]
    for number, signature in enumerate(signatures):
        if signature.value:
            yield Piece(_numbered(number, ".value"), signature.value, "the signature's value")
    for part in optional.parts(envelope, place.blob, signatures):
        yield Piece(_numbered(part.signer, part.suffix), part.data, part.what)
    yield from _streams(module, found, envelope, remarks)


def _numbered(signer: int, suffix: str) -> str:
    """Suffixes of further signatures in one blob start with their number, counted from 1."""
    return f".{signer + 1}{suffix}" if signer else suffix


def _parsed(envelope: Envelope, found: LocatedSignature) -> list[Signature]:
    try:
        return list(envelope.parse(found.place.blob, found.place.params))
    except ParseError:
        return []


def _streams(
    module: Module, found: LocatedSignature, envelope: Envelope, remarks: list[Remark]
) -> Iterator[Piece]:
    """The signed bytes, under each coverage that this envelope is used with."""
    seen: set[str] = set()
    for format_ in found.claimants:
        for pair in format_.pairs:
            if pair.envelope.id != envelope.id or pair.coverage.id in seen:
                continue
            seen.add(pair.coverage.id)
            try:
                data = module.message(pair.coverage, found.image, found.place).to_bytes()
            except ElfsigError as fault:
                text = f"no stream of {pair.coverage.id}: {fault.text}"
                remarks.append(Remark(fault.code, text, fault.offset))
                continue
            yield Piece(f".{pair.coverage.id}.stream", data, f"the bytes that {pair.coverage.id} covers")
