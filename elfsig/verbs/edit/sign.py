"""sign: make a signature in one format and put it where that format keeps it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, is_dataclass
from dataclasses import replace as changed
from typing import Any, NamedTuple, cast

from elfsig.elf.image import Image
from elfsig.errors import EditRefused, SigningError
from elfsig.kernels.suits import key_warning, reads, suited, unread
from elfsig.model import (
    Carrier,
    Existing,
    Format,
    Message,
    PacketSigner,
    Pair,
    Params,
    Place,
    Remark,
    SectionInfo,
    Signer,
    SignOptions,
    optional,
)
from elfsig.model.brief import brief
from elfsig.opened.module import Module
from elfsig.opened.places import LocatedSignature
from elfsig.verbs.edit.change import Change, tail_of
from elfsig.verbs.edit.message_guard import check_remaining, digest_of, name_of
from elfsig.verbs.edit.strip import Removed, result_object, strip
from elfsig.verbs.verify.other_files import NOT_ELF, other_file, refuse_keys


@dataclass(frozen=True, slots=True)
class SignResult:
    """``module`` has the signature. ``content`` is its content; for a format that is kept outside the
    file (``detached``) it is the signature itself, and ``module`` is unchanged. ``size`` is how many
    bytes the signature adds, or has. ``format`` is the format's id."""

    module: Module
    content: bytes
    coverage: str
    hash: str | None
    size: int
    format: str
    detached: bool = False
    removed: tuple[Removed, ...] = ()
    remarks: tuple[Remark, ...] = ()

    def __repr__(self) -> str:
        return brief(self)

    def added(self) -> dict[str, Any]:
        """The new signature as an entry of ``added``."""
        return {"coverage": self.coverage, "hash": self.hash, "size": self.size, "format": self.format}

    def to_json(self) -> dict[str, Any]:
        """The result as plain JSON values: size and SHA-256 of the content, the signature, warnings."""
        common = result_object(self.module.path, self.content, self.removed, self.remarks)
        return {**common, "detached": self.detached, "added": [self.added()]}


def sign(
    module: Module,
    format_: Format,
    signer: Signer | PacketSigner,
    options: SignOptions,
    *,
    existing: Existing = Existing.REFUSE,
) -> SignResult:
    """Sign the content of ``module`` and attach the signature.

    ``existing``: what to do with existing signatures. Raises EditRefused (also for those, where it is
    REFUSE), SigningError, ParseError.
    """
    if "sign" not in format_.capabilities:
        why = format_.why_unsupported or "elfsig only reads them"
        raise SigningError(f"{format_.id} signatures cannot be made: {why}", code="cannot-sign")
    removed: tuple[Removed, ...] = ()
    detached = format_.carrier.kind == "detached"
    if existing is Existing.REPLACE and not detached:
        stripped = strip(module, everything=True, force=options.force, engine=options.engine)
        module, removed = stripped.module, stripped.removed
    image, present = module.image, module.places
    if present and not (existing is Existing.STACK or detached):
        raise already_signed(present)
    remarks = [*look_at(image, format_.carrier, format_.id), *_section_name(format_, options.section_name)]
    made = _make(module, format_, signer, options, remarks)
    result = format_.carrier.attach(image, made.blob, made.params, engine=options.engine)
    about = made.pair.coverage.id, made.hash
    if detached:
        return SignResult(module, result, *about, len(result), format_.id, True, removed, tuple(remarks))
    signed = module.edited(result)
    _prove(image, signed.image, format_, made)
    remarks += check_remaining(module, present, signed, force=options.force)
    size = len(result) - len(module.content)
    return SignResult(signed, result, *about, size, format_.id, False, removed, tuple(remarks))


def _section_name(format_: Format, name: str | None) -> list[Remark]:
    """The carrier for a section name that the user chose. Raises SigningError where the format has no
    section."""
    if name is None:
        return []
    if not optional.in_elf(format_.carrier):
        raise SigningError(
            f"{format_.id} signatures are not kept in a section that can be named", code="section-name"
        )
    known = [carrier.short_name for carrier in (format_.carrier, *format_.also)]
    if name in known:
        return []
    text = f"neither kernels nor elfsig look for a section {name}: {format_.id} is looked for in"
    return [Remark("section-name", f"{text} {' and '.join(known)}")]


