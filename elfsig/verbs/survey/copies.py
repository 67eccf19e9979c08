"""The same module in several places: on the disk, in the initramfs, in its package.

Copies are modules of one name, built for one kernel. Compression and signature are set aside to compare
what they run: ``content_sha256``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from elfsig.kernels.names import module_name, release_of

Json = dict[str, Any]

DIFFERS = "differs"
LOST = "lost its signature"
RESIGNED = "other signature"
RECOMPRESSED = "recompressed"
SAME = "same"
UNKNOWN = "unknown"

MAX_COPIES = 1_000_000
"""Modules that are remembered; further ones are counted in :attr:`Copies.left_out`."""


class Copy(NamedTuple):
    """One occurrence, with what decides whether two are the same.

    ``signature`` names format, signer and key of the signature that decides the verdict, None without one.
    ``content`` is None where the content without signature is not known.
    """

    path: str
    verdict: str | None
    sha256: str | None
    content: str | None
    compression: str | None
    signature: tuple[str | None, ...] | None

    def to_json(self) -> Json:
        """Where it is, and what distinguishes it."""
        return {
            "path": self.path,
            "verdict": self.verdict,
            "sha256": self.sha256,
            "content_sha256": self.content,
            "compression": self.compression,
        }


class Several(NamedTuple):
    """A module that occurs in several places, and how its copies are related: the gravest relation found."""

    name: str
    release: str | None
    relation: str
    copies: tuple[Copy, ...]

    def to_json(self) -> Json:
        """The entry of ``several_places``."""
        return {
            "name": self.name,
            "release": self.release,
            "relation": self.relation,
            "copies": [each.to_json() for each in self.copies],
        }


class Copies:
    """Collects module records, as JSON objects, and compares those of one module."""

    left_out: int

    def __init__(self) -> None:
        self._found: dict[tuple[str, str | None], list[Copy]] = {}
        self._count = self.left_out = 0

    def add(self, record: Json) -> None:
        """Remember one module record."""
        if self._count >= MAX_COPIES:
            self.left_out += 1
            return
        self._count += 1
        self._found.setdefault(_identity(record), []).append(copy_of(record))

    def several(self) -> Iterator[Several]:
        """Modules with more than one copy, those that differ first, then by name."""
        found = [
            Several(name, release, relation(copies), tuple(copies))
            for (name, release), copies in self._found.items()
            if len(copies) > 1
        ]
        grave = (DIFFERS, LOST, UNKNOWN, RESIGNED, RECOMPRESSED, SAME)
        yield from sorted(found, key=lambda each: (grave.index(each.relation), each.name, each.release or ""))


def _identity(record: Json) -> tuple[str, str | None]:
    """The module's own name, else that of its file; and the release it was built for."""
    name = record.get("name") or module_name(record["path"].rpartition("!/")[2])
    return name, release_of(record.get("vermagic"))


def copy_of(record: Json) -> Copy:
    """What is compared of a module record."""
    decisive = next((each for each in record["signatures"] if each["effective"]), None)
    named = ("format", "hash", "signer", "serial", "key_id", "created")
    return Copy(
        record["path"],
        record["verdict"],
        record["sha256"],
        record["content_sha256"],
        record["compression"],
        None if decisive is None else tuple(decisive[each] for each in named),
    )


def relation(copies: Iterable[Copy]) -> str:
    """The gravest difference between copies of one module."""
    every = tuple(copies)
    if len({each.sha256 for each in every}) == 1 and every[0].sha256 is not None:
        return SAME
    contents = {each.content for each in every}
    if len(contents - {None}) > 1:
        return DIFFERS
    if None in contents:
        return UNKNOWN
    signatures = {each.signature for each in every}
    if len(signatures) == 1:
        # Two signatures of one signer can still differ in their value: one compression means other bytes.
        by_compression = {(each.compression, each.sha256) for each in every}
        same = len(by_compression) == len({each.compression for each in every})
        return RECOMPRESSED if same else RESIGNED
    return LOST if None in signatures else RESIGNED
