"""Man pages and shell completion: made from the commands, well-formed, and they work in the shells."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path

import click
import pytest

from elfsig.cli.app import elfsig as group
from elfsig.manual.completion import TARGETS, script
from elfsig.manual.pages import escaped, pages
from tests.support.system_dkms import executables
from tests.support.tools import need


def commands(
    found: click.Command, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command with its words."""
    yield words, found
    if isinstance(found, click.Group):
        context = click.Context(found, **group.context_settings)
        for name in found.list_commands(context):
            command = found.get_command(context, name)
            assert command is not None
            yield from commands(command, (*words, name))


EVERY = {"-".join(("elfsig", *words)): command for words, command in commands(group)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All pages, as files."""
    found = tmp_path_factory.mktemp("man") / "man1"
    found.mkdir()
    for name, text in pages().items():
        (found / name).write_text(text)
    return found


# --------------------------------------------------------------------------- man pages


def test_every_command_has_a_page_and_no_page_is_of_nothing() -> None:
    assert {name.removesuffix(".1") for name in pages()} == set(EVERY)


@pytest.mark.parametrize("name", EVERY)
def test_a_page_says_what_help_says(name: str, folder: Path) -> None:
    command = EVERY[name]
    shown = subprocess.run(
        [need("mandoc"), "-T", "utf8", "-O", "width=1000", folder / f"{name}.1"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    page = re.sub(".\b", "", shown.stdout)
    plain = " ".join(page.split())
    for option in command.params:
        if isinstance(option, click.Option) and not option.hidden:
            assert all(flag in plain for flag in option.opts)
            assert " ".join((option.help or "").split()) in plain
    for paragraph in cleandoc(command.help or "").split("\n\n"):
        assert " ".join(paragraph.replace("\b\n", "").split()) in plain
    if isinstance(command, click.Group):
        assert all(
            f"{name}-{each}(1)" in plain
            for each in command.list_commands(click.Context(command, **group.context_settings))
        )


def test_mandoc_finds_nothing_to_complain_of(folder: Path) -> None:
    lint = subprocess.run(
        [need("mandoc"), "-T", "lint", "-W", "warning", *sorted(folder.iterdir())],
        capture_output=True, text=True,
    )  # fmt: skip
    said = [line for line in lint.stdout.splitlines() if "missing date" not in line]
    assert said == []


def test_man_shows_a_page(folder: Path) -> None:
    done = subprocess.run([need("man"), "-l", folder / "elfsig-sign.1"], capture_output=True, text=True)
    assert done.returncode == 0 and "elfsig sign [OPTIONS] PATH..." in done.stdout


@pytest.mark.parametrize(
    ("text", "roff"), [(".so evil", r"\&.so evil"), ("a\\b", r"a\eb"), ("'quoted'", r"\(aqquoted\(aq")]
)
def test_text_is_never_a_request(text: str, roff: str) -> None:
    assert escaped(text) == roff


# --------------------------------------------------------------------------- completion


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A directory with the scripts, and with ``elfsig`` in ``bin``."""
    executables(tmp_path / "bin")
    for shell in TARGETS:
        (tmp_path / f"elfsig.{shell}").write_text(script(shell))
    return tmp_path


def in_shell(shell: str, code: str, home: Path) -> list[str]:
    env = {"PATH": f"{home}/bin:/usr/bin:/bin", "HOME": str(home), "LC_ALL": "C.UTF-8", "TERM": "dumb"}
    done = subprocess.run([need(shell), "-c", code], capture_output=True, text=True, env=env, cwd=home)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return done.stdout.split("\n")


BASH = """
. ./elfsig.bash
COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_elfsig_completion elfsig
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
ZSH = """
compdef() {{ :; }}
compadd() {{ local name=$argv[-1]; print -l -- ${{(P)name}}; }}
_describe() {{ print -l -- ${{(P)3}}; }}
words=({words}) CURRENT=${{#words}}
. ./elfsig.zsh
_elfsig_completion
"""
FISH = """
source elfsig.fish
complete -C "{words}"
"""
SHELLS = {"bash": BASH, "zsh": ZSH, "fish": FISH}
QUESTIONS = {
    "elfsig si": {"sign", "sign-file"},
    "elfsig keys li": {"list"},
    "elfsig sign --in": {"--in-place"},
    "elfsig sign --format cr": {"crypto-pgp", "crypto-digsig"},
    "elfsig --color al": {"always"},
}


@pytest.mark.parametrize("words", QUESTIONS)
@pytest.mark.parametrize("shell", SHELLS)
def test_completion(shell: str, words: str, home: Path) -> None:
    lines = in_shell(shell, SHELLS[shell].format(words=words), home)
    found = {re.split(r"[\t:]", line)[0] for line in lines if line}
    assert found == QUESTIONS[words]
