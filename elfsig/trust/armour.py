"""OpenPGP key rings as files hold them: binary, or in ASCII armour (RFC 4880 6.2) with whatever text around.

Like PEM, the text may have a byte-order mark or be UTF-16, and what is in it and is not read is told.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from elfsig.envelopes.openpgp.keys import armour_blocks, is_armoured
from elfsig.envelopes.openpgp.packets import (
    PUBLIC_KEY,
    PUBLIC_SUBKEY,
    SECRET_KEY,
    SECRET_SUBKEY,
    read_packet,
)
from elfsig.errors import ParseError
from elfsig.recognition.text import plain_text

KEYS = frozenset({PUBLIC_KEY, PUBLIC_SUBKEY, SECRET_KEY, SECRET_SUBKEY})
MARKER, MARK = 10, b"PGP"
"""A packet that "MUST be ignored when received" (RFC 4880 5.8): PGP 5 warned older ones with it."""

MAX_MARKERS = 16
TEXT_LIMIT = 1 << 20
"""How far to search for the first armour of a text."""

_VERSIONS = frozenset({b"\2", b"\3", b"\4", b"\5", b"\6"})
"""Of these 2 to 4 can be read (RFC 4880); keys of versions 5 and 6 (RFC 9580) are told."""

_HEAD = 4096
_FIRST = re.compile(rb"(?:^|[\r\n])[ \t]*-----BEGIN PGP (?:PUBLIC|PRIVATE) KEY BLOCK-----")
_LINE = re.compile(rb"[^\n]+")
_BOUNDARY = re.compile(rb"-----(BEGIN|END) PGP [A-Z0-9 ,/]{1,64}-----")
_STRAY = (
    (re.compile(rb"[\0-\x07\x0b\x0e-\x19\x1c-\x1f\x7f]"), "bytes that are not text"),
    (re.compile(rb"(?:BEGIN|END) PGP "), "the damaged boundary of an armour"),
)


def is_ring(data: bytes) -> bool:
    """Whether ``data`` begins like a key ring, or is a text with an armour in it."""
    if _begins_with_key(data):
        return True
    head = plain_text(data[:TEXT_LIMIT])
    return is_armoured(head[:_HEAD]) or (b"\0" not in head[:512] and _FIRST.search(head) is not None)


def _begins_with_key(data: bytes) -> bool:
    at = 0
    try:
        for _ in range(MAX_MARKERS):
            first = read_packet(data, at, lenient=True)
            if (first.tag, first.body) != (MARKER, MARK):
                return first.tag in KEYS and first.body[:1] in _VERSIONS
            at = first.end
    except ParseError:
        return False
    return False


def rings(data: bytes) -> tuple[list[tuple[str, bytes]], list[ParseError]]:
    """Every ring in ``data`` as (kind of armour, binary), and what is wrong with the others.

    The kind of a ring that has no armour is "".
    """
    if _begins_with_key(data):
        return [("", data)], []
    text = plain_text(data)
    if not is_armoured(text):
        return [("", data)], []
    blocks, faults = armour_blocks(text)
    return blocks, [*faults, *_around(text)]


def _around(text: bytes) -> Iterator[ParseError]:
    """What is outside of all armour and may be a key: once for each stretch of text."""
    inside = told = False
    for found in _LINE.finditer(text):
        line = found[0].strip()
        boundary = _BOUNDARY.fullmatch(line)
        if boundary:
            inside, told = boundary[1] == b"BEGIN", False
        elif not inside and not told:
            why = next((why for stray, why in _STRAY if stray.search(line.strip(b"\0"))), None)
            told = why is not None
            if why is not None:
                yield ParseError(why, offset=found.start())
