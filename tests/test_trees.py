"""Signing whole trees: again, onwards after an interruption, whatever is killed when."""

from __future__ import annotations

import json
import os
import pty
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

import pytest

import corpus
from elfsig import registry
from elfsig.cli import progress
from elfsig.cli.app import elfsig as group
from elfsig.compression import whole as compression
from elfsig.elf.image import Image
from elfsig.opened.evidence import read
from elfsig.opened.places import find
from elfsig.verbs.edit.strip import strip
from tests.support.cli import Ran, elfsig, environment
from tests.support.notes import Note
from tests.support.opened import opened
from tests.support.run import run
from tests.support.schema import parsed

MODULES = ("amd64-6.1.ko", "arm64-6.1.ko", "i386-6.1.ko", "s390x-6.1.ko")
MINE = (f"--key={corpus.KEYS}/signer.key.pem", f"--cert={corpus.KEYS}/signer.cert.pem")
OTHER = (f"--key={corpus.KEYS}/other.key.pem", f"--cert={corpus.KEYS}/other.cert.pem")
REGISTRY = registry.load(plugins=False)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Modules of four machines, plain and in each compression, some in a directory below."""
    root = tmp_path / "tree"
    (root / "drivers" / "net").mkdir(parents=True)
    for name in MODULES:
        (root / name).write_bytes(corpus.content(name))
    for kind, suffix in (("gzip", "gz"), ("xz", "xz"), ("zstd", "zst")):
        packed = compression.pack(corpus.content(MODULES[0]), kind)  # type: ignore[arg-type]
        (root / "drivers" / "net" / f"packed.ko.{suffix}").write_bytes(packed)
    return root


def files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file())


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in files(root)}


def sign(*words: str | Path, by: tuple[str, str] = MINE) -> Ran:
    return run("sign", "--format=pkcs7", *by, *words)


def verdicts(root: Path, signer: str = "signer") -> list[str]:
    ran = run("verify", root, "--trust", corpus.KEYS / f"{signer}.cert.pem", "--jsonl")
    return [json.loads(line)["verdict"] for line in ran.out.splitlines()]


# --------------------------------------------------------------------------- again


def _states(tree: Path) -> dict[Path, tuple[int, ...]]:
    """What writing a file changes: not the time of access, which reading changes."""
    found = {path: path.stat() for path in files(tree)}
    return {
        path: (each.st_ino, each.st_mode, each.st_size, each.st_mtime_ns, each.st_ctime_ns)
        for path, each in found.items()
    }


def test_a_tree_signed_again_is_left_alone(tree: Path) -> None:
    assert sign("--in-place", tree).code == 0
    before = _states(tree)
    again = sign("--in-place", tree)
    assert again.code == 0 and again.out.count("already signed like this by this key") == 7
    assert _states(tree) == before
    assert set(verdicts(tree)) == {"valid"}


def test_only_what_is_not_signed_so_is_signed(tree: Path) -> None:
    sign("--in-place", tree)
    (tree / MODULES[1]).write_bytes(corpus.content(MODULES[1]))
    sign(tree / MODULES[2], "--in-place", "--replace", "--hash=sha512")
    sign(tree / MODULES[3], "--in-place", "--replace", by=OTHER)
    changed = sign("--in-place", tree)
    done = {Path(line.split(": ")[0]).name for line in changed.out.splitlines() if "signature made" in line}
    assert done == {MODULES[1], MODULES[2]}
    assert "7 files: 1 left alone, 2 signed, 4 unchanged" in changed.err
    (spared,) = (line for line in changed.out.splitlines() if "left alone" in line)
    assert MODULES[3] in spared and 'pkcs7 by "' in spared
    assert sorted(verdicts(tree)) == ["unknown-key", *["valid"] * 6]
    assert sign("--in-place", "--replace", tree).code == 0
    assert set(verdicts(tree)) == {"valid"}


def test_force_signs_again(tree: Path) -> None:
    sign("--in-place", tree)
    before = {path: path.stat().st_mtime_ns for path in files(tree)}
    assert "already" not in sign("--in-place", "--force", "--hash=sha512", tree).out
    assert all(path.stat().st_mtime_ns != before[path] for path in files(tree))


@pytest.mark.parametrize("options", [("--hash=sha512",), ("--keyid",), ("--hash=sha384", "--for-kernel=6.1")])
def test_another_wish_is_another_signature(options: tuple[str, ...], tree: Path) -> None:
    sign("--in-place", tree)
    assert sign("--in-place", tree, *options).out.count("signature made") == 7
    assert sign("--in-place", tree, *options).out.count("already") == 7


def test_signatures_of_others_are_replaced_exactly(tree: Path, tmp_path: Path) -> None:
    fresh = tmp_path / "fresh"
    shutil.copytree(tree, fresh)
    sign("--in-place", tree, by=OTHER)
    theirs = contents(tree)
    for words in ((), ("--force",), ("--hash=sha512",)):
        spared = sign("--in-place", tree, *words)
        assert spared.code == 0 and "7 files: 7 left alone" in spared.err
    assert contents(tree) == theirs
    ran = sign("--in-place", "--replace", tree)
    assert ran.code == 0 and ran.out.count("instead of pkcs7 signature") == 7
    sign("--in-place", fresh)
    assert contents(tree) == contents(fresh)


def test_a_module_that_is_named_is_refused_as_ever(tree: Path) -> None:
    sign("--in-place", tree, by=OTHER)
    refused = sign("--in-place", tree / MODULES[0])
    assert refused.code == 1 and "already signed: pkcs7" in refused.err
    sign("--in-place", "--replace", tree)
    assert sign("--in-place", tree / MODULES[0]).code == 1


def test_a_module_that_is_named_is_stacked_on_whoever_signed_it(tree: Path) -> None:
    sign("--in-place", tree)
    once = (tree / MODULES[0]).read_bytes()
    assert sign("--in-place", "--stack", tree / MODULES[0]).code == 0
    assert len(find(Image(read(tree / MODULES[0]).content), REGISTRY)) == 2
    assert elfsig("strip", "--in-place", tree / MODULES[0]).code == 0
    assert (tree / MODULES[0]).read_bytes() == once


def test_a_missing_certificate_is_told_once(tree: Path) -> None:
    before = contents(tree)
    for format_id in ("pkcs7", "x509"):
        ran = run("sign", f"--format={format_id}", MINE[0], "--in-place", tree)
        said = f"elfsig: {format_id} needs the signer's certificate: pass it with --cert\n"
        assert (ran.code, ran.err) == (1, said)
    assert contents(tree) == before


@pytest.mark.parametrize("format_id", ["x509", "gkh"])
def test_others_are_spared_whatever_their_format(format_id: str, tree: Path) -> None:
    """Also by a signer of whom only the key is known, and in a section."""
    path = tree / MODULES[0]
    words = OTHER if format_id == "x509" else OTHER[:1]
    assert run("sign", f"--format={format_id}", *words, "--in-place", path).code == 0
    theirs = path.read_bytes()
    ran = sign("--in-place", tree)
    assert ran.code == 0 and path.read_bytes() == theirs and "1 left alone, 6 signed" in ran.err


def test_one_of_two_signers_is_enough_to_spare_a_module(tree: Path) -> None:
    path = tree / MODULES[0]
    sign("--in-place", path)
    sign("--in-place", "--stack", path, by=OTHER)
    both = path.read_bytes()
    assert "1 left alone" in sign("--in-place", tree).err and path.read_bytes() == both


def test_outside_the_compression_it_is_somebodys_too(tree: Path) -> None:
    """A signature after the compressed stream: no kernel sees it, and it is still another's."""
    path = tree / "drivers/net/packed.ko.xz"
    raw = path.read_bytes()
    plain = tree.parent / "plain.ko"
    plain.write_bytes(b"text")
    sign("--in-place", plain, by=OTHER)
    path.write_bytes(raw + plain.read_bytes()[4:])
    ran = sign("--in-place", tree)
    assert "1 left alone, 6 signed" in ran.err and path.read_bytes().startswith(raw)


