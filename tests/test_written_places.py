"""Where commands write, and what of it they say: through no link, over no key, and nothing in silence."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from elfsig.batch import edit as batch
from elfsig.batch.edit import Output
from elfsig.batch.parts.store import Folder
from elfsig.cli.commands.sign_file import status
from elfsig.errors import ReadError, WriteError
from elfsig.opened import bundle
from elfsig.opened.atomic import folds_case, replacing, write_atomic
from elfsig.opened.bundle import Bundle
from elfsig.opened.source import is_stream
from elfsig.verbs.edit.strip import strip_file
from tests.support.cli import Ran, elfsig, environment
from tests.support.signed import REGISTRY, made
from tests.test_outputs import CERT, KEY, KEYED, ONE, TWO

SIGNED = made(ONE, "pkcs7", "whole-file").content


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A directory with a module in another."""
    folder = tmp_path / "src"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub/a.ko").write_bytes(ONE)
    return folder


# --------------------------------------------------------------------------- links in the output directory

PREPARE = ("sign", "--format=pkcs7", f"--cert={CERT}", "--prepare")
EXTRACT = ("show", "--extract")


@pytest.mark.parametrize(
    "command",
    [
        ("strip", "--output-dir"),
        ("sign", *KEYED, "--dry-run", "--output-dir"),
        PREPARE,
        ("show", "--extract"),
    ],
    ids=["strip", "dry", "prepare", "extract"],
)
def test_no_result_is_led_out_of_the_output_directory(source: Path, command: tuple[str, ...]) -> None:
    """A link to a directory was followed, and the results written where nobody said."""
    outside, out = source.with_name("outside"), source.with_name("out")
    outside.mkdir()
    out.mkdir()
    (out / "sub").symlink_to("../outside")
    (source / "sub/a.ko").write_bytes(SIGNED if command[0] == "show" else ONE)
    ran = elfsig(*command, out, source)
    assert ran.code == 1 and f"out of {out}: a link leads there" in ran.err, ran
    assert list(outside.iterdir()) == []


def test_a_link_inside_the_output_directory_is_followed(source: Path) -> None:
    out = source.with_name("out")
    (out / "other").mkdir(parents=True)
    (out / "sub").symlink_to("other")
    assert elfsig("strip", source, "--output-dir", out).code == 0
    assert (out / "other/a.ko").read_bytes() == ONE


def test_names_that_a_file_system_takes_for_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """xt_DSCP.ko and xt_dscp.ko are two modules: on FAT, the second took the place of the first."""
    folder, out = tmp_path / "src", tmp_path / "out"
    folder.mkdir()
    for name, content in (("xt_DSCP.ko", ONE), ("xt_dscp.ko", TWO)):
        (folder / name).write_bytes(content)

    def copied() -> list[str]:
        output = Output(directory=str(out))
        done = batch.edit([str(folder)], strip_file, output, REGISTRY, jobs=1)
        return [each.error.text if each.error else "done" for each in done]

    assert copied() == ["done", "done"] and not folds_case(str(out))
    monkeypatch.setattr(batch, "folds_case", lambda folder: True)
    first, second = copied()
    assert first == "done" and second.endswith("upper and lower case are the same there")
    assert sorted(path.name for path in out.iterdir()) == ["xt_DSCP.ko", "xt_dscp.ko"]


def test_a_file_is_edited_once_in_a_run_whatever_it_is_called(tmp_path: Path) -> None:
    """With --stack it got a signature for each of its names."""
    (tmp_path / "a.ko").write_bytes(ONE)
    (tmp_path / "link.ko").symlink_to("a.ko")
    ran = elfsig("sign", *KEYED, "--stack", "--in-place", "a.ko", "link.ko", cwd=tmp_path)
    assert ran.code == 1 and "link.ko: it is the same file as a.ko, which this run edits" in ran.err
    assert len(elfsig("list", "--jsonl", tmp_path / "a.ko").files()[0]["signatures"]) == 1


# --------------------------------------------------------------------------- the parts of signatures


def test_extracting_with_force_follows_no_link_and_overwrites_no_input(tmp_path: Path) -> None:
    notes, out = tmp_path / "notes", tmp_path / "out"
    notes.write_text("precious")
    out.mkdir()
    (out / "a.ko.p7s").symlink_to("../notes")
    (tmp_path / "a.ko").write_bytes(SIGNED)
    assert elfsig("show", "a.ko", "--extract", "out", "--force", cwd=tmp_path).code == 0
    assert notes.read_text() == "precious" and not (out / "a.ko.p7s").is_symlink()
    (tmp_path / "a.ko.unsigned").write_bytes(SIGNED)
    ran = elfsig("show", "a.ko", "a.ko.unsigned", "--extract", ".", "--force", cwd=tmp_path)
    assert ran.code == 1 and "would be overwritten" in ran.err
    assert (tmp_path / "a.ko.unsigned").read_bytes() == SIGNED


