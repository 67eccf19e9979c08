"""README's section on the eras: every command of it, in its order, on a module of the era."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

import corpus
from elfsig import registry
from tests.support.cli import CHECKOUT
from tests.support.run import run
from tests.support.system_dkms import executables
from tests.support.tools import need

README = (CHECKOUT / "README.md").read_text()
SECTION = re.split(r"^## ", README.split("\n## The eras\n")[1], flags=re.MULTILINE)[0]
ERAS = dict(re.findall(r"^### (.*?)\n.*?^```\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL))
MODULES = {
    "2003 to 2004: gkh": "i386-2.6.5-fc2.ko",
    "2004 to 2010: redhat": "i386-2.6.18-el5.ko",
    "2010 to 2014: note": "amd64-2.6.39-uek.ko",
    "2012: the trailers before the trailer": "amd64-6.1.ko",
    "2012 to 2015: x509": "amd64-3.10-el7.ko",
    "2015 to today: pkcs7": "amd64-6.1.ko",
}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The two key pairs that the section's first paragraph makes."""
    folder = tmp_path_factory.mktemp("keys")
    lines = re.findall(r"`elfsig (keys generate [^`]*?-o )(\w+)`", SECTION)
    assert [name for _, name in lines] == ["old", "mok"]
    for line, name in lines:
        assert run(*line.split(), folder / name).code == 0
    return folder


@pytest.fixture
def folder(keys: Path, tmp_path: Path) -> Path:
    """The keys, and the trees that the examples walk: what a vendor of the time would have shipped."""
    for path in keys.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    for tree, sample, format_id in (
        ("el5", "i386-2.6.18-el5.ko", "redhat"),
        ("uek", "amd64-2.6.39-uek.ko", "uek"),
    ):
        (tmp_path / tree / "boot").mkdir(parents=True)
        out = tmp_path / tree / "shipped.ko"
        made = run(
            "sign", corpus.SAMPLES / sample, "--format", format_id, "--key", keys / "old.key", "-o", out
        )
        assert made.code == 0, made.err
    (tmp_path / "el5/boot/vmlinuz-2.6.18-8.el5").write_bytes((keys / "old.gpg").read_bytes())
    return tmp_path


@pytest.mark.parametrize("era", ERAS)
def test_commands_of_the_era(era: str, folder: Path) -> None:
    need("gpgv")
    (folder / "driver.ko").write_bytes(corpus.content(MODULES[era]))
    path = f"{executables(folder / 'bin')}:{os.environ['PATH']}"
    for line in ERAS[era].splitlines():
        command = line.split("  #")[0]
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=folder,
            env={**os.environ, "PATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        if command.startswith("elfsig verify"):
            assert ": valid: " in done.stdout
    if (plain := folder / "plain.ko").exists():
        assert plain.read_bytes() == corpus.content(MODULES[era])


def test_every_era_has_its_section() -> None:
    assert list(ERAS) == list(MODULES)
    headings = " ".join(re.findall(r"^### .*$", SECTION, re.MULTILINE))
    for each in registry.load(plugins=False).formats:
        if "sign" in each.capabilities:
            assert f"`{each.id}`" in SECTION or f": {each.id}" in headings, each.id


def test_the_first_screen_says_what_edits_and_what_nobody_has_seen() -> None:
    screen = "\n".join(README.splitlines()[:50])
    for words in ("**What edits ELF files.**", "--engine exact", "LIEF", "**What nobody here has seen.**"):
        assert words in screen
    assert "ELFSIG_AUTHENTIC=" in screen
    assert (CHECKOUT / "tests" / "test_authentic.py").exists()