def test_what_others_signed_is_not_prepared_either(tree: Path, tmp_path: Path) -> None:
    sign("--in-place", tree / MODULES[0], by=OTHER)
    words = ("sign", "--format=pkcs7", MINE[1], "--prepare", tmp_path / "requests", tree)
    assert "1 left alone, 6 prepared" in run(*words).err
    assert "7 prepared" in run(*words, "--replace").err


def test_a_report_has_what_was_left_alone(tree: Path, tmp_path: Path) -> None:
    sign("--in-place", tree / MODULES[0], by=OTHER)
    sign("--in-place", tree, "--report", tmp_path / "report.json")
    edits = {Path(e["path"]).name: e for e in parsed((tmp_path / "report.json").read_text())["edits"]}
    entry = edits[MODULES[0]]
    assert entry["action"] == "left alone" and entry["before"] == entry["after"]


def test_stacking_is_done_once(tree: Path) -> None:
    sign("--in-place", tree, by=OTHER)
    for _ in range(2):
        assert sign("--in-place", "--stack", tree).code == 0
    for path in files(tree):
        assert len(find(Image(read(path).content), REGISTRY)) == 2


def test_a_key_in_gnupg_knows_its_own_work(tmp_path: Path, tree: Path) -> None:
    """A bare key: its OpenPGP id is what makes it known again."""
    wish = ("sign", "--format=crypto-pgp", MINE[0], "--in-place", tree, "--created=1")
    assert run(*wish).code == 0
    assert run(*wish).out.count("already") == 7


