"""The page of ``elfsig coverage`` in a real browser: silent, complete, legible on screens and on paper."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import corpus
from elfsig.model import Existing
from tests.support import vectors
from tests.support.browser import Browser, browser
from tests.support.run import run
from tests.support.signed import CERT, made

KINDS = ("verbatim", "signature", "derived", "steering", "open")
NOTE = vectors.ROOT / "modules" / "note-sorted-amd64-dsa.ko"
DSA = vectors.ROOT / "keys" / "dsa1024.pub.gpg"


@pytest.fixture(scope="module")
def screen() -> Iterator[Browser]:
    with browser() as session:
        yield session


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """The page of a note signature."""
    path = tmp_path / "note.html"
    assert run("coverage", NOTE, "--trust", DSA, "--prove", "--html", path).code == 0
    return path


def eras(folder: Path) -> Iterator[Path]:
    """A page for a signature of each way to lie in a file, and one for a stack."""
    content = corpus.content("amd64-2.6.39-uek.ko")
    contents = {f: made(content, f, c).content for f, c in (("gkh", "textdata"), ("redhat", "fileorder"),
                ("crypto-pgp", "whole-file"), ("x509", "whole-file"), ("pkcs7", "whole-file"))}  # fmt: skip
    stack = made(contents["redhat"], "note", "sorted", existing=Existing.STACK).content
    contents["stack"] = made(stack, "pkcs7", "whole-file", existing=Existing.STACK).content
    contents |= {"unsigned": content, "damaged": corpus.content("sig-len-huge")}
    for name, data in contents.items():
        module = folder / f"{name}.ko"
        module.write_bytes(data)
        run("coverage", module, "--trust", CERT, "--html", folder / f"{name}.html")
        yield folder / f"{name}.html"


def test_no_page_says_a_word_to_the_console_or_the_net(screen: Browser, tmp_path: Path) -> None:
    count = 0
    for path in eras(tmp_path):
        screen.open(path)
        assert screen.log() == [], path.name
        loaded = screen.run("return performance.getEntriesByType('resource').map(e => e.name)")
        assert loaded == [], path.name
        count += 1
    assert count == 8
    assert "No signature: nothing in this file is protected" in (tmp_path / "unsigned.html").read_text()


def test_the_legend_has_every_kind_in_its_own_colour(screen: Browser, page: Path) -> None:
    screen.open(page)
    legend = screen.run(
        "return [...document.querySelectorAll('.legend li')].map(li => [li.querySelector('b').textContent,"
        " getComputedStyle(li.querySelector('.swatch')).backgroundColor])"
    )
    assert [name for name, _ in legend] == list(KINDS)
    assert len({color for _, color in legend}) == len(KINDS)
    drawn = screen.run(
        "return [...document.querySelectorAll('svg.map path[class]')].map(p =>"
        " [p.getAttribute('class'), getComputedStyle(p).fill])"
    )
    assert sorted(drawn) == sorted(legend)


def readout(screen: Browser) -> str:
    return str(screen.run("return document.querySelector('.readout').textContent"))


def test_pointing_at_a_section_names_it(screen: Browser, page: Path) -> None:
    screen.open(page)
    idle = readout(screen)
    numbers = screen.run(
        "return [...new Set([...document.querySelectorAll('svg .part')].map(p => p.dataset.part))]"
    )
    names = []
    for number in numbers:
        screen.point_at(f'svg .part[data-part="{number}"]')
        names.append(readout(screen))
        marked = screen.run("return [...document.querySelectorAll('.on')].map(e => e.dataset.part)")
        assert set(marked) == {number} and len(marked) >= 2  # in the picture and in the table
    assert idle not in names
    assert any(re.match(r"\[1\] \.text: 62 bytes at 0x40: 100 % verbatim", name) for name in names)
    assert any(re.match(r"\[16\] \.note\.module\.sig: 120 bytes at 0x1c8: 100 % signature", n) for n in names)
    screen.point_at("tbody tr:nth-child(3)")
    assert ".init.text" in readout(screen)
    screen.point_at("h1")
    assert readout(screen) == idle


def luminance(color: str) -> float:
    """Relative luminance of ``rgb(r, g, b)`` (WCAG 2.1)."""
    values = [int(part) / 255 for part in re.findall(r"\d+", color)[:3]]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


COLORS = """
const body = getComputedStyle(document.body), svg = document.querySelector('svg.map .offset');
const kinds = [...document.querySelectorAll('.legend .swatch')].map(s => getComputedStyle(s).backgroundColor);
return {paper: body.backgroundColor, ink: body.color, offset: getComputedStyle(svg).fill, kinds};
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark(screen: Browser, page: Path, scheme: str) -> None:
    screen.scheme(scheme)
    screen.open(page)
    colors: dict[str, Any] = screen.run(COLORS)
    assert (luminance(colors["paper"]) > 0.5) is (scheme == "light")
    assert contrast(colors["paper"], colors["ink"]) > 7
    assert contrast(colors["paper"], colors["offset"]) > 4.5
    verbatim, signature, _, _, open_ = colors["kinds"]
    assert len({*colors["kinds"], colors["paper"]}) == len(KINDS) + 1
    # What is protected and what is not differ in brightness too: no colour is needed to tell them apart.
    assert abs(luminance(signature) - luminance(open_)) > 0.2
    assert contrast(verbatim, open_) > 2
    screen.scheme("light")


@pytest.mark.parametrize("width", [360, 390, 500, 768, 840, 980, 1280, 1920])
def test_nothing_overflows_at_any_width(screen: Browser, page: Path, width: int) -> None:
    screen.resize(width, 900)
    screen.open(page)
    seen = screen.run(
        "return [document.documentElement.scrollWidth, document.querySelector('svg.map').clientWidth]"
    )
    assert seen[0] <= width
    assert seen[1] > 300
    table = screen.run(
        "const t = document.querySelector('table').parentElement; return [t.scrollWidth, t.clientWidth]"
    )
    assert table[0] <= table[1], "the table runs past the edge"
    assert screen.screenshot().startswith(b"\x89PNG")


def test_on_paper_it_is_complete_and_light(screen: Browser, page: Path) -> None:
    screen.scheme("dark")
    screen.open(page)
    pdf = screen.print()
    assert pdf.startswith(b"%PDF-") and len(pdf) > 10_000
    screen.devtools("Emulation.setEmulatedMedia", media="print", features=[])
    colors = screen.run(COLORS)
    assert luminance(colors["paper"]) > 0.9 and contrast(colors["paper"], colors["ink"]) > 7
    hidden = screen.run("return getComputedStyle(document.querySelector('.readout')).display")
    assert hidden == "none"
    screen.scheme("light")


def test_the_picture_alone_can_be_opened_too(screen: Browser, tmp_path: Path) -> None:
    picture = tmp_path / "note.svg"
    assert run("coverage", NOTE, "--trust", DSA, "--svg", picture).code == 0
    screen.open(picture)
    assert screen.log() == []
    assert screen.run("return document.documentElement.getBBox().width") > 900
    assert screen.run("return document.querySelectorAll('rect.part').length") > 20
