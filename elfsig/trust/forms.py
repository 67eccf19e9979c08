"""The forms of key sources, recognized by the content of a file, and what a file without keys is."""

from __future__ import annotations

from collections.abc import Callable

from elfsig.errors import KeySourceError, ParseError
from elfsig.lazy_dataclass import replace
from elfsig.lazy_tuple import NamedTuple
from elfsig.model import Loss, Why
from elfsig.recognition.kinds import Family, Kind, hint_for
from elfsig.recognition.sniff import kind_of
from elfsig.recognition.text import HEAD, plain_text
from elfsig.trust import (
    armour,
    blacklist,
    der_forms,
    efi,
    efi_variables,
    ima,
    kernel_image,
    openpgp,
    pem,
    text_dump,
)
from elfsig.trust.entries import REVOKED, Material, Origin, complete


class Source(NamedTuple):
    """One form of key source: ``sniff`` recognizes the content, ``load`` reads it.

    ``load`` raises ParseError or KeySourceError.
    """

    name: str
    sniff: Callable[[bytes], bool]
    load: Callable[[bytes, Origin], Material]


SOURCES: tuple[Source, ...] = (
    Source("kernel image", kernel_image.is_kernel, kernel_image.read),
    Source("EFI signature list", efi.is_list, efi.read),
    Source("PEM", pem.is_pem, pem.read_pem),
    Source("text of a certificate", text_dump.is_dump, text_dump.read),
    Source(blacklist.NAME, blacklist.is_list, blacklist.read),
    Source("DER", der_forms.is_der, der_forms.read_der),
    Source("OpenPGP key ring", armour.is_ring, openpgp.read_ring),
    Source("IMA key", ima.is_key, ima.read),
)
"""Every form, in the order in which they are asked."""


def source_of(data: bytes) -> Source | None:
    """The form of a file's content; None for a file that holds keys only if it contains a compressed
    kernel."""
    return next((source for source in SOURCES if source.sniff(data)), None)


def read_source(data: bytes, origin: Origin) -> Material:
    """The entries in the content of one file: keys, revocations, and what could not be read.

    ``origin.source`` names it in messages, ``origin.name`` is the file's name, which identifies EFI
    variables. Raises KeySourceError for content without a key, and for a list of revocations of which
    anything cannot be read.
    """
    source = source_of(data)
    placed = _placed(origin, source)
    name, load = (source.name, source.load) if source else ("file", _container)
    try:
        found = complete(load(data, placed), placed)
    except ParseError as reason:
        raise KeySourceError(f"{origin.source}: {name}: {reason}", code=reason.code) from None
    if found:
        return found
    fault = _nothing(found, placed, name)
    if not placed.found or placed.revoking or not found.unusable:
        raise fault
    # One of many files: its keys are kept, since a signature that names one of them cannot be checked here.
    text = fault.text.removeprefix(f"{origin.source}: ")
    return replace(found, losses=(Loss(origin.source, "file", text),))


def _nothing(found: Material, origin: Origin, name: str) -> KeySourceError:
    """The error for a source that was read but holds nothing usable: key-lost where something is damaged."""
    if origin.revoking:
        return KeySourceError(f"{origin.source}: {name}: it revokes nothing", code="no-key")
    reasons = {remark.text for key in found.unusable for remark in key.remarks}
    reasons |= {f"{loss.what}: {loss.reason}" for loss in found.losses}
    why = "; ".join(sorted(reasons)[:4]) or "none in it"
    code = "key-lost" if found.losses else "no-key"
    return KeySourceError(f"{origin.source}: {name}: no usable key: {why}", code=code)


def _placed(origin: Origin, source: Source | None) -> Origin:
    """The origin, with what the file's name and those around it say: honoured where it reduces trust.

    A list of revocations always is one, however it is given. A certificate that is named like a firmware
    variable is treated like the variable; one that was only found in a directory is never for modules.
    """
    if origin.revoking:
        return origin
    is_efi = source is not None and source.load is efi.read
    named = efi_variables.strongest(origin.name, origin.around, exact=not is_efi)
    if named is None:
        return origin
    purpose = named.purpose
    if purpose.keyring == REVOKED:
        return replace(origin, keyring=REVOKED, name=named.name)
    if purpose.never:
        return origin.only_tried(Why.NOT_FOR_MODULES) if origin.found else origin
    return replace(origin, proven=purpose.keyring)


MAY_CONTAIN = frozenset({Family.KERNEL, Family.PE, Family.PROGRAM, Family.CONTAINER})
"""Families in which a kernel, and with it its keys, may be found."""

COMPRESSED = frozenset({"gzip", "xz", "zstd", "bzip2", "lz4", "lzop", "lzma", "uki", "uimage", "device-tree"})
"""Containers that hold one stream or one kernel: archives and disk images are not searched."""

WITH_OTHERS = frozenset({"uimage", "device-tree"})
"""Those that may hold an initramfs as well, before or after the kernel: U-Boot's images. So may PE files of
other kinds, and files of an unknown kind."""


def _container(data: bytes, origin: Origin) -> Material:
    """The keys of a kernel that is contained in a file of unknown form. Raises KeySourceError."""
    kind = kind_of(data)
    found = None
    if not origin.found and _may_contain(kind):
        several = kind is None or kind.code in WITH_OTHERS or kind.family is Family.PE
        found = kernel_image.read_container(data, origin, several=several)
    if found is None:
        text = _words(kind, data) if kind else "not a key source of a known kind"
        hint = hint_for("trust", kind) if kind else None
        raise KeySourceError(f"{origin.source}: {text}", code="not-key-source", hint=hint)
    return found


def _words(kind: Kind, data: bytes) -> str:
    """What a file is that is not read, and why, where files of its kind are key sources."""
    if kind.family is not Family.CERTIFICATE:
        return f"{kind.words}, not a key source"
    if b"-----BEGIN " in plain_text(data[:HEAD]):
        return f"{kind.words}, but its BEGIN line is inside another text: save the block as a file of its own"
    return f"{kind.words} in a form that is not read as a key source"


def _may_contain(kind: Kind | None) -> bool:
    if kind is None:
        return True
    if kind.family is Family.CONTAINER:
        return kind.code in COMPRESSED
    return kind.family in MAY_CONTAIN
