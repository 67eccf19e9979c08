"""Kernel configuration files: read and change which key and hash they select.

The options are those of certs/Kconfig and kernel/module/Kconfig. Editing touches the lines of these options
and no others; what is already right is kept byte for byte.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from elfsig.crypto.hashes import HASHES
from elfsig.errors import ReadError, UsageError
from elfsig.keygen.kinds import BY_CONFIG, Kind
from elfsig.opened.source import read_whole, system_text

MODULE_KEY = "CONFIG_MODULE_SIG_KEY"
TRUSTED_KEYS = "CONFIG_SYSTEM_TRUSTED_KEYS"
HASH = "CONFIG_MODULE_SIG_HASH"
KEY_TYPE = "CONFIG_MODULE_SIG_KEY_TYPE_"
HASH_CHOICE = "CONFIG_MODULE_SIG_"

HASH_CHOICES: Mapping[str, str] = {
    "sha1": "SHA1", "sha224": "SHA224", "sha256": "SHA256", "sha384": "SHA384", "sha512": "SHA512",
    "sha3-256": "SHA3_256", "sha3-384": "SHA3_384", "sha3-512": "SHA3_512",
}  # fmt: skip

MAX_SIZE = 16 << 20

T = TypeVar("T")


class Config(NamedTuple):
    """One configuration file as it was read."""

    path: str
    text: str

    def value(self, option: str) -> str | None:
        """The value of ``option`` without quotes; "n" where it is not set, None where it is not named."""
        found = _line(option).search(self.text)
        if found is None:
            return None
        return "n" if found[1] is None else _unquoted(found[1])

    @property
    def kind(self) -> Kind | None:
        """The kind of key that the kernel build would generate."""
        return next((k for word, k in BY_CONFIG.items() if self.value(KEY_TYPE + word) == "y"), None)

    @property
    def hash(self) -> str | None:
        """The hash that modules are signed with, by elfsig's name."""
        named = self.value(HASH) or ""
        chosen = (h for h, word in HASH_CHOICES.items() if self.value(HASH_CHOICE + word) == "y")
        return named if named in HASHES else next(chosen, None)


def _line(option: str) -> re.Pattern[str]:
    return re.compile(rf"^(?:{option}=(.*)|# {option} is not set)$", re.MULTILINE)


def _unquoted(value: str) -> str:
    if value[:1] != '"':
        return value
    return re.sub(r"\\(.)", r"\1", value[1:-1])


def _quoted(value: str) -> str:
    return '"' + re.sub(r'(["\\])', r"\\\1", value) + '"'


def read_all(patterns: Iterable[str]) -> list[Config]:
    """The files that names or quoted wildcards match, each once. Raises UsageError, ReadError."""
    paths: dict[str, None] = {}
    for pattern in patterns:
        found = [pattern] if os.path.exists(pattern) else sorted(glob.glob(pattern))
        if not found:
            raise UsageError(f"{pattern}: no such kernel configuration", code="no-config")
        paths.update(dict.fromkeys(found))
    return [_read(path) for path in paths]


def _read(path: str) -> Config:
    try:
        text = read_whole(path, MAX_SIZE + 1).decode("utf-8", "surrogateescape")
    except ReadError as reason:
        raise ReadError(f"{path}: {reason.text}", offset=reason.offset) from None
    except OSError as reason:
        raise ReadError(f"{path}: {system_text(reason)}") from None
    if len(text) > MAX_SIZE or not re.search(r"^(# )?CONFIG_\w", text, re.MULTILINE):
        raise UsageError(f"{path}: not a kernel configuration", code="no-config")
    return Config(path, text)


def agreed(
    configs: Sequence[Config],
    what: Callable[[Config], T | None],
    option: str,
    shown: Callable[[T], str] = str,
) -> T | None:
    """The value that all select; None if none does. Raises UsageError, naming ``option``, if they differ."""
    said = {config.path: what(config) for config in configs}
    values = {value for value in said.values() if value is not None}
    if len(values) > 1:
        words = ", ".join(f"{path}: {shown(value)}" for path, value in said.items() if value is not None)
        raise UsageError(f"the configurations do not agree ({words}): choose with {option}", code="no-config")
    return next(iter(values), None)


class Use(NamedTuple):
    """What a kernel uses a key pair for. ``module_key``: to sign the modules of its own build; ``trusted``:
    the certificate is built in, so that modules from elsewhere load."""

    module_key: bool = True
    trusted: bool = True

    @property
    def options(self) -> tuple[str, ...]:
        wishes = ((MODULE_KEY, self.module_key), (TRUSTED_KEYS, self.trusted))
        return tuple(option for option, wish in wishes if wish)


def refuse_foreign(config: Config, name: str, use: Use) -> None:
    """Raises UsageError if an option names a file not called ``name``, which belongs to someone else."""
    for option in use.options:
        old = config.value(option)
        if old and os.path.basename(old) != name:
            text = f"{config.path}: {option} names {old!r}, which would be lost"
            raise UsageError(text, code="config-in-use", hint="overwrite")


def updated(config: Config, pair: str, kind: Kind, hash_name: str, use: Use) -> str:
    """The text changed to use the key pair in the file ``pair`` (PEM, private key and certificate)."""
    text = config.text
    for option in use.options:
        text = _with(text, option, _quoted(pair))
    if kind.config is not None:
        text = _with_choice(text, KEY_TYPE, {k.config for k in BY_CONFIG.values() if k.config}, kind.config)
    if hash_name in HASH_CHOICES:
        text = _with_choice(text, HASH_CHOICE, set(HASH_CHOICES.values()), HASH_CHOICES[hash_name])
        text = _with(text, HASH, _quoted(hash_name))
    return text


def _with(text: str, option: str, value: str) -> str:
    """``text`` with the line of ``option`` changed, or appended if there is none."""
    line = f"# {option} is not set" if value == "n" else f"{option}={value}"
    text, count = _line(option).subn(lambda _: line, text)
    if count:
        return text
    return text + ("" if text.endswith("\n") or not text else "\n") + line + "\n"


def _with_choice(text: str, prefix: str, words: set[str], chosen: str) -> str:
    """``text`` with one option of a choice set, and the others it names unset."""
    for word in sorted(words - {chosen}):
        if _line(prefix + word).search(text):
            text = _with(text, prefix + word, "n")
    return _with(text, prefix + chosen, "y")
