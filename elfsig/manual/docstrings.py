"""Docstrings on the site: the few marks of reStructuredText that they have, as Markdown."""

from __future__ import annotations

import re
from typing import Any, Final

import griffe

_ROLE: Final = re.compile(r":(?:attr|class|data|exc|func|meth|mod):`~?([^`]+)`")
_LITERAL: Final = re.compile(r"::(?=\n\n +\S)")
_RULE: Final = r"=+(?: +=+)+\n"
_TABLE: Final = re.compile(rf"^({_RULE})((?:.+\n)+?){_RULE}((?:.+\n)+?){_RULE}", re.MULTILINE)


class AsMarkdown(griffe.Extension):
    """Roles become code, ``::`` before an indented block a colon, and a simple table one of Markdown's."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Rewrite the docstring of each module, class, function and attribute as it is read."""
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(text: str) -> str:
    """A docstring, cleaned of its indentation, as Markdown reads it."""
    text = _LITERAL.sub(":", _ROLE.sub(r"`\1`", text))
    return _TABLE.sub(_table, text + "\n").rstrip()


def _table(found: re.Match[str]) -> str:
    """A simple table with a head, whose columns are those of its first rule."""
    starts = [column.start() for column in re.finditer("=+", found[1])]
    spans = list(zip(starts, [*starts[1:], None], strict=True))
    head, body = ([[line[a:b].strip() for a, b in spans] for line in found[n].splitlines()] for n in (2, 3))
    return "".join(f"| {' | '.join(row)} |\n" for row in (*head, ["---"] * len(spans), *body))
