"""HTML from a confined process: a coverage map passes unchanged in meaning, nothing active passes at all."""

from __future__ import annotations

import pytest

from elfsig.cli.render.coverage.page import signature_map
from elfsig.cli.render.safe_html import rewritten
from elfsig.opened.module import open_module
from elfsig.verbs.inspect.cover import covers
from elfsig.verbs.verify.examine import Question
from tests.support import vectors

ACTIVE = (
    "<script>alert(1)</script>",
    '<p onclick="alert(1)">x</p>',
    '<img src="x" onerror="alert(1)">',
    '<a href="javascript:alert(1)">x</a>',
    '<p style="background:url(http://example.org/)">x</p>',
    '<svg><use href="#x"></use></svg>',
    "<style>p { color: red }</style>",
    "<!-- comment -->",
    "<?php x ?>",
    "<!DOCTYPE html>",
    "<iframe></iframe>",
    "<p><b></p></b>",
    "</section><section>",
    '<rect fill="url(http://example.org/#x)"/>',
    "<svg><foreignObject></foreignObject></svg>",
    "<form><input></form>",
    '<meta http-equiv="refresh" content="0">',
    "<p>",
)


@pytest.mark.parametrize("html", ACTIVE)
def test_nothing_active_passes(html: str) -> None:
    with pytest.raises(ValueError):
        rewritten(html)


@pytest.mark.parametrize("name", ["note-sorted-amd64-dsa.ko", "rh-i386-dsa-v3.ko"])
def test_a_coverage_map_passes(name: str) -> None:
    module = open_module((vectors.ROOT / "modules" / name).read_bytes())
    drawn = "".join(signature_map(each, None) for each in covers(module, Question()))
    again = rewritten(drawn)
    assert again.count("<rect") == drawn.count("<rect") > 5
    assert again.count("<tr") == drawn.count("<tr")
    assert rewritten(again) == again


def test_text_stays_text() -> None:
    assert rewritten("<p>a &lt;script&gt; b</p>") == "<p>a &lt;script&gt; b</p>"
