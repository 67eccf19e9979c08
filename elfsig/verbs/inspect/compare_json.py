"""The JSON of a comparison: an entry of ``comparisons``."""

from __future__ import annotations

from typing import Any

from elfsig.model.json_form import SCHEMA_VERSION, plain, readable, remark_object, signature_object
from elfsig.verbs.inspect.compare import ComparedFile, Comparison, Profile


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
        "differences": [
            {name: plain(value) for name, value in each._asdict().items()} for each in found.differences
        ],
        "totals": dict(found.totals),
    }


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


def _profile_object(each: Profile) -> dict[str, Any]:
    return {
        "coverage": each.coverage,
        "same": each.same,
        "size_a": each.sizes[0],
        "size_b": each.sizes[1],
        "sections": [readable(name) for name in each.sections],
        "offset": each.offset,
        "error": each.fault,
    }
