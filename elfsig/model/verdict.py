"""Verdicts, and the remarks that accompany them."""

from __future__ import annotations

from enum import StrEnum
from typing import NoReturn

from elfsig.errors import ElfsigError
from elfsig.lazy_tuple import NamedTuple
from elfsig.model.brief import brief


class Verdict(StrEnum):
    """One word per signature or file; it never says more than was established. It has no truth value."""

    VALID = "valid"
    """Matches a key that the user vouches for."""
    UNTRUSTED = "untrusted"
    """Matches a key that was given only to be tried; who holds it is not established."""
    UNKNOWN_KEY = "unknown-key"
    """Well-formed; not made by any of the given keys, or by one that it does not name."""
    INVALID = "invalid"
    """A given key has this key id, or opens the padding, but the signature does not match."""
    UNSUPPORTED = "unsupported"
    """An algorithm or form that cannot be checked."""
    NOT_A_SIGNATURE = "not-a-signature"
    """Proves nothing even when intact (the encrypted digest of 2004)."""
    MALFORMED = "malformed"
    """Remains of a signature that cannot be parsed or are displaced; a damaged ELF."""
    UNSIGNED = "unsigned"
    """No trace of a signature."""
    UNCHECKED = "unchecked"
    """No key source was given."""

    def __bool__(self) -> NoReturn:
        raise TypeError("a verdict has no truth value: compare it, for example with Verdict.VALID")


class Remark(NamedTuple):
    """One observation: ``code`` for machines, ``text`` for people, ``offset`` in the content or None.

    ``hint`` is a stable word for what can be done about it; see :class:`elfsig.errors.ElfsigError`.
    """

    code: str
    text: str
    offset: int | None = None
    hint: str | None = None

    @classmethod
    def of(cls, fault: ElfsigError) -> Remark:
        """What an error says, as a remark of a report."""
        return cls(fault.code, fault.text, fault.offset, fault.hint)

    def __repr__(self) -> str:
        return brief(self)
