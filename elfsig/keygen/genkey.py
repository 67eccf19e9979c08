"""The kernel's x509.genkey: the contents of a signing certificate, as a table or an OpenSSL configuration.

The subset of OpenSSL's config(5) and x509v3_config(5) that such files use: sections, ``name = value``,
comments, quotes, continued lines, and ``$name`` or ``${section::name}``. Anything that would
change the certificate and is not supported here is an error; nothing is ignored silently.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from elfsig.crypto.hashes import hash_named
from elfsig.errors import SigningError, UsageError

Sections = Mapping[str, Mapping[str, str]]

CODE_SIGNING = "codeSigning"
MODULE_SIGNING = "1.3.6.1.4.1.2312.16.1.2"
"""Extended key usage for modules only: shim and the distributions' boot loaders refuse such keys."""

NAME_OIDS: Mapping[str, str] = {
    "CN": "2.5.4.3", "commonName": "2.5.4.3", "O": "2.5.4.10", "organizationName": "2.5.4.10",
    "OU": "2.5.4.11", "organizationalUnitName": "2.5.4.11", "C": "2.5.4.6", "countryName": "2.5.4.6",
    "ST": "2.5.4.8", "stateOrProvinceName": "2.5.4.8", "L": "2.5.4.7", "localityName": "2.5.4.7",
    "emailAddress": "1.2.840.113549.1.9.1", "serialNumber": "2.5.4.5",
}  # fmt: skip

EXTENSIONS = (
    "basicConstraints", "keyUsage", "extendedKeyUsage", "subjectKeyIdentifier", "authorityKeyIdentifier",
    "nsComment",
)  # fmt: skip

_DEFAULT_SECTION = "default"
_HEADING = re.compile(r"\[(.*)\]")
_NUMBER = re.compile(r"[0-9]{1,9}")
MAX_VALUE, MAX_VALUES = 1 << 16, 1 << 20
"""Characters of one value, as in OpenSSL (MAX_CONF_VALUE_LENGTH), and of all, with variables expanded."""

_VARIABLE = re.compile(r"\$(?:\{([^}]{0,255})\}|\(([^)]{0,255})\)|((?:\w+::)?\w+))")


class Genkey(NamedTuple):
    """What goes into a certificate. ``subject`` is (OID, text) in order; ``extensions`` name to value, in
    x509v3_config(5) syntax, in order. ``bits`` and ``hash`` are None where the file does not set them.
    """

    subject: tuple[tuple[str, str], ...]
    extensions: tuple[tuple[str, str], ...]
    bits: int | None = None
    hash: str | None = None

    def with_common_name(self, name: str) -> Genkey:
        """A copy with this common name, replacing the old one or appended."""
        oid = NAME_OIDS["CN"]
        rest = tuple(each for each in self.subject if each[0] != oid)
        return self._replace(subject=(*rest, (oid, name)))

    def with_usage(self, *usages: str) -> Genkey:
        """A copy with these extended key usages added to the existing ones."""
        there = dict(self.extensions)
        words = [word.strip() for word in there.get("extendedKeyUsage", "").split(",") if word.strip()]
        there["extendedKeyUsage"] = ", ".join([*words, *(each for each in usages if each not in words)])
        return self._replace(extensions=tuple(there.items()))


KERNEL = Genkey(
    subject=((NAME_OIDS["CN"], "Kernel module signing key"),),
    extensions=(
        ("basicConstraints", "critical, CA:FALSE"),
        ("keyUsage", "digitalSignature"),
        ("subjectKeyIdentifier", "hash"),
        ("authorityKeyIdentifier", "keyid"),
    ),
)
"""The extensions of certs/default_x509.genkey."""


def read(text: str, name: str) -> Genkey:
    """Parse the configuration ``text``; ``name`` is the file name, for messages. Raises UsageError."""
    try:
        return _genkey(_sections(text))
    except _Fault as fault:
        raise UsageError(f"{name}: {fault}", code="genkey") from None


class _Fault(Exception):
    """What is wrong with the file, in words."""


