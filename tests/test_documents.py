"""README.md and the manual, run: every command and program, and what they show is what is printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.cli import CHECKOUT
from tests.support.documents import DOCUMENTS, ERAS_PAGE, MANUAL, Scene, Stage, fits, printed, scenes

SCENES = [scene for document in DOCUMENTS if document != ERAS_PAGE for scene in scenes(document)]
REFRESH = "python -m tests.support.documents writes what is printed now"
NOT_RUN = {
    "README.md": {
        "python3 tests/bootstrap.py tour",  # installs from the network; tests/test_tour.py runs the tour
        "python3 tests/bootstrap.py test",  # this run
    }
}
"""Commands outside of any scene, and why they are."""
ELSEWHERE = {"CONTRIBUTING.md": {"python"}}
"""Blocks that another test runs: tests/test_contributing.py."""


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.id)
def test_what_a_document_shows_is_what_happens(scene: Scene, tmp_path: Path) -> None:
    stage = Stage(tmp_path, scene.needed)
    for step in scene.steps:
        code, output = stage.run(step)
        assert code == step.code, (step.command, output)
        if step.shown is not None:
            text = printed(code, output)
            assert fits(step.shown, text), f"$ {step.command}\n{text}\n({REFRESH})"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_no_command_is_outside_of_a_scene(document: Path) -> None:
    text = document.read_text("utf-8")
    start = len(re.split(r"^<!-- run:", text, maxsplit=1, flags=re.MULTILINE)[0])
    stray = set()
    for block in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        lines = {line for line in block[2].splitlines() if line.strip()}
        if block[1] in ELSEWHERE.get(document.name, set()):
            continue
        if (block[1] in ("sh", "console", "python") and block.start() < start) or block[1] == "":
            stray |= lines
        elif block[1] == "text":
            stray |= {line for line in lines if re.match(r"(\$ )?(sudo )?elfsig [a-z]", line)}
    assert stray == NOT_RUN.get(document.name, set())


@pytest.mark.parametrize("page", sorted(MANUAL.glob("formats/*.md")), ids=lambda path: path.stem)
def test_every_format_page_shows_a_layout_and_a_worked_example(page: Path) -> None:
    text = page.read_text("utf-8")
    if page.stem == "index":
        return
    assert "| Offset |" in text or "| Part |" in text
    assert any(step.shown for scene in scenes(page) for step in scene.steps)
    for heading in ("## Layout", "## History", "## What kernels do", "## Worked example"):
        assert f"\n{heading}\n" in text, heading


@pytest.mark.parametrize(
    ("shown", "text", "right"),
    [
        ("a\nb\n", "a\nb\n", True),
        ("a\n...\nb\n", "a\nx\ny\nb\n", True),
        ("a ... c\n", "a b c\n", True),
        ("a ... c\n", "a b d\n", False),
        ("a\n", "a\nb\n", False),
        ("", "", True),
        ("", "a\n", False),
        ("a (1)\n", "a 1\n", False),
    ],
)
def test_how_shown_and_printed_are_compared(shown: str, text: str, right: bool) -> None:
    assert fits(shown, text) is right
