"""The values of a policy's keys: each check gives the value as the model has it, or says what is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from difflib import get_close_matches
from typing import Any, Final, TypeVar

from elfsig.crypto.hashes import HASHES
from elfsig.errors import ElfsigError, KeySourceError
from elfsig.kernels.catalogue import ALIASES, PROFILES
from elfsig.kernels.profile import Mode
from elfsig.kernels.select import AUTO, RELEASE, for_kernel
from elfsig.registry import Registry
from elfsig.trust.keyring import MERKLE, PIN, pin_digest
from elfsig.verbs.audit.rules import RULES
from elfsig.verbs.policy.model import SignerDemand
from elfsig.verbs.policy.pattern import Pattern, PatternError, name_pattern, pattern

T = TypeVar("T")

PLACEHOLDERS: Final = ("root", "release", "host", "kernel")
MODES: Final = ("enforce", "lockdown", "fips", "secure-boot")
EVERY: Final = "every"
ALGORITHMS: Final = ("rsa", "dsa", "ecdsa")
MAX_BITS: Final = 1 << 16
_BRACES: Final = re.compile(r"\{([^{}]*)\}|[{}]")
_HEX: Final = re.compile(r"(?:[0-9a-f]{2}:?)*[0-9a-f]{2}|[0-9a-f]+")
_SHOWN: Final = 60


class ValueFault(ValueError):
    """A value is not what its key takes; the message says what it should be."""


def said(value: object) -> str:
    """A value for a message, not too long."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def suggestion(word: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown word."""
    every = list(known)
    close = get_close_matches(word, every, n=2)
    return f"did you mean {' or '.join(close)}?" if close else f"choose from {', '.join(every)}"


def text(value: object) -> str:
    """A text that is not empty."""
    if not isinstance(value, str):
        raise ValueFault(f"{said(value)} is not a text")
    if not value.strip():
        raise ValueFault("it is empty")
    return value


def path_pattern(value: object) -> Pattern:
    """A pattern of paths or names."""
    return _pattern(pattern, value)


def host_pattern(value: object) -> re.Pattern[str]:
    """A pattern of the names of hosts, or of releases."""
    return _pattern(name_pattern, value)


def _pattern(parse: Callable[[str], T], value: object) -> T:
    try:
        return parse(text(value))
    except PatternError as reason:
        raise ValueFault(f"{said(value)} is not a pattern: {reason}") from None


def module(value: object) -> str:
    """The name of a module as kernels write it."""
    found = text(value).replace("-", "_")
    if not re.fullmatch(r"[A-Za-z0-9_.+]+", found):
        raise ValueFault(f"{said(value)} is not the name of a module")
    return found


def source(value: object) -> str:
    """A key source, with known placeholders only."""
    found = text(value)
    for match in _BRACES.finditer(found):
        if match[1] is None:
            raise ValueFault(f"{said(found)} has a brace that is not part of a placeholder")
        if match[1] not in PLACEHOLDERS:
            raise ValueFault(f"{{{match[1]}}} is not a placeholder; {suggestion(match[1], PLACEHOLDERS)}")
    if found.startswith(PIN):
        try:
            pin_digest(found)
        except KeySourceError as reason:
            raise ValueFault(reason.text) from None
    elif found.startswith(MERKLE) and "{" in found:
        raise ValueFault("a root of module hashes has no placeholders")
    return found


def format_id(registry: Registry) -> Callable[[object], str]:
    """The id of a format, of which the alias may be given."""
    known = {name.lower(): each.id for each in registry.formats for name in (each.id, *each.aliases)}

    def check(value: object) -> str:
        word = text(value)
        if word.lower() not in known:
            names = [each.id for each in registry.formats]
            raise ValueFault(f"{said(word)} is not a format; {suggestion(word, names)}")
        return known[word.lower()]

    return check


def hash_name(value: object) -> str:
    """The name of a hash."""
    return _one_of(HASHES, "a hash")(text(value).lower())


def rule_id(value: object) -> str:
    """The id of one of audit's rules."""
    return _one_of(RULES, "a rule of audit")(value)


def mode_word(value: object) -> str:
    """A word for a mode of a kernel."""
    return _one_of((*MODES, EVERY), "a mode")(value)


