"""The frame that all HTML pages share: one file each, for light and dark screens and for print."""

from __future__ import annotations

from importlib.resources import files
from string import Template

SCRIPTS = "script-src 'unsafe-inline'; "
"""What the page's own scripts need in its Content-Security-Policy."""


def data(name: str) -> str:
    """The text of a file in ``elfsig/data``."""
    return files("elfsig").joinpath(f"data/{name}").read_text(encoding="utf-8")


def page(
    title: str,
    facts: str,
    body: str,
    footer: str,
    *,
    style: str,
    heading: str | None = None,
    script: str = "",
) -> str:
    """A whole page; all texts are HTML.

    ``style`` is added to what all pages share, ``heading`` is the title if it is not given, ``script`` are
    elements that follow the body: without any, the page may run no scripts.
    """
    return Template(data("page.html")).substitute(
        title=title,
        heading=title if heading is None else heading,
        style=data("page.css") + style,
        facts=facts,
        body=body,
        footer=footer,
        script=script,
        scripts=SCRIPTS if script else "",
    )
