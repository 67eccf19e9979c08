"""Writing: a file is old or new as a whole, whatever fails, and stays whose and what it was."""

from __future__ import annotations

import errno
import fcntl
import os
import random
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import corpus
from elfsig import registry
from elfsig.errors import WriteError
from elfsig.opened.atomic import TEMPORARY, remove_leftovers, write_atomic
from elfsig.verbs.edit.strip import strip
from tests.support.cli import environment
from tests.support.opened import opened

OLD, NEW = b"old content", b"the new content, which is longer"
STEPS = ("open", "write", "fchown", "setxattr", "fchmod", "fsync", "replace")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "a.ko"
    path.write_bytes(OLD)
    path.chmod(0o640)
    return path


def set_xattr(path: Path, name: str, value: bytes) -> None:
    try:
        os.setxattr(path, name, value)
    except OSError as reason:
        pytest.skip(f"asked for by hand: {name} cannot be set here ({reason.strerror})")


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("failure", [OSError(errno.EIO, "Input/output error"), KeyboardInterrupt()])
def test_whatever_fails_the_old_file_stays_and_nothing_else_does(
    step: str, failure: BaseException, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_xattr(target, "user.note", b"1")
    if os.geteuid() == 0:
        os.chown(target, 1, 1)
    elif step == "fchown":
        pytest.skip("asked for by hand: needs root to give files away")
    real = getattr(os, step)

    def fail(*arguments: Any, **more: Any) -> Any:
        if step == "open" and not arguments[1] & os.O_CREAT:
            return real(*arguments, **more)
        raise failure

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(WriteError if isinstance(failure, OSError) else KeyboardInterrupt):
        write_atomic(str(target), NEW)
    monkeypatch.undo()
    assert target.read_bytes() == OLD
    assert os.listdir(target.parent) == ["a.ko"]


def test_a_short_write_is_gone_on_with(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, bytes(data[:5])))
    write_atomic(str(target), NEW)
    assert target.read_bytes() == NEW


def test_mode_owner_and_attributes_are_kept(target: Path) -> None:
    set_xattr(target, "user.note", b"1")
    if os.geteuid() == 0:
        os.chown(target, 12, 34)
        target.chmod(0o4750)
    before = target.stat()
    assert write_atomic(str(target), NEW) == ()
    after = target.stat()
    assert target.read_bytes() == NEW and os.getxattr(target, "user.note") == b"1"
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


def test_a_new_file_takes_after_the_one_it_was_made_from(target: Path) -> None:
    made = target.with_name("b.ko")
    write_atomic(str(made), NEW, like=str(target))
    assert stat.S_IMODE(made.stat().st_mode) == 0o640
    plain = target.with_name("c.ko")
    write_atomic(str(plain), NEW)
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(plain.stat().st_mode) == 0o666 & ~umask


def test_a_stale_ima_attribute_is_kept_and_told(target: Path) -> None:
    set_xattr(target, "security.ima", b"\x04\x04" + bytes(32))
    (remark,) = write_atomic(str(target), NEW)
    assert remark.code == "stale-xattr" and "security.ima" in remark.text
    assert os.getxattr(target, "security.ima") == b"\x04\x04" + bytes(32)


def test_an_owner_that_cannot_be_kept_is_told(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "fchown", refuse)
    if os.geteuid():
        pytest.skip("asked for by hand: needs root to give files away")
    os.chown(target, 12, 34)
    assert [remark.code for remark in write_atomic(str(target), NEW)] == ["owner-not-kept"]


def test_a_link_stays_and_its_target_is_replaced(target: Path) -> None:
    link = target.with_name("link.ko")
    link.symlink_to("a.ko")
    write_atomic(str(link), NEW)
    assert link.is_symlink() and target.read_bytes() == NEW and not target.is_symlink()


def test_other_names_of_the_file_keep_the_old_content_and_that_is_told(target: Path) -> None:
    other = target.with_name("other.ko")
    other.hardlink_to(target)
    assert [remark.code for remark in write_atomic(str(target), NEW)] == ["hard-link"]
    assert (target.read_bytes(), other.read_bytes()) == (NEW, OLD)


def test_a_file_that_changed_after_it_was_read_is_not_replaced(target: Path) -> None:
    seen = target.stat()
    target.write_bytes(b"somebody else's")
    with pytest.raises(WriteError, match="changed"):
        write_atomic(str(target), NEW, expect=seen)
    assert target.read_bytes() == b"somebody else's"


def test_what_is_no_regular_file_is_never_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", tmp_path, Path("/dev/null")):
        with pytest.raises(WriteError, match="not a regular file"):
            write_atomic(str(path), NEW)
    assert stat.S_ISFIFO((tmp_path / "fifo").stat().st_mode)
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_names_up_to_the_system_s_limit(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 252 + ".ko")
    write_atomic(str(path), NEW)
    assert path.read_bytes() == NEW


def test_what_a_killed_run_left_is_removed_and_what_is_being_written_is_not(tmp_path: Path) -> None:
    abandoned, busy = (tmp_path / f".{name}.ko.0123456789ab{TEMPORARY}" for name in "ab")
    other, similar = tmp_path / "c.ko", tmp_path / f"notes{TEMPORARY}"
    for path in (abandoned, busy, other, similar):
        path.write_bytes(NEW)
    (tmp_path / f".link{TEMPORARY}").symlink_to("c.ko")
    with open(busy, "rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        assert remove_leftovers(str(tmp_path)) == 1
    assert not abandoned.exists() and busy.exists() and other.exists() and similar.exists()
    assert remove_leftovers(str(tmp_path / "gone")) == 0


def test_what_other_users_left_is_not_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever owns a folder can exchange what is in it for a link while root removes it."""
    folder = tmp_path / f".a.0123456789ab{TEMPORARY}"
    folder.mkdir()
    (folder / "file").write_bytes(NEW)
    mine = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    assert remove_leftovers(str(tmp_path)) == 0 and (folder / "file").exists()
    monkeypatch.setattr(os, "geteuid", lambda: mine)
    assert remove_leftovers(str(tmp_path)) == 1 and not folder.exists()


def test_kills_at_any_moment_leave_every_file_whole(tmp_path: Path) -> None:
    original = corpus.content("amd64-6.1.ko")
    files = [tmp_path / f"{n:03}.ko" for n in range(40)]
    for path in files:
        path.write_bytes(original)
    key = [f"--key={corpus.KEYS}/signer.key.pem", f"--cert={corpus.KEYS}/signer.cert.pem"]
    dice, formats, states = random.Random(1), registry.load(False), set()
    for turn in range(12):
        command = [sys.executable, "-m", "elfsig", "sign", "--in-place", "--replace", "--format=pkcs7"]
        run = subprocess.Popen(
            [*command, f"--hash=sha{(256, 512)[turn % 2]}", *key, tmp_path],
            env=environment(), start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert run.stdout is not None
        for _ in range(dice.randrange(1, 30)):
            run.stdout.readline()
        time.sleep(dice.uniform(0, 0.004))
        os.killpg(run.pid, signal.SIGKILL)
        run.communicate()
        for path in files:
            content = path.read_bytes()
            states.add(len(content) > len(original))
            assert strip(opened(content, formats)).content == original
    assert True in states
    assert not [path for path in tmp_path.iterdir() if path.suffix not in (".ko", ".elfsig-tmp")]
