"""The coverage maps of a bundle: drawn in the confined process, and put on a page here."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from elfsig.batch.evidence.events import Pictures
from elfsig.cli.render.coverage.page import page_of, signature_map
from elfsig.cli.render.safe_html import rewritten
from elfsig.cli.settings import visible
from elfsig.verbs.inspect.cover import Cover

Json = dict[str, Any]


def draw(covers: Sequence[Cover]) -> str:
    """The maps as HTML."""
    return "".join(signature_map(each, None) for each in covers)


def page(record: Json, drawn: str) -> bytes:
    """The page with what :func:`draw` made for the module of ``record``; b"" for anything else."""
    try:
        maps = rewritten(drawn)
    except ValueError:
        return b""
    packed = f", {record['compression']}" if record["compression"] else ""
    facts = (
        f'<p class="facts">{escape(visible(record["path"]))}: {record["size"]} bytes{escape(packed)}'
        f'<br>SHA-256 <span class="mono">{escape(record["sha256"] or "")}</span></p>'
    )
    return page_of(record["path"], facts, maps, "elfsig").encode("utf-8", "backslashreplace")


PICTURES = Pictures(draw, page)