def test_two_files_of_one_name_are_not_extracted_to_the_same_files(tmp_path: Path) -> None:
    """With --force, the parts of the second replaced those of the first."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.ko").write_bytes(SIGNED)
    named = elfsig("show", "one/a.ko", "two/a.ko", "--extract", "x", "--force", cwd=tmp_path)
    assert named.code == 1 and "its parts would overwrite those of one/a.ko" in named.err
    assert elfsig("show", "one", "two", "--extract", "y", cwd=tmp_path).code == 0
    assert sorted(path.name for path in (tmp_path / "y").iterdir()) == ["one", "two"]


# --------------------------------------------------------------------------- other files of a run


@pytest.mark.parametrize("kind", ["text", "link", "fifo"])
def test_a_manifest_takes_the_place_of_no_other_file(kind: str, source: Path) -> None:
    out, notes = source.with_name("out"), source.with_name("notes")
    out.mkdir()
    notes.write_text("precious")
    if kind == "fifo":
        os.mkfifo(out / "manifest.json")
    elif kind == "link":
        (out / "manifest.json").symlink_to("../notes")
    else:
        notes.rename(out / "manifest.json")
    ran = elfsig(*PREPARE, out, source)
    assert ran.code == 2 and "not a manifest of signing requests" in ran.err
    assert [path.name for path in out.iterdir()] == ["manifest.json"]
    if kind != "fifo":
        assert (out / "manifest.json").read_text() == "precious"


def test_a_manifest_that_is_a_link_is_replaced_itself(source: Path) -> None:
    out, other = source.with_name("out"), source.with_name("other")
    assert elfsig(*PREPARE, other, source).code == 0
    out.mkdir()
    (out / "manifest.json").symlink_to("../other/manifest.json")
    before = (other / "manifest.json").read_bytes()
    (source / "b.ko").write_bytes(TWO)
    assert elfsig(*PREPARE, out, source).code == 0
    assert (other / "manifest.json").read_bytes() == before
    assert len(json.loads((out / "manifest.json").read_bytes())["files"]) == 2


def test_no_module_takes_the_place_of_the_manifest_that_is_read(source: Path) -> None:
    """It was taken for a report of an earlier run, which may be in a directory that is read."""
    out = source.with_name("out")
    assert elfsig(*PREPARE, out, source / "sub/a.ko").code == 0
    before = (out / "manifest.json").read_bytes()
    ran = elfsig("sign", "--attach", out, source / "sub/a.ko", "-o", out / "manifest.json")
    assert ran.code == 2 and "would overwrite what --attach names" in ran.err
    assert (out / "manifest.json").read_bytes() == before


def test_what_was_signed_is_said_also_where_its_report_cannot_be_written(tmp_path: Path) -> None:
    """The disk of the report was full: a file that had been signed was neither printed nor counted."""
    for number in range(12):
        (tmp_path / f"{number}.ko").write_bytes(ONE)
    most = len(ONE) + 1000  # room for the modules, but not for their report
    done = subprocess.run(
        [sys.executable, "-m", "elfsig", "sign", *KEYED, "--in-place", "-j1", "--report=r.json", "."],
        cwd=tmp_path, env=environment({"PYTHONDONTWRITEBYTECODE": "1"}), capture_output=True, text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)),
    )  # fmt: skip
    changed = sum((tmp_path / f"{number}.ko").read_bytes() != ONE for number in range(12))
    assert done.returncode == 1 and "r.json: not written: " in done.stderr, done
    assert (
        changed == 12 and done.stdout.count("signature made") == 12 and "12 files: 12 signed" in done.stderr
    )


def test_parts_are_written_through_no_link_and_read_from_no_pipe(tmp_path: Path) -> None:
    store, notes = Folder(str(tmp_path / "parts")), tmp_path / "notes"
    store.prepare()
    notes.write_text("precious")
    for name in ("part", "receipt"):
        (tmp_path / "parts" / name).symlink_to("../notes")
    with store.replacing("part") as file:
        file.write(b"new")
    store.write("receipt", b"new")
    assert notes.read_text() == "precious" and store.read("part", 9) == store.read("receipt", 9) == b"new"
    os.mkfifo(tmp_path / "parts" / "question.json")
    with pytest.raises(ReadError, match="is a FIFO"):
        store.read("question.json", 9)
    with pytest.raises(ReadError, match="is a FIFO"):
        store.digest("question.json")


# --------------------------------------------------------------------------- keys


def keys(folder: Path, *words: str) -> Ran:
    return elfsig("keys", *words, cwd=folder)


@pytest.mark.parametrize("name", ["k.crt", "k.der"])
def test_a_certificate_is_not_written_over_its_private_key(name: str, tmp_path: Path) -> None:
    """With --force the private key was lost."""
    (tmp_path / name).write_bytes(KEY.read_bytes())
    ran = keys(tmp_path, "certificate", "--key", name, "-o", "k", "--name=X", "--force")
    assert ran.code == 1 and f"{name} would overwrite {name}, which is read" in ran.err
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == KEY.read_bytes()


def test_a_new_key_is_not_written_over_the_file_that_describes_it(tmp_path: Path) -> None:
    text = "[ req ]\nprompt = no\ndistinguished_name = n\nx509_extensions = x\n[ n ]\nCN = X\n[ x ]\n"
    (tmp_path / "k.key").write_text(text)
    ran = keys(tmp_path, "generate", "--type=p256", "--genkey=k.key", "-o", "k", "--force")
    assert ran.code == 1 and "k.key would overwrite k.key, which is read" in ran.err, ran
    assert (tmp_path / "k.key").read_text() == text


@pytest.mark.parametrize("wrong", ["large", "fifo", "directory"])
def test_a_key_directory_is_installed_whole_or_not_at_all(wrong: str, tmp_path: Path) -> None:
    """What was larger than a megabyte arrived cut off; a FIFO was waited for without end."""
    assert keys(tmp_path, "generate", "--key-dir=keys", "--type=p256", "-q").code == 0
    extra = tmp_path / "keys/current/extra"
    if wrong == "fifo":
        os.mkfifo(extra)
    elif wrong == "directory":
        extra.mkdir()
    else:
        extra.write_bytes(bytes((1 << 20) + 1))
    ran = keys(tmp_path, "install", "--key-dir=keys", "there")
    assert ran.code == 5 and "current/extra: " not in ran.out and "/extra: " in ran.err, ran
    assert not (tmp_path / "there").exists()


def test_extracted_keys_are_written_through_no_link(tmp_path: Path) -> None:
    assert keys(tmp_path, "extract", str(CERT), "-o", "d").code == 0
    (made,) = (tmp_path / "d").iterdir()
    made.rename(tmp_path / "away")
    made.symlink_to("../away")
    (tmp_path / "away").write_bytes(b"precious")
    assert keys(tmp_path, "extract", str(CERT), "-o", "d", "--force").code == 0
    assert (tmp_path / "away").read_bytes() == b"precious" and not made.is_symlink()


def test_sign_file_overwrites_no_key_and_says_what_it_could_not_keep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, data in (("k", KEY.read_bytes()), ("c", CERT.read_bytes()), ("m", ONE)):
        (tmp_path / name).write_bytes(data)
    (tmp_path / "link").symlink_to("c")
    for place in ("k", "link"):
        assert status(["sha256", "k", "c", "m", place], "sign-file") == 1
        assert "it would overwrite" in capsys.readouterr().err
    assert (tmp_path / "k").read_bytes() == KEY.read_bytes() and (tmp_path / "c").is_file()
    os.link("m", "other")
    assert status(["sha256", "k", "c", "m"], "sign-file") == 0
    assert "1 other name(s) of this file keep the old content" in capsys.readouterr().err


# --------------------------------------------------------------------------- what a file was


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EPERM])
def test_an_owner_without_a_number_in_this_user_namespace(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a container without root, nothing of another owner could be replaced: "invalid argument"."""
    path = tmp_path / "a.ko"
    path.write_bytes(b"old")
    real = os.stat(path)
    other = os.stat_result((*real[:4], real.st_uid + 1, *real[5:]))
    monkeypatch.setattr(os, "stat", lambda *_, **__: other)

    def refuse(*_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fchown", refuse)
    (remark,) = write_atomic(str(path), b"new")
    assert remark.code == "owner-not-kept" and path.read_bytes() == b"new"


def test_what_is_replaced_keeps_its_mode(tmp_path: Path) -> None:
    """A table or a bundle that only its owner could read was readable by all after the next run."""
    for name in ("table", "e.tar"):
        (tmp_path / name).write_bytes(b"")
        (tmp_path / name).chmod(0o600)
    with replacing(str(tmp_path / "table")) as file:
        file.write(b"new")
    (tmp_path / "a.ko").write_bytes(ONE)
    assert elfsig("evidence", "a.ko", "-o", "e.tar", cwd=tmp_path).code == 0
    for name in ("table", "e.tar"):
        assert (tmp_path / name).stat().st_size and (tmp_path / name).stat().st_mode & 0o777 == 0o600


def test_one_rule_for_what_is_a_stream(tmp_path: Path) -> None:
    link, further = tmp_path / "link", tmp_path / "further"
    link.symlink_to("/dev/stdout")
    further.symlink_to("link")
    for path in ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", str(link), str(further)):
        assert is_stream(path)
        for follow in (True, False):
            with pytest.raises(WriteError, match="not a regular file"):
                write_atomic(path, b"", follow=follow)
        with pytest.raises(WriteError, match="not a regular file"), replacing(path):
            pass
        assert elfsig("coverage", tmp_path / "a.ko", "--svg", path).code == 2
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    assert not any(map(is_stream, (str(loop), "/dev/shm/x", "x", str(tmp_path / "none"))))


@pytest.mark.parametrize("named", [False, True])
def test_a_bundle_that_is_being_written_is_no_leftover(
    named: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the system has no /proc, or the file system no files without names: the file has one from the
    start, and another run that wrote to the directory removed it."""
    if named:
        monkeypatch.setattr(bundle, "_BY_NUMBER", str(tmp_path / "none"))
    with Bundle(str(tmp_path / "e.tar"), 0) as made:
        assert len(list(tmp_path.iterdir())) == named
        write_atomic(str(tmp_path / "other"), b"")
        made.small("a", b"x")
        made.commit()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["e.tar", "other"]
