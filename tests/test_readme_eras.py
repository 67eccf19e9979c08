"""The manual's page on the eras: every command of it, in its order, on a module of the era."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import corpus
from elfsig import registry
from tests.support.documents import ERAS_PAGE, Stage, scenes
from tests.support.ingredients import ERAS
from tests.support.tools import need

TEXT = ERAS_PAGE.read_text("utf-8")
SCENES = {scene.needed[0]: scene for scene in scenes(ERAS_PAGE)}


@pytest.mark.parametrize("era", SCENES)
def test_commands_of_the_era(era: str, tmp_path: Path) -> None:
    need("gpgv")
    stage, scene = Stage(tmp_path, (era,)), SCENES[era]
    for step in scene.steps:
        code, output = stage.run(step)
        assert code == step.code, (step.command, output)
        if step.command.startswith("elfsig verify") and era in ERAS:
            assert ": valid: " in output
    if (plain := stage.folder / "plain.ko").exists():
        assert plain.read_bytes() == corpus.content(ERAS[era])


def test_the_keys_of_the_page_are_made_as_it_says() -> None:
    lines = re.findall(r"`elfsig (keys generate [^`]*?-o )(\w+)`", TEXT)
    assert [name for _, name in lines] == ["old", "mok"]


def test_every_era_has_its_section() -> None:
    assert [name for name in SCENES if name in ERAS] == list(ERAS)
    headings = " ".join(re.findall(r"^## .*$", TEXT, re.MULTILINE))
    for each in registry.load(plugins=False).formats:
        if "sign" in each.capabilities:
            assert f"`{each.id}`" in TEXT or f": {each.id}" in headings, each.id


def test_the_scenes_are_those_of_the_page() -> None:
    assert all(scene.steps for scene in SCENES.values())
    assert len(SCENES) == len(re.findall(r"^<!-- run:", TEXT, re.MULTILINE))
