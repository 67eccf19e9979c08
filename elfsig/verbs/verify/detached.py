"""Signatures that are kept outside the module: in a file (``.p7s``, ``.sig``) or a module argument."""

from __future__ import annotations

from elfsig.carriers.detached import argument_place, file_place
from elfsig.elf.image import Image
from elfsig.errors import ParseError, UsageError
from elfsig.model import Envelope, Format, Place, optional
from elfsig.opened.module import Module
from elfsig.opened.places import LocatedSignature
from elfsig.recognition.kinds import Family, hint_for
from elfsig.recognition.late import recognized
from elfsig.verbs.verify.examine import Outside

NOT_SIGNATURES = frozenset({
    Family.CERTIFICATE, Family.PRIVATE_KEY, Family.FOREIGN_KEY, Family.REQUEST, Family.REPORT, Family.PROGRAM,
})  # fmt: skip
"""Families that no raw signature value is taken for by chance."""


def from_file(blob: bytes) -> Outside:
    """``blob`` as a signature of any form: every format that can parse it may claim it.

    Raises UsageError for a file that is known to be something else, such as a certificate.
    """
    kind = recognized(blob)
    if kind is not None and kind.family in NOT_SIGNATURES:
        raise UsageError(
            f"{kind.words}, not a signature", code="not-a-signature-file", hint=hint_for("signature", kind)
        )

    def place(module: Module) -> LocatedSignature:
        return _found(module, blob)

    return place


def from_argument(argument: str) -> Outside:
    """The signature in a module argument string (``modsign=...``).

    Raises ParseError at once for a malformed one, with the offset in the string.
    """
    argument_place(Image(b""), argument)

    def place(module: Module) -> LocatedSignature:
        known = argument_place(module.image, argument)
        return LocatedSignature(0, module.image, known, module.registry.claimants(known))

    return place


def _found(module: Module, data: bytes) -> LocatedSignature:
    """The signature as parsed by the first envelope that can, and every format that parses it the same."""
    verifying = [f for f in module.registry.formats if "verify" in f.capabilities]
    blob = next((b for f in verifying for pair in f.pairs if (b := _blob(pair.envelope, data))), data)
    place = file_place(module.image, blob)
    return LocatedSignature(0, module.image, place, tuple(f for f in verifying if _parses(f, place)))


def _blob(envelope: Envelope, data: bytes) -> bytes | None:
    """What ``envelope`` parses in a file that holds only the signature; None where it cannot."""
    try:
        blob = optional.from_file(envelope, data)
        envelope.parse(blob, None)
    except ParseError:
        return None
    return blob


def _parses(format_: Format, place: Place) -> bool:
    return any(_reads(pair.envelope, place) for pair in format_.pairs)


def _reads(envelope: Envelope, place: Place) -> bool:
    try:
        envelope.parse(place.blob, place.params)
    except ParseError:
        return False
    return True
