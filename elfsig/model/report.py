"""What was found out about a file: the report on each signature, and the report of the whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from elfsig.elf.words import ElfSummary
from elfsig.model.key import Key
from elfsig.model.place import Place
from elfsig.model.signature import Signature
from elfsig.model.verdict import Remark, Verdict


class SignatureReport(NamedTuple):
    """One signature of one file, with its verdict: an entry of ``signatures`` in the JSON."""

    format: str | None
    layer: int
    blob: int
    effective: bool
    place: Place
    claims: Signature | None
    coverage: str | None
    verdict: Verdict
    reason: str | None = None
    key: Key | None = None
    warnings: tuple[Remark, ...] = ()


class FileReport(NamedTuple):
    """Everything that was found out about one file: one object of the JSON's ``files``."""

    path: str
    size: int | None
    sha256: str | None
    compression: str | None
    content_sha256: str | None
    elf: ElfSummary | None
    signatures: tuple[SignatureReport, ...]
    verdict: Verdict | None
    warnings: tuple[Remark, ...] = ()
    error: Remark | None = None
    kernel: Mapping[str, Any] | None = None
