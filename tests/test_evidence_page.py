"""The HTML report of ``elfsig evidence`` in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import corpus
from tests.support.browser import Browser, browser
from tests.support.run import run
from tests.support.signed import CERT, made
from tests.test_coverage_page import contrast, luminance

PLAIN = corpus.content("amd64-6.1.ko")
NAMES = ("good", "bad", "plain", "<b>bold</b>")


@pytest.fixture(scope="module")
def screen() -> Iterator[Browser]:
    with browser() as session:
        yield session


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report on a good module, one with changed bytes, an unsigned one, and a section signature."""
    folder = tmp_path_factory.mktemp("report")
    modules = folder / "in" / ("long-name" * 20)
    modules.mkdir(parents=True)
    content = made(PLAIN, "pkcs7", "whole-file").content
    bad = content[:800] + bytes([content[800] ^ 1]) + content[801:]
    others = (content, bad, PLAIN, made(PLAIN, "x509", "whole-file").content[:-1])
    for name, data in zip(NAMES, others, strict=True):
        (modules / f"{name.replace('/', '_')}.ko").write_bytes(data)
    path = folder / "case.html"
    done = run("evidence", folder / "in", "--trust", CERT, "-o", folder / "case.tar", "--html", path)
    assert done.code == 0, done.err
    return path


def test_it_is_silent_and_self_contained(screen: Browser, page: Path) -> None:
    screen.log()
    screen.open(page)
    assert screen.log() == []
    assert screen.run("return performance.getEntriesByType('resource').length") == 0
    assert screen.run("return document.scripts.length") == 0
    assert screen.run("return document.querySelectorAll('#modules tbody tr').length") == len(NAMES)
    assert screen.run("return [...document.querySelectorAll('td b')].length") == 0
    words = screen.run("return document.body.innerText")
    for part in (
        "Changed bytes",
        "0x320",
        "Key sources",
        "sh evidence/recheck.sh",
        "cryptography",
        "To repeat it",
    ):
        assert part in words


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark(screen: Browser, page: Path, scheme: str) -> None:
    screen.scheme(scheme)
    screen.open(page)
    paper, ink, bad = screen.run(
        "const b = getComputedStyle(document.body), w = document.querySelector('.tiles .alarm b');"
        "return [b.backgroundColor, b.color, getComputedStyle(w).color]"
    )
    assert (luminance(paper) > 0.5) is (scheme == "light")
    assert contrast(paper, ink) > 7 and contrast(paper, bad) > 4.5
    covered, left = screen.run(
        "const r = getComputedStyle(document.documentElement);"
        "return ['--valid', '--unsigned'].map(n => { const e = document.createElement('i');"
        " e.style.color = r.getPropertyValue(n); document.body.append(e); return getComputedStyle(e).color })"
    )
    assert contrast(covered, left) > 1.4
    screen.scheme("light")


@pytest.mark.parametrize("width", [360, 390, 768, 1280])
def test_nothing_overflows_at_any_width(screen: Browser, page: Path, width: int) -> None:
    screen.resize(width, 900)
    screen.open(page)
    assert screen.run("return document.documentElement.scrollWidth") <= width
    assert screen.screenshot().startswith(b"\x89PNG")


def test_no_word_is_cut_and_no_column_lies_on_another(screen: Browser, page: Path) -> None:
    """At 390 pixels words broke in the middle; in coverage maps all shares were in one column."""
    screen.resize(390, 900)
    screen.open(page)
    lines = screen.run(
        "return [...document.querySelectorAll('#modules td.w:first-child')].map(td => {"
        " const r = document.createRange(); r.selectNodeContents(td); return r.getClientRects().length })"
    )
    assert lines == [1] * len(NAMES)
    screen.resize(1280, 900)
    screen.open(page)
    lefts = screen.run(
        "return [...document.querySelector('.signature-map table').rows[0].cells]"
        ".map(cell => cell.getBoundingClientRect().left)"
    )
    assert len(lefts) == len(set(lefts)) and lefts == sorted(lefts)


def test_the_command_of_a_folder_that_looks_like_an_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.ko").write_bytes(PLAIN)
    assert run("evidence", "x.ko", "-o", "-case/", "--html", "case.html").code in (0, 5)
    assert "\nsh ./-case/recheck.sh" in "\n" + (tmp_path / "case.html").read_text().replace("<pre>", "\n")


def test_on_paper_it_is_complete_and_light(page: Path) -> None:
    with browser() as screen:
        screen.scheme("dark")
        screen.open(page)
        pdf = screen.print()
        assert pdf.startswith(b"%PDF-") and len(pdf) > 10_000
        screen.devtools("Emulation.setEmulatedMedia", media="print", features=[])
        paper = screen.run("return getComputedStyle(document.body).backgroundColor")
        assert luminance(paper) > 0.9
