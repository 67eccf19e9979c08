"""The files and checks of one module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from elfsig.model import FileReport, Verdict, optional
from elfsig.model.json_form import dumps
from elfsig.opened.module import Module
from elfsig.verbs.bundle.entry import Entry
from elfsig.verbs.bundle.signature import Bundled, SignatureEntry
from elfsig.verbs.inspect.cover import Cover
from elfsig.verbs.verify.examine import located

UNREADABLE = "unreadable"
"""The word in place of a verdict for a module that could not be read or unpacked."""


def verdict_of(report: FileReport) -> str:
    """The word for the module."""
    return UNREADABLE if report.verdict is None else report.verdict.value


def unread_entry(report: FileReport, raw: bytes | None) -> Entry:
    """The entry of a module that could not be examined; ``raw`` None: not even read."""
    entry = Entry()
    entry.say("module", verdict_of(report))
    if raw is not None:
        entry.add("file", [raw])
    entry.say("open", "not-read")
    return entry


def module_entry(module: Module, report: FileReport, covers: Sequence[Cover], keys: Bundled) -> Entry:
    """What the bundle holds of a module that was examined with ``keys``; ``covers`` are its coverage maps."""
    entry = Entry()
    entry.say("module", verdict_of(report))
    entry.add("file", [module.raw])
    if module.compression is not None:
        entry.add("content", [module.content])
        if module.tail_offset is None:
            entry.say("unpack", module.compression, "file", "content")
    _signatures(entry, module, report, keys)
    if not report.signatures:
        _without_signature(entry, module, report)
    _covers(entry, covers)
    return entry


def _signatures(entry: Entry, module: Module, report: FileReport, keys: Bundled) -> None:
    looked_at, found = located(module)
    blobs = [each.blob for each in report.signatures]
    for number, sig in enumerate(report.signatures, 1):
        entry.say("signature", number, sig.verdict.value)
        where = next((each for each in found if each.place == sig.place), None)
        whole = module.as_file() if where is None and sig.place.where == "file" else looked_at
        source = "content" if module.compression is not None and sig.place.where == "content" else "file"
        one = SignatureEntry(entry, whole, source, f"s{number}", keys)
        one.add(where, sig, blobs.count(sig.blob) == 1)


def _without_signature(entry: Entry, module: Module, report: FileReport) -> None:
    """That there is no mark of any signature; for a damaged file, that it is empty or ends too early."""
    source = "content" if module.compression is not None else "file"
    if report.verdict is Verdict.UNSIGNED:
        _no_marks(entry, module, source)
    elif not module.content:
        entry.fact(entry.group(), "yes", "size", source, 0)
    else:
        entry.fact(entry.group(), "yes", "elfcut", source)


def _no_marks(entry: Entry, module: Module, source: str) -> None:
    registry = module.registry
    texts = {mark.text: carrier.kind for carrier in registry.carriers for mark in optional.marks(carrier)}
    for text, kind in texts.items():
        if kind == "trailer":
            entry.fact(entry.group(), "yes", "absent", source, text.hex(), "end")
        entry.fact(entry.group(), "yes", "absent", source, text.rstrip(b"\n").hex(), "inside")


def _covers(entry: Entry, covers: Sequence[Cover]) -> None:
    if covers:
        maps = [each.to_json() for each in covers]
        entry.add("coverage.json", [dumps({"maps": maps}).encode("ascii") + b"\n"])


def left_open(covers: Sequence[Cover]) -> list[Mapping[str, Any]]:
    """For each coverage map: the layer, how many bytes change without notice, and of how many."""
    return [
        {
            "layer": None if each.found is None else each.found.layer,
            "open": None if each.message is None else _open(each),
            "size": each.kinds.size,
        }
        for each in covers
    ]


def _open(cover: Cover) -> int:
    return next((n for kind, n in cover.kinds.counts().items() if kind.value == "open"), 0)
