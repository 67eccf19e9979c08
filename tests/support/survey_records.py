"""Survey records made by recipe: those of real reports, under paths that a survey would give them."""

from __future__ import annotations

from typing import Any

import corpus
import elfsig
from elfsig.model.json_form import file_object
from tests.support.signed import CERT, made

Json = dict[str, Any]

HOSTILE = 'x"><script>alert(1)</script>\n\x1b[31m.ko'
"""A file name that is dangerous where it is not escaped."""


def report_objects() -> dict[str, Json]:
    """The JSON of one valid, one invalid, one unsigned, and one module of unknown key."""
    content = corpus.content("amd64-2.6.39-uek.ko")
    signed = made(content, "pkcs7", "whole-file").content
    at = content.index(b"license=")
    changed = signed[:at] + b"L" + signed[at + 1 :]
    found = {
        "valid": elfsig.verify(signed, trust=CERT),
        "invalid": elfsig.verify(changed, trust=CERT),
        "unsigned": elfsig.verify(content, trust=CERT),
        "unchecked": elfsig.verify(signed),
    }
    objects = {word: file_object(report) for word, report in found.items()}
    assert {word: each["verdict"] for word, each in objects.items()} == {word: word for word in objects}
    return objects


def module(base: Json, path: str, release: str = "6.1.0-9-amd64", **changes: Any) -> Json:
    """A module record at a nested path."""
    layers = path.split("!/")
    chain = [{"kind": "file", "name": layers[0], "offset": None, "size": 1000, "sha256": "ab" * 32}]
    chain += [
        {"kind": "tar", "name": each, "offset": None, "size": None, "sha256": None} for each in layers[1:]
    ]
    name = path.rpartition("/")[2].partition(".")[0]
    return {
        **base, "record": "module", "path": path, "chain": chain, "name": name,
        "vermagic": f"{release} SMP mod_unload ", "signatures_sha256": None, "vendor": None, **changes,
    }  # fmt: skip


def container(path: str, kind: str = "tar", modules: int = 0, error: Json | None = None) -> Json:
    """A container record; ``error`` makes it incomplete."""
    return {
        "record": "container", "path": path, "kind": kind, "members": modules, "modules": modules,
        "complete": error is None, "error": error,
    }  # fmt: skip
