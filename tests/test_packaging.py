"""The wheel: complete, nothing beside the two packages, and the tour runs from it alone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from elfsig.manual.completion import TARGETS
from elfsig.manual.pages import pages
from tests.support.cli import CHECKOUT, environment
from tests.support.documents import MANUAL, Stage, scenes
from tests.support.tools import need

INTEGRATION = CHECKOUT / "elfsig" / "data" / "integration"
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
        places = [Path(line) for line in ran.stdout.splitlines() if line.startswith("/")]
        assert all(place.is_relative_to(site) or not place.is_relative_to(CHECKOUT) for place in places)
    usage = subprocess.run([site / "bin" / "elfsig-sign-file"], env=env, capture_output=True, text=True)
    assert usage.returncode == 2 and "sign-file" in usage.stderr


def test_source_distribution_holds_what_a_clone_does(tmp_path: Path) -> None:
    """Documents, corpus and tests too, so that README's two commands work from it."""
    words = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(tmp_path)]
    subprocess.run(words, cwd=CHECKOUT, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    with tarfile.open(next(tmp_path.iterdir())) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {path.name for path in CHECKOUT.glob("*.md")} | {"LICENSE", "pyproject.toml", "PKG-INFO"}
    wanted |= {
        "tests/bootstrap.py",
        "corpus/manifest.json",
        "elfsig/manual/mkdocs.yml",
        "formats/elfsig_formats/pkcs7.py",
    }
    wanted |= {path.relative_to(CHECKOUT).as_posix() for path in MANUAL.rglob("*.md")}
    assert wanted <= names
    assert {name.partition("/")[0] for name in names} <= wanted | {
        ".gitignore",
        "elfsig",
        "formats",
        "corpus",
        "tests",
    }


def test_wheel_holds_man_pages_and_completion_where_they_are_looked_for(wheel: Path) -> None:
    shared = {n.partition(".data/data/")[2] for n in zipfile.ZipFile(wheel).namelist() if ".data/data/" in n}
    assert set(TARGETS.values()) <= shared
    assert {f"share/man/man1/{name}" for name in pages()} <= shared
    assert {f"share/doc/elfsig/integration/{path.name}" for path in INTEGRATION.iterdir()} <= shared


# --------------------------------------------------------------------------- as the manual says


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """/usr/local after the commands of the manual's page on installing, up to the uninstalling."""
    (scene,) = scenes(MANUAL / "install.md")
    stage = Stage(tmp_path_factory.mktemp("machine"), scene.needed)
    steps = [step for step in scene.steps if "/opt/elfsig" in step.command and "-delete" not in step.command]
    for step in steps[:4]:
        code, output = stage.run(step)
        assert code == 0, (step.command, output)
    return stage.system / "usr/local"


def test_man_finds_the_pages_that_were_linked(installed: Path) -> None:
    """By MANPATH, and by the PATH alone: man looks beside a directory of programs."""
    for where in ({"MANPATH": str(installed / "share/man")}, {"PATH": f"{installed}/bin:/usr/bin:/bin"}):
        for page in ("elfsig", "elfsig-sign", "elfsig-keys-generate"):
            env = {**os.environ, "LC_ALL": "C.UTF-8", **where}
            found = subprocess.run([need("man"), "-w", page], env=env, capture_output=True, text=True)
            linked = installed / f"share/man/man1/{page}.1"
            assert linked.is_symlink() and Path(found.stdout.strip()) == linked.resolve(), found.stderr


COMPLETION = {
    "bash": "source {bash}; __load_completion elfsig; complete -p elfsig",
    "zsh": "fpath+=({share}/zsh/site-functions); autoload compinit; compinit -Du; print $_comps[elfsig]",
    "fish": "complete -C 'elfsig keys gen'",
}


@pytest.mark.parametrize("shell", COMPLETION)
def test_shells_load_the_completion_that_was_linked(shell: str, installed: Path, tmp_path: Path) -> None:
    share = installed / "share"
    code = COMPLETION[shell].format(share=share, bash=need("bash_completion"))
    env = {
        "PATH": f"{installed}/bin:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "LC_ALL": "C.UTF-8",
        "XDG_DATA_DIRS": f"{share}:/usr/share",
        "PYTHONPATH": os.pathsep.join([str(CHECKOUT), str(CHECKOUT / "formats"), *sys.path[1:]]),
    }
    done = subprocess.run([need(shell), "-c", code], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    wanted = {"bash": "_elfsig_completion", "zsh": "_elfsig", "fish": "generate"}
    assert wanted[shell] in done.stdout


def test_what_is_installed_is_linked_and_goes_again(installed: Path) -> None:
    names = {path.relative_to(installed).as_posix() for path in installed.rglob("*") if path.is_symlink()}
    assert {
        "bin/elfsig",
        "bin/elfsig-sign-file",
        "share/man/man1/elfsig.1",
        "share/bash-completion/completions/elfsig",
        "share/zsh/site-functions/_elfsig",
        "share/fish/vendor_completions.d/elfsig.fish",
        "share/doc/elfsig/integration/kbuild.mk",
    } <= names


ONLY = """
import importlib.metadata, sys
allowed = set({requires!r})
class Block:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        owners = OWNERS.get(top)
        if owners and not allowed.intersection(owners):
            raise ModuleNotFoundError(f"not a build requirement: {{top}}", name=top)
        return None
OWNERS = {{k: [o.lower() for o in v] for k, v in importlib.metadata.packages_distributions().items()
          if k not in ("elfsig", "elfsig_formats")}}
sys.meta_path.insert(0, Block())
from elfsig.manual.completion import TARGETS, script
from elfsig.manual.pages import pages
assert pages() and all(script(shell) for shell in TARGETS)
"""


def test_the_build_requirements_suffice_for_the_manual() -> None:
    """The hook imports every command where nothing is installed but what ``[build-system]`` names."""
    pyproject = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    requires = [re.split(r"[^\w-]", each)[0] for each in pyproject["build-system"]["requires"]]
    done = subprocess.run(
        [sys.executable, "-c", ONLY.format(requires=[*requires, "cffi", "pycparser"])],
        capture_output=True,
        text=True,
        env=environment(),
    )
    assert done.returncode == 0, done.stderr
