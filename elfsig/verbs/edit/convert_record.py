"""The record of a conversion: for each file its state before and after, and what was done. Plain JSON."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from elfsig.errors import ElfsigError
from elfsig.model import FileReport, Remark
from elfsig.model.json_form import SCHEMA_VERSION, Json, path_members, remark_object, signature_object
from elfsig.opened.module import Module
from elfsig.verbs.edit.change import Change
from elfsig.verbs.edit.convert import Conversion, Plan, convert, look, refusal
from elfsig.verbs.verify.examine import Question, examine


def convert_file(module: Module, how: Plan) -> Change:
    """The change that :func:`elfsig.verbs.edit.convert.convert` makes to a file, inside its compression, with
    its record. A refusal becomes a change with an error, so that it has a record too.
    """
    before = look(module, how)
    if (why := refusal(before, how)) is not None:
        return _refused(module, before, how, why)
    try:
        done = convert(module, before, how)
    except ElfsigError as fault:
        return _refused(module, before, how, Remark.of(fault))
    same = done.content == module.content and not module.tail_offset
    raw = module.raw if same else module.packed(done.content)
    record = _record(module, before, how) | {
        "action": "unchanged" if same and not done.parts else "converted",
        "after": side_object(done.after, sha256(raw).hexdigest(), len(raw)),
        "removed": [each.to_json() for each in done.removed],
        "added": [made.added() for _, made in done.made],
        "warnings": [remark_object(each) for each in done.remarks],
    }
    beside = next(((f".{name}", data) for name, data in done.parts), None)
    return Change(
        None if same else raw, record["action"], _text(done, same), done.remarks,
        verbatim=True, beside=beside, record=record,
    )  # fmt: skip


def left_file(module: Module, how: Plan) -> Change:
    """No change, for a file that already has the signatures of ``how``, with its record."""
    after = examine(module, Question(how.own, hashes=True, any_file=True))
    record = _record(module, look(module, how), how) | {
        "action": "unchanged",
        "after": side_object(after, module.sha256, module.size),
    }
    return Change(None, "unchanged", SAME, record=record)


SAME: Final = "already has exactly these signatures"


def _text(done: Conversion, same: bool) -> str:
    if same and not done.parts:
        return SAME
    old = ", ".join(f"{f.format or 'unknown'} ({f.verdict})" for f in done.before.signatures) or "unsigned"
    new = ", ".join(f"{format_.id} ({made.hash}, {made.size} bytes)" for format_, made in done.made)
    return f"{old} -> {new}"


def _refused(module: Module, before: FileReport, how: Plan, why: Remark) -> Change:
    record = _record(module, before, how) | {"action": "refused", "error": remark_object(why)}
    return Change(None, "refused", "", record=record, error=why)


def _record(module: Module, before: FileReport, how: Plan) -> Json:
    """All members, with the values for an unchanged file."""
    return {
        "schema_version": SCHEMA_VERSION,
        **path_members(module.path),
        "compression": module.compression,
        "engine": how.engine,
        "verdict": str(before.verdict),
        "unverified": how.unverified,
        "kept": how.keep,
        "before": side_object(before, module.sha256, module.size),
        "after": None,
        "removed": [],
        "added": [],
        "warnings": [],
        "error": None,
    }


def side_object(report: FileReport, digest: str, size: int) -> Json:
    """The file before or after: its own size and SHA-256, that of its unsigned content, its signatures."""
    return {
        "size": size,
        "sha256": digest,
        "content_sha256": report.content_sha256,
        "signatures": [signature_object(each) for each in report.signatures],
    }