# --------------------------------------------------------------------------- the report


def test_the_report_says_what_was_and_what_is(tree: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    (tree / "broken.ko.xz").write_bytes(b"\xfd7zXZ\0broken")
    before = contents(tree)
    assert sign("--in-place", tree, "--report", report).code == 5
    document = parsed(report.read_text())
    entries = {os.path.relpath(each["path"], tree): each for each in document["edits"]}
    assert entries.keys() == before.keys()
    assert entries["broken.ko.xz"]["error"]["code"] == "decompression-damaged"
    for name, entry in entries.items():
        if name != "broken.ko.xz":
            assert (entry["action"], entry["target"], entry["error"]) == ("signed", None, None)
            assert entry["before"]["size"] == len(before[name])
            assert entry["after"]["sha256"] == read(tree / name).sha256
    assert not Path(f"{report}.partial").exists()


@pytest.mark.parametrize("where", ["--in-place", "--output-dir"])
def test_a_report_is_gone_on_from(where: str, tree: Path, tmp_path: Path) -> None:
    report, out = tmp_path / "report.json", tmp_path / "out"
    words: list[str | Path] = [where, *([out] if where == "--output-dir" else []), tree, "--report", report]
    assert sign(*words).out.count("signature made") == 7
    place = out if where == "--output-dir" else tree
    signed = contents(place)
    (place / MODULES[0]).write_bytes(b"changed since")
    if where == "--in-place":
        (tree / MODULES[0]).write_bytes(corpus.content(MODULES[0]))
    again = sign(*words)
    assert again.out.count("done by an earlier run") == 6 and again.out.count("signature made") == 1
    assert contents(place) == signed
    assert len(parsed(report.read_text())["edits"]) == 7
    assert sign(*words, "--hash=sha512").out.count("signature made") == 7


def test_an_interrupted_run_is_gone_on_from(tree: Path, tmp_path: Path) -> None:
    report, whole = tmp_path / "report.json", tmp_path / "whole.json"
    sign("--in-place", "--stack", tree, "--report", whole)
    document = parsed(whole.read_text())
    lines = [json.dumps({"asked": document["asked"]}), *map(json.dumps, document["edits"][:4])]
    Path(f"{report}.partial").write_text("\n".join(lines) + '\n{"path": "cut o')
    ran = sign("--in-place", "--stack", tree, "--report", report)
    assert ran.code == 0
    assert (ran.out.count("done by an earlier run"), ran.out.count("signed like this")) == (4, 3)
    assert len(parsed(report.read_text())["edits"]) == 7


def test_a_report_is_never_written_over_something_else(tree: Path, tmp_path: Path) -> None:
    mine = tmp_path / "thesis.json"
    mine.write_text('{"title": "my thesis"}')
    ran = sign("--in-place", tree, "--report", mine)
    assert ran.code == 2 and "is not a sign report" in ran.err
    assert mine.read_text() == '{"title": "my thesis"}'
    assert sign("--in-place", "--dry-run", tree, "--report", tmp_path / "r").code == 2
    assert sign("--in-place", tree, "--report", tmp_path / "gone" / "r").code == 2


def test_names_of_any_bytes_have_entries(tree: Path, tmp_path: Path) -> None:
    odd = os.fsdecode(os.fsencode(tree) + b"/\xff.ko")
    Path(odd).write_bytes(corpus.content(MODULES[0]))
    for expected in ("signature made", "done by an earlier run"):
        assert (
            elfsig("sign", "--format=pkcs7", *MINE, "--in-place", tree, "--report", tmp_path / "r").out.count(
                expected
            )
            == 8
        )
    (entry,) = [e for e in parsed((tmp_path / "r").read_text())["edits"] if "path_hex" in e]
    assert bytes.fromhex(entry["path_hex"]) == os.fsencode(odd)


# --------------------------------------------------------------------------- the bar


def test_the_bar() -> None:
    assert progress.bar(10, 40, 20.0, "files") == f"[{'#' * 7}{'-' * 23}] 10/40 files, 1:00 left"
    assert progress.bar(40, 40, 20.0, "files").endswith("40/40 files, 0:00 left")


def test_the_bar_is_on_a_terminal_alone(tree: Path) -> None:
    """With patience and pace set to nothing, in a process of its own."""
    eager = "from elfsig.cli import main, progress; progress.PATIENCE = progress.PACE = -1.0; main({!r})"
    words = ["sign", "-q", "--format=pkcs7", *MINE, "--in-place", "--force", str(tree)]
    command = [sys.executable, "-c", eager.format(words)]
    piped = subprocess.run(command, capture_output=True, env=environment(), check=True)
    assert piped.stderr == b"7 files: 7 signed\n"
    primary, secondary = pty.openpty()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=secondary, env=environment(), check=True)
    shown = os.read(primary, 1 << 16)
    os.close(primary)
    os.close(secondary)
    assert b"[####" in shown and b"/7 files" in shown
    assert shown.endswith(b"\r\x1b[K7 files: 7 unchanged\r\n")


