"""HTML that comes out of a confined process, written again with nothing in it but drawings and text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from html.parser import HTMLParser

TAGS = frozenset({
    "b", "br", "code", "div", "figure", "g", "h2", "h3", "li", "line", "p", "path", "pre", "rect", "section",
    "span", "svg", "table", "tbody", "td", "text", "th", "thead", "title", "tr", "ul",
})  # fmt: skip
EMPTY = frozenset({"br", "line", "path", "rect"})
ATTRIBUTES = frozenset({
    "aria-label", "class", "d", "data-part", "data-text", "fill", "fill-opacity", "height", "role", "style",
    "text-anchor", "title", "transform", "viewbox", "width", "x", "x1", "x2", "y", "y1", "y2", "tabindex",
    "stroke", "stroke-width",
})  # fmt: skip
STYLE = re.compile(r"flex:[0-9]{1,12}|fill:url\(#[a-z]+\)")
FILL = re.compile(r"#[0-9a-f]{3,6}|none|url\(#[a-z]+\)")
CHECKED = {"style": STYLE, "fill": FILL, "stroke": FILL}
CASED = {"viewbox": "viewBox"}


class _Writer(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        if tag not in TAGS:
            raise ValueError(f"element {tag}")
        words = "".join(map(_attribute, attrs))
        self.parts.append(f"<{tag}{words}/>" if tag in EMPTY else f"<{tag}{words}>")
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in EMPTY:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in EMPTY:
            return
        if not self.open or self.open.pop() != tag:
            raise ValueError(f"end of {tag}")
        self.parts.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        self.parts.append(escape(data))

    def handle_comment(self, data: str) -> None:
        raise ValueError("a comment")

    def handle_decl(self, decl: str) -> None:
        raise ValueError("a declaration")

    def unknown_decl(self, data: str) -> None:
        raise ValueError("a declaration")

    def handle_pi(self, data: str) -> None:
        raise ValueError("an instruction")


def _attribute(pair: tuple[str, str | None]) -> str:
    name, value = pair[0], pair[1] or ""
    pattern = CHECKED.get(name)
    if name not in ATTRIBUTES or (pattern is not None and not pattern.fullmatch(value)):
        raise ValueError(f"attribute {name}")
    return f' {CASED.get(name, name)}="{escape(value)}"'


def rewritten(html: str) -> str:
    """``html``, written again. Raises ValueError for anything but the elements and attributes of a coverage
    map: scripts, styles, links, images, event handlers."""
    writer = _Writer()
    try:
        writer.feed(html)
        writer.close()
    except AssertionError as reason:  # Python's parser, for a marked section that it does not know
        raise ValueError(str(reason)) from None
    if writer.open:
        raise ValueError(f"{writer.open[-1]} has no end")
    return "".join(writer.parts)
