"""attach: add an existing signature to a module: a vendor's to a rebuild, or a detached one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from elfsig.carriers.detached import argument_place
from elfsig.elf.image import Image
from elfsig.errors import EditRefused, ParseError, UsageError
from elfsig.model import (
    Carrier,
    Existing,
    Format,
    Keyring,
    Params,
    Remark,
    SignatureReport,
    SignOptions,
    Verdict,
    optional,
)
from elfsig.model.brief import brief
from elfsig.opened.module import Module
from elfsig.opened.places import LocatedSignature, find
from elfsig.registry import Registry
from elfsig.verbs.edit.message_guard import check_remaining, name_of, over_other_content
from elfsig.verbs.edit.sign import already_signed, look_at
from elfsig.verbs.edit.strip import Removed, result_object, strip
from elfsig.verbs.verify.examine import Question, examine
from elfsig.verbs.verify.layers import decisive


class Attachment(NamedTuple):
    """One signature, ready to be attached: its carrier, bytes and wrapper. ``format`` is None where no
    format claims it."""

    format: Format | None
    carrier: Carrier
    blob: bytes
    params: Params

    @property
    def name(self) -> str:
        return self.format.id if self.format else self.carrier.id


@dataclass(frozen=True, slots=True)
class Attached:
    """``module`` with the signatures of ``parts``. ``verdict`` is that of the outermost of them, and
    ``format`` the one it was parsed as; None where no keys were given."""

    module: Module
    parts: tuple[Attachment, ...]
    verdict: Verdict | None
    format: str | None = None
    removed: tuple[Removed, ...] = ()
    remarks: tuple[Remark, ...] = ()

    def __repr__(self) -> str:
        return brief(self)

    def to_json(self) -> dict[str, Any]:
        """The result as plain JSON values: size and SHA-256 of the content, what was attached, warnings."""
        added = [
            {"format": part.format.id if part.format else None, "name": part.name, "size": len(part.blob)}
            for part in self.parts
        ]
        verdict = self.verdict.value if self.verdict is not None else None
        common = result_object(self.module.path, self.content, self.removed, self.remarks)
        return {**common, "added": added, "verdict": verdict, "format": self.format}

    @property
    def content(self) -> bytes:
        """The content of the result, decompressed."""
        return self.module.content


# --------------------------------------------------------------------------- where signatures come from


OF_THE_SOURCE = frozenset({"no-part", "no-such-signature"})
"""Codes of errors that are about the file from which a signature is taken."""


def parts_in(source: Module, *, format_id: str | None = None, layer: int | None = None) -> list[Attachment]:
    """The signatures in a signed module, from the inside out, in the order of attaching.

    ``format_id`` (id or alias) and ``layer`` select among them. The list is empty if this is not a signed
    module. Raises EditRefused for a damaged one, UsageError where none is left.
    """
    wanted = source.registry.get(format_id).id if format_id else None
    everything = source.places
    if not [found for found in everything if found.place.fault is None]:
        return []
    chosen = [
        found
        for found in everything
        if (wanted is None or wanted in {f.id for f in found.claimants}) and layer in (None, found.layer)
    ]
    if not chosen:
        outer = [] if source.outside_mark is None else ["layer 0 (after the compression, not to be attached)"]
        there = ", ".join([*outer, *(f"layer {found.layer} ({name_of(found)})" for found in everything)])
        asked = " and ".join([*([wanted] if wanted else []), *([] if layer is None else [f"layer {layer}"])])
        text = f"no signature of {asked} in it, only {there}"
        raise UsageError(text, code="no-such-signature")
    return [_part(found, wanted, source.registry) for found in reversed(chosen)]


def _part(found: LocatedSignature, wanted: str | None, registry: Registry) -> Attachment:
    place = found.place
    if place.fault is not None:
        raise EditRefused(
            f"the signature to be attached is damaged: {place.fault.text}", offset=place.fault.offset
        )
    claimed = [f for f in found.claimants if wanted in (None, f.id)]
    return Attachment(claimed[0] if claimed else None, registry.carrier(place), place.blob, place.params)


def candidates(data: bytes, registry: Registry, format_id: str | None = None) -> list[Attachment]:
    """The possible readings of a detached signature file: one part for each format that can hold it.

    A CMS (.p7s), OpenPGP packets (.pgp, .asc), an IMA signature (.sig, with or without its type byte 3), a
    module argument, a whole trailer (kmodsign -D). Raises ParseError where it is not one of these, or not
    of the requested format.
    """
    trailer = _bare_trailer(data, registry)
    if trailer is not None:
        return [trailer]
    if data.startswith(b"modsign="):
        data = argument_place(Image(b""), data.decode("ascii", "replace").strip()).blob
    formats = [registry.get(format_id)] if format_id else registry.formats
    found: list[Attachment] = []
    faults = []
    for format_ in formats:
        try:
            found += _readings(format_, data)
        except ParseError as fault:
            faults.append(fault)
    if not found and faults:
        raise faults[0]
    if not found:
        what = f"no {format_id} signature" if format_id else "no signature of a known form"
        raise ParseError(f"neither a signed module nor a detached signature: {what}", code="no-part")
    return found


def _bare_trailer(data: bytes, registry: Registry) -> Attachment | None:
    """A trailer that is the whole of ``data``: carriers need something in front of it."""
    view = Image(b"\0" + data)
    for found in find(view, registry)[:1]:
        if found.place.kind == "trailer" and found.place.fault is None and found.place.start == 1:
            return _part(found, None, registry)
    return None


def _readings(format_: Format, data: bytes) -> Iterator[Attachment]:
    """``data`` as this format's signature: at most one part. Raises ParseError for damaged armour."""
    if format_.carrier.kind == "detached" or "sign" not in format_.capabilities:
        return
    for pair in format_.pairs:
        blob = optional.from_file(pair.envelope, data)
        try:
            algorithm = pair.envelope.parse(blob, None)[0].algorithm or ""
        except ParseError:
            continue
        params = format_.wrapper
        if format_.wrap is not None:
            params = format_.wrap(None, algorithm, SignOptions(payload=pair.payload))
        yield Attachment(format_, format_.carrier, blob, params)
        return


