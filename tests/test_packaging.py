"""The wheel: complete, nothing beside the two packages, and the tour runs from it alone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.cli import CHECKOUT

SOURCES = ("elfsig", "formats", "README.md", "LICENSE", "pyproject.toml")


def pip(*arguments: str | Path) -> None:
    """Run pip without a network."""
    command = [sys.executable, "-m", "pip", *map(str, arguments), "--quiet", "--no-deps", "--no-index"]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        if (CHECKOUT / name).is_dir():
            shutil.copytree(CHECKOUT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(CHECKOUT / name, source / name)
    pip("wheel", "--no-build-isolation", "--wheel-dir", target, source)
    return next(target.iterdir())


def test_wheel_holds_the_two_packages_and_all_their_files(wheel: Path) -> None:
    names = [n for n in zipfile.ZipFile(wheel).namelist() if not re.match(r"[^/]*\.(dist-info|data)/", n)]
    roots = ((CHECKOUT, "elfsig"), (CHECKOUT / "formats", "elfsig_formats"))
    wanted = {
        path.relative_to(folder).as_posix()
        for folder, package in roots
        for path in (folder / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert set(names) == wanted
    assert {"elfsig/py.typed", "elfsig/data/schema.json", "elfsig/data/tour/6.1-pkcs7.ko"} <= wanted


def test_installed_wheel_runs_the_tour_and_sign_file(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    pip("install", "--target", site, wheel)
    env = {**os.environ, "PYTHONPATH": str(site)}
    probe = "import elfsig, elfsig_formats, sys; print(elfsig.__file__, elfsig_formats.__file__, sep='\\n')"
    for command in ([sys.executable, "-c", probe], [str(site / "bin" / "elfsig"), "tour"]):
        ran = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        assert str(CHECKOUT) not in ran.stdout
    usage = subprocess.run([site / "bin" / "elfsig-sign-file"], env=env, capture_output=True, text=True)
    assert usage.returncode == 2 and "sign-file" in usage.stderr
