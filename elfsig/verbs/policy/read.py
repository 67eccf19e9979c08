"""A policy from the bytes of a TOML file. Every mistake is named with its line, all of them at once."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Final

from elfsig.errors import UsageError
from elfsig.lazy_tuple import NamedTuple
from elfsig.registry import Registry
from elfsig.verbs.policy import fields
from elfsig.verbs.policy.contradictions import contradictions
from elfsig.verbs.policy.fields import Check, ValueFault
from elfsig.verbs.policy.lines import KeyPath, key_lines
from elfsig.verbs.policy.model import Exemption, ModuleRule, Policy
from elfsig.verbs.policy.pattern import Pattern

VERSION: Final = 1
MAX_SIZE: Final = 1 << 20
MAX_LINE: Final = 4096
MAX_RULES: Final = 256
MAX_EXCEPTIONS: Final = 4096
MAX_SHOWN: Final = 50
"""Mistakes that an error names; further ones are counted."""


class Mistake(NamedTuple):
    """One mistake: ``line`` from 1, 0 where it is not known; ``key`` as it stands in the file."""

    line: int
    key: str
    text: str

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line else ""
        return f"{where}{self.key}: {self.text}" if self.key else f"{where}{self.text}"


class PolicyError(UsageError):
    """A policy has mistakes: ``mistakes`` are all of them, in the order of their lines.

    ``lines`` are those of the text, one for a mistake.
    """

    source: str
    mistakes: tuple[Mistake, ...]
    lines: tuple[str, ...]

    default_code = "policy"

    def __init__(self, source: str, mistakes: Sequence[Mistake]) -> None:
        shown = [f"{source}: {each}" for each in mistakes[:MAX_SHOWN]]
        if len(mistakes) > MAX_SHOWN:
            shown.append(f"{source}: and {len(mistakes) - MAX_SHOWN} more mistakes")
        super().__init__("\n".join(shown), code="policy")
        self.source, self.mistakes, self.lines = source, tuple(mistakes), tuple(shown)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.source, self.mistakes)


def read_policy(data: bytes, source: str, registry: Registry, folder: str = "") -> Policy:
    """The policy in ``data``. ``source`` names it; relative key sources start from ``folder``.

    Raises PolicyError with every mistake; only a mistake in the syntax hides others.
    """
    text, document = _parsed(data, source)
    reader = _Reader(document, key_lines(text), registry)
    policy = Policy(source, folder, reader.rules(), reader.exceptions())
    reader.mistakes += [Mistake(line, "", said) for line, said in contradictions(policy)]
    if reader.mistakes:
        raise PolicyError(source, sorted(set(reader.mistakes)))
    return policy


def _parsed(data: bytes, source: str) -> tuple[str, dict[str, Any]]:
    """The text, and what tomllib makes of it. Raises PolicyError."""
    if len(data) > MAX_SIZE:
        raise PolicyError(source, [Mistake(0, "", f"it is larger than {MAX_SIZE} bytes")])
    long = next((n for n, each in enumerate(data.split(b"\n"), 1) if len(each) > MAX_LINE), None)
    if long is not None:
        raise PolicyError(source, [Mistake(long, "", f"the line is longer than {MAX_LINE} bytes")])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as reason:
        line = data.count(b"\n", 0, reason.start) + 1
        raise PolicyError(source, [Mistake(line, "", "it is not UTF-8")]) from None
    try:
        document = tomllib.loads(text)
        key_lines(text)
    except tomllib.TOMLDecodeError as reason:
        raise PolicyError(source, [Mistake(0, "", f"not TOML: {reason}")]) from None
    except RecursionError:
        raise PolicyError(source, [Mistake(0, "", "a value is nested too deeply")]) from None
    except ValueError as reason:  # a number or a date beyond what Python has
        raise PolicyError(source, [Mistake(0, "", f"not TOML: {reason}")]) from None
    return text, document


class _Field(NamedTuple):
    """A key: how its values are checked. ``many``: it takes one value or an array of them."""

    check: Check
    many: bool = False
    required: bool = False


class _Reader:
    """Reads a document, and collects what is wrong with it."""

    def __init__(self, document: Mapping[str, Any], lines: Mapping[KeyPath, int], registry: Registry) -> None:
        self.document, self.lines = document, lines
        self.mistakes: list[Mistake] = []
        format_id = fields.format_id(registry)
        places = {"path": _Field(fields.path_pattern, True), "host": _Field(fields.host_pattern, True)}
        self._rule: Mapping[str, _Field] = {
            "path": _Field(fields.path_pattern, True, True), "host": places["host"],
            "release": _Field(fields.host_pattern, True), "trust": _Field(fields.source, True, True),
            "keys": _Field(fields.source, True), "formats": _Field(format_id, True),
            "hashes": _Field(fields.hash_name, True), "min-key-bits": _Field(fields.bits),
            "signer": _Field(fields.signer, True), "kernel": _Field(fields.kernel),
            "mode": _Field(fields.mode_word, True), "ignore": _Field(fields.rule_id, True),
        }  # fmt: skip
        self._exception: Mapping[str, _Field] = {
            **places, "name": _Field(fields.module, True), "sha256": _Field(fields.sha256, True),
            "rules": _Field(fields.rule_id, True, True), "reason": _Field(fields.text, False, True),
            "expires": _Field(fields.day, False, True),
        }  # fmt: skip

    def rules(self) -> tuple[ModuleRule, ...]:
        """The rules; also checks what stands at the top. Those with mistakes are left out."""
        for key in self.document:
            if key not in ("version", "rule", "exception"):
                known = ("version", "rule", "exception")
                self._wrong((key,), f"unknown key; {fields.suggestion(key, known)}")
        version = self.document.get("version", VERSION)
        if version != VERSION or isinstance(version, bool):
            self._wrong(("version",), f"{fields.said(version)} is not a version that is known: {VERSION}")
        found = [self._rule_of(at, table) for at, table in self._tables("rule", MAX_RULES)]
        if not self.document.get("rule", []):
            self._wrong((), "there is no [[rule]]")
        return tuple(each for each in found if each is not None)

    def exceptions(self) -> tuple[Exemption, ...]:
        """The exceptions without those that have mistakes."""
        found = [self._exception_of(at, table) for at, table in self._tables("exception", MAX_EXCEPTIONS)]
        return tuple(each for each in found if each is not None)

    def _tables(self, name: str, most: int) -> list[tuple[KeyPath, Mapping[str, Any]]]:
        found = self.document.get(name, [])
        if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
            self._wrong((name,), f"it is not an array of tables: write [[{name}]]")
            return []
        if len(found) > most:
            self._wrong((name, most), f"more than {most} of them")
        return [((name, number), each) for number, each in enumerate(found[:most])]

    def _rule_of(self, at: KeyPath, table: Mapping[str, Any]) -> ModuleRule | None:
        given = self._values(at, table, self._rule)
        if given is None:
            return None
        mode, every = fields.mode_of(given.get("mode", ()))
        if "mode" in given and "kernel" not in given:
            self._wrong((*at, "mode"), "a mode without a kernel")
        if every and len(given["mode"]) > 1:
            self._wrong((*at, "mode"), f"{fields.EVERY} and one mode contradict each other")
        return ModuleRule(
            given["path"], given["trust"], given.get("keys", ()), given.get("host", ()),
            given.get("release", ()), frozenset(given.get("formats", ())), frozenset(given.get("hashes", ())),
            given.get("min-key-bits"), given.get("signer", ()), given.get("kernel"), mode, every,
            frozenset(given.get("ignore", ())), self._line(at),
        )  # fmt: skip

    def _exception_of(self, at: KeyPath, table: Mapping[str, Any]) -> Exemption | None:
        given = self._values(at, table, self._exception)
        if not table.keys() & {"path", "name", "sha256"}:
            self._wrong(at, "it names no modules: give path, name or sha256")
        if given is None:
            return None
        paths: tuple[Pattern, ...] = given.get("path", ())
        expires: date = given["expires"]
        return Exemption(
            frozenset(given["rules"]), given["reason"], expires, paths, frozenset(given.get("name", ())),
            frozenset(given.get("sha256", ())), given.get("host", ()), self._line(at),
        )  # fmt: skip

    # ------------------------------------------------------------------ one table

    def _values(
        self, at: KeyPath, table: Mapping[str, Any], known: Mapping[str, _Field]
    ) -> dict[str, Any] | None:
        """The checked values of a table; None where it has mistakes."""
        before = len(self.mistakes)
        for key in table.keys() - known.keys():
            self._wrong((*at, key), f"unknown key; {fields.suggestion(key, known)}")
        for key, field in known.items():
            if field.required and key not in table:
                self._wrong(at, f"{key} is missing")
        found = {
            key: self._checked((*at, key), value, known[key]) for key, value in table.items() if key in known
        }
        return found if len(self.mistakes) == before else None

    def _checked(self, at: KeyPath, value: Any, field: _Field) -> Any:
        if not field.many:
            return self._one(at, value, field.check)
        if not isinstance(value, list):
            return (self._one(at, value, field.check),)
        if not value:
            self._wrong(at, "the array is empty")
        found = [self._one((*at, number), each, field.check) for number, each in enumerate(value)]
        seen: set[str] = set()
        for number, each in enumerate(map(repr, value)):
            if each in seen:
                self._wrong((*at, number), f"{fields.said(value[number])} is there twice")
            seen.add(each)
        return tuple(found)

    def _one(self, at: KeyPath, value: Any, check: Check) -> Any:
        try:
            return check(value)
        except ValueFault as reason:
            self._wrong(at, str(reason))
            return None

    def _wrong(self, at: KeyPath, text: str) -> None:
        key = next((each for each in reversed(at) if isinstance(each, str)), "")
        self.mistakes.append(Mistake(self._line(at), key, text))

    def _line(self, at: KeyPath) -> int:
        """The line of a key, or that of what it is in."""
        while at and at not in self.lines:
            at = at[:-1]
        return self.lines.get(at, 1)


def folder_of(path: str) -> str:
    """The directory that relative key sources of a policy start from."""
    return os.path.dirname(os.path.abspath(path))