# --------------------------------------------------------------------------- attaching


def attach(
    module: Module,
    parts: Sequence[Attachment],
    keys: Keyring | None = None,
    *,
    origin: Module | None = None,
    existing: Existing = Existing.REFUSE,
    force: bool = False,
    engine: str = "exact",
) -> Attached:
    """``module`` with the signatures added, the first one innermost.

    With ``keys`` the outermost of them must be valid; without, those of ``origin``, the signed module that
    they were taken from, must be over the same content. Else the edit is refused (with ``force``: a warning).
    ``existing``: what to do with existing signatures. Raises EditRefused, ParseError.
    """
    removed: tuple[Removed, ...] = ()
    if existing is Existing.REPLACE:
        stripped = strip(module, everything=True, engine=engine)
        module, removed = stripped.module, stripped.removed
    image, present = module.image, module.places
    if present and existing is not Existing.STACK:
        raise already_signed(present)
    looked = [remark for part in parts for remark in look_at(image, part.carrier, part.name, "attached to")]
    result = module.edited(module.content)
    for part in parts:
        result = result.edited(_with(result.image, part, engine))
    remaining = check_remaining(module, present, result, force=force)
    remarks = tuple(dict.fromkeys([*looked, *remaining]))
    if keys is None:
        more = _unverified(result, parts, origin, force)
        return Attached(result, tuple(parts), None, None, removed, (*remarks, *more))
    best, more = _judged(result, parts, Question(keys), force)
    return Attached(result, tuple(parts), best.verdict, best.format, removed, (*remarks, *more))


def _unverified(
    result: Module, parts: Sequence[Attachment], origin: Module | None, force: bool
) -> list[Remark]:
    """What is known of the attached signatures without keys."""
    unchecked = Remark("unchecked", "not verified: no keys were given", hint="trust")
    other = None
    if origin is not None:
        other = over_other_content(origin, {part.blob for part in parts}, result)
    if other is not None and not force:
        raise EditRefused(f"not attached: {other.text}", code=other.code, hint="force")
    return [unchecked] if other is None else [other, unchecked]


def _with(image: Image, part: Attachment, engine: str) -> bytes:
    """Add one signature, and find it again where it belongs."""
    result = part.carrier.attach(image, part.blob, part.params, engine=engine)
    for place in part.carrier.find(Image(result)):
        if place.fault is None and place.blob == part.blob:
            if place.kind == "trailer" and not result.startswith(image.bytes()):
                break
            return result
    raise EditRefused(
        f"the {part.name} signature could not be found again in the result", code="not-found-again"
    )


def _judged(
    result: Module, parts: Sequence[Attachment], question: Question, force: bool
) -> tuple[SignatureReport, list[Remark]]:
    """The verdict of the outermost attached signature, and the warnings about all of them."""
    signatures = examine(result, question).signatures
    blobs = {part.blob for part in parts}
    attached = [f for f in signatures if f.place.blob in blobs]
    outermost = [f for f in attached if f.layer == attached[0].layer]
    best = decisive(outermost)
    remarks = [
        Remark(
            "does-not-verify", f"the {f.format} signature is {f.verdict} here: {f.reason or ''}".rstrip(": ")
        )
        for f in (best, *(f for f in attached if f not in outermost))
        if f.verdict is not Verdict.VALID
    ]
    if best.verdict is not Verdict.VALID and not force:
        raise EditRefused(f"not attached: {remarks[0].text}", code="does-not-verify", hint="force")
    return best, remarks


def taken(
    module: Module,
    source: Module,
    keys: Keyring | None = None,
    *,
    format_id: str | None = None,
    layer: int | None = None,
    existing: Existing = Existing.REFUSE,
    engine: str = "exact",
) -> list[Attachment]:
    """The signatures in ``source``, a signed module or a detached signature file, that are meant for
    ``module``; see :func:`parts_in`, :func:`candidates` and :func:`chosen`.

    ``existing``: what will be done with the signatures of ``module``. Raises ParseError, EditRefused,
    UsageError.
    """
    if parts := parts_in(source, format_id=format_id, layer=layer):
        return parts
    found = candidates(source.content, source.registry, format_id)
    if len(found) > 1 and existing is Existing.REPLACE:
        module = strip(module, everything=True, engine=engine).module
    return [chosen(module, found, keys, engine=engine)]


def chosen(
    module: Module, found: Sequence[Attachment], keys: Keyring | None, *, engine: str = "exact"
) -> Attachment:
    """The one of :func:`candidates` that is meant for ``module`` (unsigned): the only one, or the only one
    that verifies. Raises UsageError where this is ambiguous."""
    if len(found) == 1:
        return found[0]
    fitting = []
    for part in found if keys is not None else ():
        try:
            done = attach(module, [part], keys, existing=Existing.STACK, engine=engine)
        except (EditRefused, ParseError):
            continue
        if done.format == part.name:
            fitting.append(part)
    if len(fitting) == 1:
        return fitting[0]
    names = ", ".join(part.name for part in fitting or found)
    why = "more than one verifies" if fitting else "it could be of several formats"
    raise UsageError(f"{why}: {names}", code="ambiguous-part", hint="format")
