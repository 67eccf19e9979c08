"""Standard input, output and error that nobody reads, or that are closed."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import corpus
from tests.support.cli import Ran, environment

KEY, CERT = corpus.KEYS / "signer.key.pem", corpus.KEYS / "signer.cert.pem"
MANY = 60


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Unsigned modules, more than the output of a pipe holds back."""
    folder = tmp_path / "tree"
    folder.mkdir()
    for number in range(MANY):
        (folder / f"{'m' * 150}{number}.ko").write_bytes(corpus.content("amd64-6.1.ko"))
    return folder


def shell(line: str, *words: str | Path) -> Ran:
    """Run ``elfsig LINE`` in a shell, with ``words`` for ``{}``; signals as an interactive shell has them."""
    program = f"{shlex.quote(sys.executable)} -m elfsig "
    done = subprocess.run(
        ["bash", "-c", program + line.format(*map(shlex.quote, map(str, words)))],
        capture_output=True, text=True, env=environment(), stdin=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGPIPE, signal.SIG_DFL),
    )  # fmt: skip
    return Ran(done.returncode, done.stdout, done.stderr)


def unread(*words: str | Path) -> tuple[int, str]:
    """Exit code and standard error of ``elfsig WORDS``, whose output nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "elfsig", *map(str, words)]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, env=environment(), text=True)
    os.close(writing)
    return done.returncode, done.stderr


def signed(tree: Path) -> int:
    return sum(b"~Module signature appended~" in each.read_bytes() for each in tree.iterdir())


@pytest.mark.parametrize("form", [(), ("--jsonl",), ("--json",)])
def test_what_changes_files_goes_on_without_a_reader(tree: Path, form: tuple[str, ...]) -> None:
    keyed = ("--key", KEY, "--cert", CERT, "--in-place")
    verb = ("convert", "--to=pkcs7", "--unverified", *form) if form else ("sign", "--format=pkcs7")
    code, said = unread(*verb, *keyed, tree)
    assert (code, signed(tree)) == (0, MANY) and "Traceback" not in said
    (tree / "cut.ko.gz").write_bytes(b"\x1f\x8b\x08")
    assert unread("strip", "--in-place", tree)[0] and signed(tree) == 0


def test_what_only_reads_ends_without_a_reader_as_by_the_signal(tree: Path) -> None:
    for words in (("audit", "--trust", CERT, "--details"), ("list",), ("list", "--json"), ("--help",)):
        code, said = unread(*words, *([tree] if words[0] != "--help" else []))
        assert (code, said.count("Error")) == (141, 0), (words, said)


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_closed_streams(closed: str, tree: Path, tmp_path: Path) -> None:
    one = next(tree.iterdir())
    work = "--format pkcs7 --key {} --cert {} {}"
    assert shell(f"sign {work} --in-place {closed}", KEY, CERT, tree).code == 0
    assert signed(tree) == MANY
    for line, code in (("verify {} --trust {}", 0), ("audit {} --trust {}", 0), ("verify {}x --trust {}", 5)):
        ran = shell(f"{line} {closed}", one, CERT)
        assert ran.code == code and "internal error" not in ran.err, (line, ran)
    assert shell(f"strip {{}} -o {{}} {closed}", one, tmp_path / "o.ko").code == 0
    assert (tmp_path / "o.ko").read_bytes() == corpus.content("amd64-6.1.ko")


def test_a_closed_standard_input_is_empty() -> None:
    ran = shell("verify - --trust {} <&-", CERT)
    assert ran.code == 1 and "the file is empty" in ran.out