class _Made(NamedTuple):
    """A new signature, not yet attached. ``hash`` is the one that it records: ML-DSA has its own."""

    pair: Pair
    message: Message
    blob: bytes
    params: Params

    @property
    def hash(self) -> str | None:
        return self.pair.envelope.parse(self.blob, self.params)[0].hash


CHANGED = "find out why it changed before you sign it"


def already_signed(present: Sequence[LocatedSignature]) -> EditRefused:
    """The refusal to sign what is already signed, or holds the remains of a signature."""
    first = present[0]
    if first.place.fault is not None:
        text = f"there are remains of a signature: {first.place.fault.text}; {CHANGED}"
        return EditRefused(text, offset=first.place.start, code="already-signed")
    more = f" and {len(present) - 1} more" if len(present) > 1 else ""
    return EditRefused(
        f"already signed: {name_of(first)}{more}", code="already-signed", hint="replace-or-stack"
    )


def look_at(image: Image, carrier: Carrier, name: str, done: str = "signed") -> list[Remark]:
    """Refuse what cannot carry a signature of this name, and remark on what kernels would not load anyway.
    ``done`` is the word for the edit ("signed"). Raises EditRefused, ParseError."""
    if not image.end:
        raise EditRefused("the file is empty", offset=0, code="empty")
    if image.is_elf and image.elf_fault is None:
        return []
    fault = image.elf_fault
    if optional.in_elf(carrier):
        if fault is not None:
            raise fault
        raise EditRefused(
            f"not an ELF file: {name} signatures are stored in a section", offset=0, code="not-elf"
        )
    if fault is not None:
        return [
            Remark("elf-damaged", f"{done} although it is a damaged ELF file: {fault.text}", fault.offset)
        ]
    other = other_file(image)
    named = "" if other == NOT_ELF else f": {other}"
    return [Remark("not-elf", f"{done} although it is not an ELF file, hence not a module{named}", 0)]


def _make(
    module: Module,
    format_: Format,
    signer: Signer | PacketSigner,
    options: SignOptions,
    remarks: list[Remark],
) -> _Made:
    """The new signature, and the carrier's remarks about it."""
    asks = format_.choose is not None or format_.advise is not None
    vermagic = module.vermagic if asks else None
    if options.kernel is not None:
        options = suited(options, format_.id)
    pair = choose_pair(format_, options, vermagic)
    if format_.advise is not None:
        remarks += format_.advise(signer.algorithm, options, vermagic)
    message = module.message(pair.coverage, module.image, None)
    remarks += message.remarks
    filled = options._replace(
        hash=options.hash or format_.default_hash,
        payload=options.payload or pair.payload,
        coverage=pair.coverage.id,
    )
    remarks += _unread(format_, filled)
    remarks += _unloaded(format_, pair, signer, filled)
    blob, params = pair.envelope.create(message, signer, filled)
    if format_.wrap is not None:
        params = format_.wrap(params, signer.algorithm, filled)
    return _Made(pair, message, blob, params)


def _unread(format_: Format, options: SignOptions) -> Iterator[Remark]:
    """Remarks where the kernel that the signature is for will not read it, or is not known well."""
    if options.kernel is None:
        return
    if options.kernel.caveat:
        yield Remark("kernel-not-known", options.kernel.caveat)
    if text := unread(options.kernel, format_.id, options.coverage, options.hash):
        yield Remark("kernel-does-not-read", f"{options.kernel.title} {text}")


