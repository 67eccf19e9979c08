"""The result of comparing two files, and its JSON: an entry of ``comparisons``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from hashlib import sha256
from typing import Any, NoReturn

from elfsig.elf.diff import Difference
from elfsig.elf.image import Image
from elfsig.model import Remark, SignatureReport
from elfsig.model.brief import brief
from elfsig.model.json_form import SCHEMA_VERSION, plain, readable, remark_object, signature_object
from elfsig.opened.module import Module


class Conclusion(StrEnum):
    """How two files are related; the first relation that applies."""

    IDENTICAL = "identical"
    """Every byte of the files is the same."""
    REPACKED = "repacked"
    """They decompress to the same bytes."""
    RESIGNED = "resigned"
    """The same content; only signatures differ."""
    MOVED = "moved"
    """The same content and the same signatures; where a signature is in the file differs."""
    STRIPPED = "stripped"
    """What is loaded is the same; one of them lacks what is not loaded, such as debug data."""
    RELINKED = "relinked"
    """What is loaded is the same; it has other offsets, or other section and symbol numbers."""
    UNLOADED = "unloaded"
    """What is loaded is the same; something else differs."""
    RELOCATIONS = "relocations"
    """The same text and data, but other relocations: the code does something else when it is loaded."""
    SAME_TEXTDATA = "same-textdata"
    """The same text and data; something else that is loaded differs."""
    DIFFERENT = "different"
    """The code or data differs."""


SAME = frozenset({Conclusion.IDENTICAL, Conclusion.REPACKED, Conclusion.RESIGNED, Conclusion.MOVED})
"""The same module, whoever signed it."""


@dataclass(frozen=True)
class ComparedFile:
    """One of the two files. ``image`` is its content without signatures."""

    module: Module
    signatures: tuple[SignatureReport, ...]
    image: Image
    remarks: tuple[Remark, ...]

    def __repr__(self) -> str:
        return brief(self)

    @property
    def bare(self) -> bytes:
        """The content without signatures, decompressed."""
        return self.image.bytes()

    @cached_property
    def bare_sha256(self) -> str:
        """SHA-256 of the unsigned content, in hex."""
        return sha256(self.bare).hexdigest()


@dataclass(frozen=True, slots=True)
class CoverageComparison:
    """One coverage over both. ``same`` is None where it cannot be computed for one of them: ``fault``.

    ``sections`` are those whose share of the message differs, ``sizes`` the messages' lengths; ``offset`` is
    the first differing byte, for a coverage that takes the file as it is.
    """

    coverage: str
    same: bool | None
    sizes: tuple[int | None, int | None]
    sections: tuple[str, ...] = ()
    offset: int | None = None
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything about two files. ``totals`` counts the differences of each kind, those left out too."""

    a: ComparedFile
    b: ComparedFile
    conclusion: Conclusion
    sentence: str
    profiles: tuple[CoverageComparison, ...]
    differences: tuple[Difference, ...]
    totals: Mapping[str, int]

    def __repr__(self) -> str:
        return brief(self)

    def __bool__(self) -> NoReturn:
        raise TypeError("a comparison has no truth value: look at its attribute is_same")

    def to_json(self) -> dict[str, Any]:
        """The entry of ``comparisons``, as ``elfsig compare --json`` writes it."""
        return comparison_object(self, None)

    @property
    def is_same(self) -> bool:
        """The same module, whoever signed it and however it is compressed."""
        return self.conclusion in SAME


# --------------------------------------------------------------------------- as JSON


def comparison_object(found: Comparison, path: str | None) -> dict[str, Any]:
    """One entry of ``comparisons``; ``path`` is the relative path where trees are compared."""
    return {
        **bare_object(path),
        "a": _side_object(found.a),
        "b": _side_object(found.b),
        "conclusion": found.conclusion.value,
        "text": readable(found.sentence),
        "same": found.is_same,
        "profiles": [_profile_object(each) for each in found.profiles],
        "differences": [difference_object(each) for each in found.differences],
        "totals": dict(found.totals),
    }


def difference_object(each: Difference) -> dict[str, Any]:
    """An entry of ``differences``."""
    values = {name: plain(value) for name, value in each._asdict().items() if name != "changes"}
    return {**values, "changes": [change.to_json() for change in each.changes]}


def bare_object(path: str | None) -> dict[str, Any]:
    """The keys of every comparison, with nothing in them yet."""
    names = ("a", "b", "conclusion", "text", "error")
    return {
        "schema_version": SCHEMA_VERSION,
        "path": None if path is None else readable(path),
        **dict.fromkeys(names),
        "same": False,
        "profiles": [],
        "differences": [],
        "totals": {},
    }


def _side_object(part: ComparedFile) -> dict[str, Any]:
    return {
        "path": readable(part.module.path),
        "size": len(part.module.raw),
        "sha256": part.module.sha256,
        "compression": part.module.compression,
        "content_sha256": part.bare_sha256,
        "signatures": [signature_object(each) for each in part.signatures],
        "warnings": [remark_object(each) for each in part.remarks],
    }


def _profile_object(each: CoverageComparison) -> dict[str, Any]:
    return {
        "coverage": each.coverage,
        "same": each.same,
        "size_a": each.sizes[0],
        "size_b": each.sizes[1],
        "sections": [readable(name) for name in each.sections],
        "offset": each.offset,
        "error": each.fault,
    }
