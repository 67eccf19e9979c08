"""HTML that comes out of a confined process, written again with nothing in it but drawings and text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape, unescape

TAGS = frozenset({
    "b", "br", "code", "div", "figure", "g", "h2", "h3", "li", "line", "p", "path", "pre", "rect", "section",
    "span", "svg", "table", "tbody", "td", "text", "th", "thead", "title", "tr", "ul",
})  # fmt: skip
EMPTY = frozenset({"br", "line", "path", "rect"})
ATTRIBUTES = frozenset({
    "aria-label", "class", "d", "data-part", "data-text", "fill", "fill-opacity", "height", "role", "style",
    "text-anchor", "title", "transform", "viewBox", "width", "x", "x1", "x2", "y", "y1", "y2", "tabindex",
    "stroke", "stroke-width",
})  # fmt: skip
STYLE = re.compile(r"flex:[0-9]{1,12}|fill:url\(#[a-z]+\)")
FILL = re.compile(r"#[0-9a-f]{3,6}|none|url\(#[a-z]+\)")
CHECKED = {"style": STYLE, "fill": FILL, "stroke": FILL}

_ATTRIBUTE = r' ([A-Za-z0-9-]+)="([^"<]*)"'
_ATTRIBUTES = re.compile(_ATTRIBUTE)
_PIECE = re.compile(rf"<(?P<end>/?)(?P<tag>[a-z0-9]+)(?P<words>(?:{_ATTRIBUTE})*)(?P<closed>/?)>|[^<]+")
"""What a coverage map is made of, as it is written; Python's HTML parser also reads what is not well formed,
and takes the square of its length for some of that."""


def _pieces(html: str) -> Iterator[re.Match[str]]:
    at = 0
    while at < len(html):
        piece = _PIECE.match(html, at)
        if piece is None:
            raise ValueError(f"not an element or text: {html[at : at + 40]!r}")
        yield piece
        at = piece.end()


def _attribute(name: str, value: str) -> str:
    pattern = CHECKED.get(name)
    if name not in ATTRIBUTES or (pattern is not None and not pattern.fullmatch(value)):
        raise ValueError(f"attribute {name}")
    return f' {name}="{escape(unescape(value))}"'


def _start(piece: re.Match[str]) -> str:
    """The start of an element; all of it, where it is closed at once."""
    tag = piece["tag"]
    if tag not in TAGS:
        raise ValueError(f"element {tag}")
    start = f"<{tag}{''.join(_attribute(*pair) for pair in _ATTRIBUTES.findall(piece['words']))}"
    if not piece["closed"]:
        return start + ">"
    return start + ("/>" if tag in EMPTY else f"></{tag}>")


def rewritten(html: str) -> str:
    """``html``, written again. Raises ValueError for anything but the elements and attributes of a coverage
    map in the form in which elfsig writes them: scripts, styles, links, images, event handlers."""
    parts: list[str] = []
    unclosed: list[str] = []
    for piece in _pieces(html):
        if not piece["tag"]:
            parts.append(escape(unescape(piece[0])))
        elif not piece["end"]:
            parts.append(_start(piece))
            if not piece["closed"]:
                unclosed.append(piece["tag"])
        elif piece["words"] or piece["closed"] or not unclosed or unclosed.pop() != piece["tag"]:
            raise ValueError(f"end of {piece['tag']}")
        else:
            parts.append(piece[0])
    if unclosed:
        raise ValueError(f"{unclosed[-1]} has no end")
    return "".join(parts)
