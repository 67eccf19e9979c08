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
from elfsig.opened.atomic import replacing
from tests.support.cli import Ran, elfsig, environment

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


def test_what_writes_several_files_writes_all_of_them_without_a_reader(tree: Path, tmp_path: Path) -> None:
    """The first line that nobody read ended it: with one part of a signature, or before all was set up."""
    one = next(tree.iterdir())
    assert elfsig("sign", "--format=pkcs7", "--key", KEY, "--cert", CERT, "--in-place", one).code == 0
    assert elfsig("show", one, "--extract", tmp_path / "read").code == 0
    assert unread("show", one, "--extract", tmp_path / "unread") == (0, "")
    names = [sorted(each.name for each in (tmp_path / name).iterdir()) for name in ("read", "unread")]
    assert names[0] == names[1] and len(names[0]) > 3
    config = tmp_path / "config"
    config.write_text("CONFIG_MODULE_SIG=y\n")
    words = ("--key-dir", tmp_path / "keys", "--type=p256", "--kernel-config", config)
    assert unread("keys", "generate", *words)[0] == 0 and "signing_key.pem" in config.read_text()


def test_a_reader_that_is_gone_is_not_a_fault_of_the_file_that_is_written(tmp_path: Path) -> None:
    with pytest.raises(BrokenPipeError), replacing(str(tmp_path / "table")):
        raise BrokenPipeError
    assert list(tmp_path.iterdir()) == []


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


@pytest.mark.parametrize(
    "line",
    [
        "sign - --format pkcs7 --key {0} --cert {1} --in-place",
        "strip - --in-place",
        "convert - --to x509 --key {0} --cert {1} --unverified --in-place",
        "attach - --from {2} -o o",
        "attach {2} --from - -o o",
        "audit - --trust {1}",
        "audit {2} --trust -",
        "audit {2} --trust {1} --expect -",
        "survey -",
        "evidence - -o o.tar",
        "verify {2} --trust -",
        "sign {2} --format pkcs7 --key - --cert {1} -o o",
        "compare - -",
        "verify - - --trust {1}",
    ],
)
def test_standard_input_is_said_not_to_be_read(line: str, tmp_path: Path) -> None:
    (tmp_path / "m.ko").write_bytes(corpus.content("amd64.pkcs7"))
    words = line.format(KEY, CERT, "m.ko").split()
    ran = elfsig(*words, cwd=tmp_path)
    assert ran.code == 2 and ("standard input" in ran.err or "only once" in ran.err), ran
    assert "no such file" not in ran.err and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "line",
    [
        "strip m.ko -o -",
        "strip m.ko --output-dir -",
        "sign m.ko --format pkcs7 --key {0} --cert {1} -o o --report -",
        "sign m.ko --format pkcs7 --ephemeral - -o o",
        "convert m.ko --to x509 --key {0} --cert {1} --trust {1} -o o --record -",
        "audit m.ko --trust {1} --sarif -",
        "audit m.ko --trust {1} --junit -",
        "survey m.ko --html -",
        "survey m.ko --parquet -",
        "evidence m.ko -o -",
        "evidence m.ko -o o.tar --html -",
        "coverage m.ko --html - --json",
        "digest m.ko --coverage whole-file -o - --json",
    ],
)
def test_no_file_of_the_name_of_standard_output_is_made(line: str, tmp_path: Path) -> None:
    (tmp_path / "m.ko").write_bytes(corpus.content("amd64.pkcs7"))
    ran = elfsig(*line.format(KEY, CERT).split(), cwd=tmp_path)
    assert ran.code == 2 and ("standard output" in ran.err or "stdout" in ran.err) and not ran.out, ran
    assert len(list(tmp_path.iterdir())) == 1


def test_a_file_of_the_name_of_a_stream_can_be_named(tmp_path: Path) -> None:
    (tmp_path / "-").write_bytes(corpus.content("amd64.pkcs7"))
    assert elfsig("strip", "./-", "--output-dir", "o", cwd=tmp_path).code == 0
    assert (tmp_path / "o/-").read_bytes() == corpus.content("amd64-6.1.ko")
