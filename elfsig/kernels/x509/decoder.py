"""The kernel's ASN.1 decoder: what it takes for a structure, by a grammar in tables.

It reads neither DER nor BER as these are defined, so that its own rules decide which certificates are refused
(lib/asn1_decoder.c of Linux 4.4 to 6.18; what differs between them is not used by the grammars here):

* the whole input may have 65535 bytes, a length field two bytes after the first; tags have one byte;
* a constructed type of the grammar may be encoded as a primitive one, never the other way round;
* at the end of a structure, a missing field is refused unless it is optional; a missing CHOICE passes where
  another field came before it (measured on 6.18). Before 4.3 (3f3af97d8225) whatever was missing passed;
* a list (SEQUENCE OF, SET OF) has one element or more; where that element is a CHOICE, none will do.
"""

from __future__ import annotations

from collections.abc import Callable

from elfsig.crypto import der
from elfsig.errors import ParseError
from elfsig.lazy_tuple import NamedTuple

LARGEST = 65535
"""Maximum size of what is decoded (-EMSGSIZE above)."""

_CONSTRUCTED, _LONG_TAG = 0x20, 0x1F
_MAX_LENGTH_BYTES = 2
ANY = -1


class Field(NamedTuple):
    """One field of a grammar. ``tag``: its tag byte, or :data:`ANY`. ``inside``: its fields, if it is parsed
    further; with ``many`` a list of them. ``choice``: the fields of which one must be there (``tag`` unused).
    ``action``: the name under which its content is reported.
    """

    name: str
    tag: int = ANY
    inside: tuple[Field, ...] = ()
    optional: bool = False
    many: bool = False
    choice: tuple[Field, ...] = ()
    action: str = ""


class Found(NamedTuple):
    """A field that was found: its tag byte, where it starts, its content ``body:end``, the next one."""

    tag: int
    start: int
    body: int
    end: int
    next: int


Report = Callable[[str, Found], None]


def decode(data: bytes, grammar: tuple[Field, ...], report: Report, *, lenient: bool = False) -> None:
    """Matches ``data`` with ``grammar``; ``report`` gets each action in the kernel's order. What follows the
    structure is ignored. ``lenient``: as before 4.3. Raises ParseError, and whatever ``report`` raises."""
    _Decoder(data, report, lenient).fields(grammar, 0, len(data))


class _Decoder:
    def __init__(self, data: bytes, report: Report, lenient: bool) -> None:
        self._data, self._report, self._lenient = data, report, lenient

    def fields(self, grammar: tuple[Field, ...], at: int, end: int | None) -> int:
        """Matches all of ``grammar`` from ``at``; ``end`` is None inside an indefinite length."""
        start, limit = at, len(self._data) if end is None else end
        for field in grammar:
            if field.choice and at == limit == start and len(grammar) > 1 and not self._lenient:
                raise ParseError(f"expected {field.name}, found the end", offset=at)
            found = self._match(field, at, limit)
            at = at if found is None else found
        return at

    def _match(self, field: Field, at: int, limit: int) -> int | None:
        """Where the field ends; None where it is missing and may be."""
        if field.choice:
            return self._match_choice(field, at, limit)
        if at == limit and (field.optional or self._lenient):
            return None
        tag = self._tag(field, at, limit)
        if field.tag != ANY and (tag ^ field.tag) & ~(field.tag & _CONSTRUCTED):
            if field.optional:
                return None
            raise ParseError(f"expected {field.name}, found tag {tag:#04x}", offset=at)
        return self._take(field, at, limit)

    def _match_choice(self, field: Field, at: int, limit: int) -> int | None:
        if at == limit:
            return None
        for each in field.choice:
            found = self._match(each._replace(optional=True), at, limit)
            if found is not None:
                return found
        raise ParseError(f"expected {field.name}, found tag {self._data[at]:#04x}", offset=at)

    def _tag(self, field: Field, at: int, limit: int) -> int:
        if at >= limit - 1:
            raise ParseError(f"expected {field.name}, found the end", offset=at)
        tag = self._data[at]
        if tag & _LONG_TAG == _LONG_TAG:
            raise ParseError(f"tag {tag:#04x} has more than one byte", offset=at)
        return tag

    def _take(self, field: Field, at: int, limit: int) -> int:
        tag, length = self._data[at], self._data[at + 1]
        body = at + 2
        if length > 0x80:
            count = length & 0x7F
            if count > _MAX_LENGTH_BYTES:
                raise ParseError(f"{field.name} has a length of {count} bytes", offset=at)
            body += count
            length = int.from_bytes(self._data[at + 2 : body])
        elif length == 0x80:
            return self._indefinite(field, at, limit)
        if body > limit or length > limit - body:
            raise ParseError(f"{field.name} is cut off", offset=at)
        end = body + length
        if field.inside:
            self._contents(field, body, end)
        self._done(field, Found(tag, at, body, end, end))
        return end

    def _contents(self, field: Field, at: int, end: int) -> None:
        at = self.fields(field.inside, at, end)
        while field.many and at < end:
            at = self.fields(field.inside, at, end)
        if at != end:
            raise ParseError(f"nothing may follow the fields of {field.name}", offset=at)

    def _indefinite(self, field: Field, at: int, limit: int) -> int:
        tag, body = self._data[at], at + 2
        if not tag & _CONSTRUCTED:
            raise ParseError(f"{field.name} is primitive and has an indefinite length", offset=at)
        if not field.inside:
            node = der.read(self._data, at, limit)
            self._done(field, Found(tag, at, node.body, node.end, node.next))
            return node.next
        end = self.fields(field.inside, body, limit)
        while field.many and self._data[end : end + 1] not in (b"\0", b""):
            end = self.fields(field.inside, end, limit)
        if end + 2 > limit or self._data[end : end + 2] != b"\0\0":
            raise ParseError(f"{field.name} has an indefinite length without an end", offset=at)
        self._done(field, Found(tag, at, body, end, end + 2))
        return end + 2

    def _done(self, field: Field, found: Found) -> None:
        if field.action:
            self._report(field.action, found)