def _one_of(known: Iterable[str], what: str) -> Callable[[object], str]:
    names = list(known)

    def check(value: object) -> str:
        word = text(value)
        if word not in names:
            raise ValueFault(f"{said(word)} is not {what}; {suggestion(word, names)}")
        return word

    return check


def kernel(value: object) -> str:
    """A kernel: an id, a release, "auto", or an image with placeholders."""
    word = source(value)
    if word == AUTO or word in PROFILES or word in ALIASES or "{" in word or "/" in word:
        return word
    if RELEASE.match(word):
        try:
            for_kernel(word)
        except ElfsigError as reason:
            raise ValueFault(reason.text) from None
        return word
    known = (AUTO, *PROFILES, *ALIASES)
    close = get_close_matches(word, known, n=2)
    end = f"did you mean {' or '.join(close)}?" if close else "name an id, a release, an image, or auto"
    raise ValueFault(f"{said(word)} is not a kernel; {end}")


def day(value: object) -> date:
    """A date, as TOML has it or as a text."""
    if isinstance(value, datetime):
        raise ValueFault(f"{said(str(value))} is a time, not a date such as 2027-01-31")
    if isinstance(value, date):
        return value
    try:
        if not isinstance(value, str) or not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
            raise ValueError("another form of ISO 8601")
        return date.fromisoformat(value)
    except ValueError:
        raise ValueFault(f"{said(value)} is not a date such as 2027-01-31") from None


def sha256(value: object) -> str:
    """A SHA-256 in hex."""
    found = text(value).lower()
    if not re.fullmatch(r"[0-9a-f]{64}", found):
        raise ValueFault(f"{said(value)} is not a SHA-256: 64 hexadecimal digits")
    return found


def bits(value: object) -> Mapping[str, int]:
    """The smallest size of keys by algorithm."""
    if not isinstance(value, dict):
        raise ValueFault(f"{said(value)} is not a table such as {{ rsa = 3072 }}")
    for name, size in value.items():
        if name not in ALGORITHMS:
            raise ValueFault(f"{said(name)} has no sizes; {suggestion(name, ALGORITHMS)}")
        if type(size) is not int or not 0 < size <= MAX_BITS:
            raise ValueFault(f"{name}: {said(size)} is not a size in bits, from 1 to {MAX_BITS}")
    if not value:
        raise ValueFault("it is empty")
    return dict(value)


def signer(value: object) -> SignerDemand:
    """Who has to have signed: a table, or the name as a text."""
    if isinstance(value, str):
        value = {"name": value}
    if not isinstance(value, dict):
        raise ValueFault(f'{said(value)} is not a table such as {{ name = "..." }}')
    known = ("name", "fingerprint", "serial")
    for key in value:
        if key not in known:
            raise ValueFault(f"unknown key {said(key)}; {suggestion(key, known)}")
    if not value:
        raise ValueFault("it is empty")
    name, fingerprint, serial = (value.get(key) for key in known)
    return SignerDemand(
        None if name is None else _name(name),
        None if fingerprint is None else _digits(fingerprint, "a fingerprint", (40, 64)),
        None if serial is None else _digits(serial, "a serial number", None),
    )


def _name(value: object) -> str:
    host_pattern(value)
    return text(value)


def _digits(value: object, what: str, sizes: tuple[int, ...] | None) -> str:
    """Hexadecimal digits, with colons or without; of a number, without leading zeros."""
    found = text(value).lower()
    if not _HEX.fullmatch(found):
        raise ValueFault(f"{said(value)} is not {what} in hexadecimal digits")
    plain = found.replace(":", "")
    if sizes is None:
        return plain.lstrip("0") or "0"
    if len(plain) not in sizes:
        raise ValueFault(f"{said(value)} is not {what}: SHA-256 has 64 digits, SHA-1 has 40")
    return plain


def mode_of(words: Iterable[str]) -> tuple[Mode, bool]:
    """The mode that words describe, and whether it is every mode."""
    given = frozenset(words)
    return Mode(*(word in given for word in MODES)), EVERY in given


Check = Callable[[Any], Any]
