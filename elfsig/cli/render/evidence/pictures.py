"""The coverage maps of a bundle: drawn in the confined process, and put on a page here."""

from __future__ import annotations

import os
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from elfsig.batch.evidence.events import Pictures
from elfsig.cli.render.coverage import svg as coverage_svg
from elfsig.cli.render.coverage.page import coverage_defs, signature_map
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
    template = Template(files("elfsig").joinpath("data/coverage.html").read_text(encoding="utf-8"))
    name = escape(visible(os.path.basename(record["path"])))
    packed = f", {record['compression']}" if record["compression"] else ""
    facts = (
        f'<p class="facts">{escape(visible(record["path"]))}: {record["size"]} bytes{escape(packed)}'
        f'<br>SHA-256 <span class="mono">{escape(record["sha256"] or "")}</span></p>'
    )
    text = template.substitute(
        title=f"{name}: coverage", name=name, style=coverage_svg.style(), facts=facts,
        maps=coverage_defs() + maps, footer="Computed by elfsig from the bytes that are hashed.",
    )  # fmt: skip
    return text.encode("utf-8", "backslashreplace")


PICTURES = Pictures(draw, page)
