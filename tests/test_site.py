"""The manual as a site: it builds in strict mode without a network, and holds what the code holds."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import elfsig
from elfsig.manual.commands import reference
from elfsig.manual.docstrings import as_markdown
from tests.support.cli import CHECKOUT, environment
from tests.support.documents import MANUAL


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site. Strict: a page that no list of contents names, or a link that leads nowhere, fails."""
    folder = tmp_path_factory.mktemp("site")
    words = ["-m", "mkdocs", "build", "--strict", "--quiet", "-f", "elfsig/manual/mkdocs.yml", "-d", folder]
    done = subprocess.run(
        [sys.executable, *map(str, words)], cwd=CHECKOUT, capture_output=True, text=True,
        env=environment({"NO_MKDOCS_2_WARNING": "1"}),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_and_every_command_is_there(site: Path) -> None:
    pages = {path.relative_to(MANUAL).with_suffix(".html").as_posix() for path in MANUAL.rglob("*.md")}
    pages |= {f"reference/commands/{name.removesuffix('.md')}.html" for name in reference()}
    made = {path.relative_to(site).as_posix() for path in site.rglob("*.html")}
    assert made == pages | {"404.html", "reference/schema.html"}


def test_the_reference_of_the_library_has_every_public_name(site: Path) -> None:
    text = (site / "reference" / "library.html").read_text("utf-8")
    there = set(re.findall(r'id="elfsig\.(\w+)"', text))
    assert set(elfsig.__all__) - {"__version__"} <= there


def test_docstrings_are_shown_as_markdown(site: Path) -> None:
    text = "".join(path.read_text("utf-8") for path in (site / "reference").glob("*.html"))
    assert not re.findall(r":(?:class|func|meth|mod):", text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("see :class:`Format`, :func:`~elfsig.verify`", "see `Format`, `elfsig.verify`"),
        ("as in::\n\n    code", "as in:\n\n    code"),
        ("a::b", "a::b"),
        ("== ===\na  b\n== ===\n1  2 3\n== ===\n\nrest", "| a | b |\n| --- | --- |\n| 1 | 2 3 |\n\nrest"),
    ],
)
def test_marks_of_restructuredtext(text: str, shown: str) -> None:
    assert as_markdown(text) == shown


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    loads = re.compile(r"""<(?:script|link|img|iframe)\b[^>]*?\b(?:src|href)=["']?(https?:[^"'> ]+)""")
    for path in site.rglob("*.html"):
        assert not loads.findall(path.read_text("utf-8")), path


def test_pages_are_read_as_plain_markdown_too() -> None:
    """No markup that only the site's generator knows, beside the references that are made from code."""
    for path in MANUAL.rglob("*.md"):
        text = path.read_text("utf-8")
        if path.parent.name != "reference":
            assert not re.search(r"^(?:!!!|\?\?\?|::: |=== |\{%)", text, re.MULTILINE), path
