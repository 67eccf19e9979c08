"""What a finished part says of itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from elfsig._version import __version__
from elfsig.batch.parts.division import Form, stem
from elfsig.batch.parts.question import PartsQuestion, parsed
from elfsig.errors import ParseError
from elfsig.lazy_dataclass import dataclass
from elfsig.model import Verdict
from elfsig.model.json_form import SCHEMA_VERSION, readable

Json = dict[str, Any]

UNREADABLE = "unreadable"
"""The word for modules without a verdict."""
MAX_UNLISTED = 1000
"""Directories that a receipt names, at most."""
_WORDS = frozenset({*(each.value for each in Verdict), UNREADABLE})


def _is_count(value: object) -> bool:
    """Whether this is a number that can have been counted."""
    return type(value) is int and 0 <= value < 1 << 63


@dataclass(frozen=True, slots=True)
class PartCounts:
    """``verdicts`` counts the modules by word; then outermost files, records, and kinds of records.

    ``refused`` counts the modules that the simulated kernel refuses, None where none was asked.
    """

    verdicts: Mapping[str, int]
    files: int = 0
    records: int = 0
    containers: int = 0
    incomplete: int = 0
    kernels: int = 0
    refused: int | None = None

    @property
    def modules(self) -> int:
        """How many modules there are."""
        return sum(self.verdicts.values())

    def __add__(self, other: PartCounts) -> PartCounts:
        known = [each for each in (self.refused, other.refused) if each is not None]
        refused = sum(known) if known else None
        return PartCounts(
            dict(sorted((Counter(self.verdicts) + Counter(other.verdicts)).items())),
            self.files + other.files,
            self.records + other.records,
            self.containers + other.containers,
            self.incomplete + other.incomplete,
            self.kernels + other.kernels,
            refused,
        )

    def to_json(self) -> Json:
        """As members of a receipt."""
        return {
            "files": self.files, "records": self.records, "containers": self.containers,
            "incomplete": self.incomplete, "kernels": self.kernels, "modules": self.modules,
            "verdicts": dict(sorted(self.verdicts.items())), "refused": self.refused,
        }  # fmt: skip

    @classmethod
    def from_json(cls, value: Json) -> PartCounts:
        """The counts in a receipt. Raises ParseError."""
        names = ("files", "records", "containers", "incomplete", "kernels")
        verdicts, refused = value.get("verdicts"), value.get("refused")
        numbers = [value.get(name) for name in names]
        if not isinstance(verdicts, dict) or not set(verdicts) <= _WORDS:
            raise ParseError("a receipt without counts of verdicts")
        if not all(map(_is_count, (*numbers, *verdicts.values(), 0 if refused is None else refused))):
            raise ParseError("a receipt without counts")
        files, records, containers, incomplete, kernels = numbers
        return cls(verdicts, files, records, containers, incomplete, kernels, refused)  # type: ignore[arg-type]  # checked above


class Tally:
    """Counts the records of a part as they pass by."""

    def __init__(self, kernel_asked: bool) -> None:
        self.files: int = 0
        self.records: int = 0
        self.containers: int = 0
        self.incomplete: int = 0
        self.kernels: int = 0
        self.verdicts: Counter[str] = Counter()
        self.refused: int | None = 0 if kernel_asked else None
        self.unlisted: list[str] = []

    def add_unlisted(self, path: str) -> None:
        """Remember a directory that could not be listed, whichever part it belongs to."""
        if len(self.unlisted) < MAX_UNLISTED:
            self.unlisted.append(readable(path))

    def add(self, record: Json) -> None:
        """Count one record, as a JSON object."""
        self.records += 1
        if record["record"] == "module":
            self.verdicts[record["verdict"] or UNREADABLE] += 1
            if self.refused is not None and record["kernel"] is not None:
                self.refused += not record["kernel"]["accepted"]
        elif record["record"] == "container":
            self.containers += 1
            self.incomplete += not record["complete"]
        else:
            self.kernels += 1

    @property
    def counts(self) -> PartCounts:
        """What was counted so far."""
        verdicts = dict(sorted(self.verdicts.items()))
        return PartCounts(
            verdicts, self.files, self.records, self.containers, self.incomplete, self.kernels, self.refused
        )


@dataclass(frozen=True, slots=True)
class PartReceipt:
    """One finished part: its number, what is in it, and the file that holds its records.

    ``file`` is the name of that file, ``size`` and ``sha256`` (in hex) those of its content. ``question`` is
    the digest of what all parts answer, ``version`` that of elfsig. ``unlisted`` are directories
    of the sources that could not be listed when the part was made (at most MAX_UNLISTED): it may lack files
    that are in them. The record of each is in the part that the directory belongs to.
    """

    part: int
    parts: int
    form: Form
    counts: PartCounts
    size: int
    sha256: str
    question: str
    version: str = __version__
    unlisted: tuple[str, ...] = ()

    @property
    def file(self) -> str:
        """The name of the file with the records."""
        return f"{stem(self.part, self.parts)}.{self.form}"

    def to_json(self) -> Json:
        """The receipt as plain JSON values."""
        return {
            "record": "part", "schema_version": SCHEMA_VERSION, "part": self.part, "parts": self.parts,
            "form": self.form, "file": self.file, "bytes": self.size, "sha256": self.sha256,
            "question": self.question, "version": self.version, **self.counts.to_json(),
            "unlisted": list(self.unlisted),
        }  # fmt: skip

    @classmethod
    def from_json(cls, value: Json) -> PartReceipt:
        """The receipt that :meth:`to_json` made. Raises ParseError."""
        part, parts, form, size = (value.get(name) for name in ("part", "parts", "form", "bytes"))
        texts = [value.get(name) for name in ("sha256", "question", "version")]
        if not all(map(_is_count, (part, parts, size))):
            raise ParseError("a receipt without numbers")
        if form not in ("jsonl", "parquet") or not all(isinstance(each, str) for each in texts):
            raise ParseError("a receipt without form, hash, question or version")
        unlisted = value.get("unlisted")
        if not isinstance(unlisted, list) or not all(isinstance(each, str) for each in unlisted):
            raise ParseError("a receipt that does not say what could not be listed")
        digest, question, version = map(str, texts)
        counts = PartCounts.from_json(value)
        return cls(part, parts, form, counts, size, digest, question, version, tuple(unlisted))  # type: ignore[arg-type]  # checked above

    @classmethod
    def parse(cls, data: bytes) -> PartReceipt:
        """The receipt in a file. Raises ParseError."""
        return cls.from_json(parsed(data, "part"))

    def fits(self, question: PartsQuestion, part: int) -> bool:
        """Whether it is that of this part, for this question."""
        return (self.part, self.parts, self.question) == (part, question.parts, question.digest)