# --------------------------------------------------------------------------- kills

KILLS = 200


def _started(words: list[str]) -> int:
    """Sign in a forked process, head of its own process group. Nothing is imported anew, so that a kill
    meets the work and not the start."""
    pid = os.fork()
    if not pid:
        _be_child(words)
    return pid


def _be_child(words: list[str]) -> NoReturn:
    try:
        os.setsid()
        with open(os.devnull, "w") as null:
            sys.stdout = sys.stderr = null
            group.main(args=["sign", "-q", "--format=pkcs7", "--jobs=2", "--in-place", *MINE, *words])
    finally:
        os._exit(0)


def _let_through(words: list[str]) -> float:
    """Seconds that an undisturbed run takes."""
    started = time.monotonic()
    os.waitpid(_started(words), 0)
    return time.monotonic() - started


def _killed(words: list[str], after: float, alone: bool) -> bool:
    """Kill a run, ``alone`` or with all its processes; False where it was over before. Processes that are
    left alone finish the file that they are at."""
    pid = _started(words)
    time.sleep(after)
    try:
        (os.kill if alone else os.killpg)(pid, signal.SIGKILL)
    except ProcessLookupError:  # not yet the head of its group
        os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


@pytest.mark.timed
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_kills_at_random_moments_lose_nothing(tmp_path: Path, note: Note) -> None:
    """Whatever is killed when, every file is its old or its new self; a run that is let through does the
    rest, and nothing is left behind."""
    originals = {f"{n:02}-{name}": corpus.content(name) for n, name in enumerate(MODULES * 5)}
    root = tmp_path / "tree"
    root.mkdir()
    for name, content in originals.items():
        (root / name).write_bytes(content)
    words = [str(root), f"--report={tmp_path}/report.json"]
    length = _let_through([*words, "--hash=sha256"])
    dice, kills, mixed = random.Random(7), 0, 0
    for turn in range(3 * KILLS):
        wish = [*words, f"--hash=sha{(512, 256)[turn % 2]}"]
        if _killed(wish, dice.uniform(0, length), alone=dice.random() < 0.3):
            kills += 1
        else:  # runs have become faster than the first one
            length *= 0.9
        mixed += len({_hash_of(root / name, content) for name, content in originals.items()}) > 1
        if kills == KILLS:
            break
    assert kills == KILLS and mixed > KILLS / 10
    note(f"{kills} kills of a signing run, files of both kinds after {mixed}; none lost or half-written")
    _let_through([*words, "--hash=sha384"])
    assert {_hash_of(root / name, content) for name, content in originals.items()} == {"sha384"}
    assert sorted(os.listdir(root)) == sorted(originals)
    assert len(parsed((tmp_path / "report.json").read_text())["edits"]) == len(originals)


def _hash_of(path: Path, original: bytes) -> str | None:
    """The hash of the one signature on ``original``, which has to be there to the byte."""
    content = path.read_bytes()
    stripped = strip(opened(content))
    assert stripped.content == original and len(stripped.removed) == 1
    (found,) = find(Image(content), REGISTRY)
    (signature,) = found.claimants[0].pairs[0].envelope.parse(found.place.blob, found.place.params)
    return signature.hash