def _unloaded(
    format_: Format, pair: Pair, signer: Signer | PacketSigner, options: SignOptions
) -> Iterator[Remark]:
    """A remark where the kernel (or, if none is given, every current kernel) reads such signatures, but does
    not load the certificate, so that it cannot use this one."""
    certificate = signer.certificate if isinstance(signer, Signer) else None
    if certificate is None or optional.public_form(pair.envelope, pair.payload) != "certificate":
        return
    if not reads(options.kernel, format_.id):
        return
    if text := key_warning(certificate.der, options.kernel):
        yield Remark("kernel-does-not-load-key", text)


def choose_pair(format_: Format, options: SignOptions, vermagic: str | None) -> Pair:
    """The (coverage, envelope) to sign with: by the options, else as the format chooses, else its first.

    Raises SigningError naming the choices.
    """
    if format_.choose is not None:
        return format_.choose(format_.pairs, options, vermagic)
    for wish, field in ((options.coverage, "coverage"), (options.payload, "payload")):
        known = dict.fromkeys(_names(pair)[field] for pair in format_.pairs)
        if wish is not None and wish not in known:
            choices = ", ".join(name for name in known if name) or "none"
            raise SigningError(f"{format_.id} has no {field} {wish!r}: choices are {choices}", code=field)
    fitting = [
        pair
        for pair in format_.pairs
        if options.coverage in (None, pair.coverage.id) and options.payload in (None, pair.payload)
    ]
    if not fitting:
        raise SigningError(f"{format_.id} has no {options.payload} over {options.coverage}", code="coverage")
    return fitting[0]


def _names(pair: Pair) -> dict[str, str | None]:
    return {"coverage": pair.coverage.id, "payload": pair.payload}


def _prove(before: Image, after: Image, format_: Format, made: _Made) -> None:
    """Find the new signature again, and prove that its message is exactly what was signed."""
    place = _find_again(after, format_, made.blob, made.params)
    coverage = made.pair.coverage
    if place.kind == "trailer":
        if place.start != before.end or not after.data.startswith(before.bytes()):
            raise EditRefused("adding the signature would change the content before it")
    elif digest_of(coverage.message(after, place)) != digest_of(made.message):
        raise EditRefused(f"adding the signature would change what it signs ({coverage.id})")


def _find_again(after: Image, format_: Format, blob: bytes, params: Params) -> Place:
    for carrier in (_renamed(format_.carrier, params), *format_.also):
        for place in carrier.find(after):
            if place.fault is None and place.blob == blob and format_.selects(place.params):
                return place
    raise EditRefused("the new signature could not be found again in the result", code="not-found-again")


def _renamed(carrier: Carrier, params: Params) -> Carrier:
    """The carrier for a section that the user gave another name (``--section-name``)."""
    if isinstance(params, SectionInfo) and params.name != carrier.short_name and is_dataclass(carrier):
        renamed: Carrier = changed(cast(Any, carrier), name=params.name)
        return renamed
    return carrier


def sign_file(
    module: Module,
    format_: Format,
    signer: Signer | PacketSigner,
    options: SignOptions,
    *,
    existing: Existing = Existing.REFUSE,
) -> Change:
    """The change that :func:`sign` makes to a file; inside its compression, where that holds a module.

    Raises EditRefused also for a key, a certificate or a signature, unless the options say ``force``.
    """
    whole = not module.holds_module
    if whole:
        module = module.as_file()
    tail = tail_of(module)
    if tail is not None and existing is not Existing.REPLACE:
        raise EditRefused(
            "signed after compression, where no kernel sees the signature",
            offset=len(tail),
            code="already-signed",
            hint="replace-inside",
        )
    if not options.force:
        refuse_keys(module.image)
    result = sign(module, format_, signer, options, existing=existing)
    text = f"{format_.id} signature made ({result.hash}, {result.size} bytes)"
    if result.removed:
        text += ", instead of " + ", ".join(map(str, result.removed))
    if result.detached:
        return Change(result.content, "signed", text, result.remarks, suffix=f".{format_.id}")
    if tail is None and result.content == module.content:
        return Change(None, "unchanged", "already has exactly this signature", result.remarks)
    return Change(result.content, "signed", text, result.remarks, verbatim=whole)
