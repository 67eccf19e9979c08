"""The HTML report of ``elfsig survey`` in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import corpus
from elfsig.cli.render.survey.page import Page
from elfsig.cli.settings import visible
from tests.support.browser import Browser, browser
from tests.support.run import run
from tests.support.signed import CERT, made
from tests.support.survey_records import HOSTILE, container, module, report_objects

RUN = {"tool": "elfsig", "version": "1.0", "time": "2026-11-28T12:00:00Z", "argv": ["survey", "a b.tar"]}
BAD = {"code": "truncated", "offset": 9123, "text": "the member <b> ends early"}
ROWS = (
    "return [...document.querySelectorAll('#modules tbody tr')]"
    ".map(row => [...row.cells].map(cell => cell.textContent))"
)
COUNT = "return document.getElementById('count').textContent"


@pytest.fixture(scope="module")
def screen() -> Iterator[Browser]:
    with browser() as session:
        yield session


@pytest.fixture(scope="module")
def words() -> list[str]:
    return ["valid"] * 6 + ["unsigned", "invalid"]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, words: list[str]) -> Path:
    """A small report, with a hostile name and an incomplete container."""
    objects, built = report_objects(), Page()
    for number, word in enumerate(words):
        image = f"image{number % 2}.tar"
        built.add(module(objects[word], f"{image}!/lib/m{number}.ko", sha256=f"{number:064x}"))
    built.add(module(objects["unchecked"], f"image0.tar!/{HOSTILE}", "2.6.18-8.el5"))
    built.add_map("<p>a map</p>")
    built.add(container("image0.tar", modules=5))
    built.add(container("image1.tar", modules=4, error=BAD))
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(built.text(RUN), "utf-8")
    return path


@pytest.fixture
def opened(screen: Browser, page: Path) -> Browser:
    screen.resize(1280, 900)
    screen.open(page)
    wait(screen)
    return screen


def wait(screen: Browser) -> str:
    """The line that counts modules, once the list was read."""
    for _ in range(400):
        said = str(screen.run(COUNT))
        if said != "Reading the list.":
            return said
        screen.run("for (const end = performance.now() + 25; performance.now() < end;) {}")
    raise AssertionError("the list was not read within ten seconds")


def select(screen: Browser, name: str, starts: str) -> None:
    """Choose the option whose text starts so."""
    screen.run(
        "const s = document.getElementById(arguments[0]);"
        "s.value = [...s.options].find(o => o.textContent.startsWith(arguments[1])).value;"
        "s.dispatchEvent(new Event('change'))",
        name,
        starts,
    )


def test_it_is_silent_self_contained_and_complete(opened: Browser) -> None:
    assert opened.log() == []
    assert opened.run("return performance.getEntriesByType('resource').map(e => e.name)") == []
    assert opened.run(COUNT) == "9 of 9 modules"
    assert len(opened.run(ROWS)) == 9


def test_what_was_not_read_stands_first(opened: Browser) -> None:
    heads = opened.run("return [...document.querySelectorAll('h2')].map(h => h.textContent)")
    assert heads[0] == "Not read completely"
    cells = opened.run(
        "return [...document.querySelectorAll('h2 ~ .scroll td')].slice(0, 6).map(c => c.textContent)"
    )
    assert cells == ["image1.tar", "tar", "4", "truncated", "0x23a3", "the member <b> ends early"]


def test_a_hostile_name_is_text(opened: Browser) -> None:
    names = opened.run("return [...document.querySelectorAll('#modules button')].map(b => b.textContent)")
    assert f"image0.tar!/{HOSTILE}" in names
    assert opened.run("return document.querySelectorAll('script').length") == 2
    assert visible(HOSTILE) != HOSTILE


def test_search_filter_and_sort(opened: Browser, words: list[str]) -> None:
    select(opened, "verdict", "invalid")
    assert [row[1] for row in opened.run(ROWS)] == ["invalid"]
    select(opened, "verdict", "every")
    opened.run("document.querySelector('[data-sort=verdict]').click()")
    found = [row[1] for row in opened.run(ROWS)]
    assert found == sorted([*words, "unchecked"])
    opened.run("document.querySelector('[data-sort=verdict]').click()")
    assert [row[1] for row in opened.run(ROWS)] == sorted(found, reverse=True)
    opened.run(
        "const s = document.getElementById('search'); s.value = 'M3.KO image1'; s.form.requestSubmit()"
    )
    assert [row[0] for row in opened.run(ROWS)] == ["image1.tar!/lib/m3.ko"]
    opened.run(f"const s = document.getElementById('search'); s.value = '{5:064x}'; s.form.requestSubmit()")
    assert [row[0] for row in opened.run(ROWS)] == ["image1.tar!/lib/m5.ko"]


def test_a_row_of_a_table_filters_the_list(opened: Browser) -> None:
    opened.run(
        "const all = [...document.querySelectorAll('[data-filter=outer]')];"
        "all.find(b => b.textContent == 'image1.tar').click()"
    )
    assert opened.run(COUNT) == "4 of 9 modules"
    assert {row[0].partition("!/")[0] for row in opened.run(ROWS)} == {"image1.tar"}


def test_details_show_the_layers_and_link_the_map(opened: Browser) -> None:
    opened.run("[...document.querySelectorAll('#modules td button')].at(-1).click()")
    said = opened.run("return document.querySelector('tr.detail').textContent")
    assert "SHA-256" in said and "file image0.tar (1000 bytes, SHA-256 abab" in said
    target = opened.run("return document.querySelector('tr.detail a').getAttribute('href')")
    assert opened.run("return document.querySelector(arguments[0]).textContent", target).strip() == "a map"


@pytest.mark.parametrize("width", [390, 500, 1280])
def test_the_page_fits_its_window(screen: Browser, page: Path, width: int) -> None:
    screen.resize(width, 900)
    screen.open(page)
    wait(screen)
    assert screen.run("return document.documentElement.scrollWidth <= innerWidth")


def test_dark_and_light_are_legible(screen: Browser, page: Path) -> None:
    script = "const s = getComputedStyle(document.body); return [s.color, s.backgroundColor]"
    seen = []
    for name in ("light", "dark"):
        screen.scheme(name)
        screen.open(page)
        seen.append(tuple(screen.run(script)))
    screen.scheme("light")
    assert seen == [("rgb(27, 27, 29)", "rgb(255, 255, 255)"), ("rgb(232, 232, 234)", "rgb(23, 24, 27)")]


def test_a_hundred_thousand_modules(screen: Browser, tmp_path: Path) -> None:
    objects, built = report_objects(), Page()
    for number in range(100_000):
        word = "unsigned" if number % 1000 == 0 else "valid"
        inside = (
            f"mirror/p{number // 4000}.deb!/data.tar!/lib/modules/6.1.{number // 4000}/kernel/m{number}.ko.xz"
        )
        built.add(module(objects[word], inside, f"6.1.{number // 4000}", sha256=f"{number * 7919:064x}"))
    path = tmp_path / "large.html"
    path.write_text(built.text(RUN), "utf-8")
    screen.open(path)
    assert wait(screen) == "100000 of 100000 modules, the first 200 are shown"
    took = screen.run(
        "const start = performance.now();"
        "document.querySelector('[data-sort=path]').click();"
        "const s = document.getElementById('search'); s.value = 'm99999'; s.form.requestSubmit();"
        "return performance.now() - start"
    )
    assert [row[0].rpartition("/")[2] for row in screen.run(ROWS)] == ["m99999.ko.xz"]
    assert took < 5000
    screen.run("const s = document.getElementById('search'); s.value = ''; s.form.requestSubmit()")
    screen.run("dispatchEvent(new Event('beforeprint'))")
    assert wait(screen) == "100000 of 100000 modules, the first 5000 are shown"
    assert path.stat().st_size < 8 << 20


def test_a_report_can_be_printed(opened: Browser) -> None:
    pdf = opened.devtools("Page.printToPDF", printBackground=True)
    assert len(pdf["data"]) > 10_000


def test_a_map_has_the_verdict_of_its_module_and_its_path(screen: Browser, tmp_path: Path) -> None:
    """Maps are drawn without keys; that no keys were given was then said of every bad module."""
    content = made(corpus.content("amd64-6.1.ko"), "pkcs7", "whole-file").content
    (tmp_path / "bad.ko").write_bytes(content[:800] + bytes([content[800] ^ 1]) + content[801:])
    page = tmp_path / "report.html"
    assert run("survey", "--no-cage", tmp_path / "bad.ko", "--trust", CERT, "--html", page).code == 1
    screen.open(page)
    wait(screen)
    said = screen.run("return document.querySelector('#map-0').innerText")
    assert str(tmp_path / "bad.ko") in said and "This signature is invalid" in said
    assert "no keys were given" not in said
    shown = screen.run("return getComputedStyle(document.querySelector('#more')).display")
    assert shown == "none"
