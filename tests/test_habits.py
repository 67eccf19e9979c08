"""Habits of the command line: help, suggestions, usage errors, completion, trees side by side."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest

import corpus
from elfsig.cli.command_table import COMMANDS
from elfsig.cli.commands.keys.group import COMMANDS as KEYS
from tests.support.cli import elfsig, environment
from tests.support.run import run

CERT = corpus.FOLDER / "keys" / "signer.cert.pem"
KEY = corpus.FOLDER / "keys" / "signer.key.pem"


@pytest.fixture
def signed(tmp_path: Path) -> Path:
    path = tmp_path / "signed.ko"
    path.write_bytes(corpus.content("amd64.pkcs7"))
    return path


# --------------------------------------------------------------------------- help


@pytest.mark.parametrize("name", [*COMMANDS, *(f"keys {name}" for name in KEYS)])
def test_every_command_has_its_help_in_three_ways(name: str) -> None:
    words = name.split()
    shown = run(*words, "--help")
    assert shown.code == 0 and shown.out.startswith(f"Usage: elfsig {name} ")
    assert run("help", *words).out == shown.out
    if name not in ("list", "sign-file"):  # theirs are options of grep and of the kernel's tool
        assert run(*words, "-h").out == shown.out


def test_the_programs_own_help() -> None:
    assert run("help").out == run("-h").out == run("--help").out


def test_h_of_list_leaves_the_path_out(signed: Path) -> None:
    assert not run("list", "-h", signed, signed).out.startswith(str(signed))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["verfy", "x.ko"], "no such command: verfy; did you mean verify?"),
        (["Verify", "x.ko"], "no such command: Verify; did you mean verify?"),
        (["keys", "lst"], "no such command: lst; did you mean list?"),
        (["help", "frobnicate"], "no such command: frobnicate; choose from list, show"),
        (["verify", "--trsut", "a", "x.ko"], "--trust"),
        (["list", "--only", "unsinged", "{}"], "did you mean unsigned or signed?"),
        (["list", "--only", "foo", "{}"], "choose from"),
        (["sign", "{}"], "missing: --format ID; one of --key KEY"),
        (["sign", "{}"], "one of -o FILE, --output-dir DIR and --in-place"),
        (["sign", "{}", "--in-place"], "missing: --format ID; one of --key KEY"),
        (["convert", "{}"], "missing: --to ID; one of --key KEY"),
        (["attach", "{}", "-o", "out.ko"], "missing: --from SIGNED|PART"),
        (["verify", "{}", "--kernel", "6.1", "--config", "no/such"], "--config no/such: no such file"),
        (["verify", "{}", "--kernel", "6.1", "--cmdline", "no/such"], "--cmdline no/such: no such file"),
        (["verify", "{}", "--require", "pkcs8"], "unknown format 'pkcs8'"),
        (["audit", "{}", "--trust", str(CERT), "--hash", "sha9"], "unknown hash 'sha9'"),
    ],
)  # fmt: skip
def test_usage_errors_say_what_is_wrong_and_what_there_is(words: list[str], said: str, signed: Path) -> None:
    ran = run(*(word.format(signed) for word in words))
    assert ran.code == 2 and ran.out == ""
    assert said in ran.err


# --------------------------------------------------------------------------- words


@pytest.mark.parametrize("word", ["pkcs7", "PKCS7", "Pkcs7"])
def test_formats_in_any_case(word: str, signed: Path, tmp_path: Path) -> None:
    assert run("verify", "--trust", CERT, "--require", word, signed).code == 0
    assert run("strip", signed, "--format", word, "-o", tmp_path / f"{word}.ko").code == 0
    assert run("list", "--only", word, signed).out


@pytest.mark.parametrize("word", ["signed", "sha256", "RSA", "trailer", "cms"])
def test_words_of_only_that_fit(word: str, signed: Path) -> None:
    copy = signed.with_name("copy.ko")
    copy.write_bytes(signed.read_bytes())
    assert run("list", "--only", word, signed, copy).out.count("\n") == 2


@pytest.mark.parametrize("word", ["unsigned", "sha1", "note", ".module_sig", "module_sig", "progbits"])
def test_words_of_only_that_are_known_and_do_not_fit(word: str, signed: Path) -> None:
    ran = run("list", "--only", word, signed)
    assert (ran.code, ran.out) == (0, "")


@pytest.mark.parametrize(
    ("command", "option", "start", "found"),
    [
        ("verify", "--kernel", "debian-6.1", "debian-6.12"),
        ("verify", "--kernel", "au", "auto"),
        ("verify", "--require", "pk", "pkcs7"),
        ("sign", "--hash", "sha2", "sha256"),
        ("sign", "--for-kernel", "rhel5", "rhel5"),
        ("digest", "--hash", "SHA5", "sha512"),
        ("audit", "--kernel", "rhel", "rhel5"),
    ],
)
def test_words_that_shells_complete(command: str, option: str, start: str, found: str) -> None:
    env = {"COMP_WORDS": f"elfsig {command} {option} {start}", "COMP_CWORD": "3"}
    ran = run(env={**env, "_ELFSIG_COMPLETE": "bash_complete"})
    assert f"plain,{found}" in ran.out.splitlines()


def test_every_command_can_be_loaded() -> None:
    from elfsig.cli.app import elfsig as program

    context = click.Context(program)
    assert all(program.get_command(context, name) is not None for name in COMMANDS)


# --------------------------------------------------------------------------- trees side by side


def test_results_of_several_trees_keep_the_top_folder_of_each(tmp_path: Path) -> None:
    for name in ("one/modules", "two/modules", "three/extra"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "m.ko").write_bytes(corpus.content("amd64.pkcs7"))
    trees = [tmp_path / "one/modules", tmp_path / "two/modules", tmp_path / "three/extra"]
    out = tmp_path / "out"
    assert run("strip", *trees, "--output-dir", out).code == 0
    made = sorted(str(path.relative_to(out)) for path in out.rglob("*.ko"))
    assert made == ["extra/m.ko", "modules-2/m.ko", "modules/m.ko"]
    alone = tmp_path / "alone"
    assert run("strip", trees[0], "--output-dir", alone).code == 0
    assert (alone / "m.ko").exists()


# --------------------------------------------------------------------------- standard input


@pytest.mark.parametrize("command", ["list", "show", "verify", "digest", "coverage", "explain", "compare"])
def test_a_dash_is_standard_input(command: str, signed: Path) -> None:
    more = ["-"] if command != "compare" else ["-", str(signed)]
    piped = subprocess.run(
        [sys.executable, "-m", "elfsig", command, *more],
        input=signed.read_bytes(),
        capture_output=True,
        env=environment(),
    )
    direct = elfsig(command, *(str(signed) if word == "-" else word for word in more))
    name = "-" if command in ("digest", "coverage") else "<stdin>"
    assert piped.returncode == direct.code, piped.stderr
    expected = direct.out.replace(str(signed), name, 1)
    expected = expected.replace(f"kernel log: {signed.stem}:", f"kernel log: {name}:")  # named by its file
    assert piped.stdout.decode() == expected


def test_standard_input_among_files(signed: Path) -> None:
    piped = subprocess.run(
        [sys.executable, "-m", "elfsig", "list", "-", str(signed)],
        input=corpus.content("amd64-6.1.ko"),
        capture_output=True,
        env=environment(),
    )
    first, second = piped.stdout.decode().splitlines()
    assert first == "<stdin>: unsigned" and second.startswith(f"{signed}: [ -] ~Module sig~")


def test_show_says_first_which_module_it_is(signed: Path) -> None:
    first = run("show", signed).out.splitlines()[:4]
    assert [line.split(":")[0] for line in first] == ["filename", "name", "vermagic", "depends"]
    assert run("show", "-F", "name", signed).out == "sample\n"
    assert run("show", "-F", "vermagic", signed).out.startswith("6.1.0-sample SMP")
