"""What comes out of a confined process, which a hostile file may have taken over, and what is made of it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from html.parser import HTMLParser
from itertools import islice
from typing import Any

import elfsig
from elfsig.cage.cage import _Child
from elfsig.cage.lock import Limits as CageLimits
from elfsig.cli.render.safe_html import rewritten
from elfsig.cli.render.survey.page import Page
from elfsig.cli.render.survey.sarif import Log
from elfsig.cli.render.survey.text import Tally, several, summary
from elfsig.errors import ElfsigError, ReadError
from elfsig.model.json_form import dumps
from elfsig.opened.remote import frames, urls
from elfsig.verbs.survey.columns import COLUMNS, record_of, row_of
from elfsig.verbs.survey.copies import Copies
from elfsig.verbs.survey.shapes import is_record
from tests.fuzz import judges, seeds
from tests.fuzz.mutate.plain import plain
from tests.fuzz.mutate.text import text
from tests.fuzz.target import Broken, Limits, Target
from tests.fuzz.targets.texts import folder

TYPES = {"text": str, "integer": int, "boolean": bool, "time": datetime, "texts": list}


def _child(data: bytes) -> _Child:
    """The parent's side of a confined process that has written ``data``."""
    child = object.__new__(_Child)
    child.limits, child.held, child.inbox, child.fault = CageLimits(), None, bytearray(data), None
    child.ended = False
    return child


def _reported(data: bytes) -> Iterator[Any]:
    """Lines as they arrive from a confined process."""
    for line in data.splitlines():
        whole = b'["record", ' + line + b"]"
        yield from _child(len(whole).to_bytes(4, "little") + whole)._frames()


def frame(data: bytes) -> None:
    """Any bytes from the pipe of a confined process: records, or one error that ends it."""
    child = _child(data)
    for record in child._frames():
        if is_record(record):
            dumps(record)
    if child.fault is not None and not isinstance(child.fault, ElfsigError):
        raise Broken("fault", repr(child.fault))


def row(data: bytes) -> None:
    """A record as a row: every value has the type of its column; the row as a record is one again."""
    record: Any = next(_reported(data), None)
    if not is_record(record):
        return
    found = row_of(record)
    for column in COLUMNS:
        value = found[column.name]
        if value is None and column.type != "texts":
            continue
        if type(value) is not TYPES[column.type]:
            raise Broken("column", f"{column.name} ({column.type}): {value!r}")
        if isinstance(value, str):
            value.encode()
    back = json.loads(json.dumps(record_of(found)))
    if not is_record(back):
        raise Broken("row", f"{record!r} became {back!r}")


def rendered(data: bytes) -> None:
    """Records in every output of survey: whatever they say, there is one, and no script of theirs in it."""
    records = [each for each in islice(_reported(data), 8) if is_record(each)]
    tally, copies, page, log = Tally(), Copies(), Page(), Log()
    for each in records:
        tally.add(each)
        if each["record"] == "module":
            copies.add(each)
        page.add(each)
        log.add(each)
    list(summary(tally))
    list(several(list(copies.several()), copies.left_out))
    json.dumps(log.log())
    if records:
        _harmless(page.text({}))


def _harmless(text: str) -> None:
    """As many scripts as the page itself has, whatever was put in."""
    if len(re.findall(r"(?i)<\s*script", text)) != _scripts():
        raise Broken("script", "the page has another number of script elements than an empty one")


@cache
def _scripts() -> int:
    return len(re.findall(r"(?i)<\s*script", Page().text({})))


class _Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.bad: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "iframe", "object", "embed") or any(name.startswith("on") for name, _ in attrs):
            self.bad.append(tag)


def markup(data: bytes) -> None:
    """Markup from a confined process, rewritten: no scripts and no handlers."""
    try:
        made = rewritten(data.decode("utf-8", "replace"))
    except ValueError:  # for everything that the process would not write
        return
    found = _Elements()
    found.feed(made)
    if found.bad:
        raise Broken("markup", f"{found.bad} in {made!r}")


