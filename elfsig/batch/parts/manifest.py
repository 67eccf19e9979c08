"""The end of a survey in parts: what all parts hold, and whether they still hold it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from elfsig.batch.parts.division import MAX_PARTS, RECEIPT, named, stem
from elfsig.batch.parts.question import LIMIT, parsed
from elfsig.batch.parts.receipt import PartCounts, PartReceipt
from elfsig.batch.parts.store import Store
from elfsig.errors import ParseError, ReadError, UsageError
from elfsig.model.json_form import SCHEMA_VERSION, dumps

Json = dict[str, Any]

MANIFEST, QUESTION = "manifest.json", "question.json"


class PartProblem(NamedTuple):
    """What is wrong with a file of a finished survey: ``code`` is missing, changed or unreadable."""

    file: str
    code: str
    text: str


def receipt_at(store: Store, part: int, parts: int) -> PartReceipt | None:
    """The receipt of a part, None where there is none. Raises UsageError for a file that is not a receipt."""
    name = stem(part, parts) + RECEIPT
    data = store.read(name, LIMIT)
    if data is None:
        return None
    try:
        return PartReceipt.parse(data)
    except ParseError as fault:
        raise UsageError(f"{store.label}: {name}: {fault.text}", code="not-a-receipt") from None


def close(store: Store, parts: int, question: str) -> PartCounts | None:
    """Write the manifest if every part is there; returns the totals, None where one is missing.

    Raises UsageError for receipts that are not of this question, ReadError, WriteError.
    """
    names = store.sizes()
    if any(stem(part, parts) + RECEIPT not in names for part in range(parts)):
        return None
    receipts = [receipt_at(store, part, parts) for part in range(parts)]
    found = [each for each in receipts if each is not None]
    if len(found) < parts:  # removed since it was listed
        return None
    for at, each in enumerate(found):
        if (each.part, each.parts, each.question) != (at, parts, question):
            text = f"{store.label}: {stem(at, parts)}{RECEIPT} answers another question"
            raise UsageError(text, code="other-question")
    totals = sum((each.counts for each in found), PartCounts({}))
    store.write(MANIFEST, (dumps(_manifest(found, totals)) + "\n").encode("ascii"))
    return totals


def _manifest(receipts: Sequence[PartReceipt], totals: PartCounts) -> Json:
    first = receipts[0]
    return {
        "record": "manifest", "schema_version": SCHEMA_VERSION, "parts": first.parts, "form": first.form,
        "question": first.question, "version": first.version, "totals": totals.to_json(),
        "bytes": sum(each.size for each in receipts),
        "unlisted": sorted({path for each in receipts for path in each.unlisted}),
        "files": [
            {
                "file": each.file, "bytes": each.size, "sha256": each.sha256,
                "records": each.counts.records, "modules": each.counts.modules,
                "incomplete": each.counts.incomplete,
            }
            for each in receipts
        ],
    }  # fmt: skip


def problems(store: Store, part: int | None = None) -> Iterator[PartProblem]:
    """What is missing from a finished survey, or was changed since; of one ``part``, or of all and the
    manifest.

    Raises UsageError where there is no survey in parts, ReadError.
    """
    names = store.sizes()
    parts = _parts_in(store, names)
    if part is not None and not 0 <= part < parts:
        raise UsageError(f"{store.label}: there is no part {part} of {parts}", code="wrong-part")
    receipts: list[PartReceipt] = []
    for each in range(parts) if part is None else (part,):
        receipt = receipt_at(store, each, parts)
        if receipt is None:
            yield PartProblem(stem(each, parts) + RECEIPT, "missing", "this part is not finished")
            continue
        receipts.append(receipt)
        yield from _changed(store, receipt, names)
    if part is None and len(receipts) == parts:
        yield from _of_manifest(store, receipts)


def _parts_in(store: Store, names: dict[str, int | None]) -> int:
    numbers = {found[1] for found in map(named, names) if found is not None}
    data = store.read(QUESTION, LIMIT)
    if data is not None:
        asked = parsed(data, "question").get("asked")
        parts = asked.get("parts") if isinstance(asked, dict) else None
        numbers.add(parts if type(parts) is int else 0)
    if len(numbers) != 1 or not 1 <= min(numbers) <= MAX_PARTS:
        text = f"{store.label}: this is not the directory of one survey in parts"
        raise UsageError(text, code="no-parts")
    return numbers.pop()


def _changed(store: Store, receipt: PartReceipt, names: dict[str, int | None]) -> Iterator[PartProblem]:
    if receipt.file not in names:
        yield PartProblem(receipt.file, "missing", "there is a receipt for it")
        return
    try:
        found = store.digest(receipt.file)
    except ReadError as fault:
        yield PartProblem(receipt.file, "unreadable", fault.text)
        return
    if found != (receipt.size, receipt.sha256):
        yield PartProblem(receipt.file, "changed", "its content is not what its receipt says")


def _of_manifest(store: Store, receipts: Sequence[PartReceipt]) -> Iterator[PartProblem]:
    data = store.read(MANIFEST, 1 << 30)
    if data is None:
        yield PartProblem(MANIFEST, "missing", "all parts are there: run the survey again to write it")
        return
    totals = sum((each.counts for each in receipts), PartCounts({}))
    if data != (dumps(_manifest(receipts, totals)) + "\n").encode("ascii"):
        yield PartProblem(MANIFEST, "changed", "its content is not what the receipts say")
