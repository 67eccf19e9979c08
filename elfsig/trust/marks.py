"""What the text before a PEM block says against trusting its key: that it is revoked, embedded or recovered.

elfsig writes these lines when it writes such keys, so that they keep their status in a separate file.
Line ends, blanks, a byte-order mark and what a line is quoted with ("#", ">", "//", nothing) make no
difference, nor does damage to one of the lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from elfsig.lazy_dataclass import replace
from elfsig.model import Key, Remark, Why
from elfsig.trust.entries import REVOKED, Origin

RECOVERED = "recovered, not published"
SIGNER_OF = "same signer as "
_QUOTING = bytes(byte for byte in range(256) if not (byte < 128 and chr(byte).isalnum()))
NOBODY = "Nobody vouches for this key"
NAMES_SHOWN = 8
_WORDS = (
    (re.compile(rb"recovered(?:[,:]|$)"), Why.RECOVERED),
    (re.compile(SIGNER_OF.encode()), Why.RECOVERED),
    (re.compile(NOBODY.lower().encode()), Why.RECOVERED),
    (re.compile(rb"revoked(?![a-z0-9])"), Why.REVOKED),
    (re.compile(rb"embedded(?: in |[,:]|$)"), Why.EMBEDDED),
)
"""How a line begins. That a key is revoked is taken from any line with the word at its beginning; the others
are elfsig's own lines, and no headings such as "Embedded Systems CA"."""


class Marks:
    """The marks found since the last PEM block, and the files that a recovered key is the signer of."""

    def __init__(self) -> None:
        self.found: set[Why] = set()
        self.names: list[str] = []
        self.more: int = 0

    def read(self, line: bytes) -> None:
        """Take a line of text into account."""
        text = line.lstrip(_QUOTING).rstrip()
        low = text[:64].lower()
        self.found.update(why for words, why in _WORDS if words.match(low))
        if low.startswith(SIGNER_OF.encode()):
            self._name(text[len(SIGNER_OF) :])

    def _name(self, name: bytes) -> None:
        if len(self.names) < NAMES_SHOWN:
            self.names.append(name.decode(errors="replace"))
        else:
            self.more += 1

    def origin(self, origin: Origin) -> Origin:
        """The origin of a key with these marks."""
        if Why.REVOKED in self.found:
            return replace(origin, keyring=REVOKED)
        why = next((each for each in (Why.RECOVERED, Why.EMBEDDED) if each in self.found), None)
        return origin if why is None else replace(origin, why=why, proven=None)

    def key(self, key: Key) -> Key:
        """A key with these marks: one that was recovered is named for what it signed."""
        if Why.RECOVERED not in self.found:
            return key
        more = [f"{self.more} more"] if self.more else []
        label = SIGNER_OF + ", ".join([*self.names, *more]) if self.names else RECOVERED
        text = "the key was recovered from signatures: who holds it is not known"
        return replace(key, label=label, remarks=(*key.remarks, Remark("key-recovered", text)))


def recovered_text(names: Iterable[str], facts: Iterable[str] = ()) -> bytes:
    """The text before the PEM block of a key that was computed from the signatures in these files."""
    lines = [RECOVERED, *(SIGNER_OF + _one_line(name) for name in names), *facts]
    lines.append(f"{NOBODY}: it was computed from the signatures that it verifies.")
    return _comment(lines)


def text_of(key: Key) -> bytes:
    """The text before the PEM block of a key that must not be trusted, b"" for others."""
    if key.revoked or key.revoked_by:
        source = _one_line(key.revoked_by or key.source)
        return _comment([f"revoked, by {source}", "revoked: elfsig takes this entry for a revocation."])
    if key.why is Why.RECOVERED:
        return recovered_text([key.label.removeprefix(SIGNER_OF)] if key.label.startswith(SIGNER_OF) else [])
    if not key.vouched:
        source = _one_line(key.source)
        lines = [f"embedded in {source}: {key.why.text}", "embedded: elfsig never takes it for trusted."]
        return _comment(lines)
    return b""


def _comment(lines: Iterable[str]) -> bytes:
    return "".join(f"# {line}\n" for line in lines).encode()


def _one_line(name: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in name)