def remote(data: bytes) -> None:
    """Any bytes as the answer of the process that reads URLs."""
    path = folder() / "frames"
    path.write_bytes(data)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        frames.head_of(descriptor)
        for _ in frames.content(descriptor):
            pass
    except (ValueError, TypeError, KeyError, AttributeError, UnicodeDecodeError):
        pass  # that process is elfsig's own: it never sends such frames
    finally:
        os.close(descriptor)


def url(data: bytes) -> None:
    """What is shown of a URL has no password."""
    line = data.decode("utf-8", "surrogateescape")
    if "\0" in line or not urls.is_url(line):
        return
    if not urls.protocol(line):
        raise Broken("protocol", repr(line))
    said = urls.shown(line)
    found = re.fullmatch(r"[a-z0-9+.-]+://[^/?#@:]*:([^/?#@:]{6,})@[^@]*", line, re.IGNORECASE | re.DOTALL)
    if found and found[1] in said and said.count(found[1]) >= line.count(found[1]):
        raise Broken("password", f"{line!r} is shown as {said!r}")


def _records() -> Iterator[bytes]:
    path = folder() / "sample.ko"
    for data in (*seeds.modules()[12:20], seeds.kernels()[5], seeds.compressed()["gzip"]):
        path.write_bytes(data)
        yield from (json.dumps(each.to_json()).encode() for each in elfsig.survey(path, judges.ring()))


def _frames() -> Iterator[bytes]:
    for data in _records():
        for kind in ("record", "end", "fault", "held", "memory"):
            whole = json.dumps([kind, json.loads(data)]).encode()
            yield len(whole).to_bytes(4, "little") + whole
    whole = json.dumps(["fault", ["damaged", "text", 5, None]]).encode()
    yield len(whole).to_bytes(4, "little") + whole


def _answers() -> Iterator[bytes]:
    parts = ((1, b'{"size": 4}'), (2, b"data"), (3, b'{"error": null}'))
    yield b"".join(bytes([kind]) + len(data).to_bytes(4, "little") + data for kind, data in parts)
    error = b'{"error": ["connection", "lost", null]}'
    yield b"\3" + len(error).to_bytes(4, "little") + error


WORDS = tuple(
    f'"{each}": '.encode()
    for each in ("record", "chain", "signatures", "warnings", "key", "error", "created")
)
HTML = (
    b"<script>",
    b"<div class='a'>",
    b" onclick='x'",
    b"<!--",
    b"<![if x[",
    b"<!DOCTYPE x [",
    b"]]>",
    b"<a href='javascript:x'>",
    b"&lt;",
    b"<svg ",
)
URLS = [b"https://user:password@example.org/a.deb?x=y#z", b"s3://bucket/key", b"memory://x"]
COSTS = Limits(0.3, 60e-6)
PROMISED = (ElfsigError, ReadError)

TARGETS = (
    Target(
        "records/frame",
        "the pipe of a confined process",
        frame,
        _frames,
        plain,
        WORDS,
        PROMISED,
        limits=COSTS,
    ),
    Target("records/row", "records as rows of tables", row, _records, text, WORDS, PROMISED, limits=COSTS),
    Target(
        "records/rendered",
        "records in every output",
        rendered,
        _records,
        text,
        (*WORDS, *HTML),
        PROMISED,
        limits=COSTS,
    ),
    Target(
        "records/markup",
        "markup from a confined process",
        markup,
        lambda: [b"<div class='map'><p title='x'>y</p></div>"],
        text,
        HTML,
        PROMISED,
        4096,
    ),
    Target(
        "records/remote",
        "answers of the process that reads URLs",
        remote,
        _answers,
        plain,
        (),
        PROMISED,
        4096,
    ),
    Target(
        "records/url",
        "URLs, shown without secrets",
        url,
        lambda: URLS,
        text,
        (b"://", b"@", b":"),
        PROMISED,
        512,
    ),
)
