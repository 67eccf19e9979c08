"""Signatures that are kept outside of the module: in a file (``.p7s``, ``.sig``) or a module argument."""

from __future__ import annotations

from elfsig.carriers.detached import argument_place, file_place
from elfsig.elf.image import Image
from elfsig.errors import ParseError
from elfsig.model import Envelope, Format, Place
from elfsig.opened.places import Found
from elfsig.registry import Registry
from elfsig.verbs.verify.examine import Outside


def from_file(blob: bytes) -> Outside:
    """The signature that ``blob`` is, whatever its form: every format that can parse it may claim it."""

    def place(image: Image, registry: Registry) -> Found:
        return _found(image, file_place(image, blob), registry)

    return place


def from_argument(argument: str) -> Outside:
    """The signature in a module argument string (``modsign=...``).

    Raises ParseError at once for a malformed one, with the offset in the string.
    """
    argument_place(Image(b""), argument)

    def place(image: Image, registry: Registry) -> Found:
        known = argument_place(image, argument)
        return Found(0, image, known, registry.claimants(known))

    return place


def _found(image: Image, place: Place, registry: Registry) -> Found:
    claimants = tuple(f for f in registry.formats if "verify" in f.capabilities and _parses(f, place))
    return Found(0, image, place, claimants)


def _parses(format_: Format, place: Place) -> bool:
    return any(_reads(pair.envelope, place) for pair in format_.pairs)


def _reads(envelope: Envelope, place: Place) -> bool:
    try:
        envelope.parse(place.blob, place.params)
    except ParseError:
        return False
    return True
