"""The options that the command line offers where an error of the library has a hint.

The library's texts name no option, since its callers have none: they carry a stable word, and this table
says what it means here. An unknown word (a plug-in's, say) adds nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

HINTS: Mapping[str, str] = {
    "cert": "pass it with --cert",
    "convert-to-both": "leave out --keep and give --to twice",
    "coverage": "choose with --coverage",
    "every-key": "--all writes keys that are not trusted too",
    "force": "--force overrides this",
    "format": "choose one with --format",
    "in-place": "use --in-place to overwrite it",
    "kernel": "name one with --kernel (elfsig kernels lists them)",
    "key-and-cert": "the options are --key and --cert",
    "layer": "choose one with --layer",
    "max-size": "--max-size raises the limit",
    "no-like": "leave out --like",
    "output": "use exactly one of -o FILE, --output-dir DIR, --in-place",
    "output-dir": "use --output-dir instead of -o for several",
    "output-elsewhere": "use -o or --output-dir",
    "overwrite": "--force overwrites it",
    "payload": "choose it with --payload",
    "replace-inside": "--replace puts a signature inside instead",
    "replace-or-stack": "--replace removes what is there, --stack signs on top of it",
    "stack": "--stack signs on top of them",
    "trust": "name one with --trust",
    "trust-or-unverified": "pass keys with --trust, or use --unverified",
    "unverified": "--unverified overrides this",
}


class Hinted(Protocol):
    """An error of the library, or a remark."""

    @property
    def text(self) -> str:
        """The sentence for people."""
        ...

    @property
    def hint(self) -> str | None:
        """What can be done about it, as a stable word."""
        ...


def hinted(text: str, hint: str | None) -> str:
    """``text``, and what the command line offers for ``hint``."""
    offer = HINTS.get(hint or "")
    return f"{text}; {offer}" if offer else text