def _genkey(sections: Sections) -> Genkey:
    request = sections.get("req")
    if request is None:
        raise _Fault("there is no [req] section")
    bits, digest = request.get("default_bits"), request.get("default_md")
    if bits is not None and not _NUMBER.fullmatch(bits):
        raise _Fault(f"default_bits is not a number: {bits!r}")
    usual = request.get("string_mask", "utf8only")
    if usual not in ("utf8only", "default", "nombstr", "pkix"):
        raise _Fault(f"string_mask {usual!r} is not known")
    return Genkey(
        tuple(_subject(_section(sections, request, "distinguished_name"))),
        tuple(_extensions(_section(sections, request, "x509_extensions"))),
        int(bits) if bits else None,
        _hash(digest) if digest and digest != "default" else None,
    )


def _hash(name: str) -> str:
    try:
        return hash_named(name).name
    except SigningError as fault:
        raise _Fault(f"default_md: {fault}") from None


def _section(sections: Sections, request: Mapping[str, str], key: str) -> Mapping[str, str]:
    name = request.get(key)
    if name is None:
        raise _Fault(f"[req] has no {key}")
    if name not in sections:
        raise _Fault(f"{key} names the section {name!r}, which does not exist")
    return sections[name]


_PROMPTS = ("_default", "_min", "_max", "_value")
"""Suffixes of options that only control prompting."""


def _subject(section: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in section.items():
        if name.endswith(_PROMPTS):
            continue
        word = re.sub(r"^\d+\.", "", name)
        oid = NAME_OIDS.get(word) or (word if re.fullmatch(r"\d+(\.\d+)+", word) else None)
        if oid is None:
            raise _Fault(f"field {name!r} of a name is not known: choose from {', '.join(NAME_OIDS)}")
        if value:
            yield oid, value


def _extensions(section: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in section.items():
        if name not in EXTENSIONS:
            raise _Fault(f"extension {name!r} is not known: choose from {', '.join(EXTENSIONS)}")
        yield name, value


# --------------------------------------------------------------------------- the file's own form


def _sections(text: str) -> Sections:
    found: dict[str, dict[str, str]] = {_DEFAULT_SECTION: {}}
    current, room = found[_DEFAULT_SECTION], MAX_VALUES
    for number, line in _lines(text):
        heading = _HEADING.fullmatch(line)
        if heading and (section := heading[1].strip()):
            current = found.setdefault(section, {})
            continue
        name, equals, value = line.partition("=")
        if not equals or not name.strip():
            raise _Fault(f"line {number} is neither a [section] nor NAME = VALUE")
        current[name.strip()] = expanded = _expanded(_unquoted(value.strip()), current, found)
        room -= len(expanded)
        if room < 0:
            raise _Fault(
                f"line {number}: its values are more than {MAX_VALUES} characters with all variables"
            )
    return found


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Non-empty lines, without comments and with continuations joined; numbered from 1."""
    kept: list[str] = []
    for number, line in enumerate(text.split("\n"), 1):
        piece = _uncommented(line).rstrip()
        kept.append(piece.removesuffix("\\"))
        if piece.endswith("\\"):
            continue
        whole = "".join(kept).strip()
        kept.clear()
        if whole:
            yield number, whole


def _uncommented(line: str) -> str:
    quote = ""
    for at, char in enumerate(line):
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char == "#" and line[at - 1 : at] != "\\":
            return line[:at]
    return line


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] in "\"'" and value[-1] == value[0]:
        return value[1:-1]
    return value.replace("\\#", "#")


def _expanded(value: str, current: Mapping[str, str], sections: Sections) -> str:
    """``value`` with variables expanded. Environment variables are left alone: no used value has any."""

    put = 0

    def put_in(match: re.Match[str]) -> str:
        nonlocal put
        name = match[1] or match[2] or match[3] or ""
        section, colons, word = name.rpartition("::")
        if section == "ENV":
            return match[0]
        default = {} if colons else sections[_DEFAULT_SECTION]
        text = (sections.get(section, {}) if colons else current).get(word, default.get(word))
        if text is None:
            raise _Fault(f"variable {match[0]} has no value")
        put += len(text)
        if put > MAX_VALUE:
            raise _Fault(f"a value is more than {MAX_VALUE} characters after variables are expanded")
        return text

    return _VARIABLE.sub(put_in, value)
