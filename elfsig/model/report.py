"""What was established about a file: the report on each signature, and the report on the whole file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from elfsig.elf.words import ElfSummary
from elfsig.errors import VerificationError
from elfsig.lazy_dataclass import dataclass
from elfsig.model.brief import brief
from elfsig.model.json_values import SCHEMA_VERSION, path_members, plain, remark_object, time_text
from elfsig.model.key import Key, short_key_object
from elfsig.model.place import Params, Place
from elfsig.model.signature import Cause, Signature
from elfsig.model.verdict import Remark, Verdict


@dataclass(frozen=True, slots=True)
class SignatureReport:
    """One signature of one file, with its verdict: an entry of ``signatures`` in the JSON.

    ``format`` is the format's id, None where no known format claims the place. ``layer`` counts from the
    outside, starting at 0; signatures in one envelope have the same ``blob``. ``effective``: this signature
    decides the file's verdict. ``place`` says where it is, ``claims`` what it says about itself (None if it
    cannot be parsed). ``coverage`` is the id of the coverage under which it matches a key, else None.
    ``reason`` is the verdict in a sentence. ``warnings`` add what ``verdict`` does not say: weak algorithms,
    bytes that are not covered, and the like. ``key``, ``anchor``, ``chain`` and ``cause`` are those of
    :class:`elfsig.model.Outcome`: the signer's key, the key that vouches for it, the embedded certificates
    between the two, and why the signature does not match.
    """

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
    anchor: Key | None = None
    chain: tuple[Key, ...] = ()
    cause: Cause | None = None

    def __repr__(self) -> str:
        return brief(self)

    def __bool__(self) -> NoReturn:
        raise TypeError("a signature's report has no truth value: compare its verdict, or test 'is not None'")

    def to_json(self) -> dict[str, Any]:
        """The entry of ``signatures`` as plain JSON values, as ``elfsig verify --json`` writes it."""
        return signature_object(self)


@dataclass(frozen=True, slots=True)
class FileReport:
    """Everything that was established about one file: one object of the JSON's ``files``.

    ``size`` is that of the file in bytes; ``sha256`` that of the file, ``content_sha256`` that of the
    decompressed content without any signature, both in hex and None if not requested or not
    known. ``signatures`` are ordered from the outside in. ``verdict`` is that of the effective signature,
    or the verdict for a file without one; None where the file could not be read: then ``error`` says why.
    ``kernel`` is the simulated kernel's answer as JSON values, where one was asked.
    """

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

    def __repr__(self) -> str:
        return brief(self)

    def __hash__(self) -> int:
        return hash((self.path, self.sha256, self.signatures, self.verdict, self.warnings, self.error))

    def __bool__(self) -> NoReturn:
        raise TypeError("a report has no truth value: call require_valid(), or compare its verdict")

    @property
    def effective(self) -> SignatureReport | None:
        """The signature that decides the verdict; None where the file has none."""
        return next((each for each in self.signatures if each.effective), None)

    def require_valid(self) -> SignatureReport:
        """The effective signature of a file whose verdict is ``valid``.

        Raises VerificationError for every other verdict, and for a file that could not be read; its
        ``code`` is the verdict's word (or the error's code), its ``report`` this report.
        """
        effective = self.effective
        if self.verdict is Verdict.VALID and effective is not None:
            return effective
        fault = VerificationError(self._why_not(), offset=self._offset(), code=self._code())
        fault.path, fault.report = self.path, self
        raise fault

    def _code(self) -> str | None:
        if self.verdict is not None:
            return self.verdict.value
        return self.error.code if self.error is not None else None

    def _offset(self) -> int | None:
        """Offset in the content of what cannot be read or parsed."""
        if self.verdict in (None, Verdict.MALFORMED):
            spoken = (self.error, *(self.effective.warnings if self.effective is not None else self.warnings))
            return next((remark.offset for remark in spoken if remark is not None), None)
        return None

    def _why_not(self) -> str:
        effective = self.effective
        said = effective.reason if effective is not None else None
        if self.error is not None:
            return f"{self.path}: {self.error.text}"
        if said is None and self.verdict is not Verdict.UNSIGNED:
            said = "; ".join(remark.text for remark in self.warnings[:3])
        return f"{self.path}: {self.verdict}" + (f": {said}" if said else "")

    def to_json(self) -> dict[str, Any]:
        """The file's object as plain JSON values, as ``elfsig verify --json`` writes it.

        ``schema_version`` in it is that of the schema that ``elfsig schema`` prints.
        """
        return file_object(self)


# --------------------------------------------------------------------------- as JSON


def file_object(report: FileReport) -> dict[str, Any]:
    """One file's object: an entry of ``files``, and a line of ``--jsonl``."""
    elf = report.elf
    return {
        "schema_version": SCHEMA_VERSION,
        **path_members(report.path),
        "size": report.size,
        "sha256": report.sha256,
        "compression": report.compression,
        "content_sha256": report.content_sha256,
        "elf": elf and {"class": elf.bits, "data": elf.data, "machine": elf.machine, "type": elf.type},
        "signatures": [signature_object(each) for each in report.signatures],
        "verdict": None if report.verdict is None else report.verdict.value,
        "warnings": [remark_object(each) for each in report.warnings],
        "error": remark_object(report.error) if report.error else None,
        "kernel": plain(report.kernel),
    }


def signature_object(sig: SignatureReport) -> dict[str, Any]:
    """One entry of ``signatures``."""
    return {
        "format": sig.format,
        "layer": sig.layer,
        "blob": sig.blob,
        "effective": sig.effective,
        "carrier": carrier_object(sig.place),
        "coverage": sig.coverage,
        **_signature_keys(sig.claims, sig.key),
        "verdict": sig.verdict.value,
        "reason": sig.reason,
        "cause": sig.cause and {"code": sig.cause.code, **plain(sig.cause.facts)},
        "key": short_key_object(sig.key),
        "anchor": short_key_object(sig.anchor),
        "chain": [short_key_object(each) for each in sig.chain],
        "warnings": [remark_object(each) for each in sig.warnings],
    }


def carrier_object(place: Place) -> dict[str, Any]:
    """Where a signature is: ``offset`` and ``size`` span the wrapper too."""
    return {
        "kind": place.kind,
        "section": place.section,
        "index": place.index,
        "where": place.where,
        "offset": place.start,
        "size": place.end - place.start,
        "params": params_object(place.params),
    }


def params_object(params: Params) -> dict[str, Any] | None:
    """The wrapper's fields besides the signature's bytes; the keys depend on the carrier."""
    if params is None:
        return None
    return {name: plain(value) for name, value in params._asdict().items()}


def _signature_keys(signature: Signature | None, key: Key | None) -> dict[str, Any]:
    """What the signature says about itself; size and curve are those of the key, where that is known."""
    if signature is None:
        names = (
            "envelope",
            "hash",
            "algorithm",
            "key_bits",
            "curve",
            "signer",
            "key_id",
            "serial",
            "created",
        )
        return dict.fromkeys(names) | {"facts": {}}
    created = signature.created
    return {
        "envelope": signature.envelope,
        "hash": signature.hash,
        "algorithm": signature.algorithm,
        "key_bits": (key and key.bits) or signature.key_bits,
        "curve": (key and key.curve) or signature.curve,
        "signer": signature.signer,
        "key_id": plain(signature.key_id),
        "serial": plain(signature.serial),
        "created": None if created is None else time_text(created),
        "facts": plain(signature.facts),
    }
