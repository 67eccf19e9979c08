"""Full disks, read-only and foreign places, renames that fail, files that change while they are read."""

from __future__ import annotations

import errno
import os
import resource
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import corpus
import elfsig
from elfsig.opened.atomic import TEMPORARY
from tests.support.cli import environment
from tests.support.run import run
from tests.support.tools import need
from tests.world.kills import Verb, differences, snapshot
from tests.world.places import NOBODY, in_child, mount, remount
from tests.world.verbs import SIGN, VERBS, modules, plain, signed

WRITING = [verb for verb in VERBS if not verb.name.startswith(("survey --parts", "sign --in-place -j2"))]
IN_PLACE = ("sign", "-q", *SIGN, "--format", "pkcs7", "--in-place", "-j1")
CERT = corpus.KEYS / "signer.cert.pem"


def refused(verb: Verb, folder: Path, spoil: Callable[[], None]) -> None:
    """Run a command where it cannot write: it says so, without a traceback, and everything is as before."""
    verb.prepare(folder)
    before = snapshot(folder)
    spoil()
    ran = run(*verb.arguments(folder))
    assert ran.code not in (0, 70), (verb.name, ran)
    assert ran.err.strip() and "Traceback" not in ran.err and "internal error" not in ran.err, ran.err
    now = {path: state for path, state in snapshot(folder).items() if path in before or state[0] != "folder"}
    assert not list(differences(now, before, before)) and before.keys() <= now.keys()
    assert not [path for path in now if path.endswith(TEMPORARY)]


# --------------------------------------------------------------------------- places


@pytest.mark.parametrize("verb", WRITING, ids=lambda verb: verb.name)
def test_on_a_full_disk_nothing_is_lost_and_it_is_said(verb: Verb, tmp_path: Path) -> None:
    def body() -> None:
        mount(tmp_path / "disk", "size=64m")
        folder = tmp_path / "disk/work"
        folder.mkdir()

        def fill() -> None:
            with open(tmp_path / "disk/filler", "wb", buffering=0) as stream, pytest.raises(OSError):
                while True:
                    stream.write(bytes(4096))

        refused(verb, folder, fill)

    in_child(body, mounts=True)


@pytest.mark.parametrize("verb", WRITING, ids=lambda verb: verb.name)
def test_on_a_read_only_file_system(verb: Verb, tmp_path: Path) -> None:
    def body() -> None:
        mount(tmp_path / "disk", "size=64m")
        (tmp_path / "disk/work").mkdir()
        refused(verb, tmp_path / "disk/work", lambda: remount(tmp_path / "disk", "ro"))

    in_child(body, mounts=True)


@pytest.mark.parametrize("verb", WRITING, ids=lambda verb: verb.name)
def test_where_the_user_may_not_write(verb: Verb, tmp_path: Path) -> None:
    """A folder of root's, everything readable, the command run by nobody."""
    folder, first = tmp_path / "work", tmp_path / "first"
    folder.mkdir()
    first.mkdir()
    verb.prepare(first)
    run(*verb.arguments(first))  # what it imports may not be readable for nobody
    for each in (tmp_path, *tmp_path.parents):
        if each.stat().st_uid == os.geteuid() and not each.stat().st_mode & 0o001:
            each.chmod(each.stat().st_mode | 0o011)

    def spoil() -> None:
        for base, folders, files in os.walk(folder):
            for name in (*folders, *files, "."):
                path = Path(base, name)
                if not path.is_symlink():
                    path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))

    def body() -> None:
        verb.prepare(folder)
        spoil()
        before = snapshot(folder)
        pid = os.fork()
        if not pid:
            code = 1
            try:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
                ran = run(*verb.arguments(folder))
                code = 0 if ran.code not in (0, 70) and ran.err.strip() else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert snapshot(folder) == before

    in_child(body)


def test_a_limit_on_the_size_of_files(tmp_path: Path) -> None:
    """RLIMIT_FSIZE: a write is cut short, the next one fails; the signal of the same name is not fatal."""
    modules(plain)(tmp_path)
    before = snapshot(tmp_path)

    def body() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        ran = run(*IN_PLACE, tmp_path / "tree")
        assert ran.code == 1 and "file too large" in ran.err

    in_child(body)
    assert snapshot(tmp_path) == before


def test_an_immutable_file_is_left_and_the_others_are_signed(tmp_path: Path) -> None:
    modules(plain)(tmp_path)
    path = tmp_path / "tree/m0.ko"
    if os.geteuid() or subprocess.run([need("chattr"), "+i", path], capture_output=True).returncode:
        pytest.skip("opt-in: immutable files need root, and a file system that has them")
    try:
        ran = run(*IN_PLACE, tmp_path / "tree")
    finally:
        subprocess.run(["chattr", "-i", path], check=True)
    assert ran.code == 1 and "m0.ko" in ran.err and "not permitted" in ran.err
    assert path.read_bytes() == plain()
    assert sorted(p.name for p in tmp_path.rglob("*.ko") if p.read_bytes() != plain()) == ["m1.ko", "m2.ko"]


def test_acls_and_attributes_are_kept(tmp_path: Path) -> None:
    """A POSIX ACL as the kernel stores it (include/uapi/linux/posix_acl_xattr.h), and attributes of users."""
    path = tmp_path / "m.ko"
    path.write_bytes(plain())
    entries = (
        (1, 6, 0xFFFFFFFF),
        (2, 6, 1234),
        (4, 4, 0xFFFFFFFF),
        (0x10, 6, 0xFFFFFFFF),
        (0x20, 0, 0xFFFFFFFF),
    )
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *each) for each in entries)
    try:
        os.setxattr(path, "system.posix_acl_access", acl)
        os.setxattr(path, "user.origin", b"build 7")
    except OSError as reason:
        pytest.skip(f"opt-in: no such attributes here ({reason.strerror})")
    kept = {name: os.getxattr(path, name) for name in os.listxattr(path)}
    assert run(*IN_PLACE, path).code == 0
    assert path.read_bytes() != plain()
    assert {name: os.getxattr(path, name) for name in os.listxattr(path)} == kept


# --------------------------------------------------------------------------- calls that fail


FAULTS = (errno.EXDEV, errno.ESTALE, errno.EIO, errno.EDQUOT, errno.ENOSPC, errno.EROFS, errno.EBUSY)


@pytest.mark.parametrize("number", FAULTS, ids=lambda number: errno.errorcode[number])
@pytest.mark.parametrize("call", ["replace", "rename", "fsync", "write", "link", "symlink", "mkdir"])
def test_calls_that_fail_leave_everything_as_it_was(
    call: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As renames on NFS do, and disks that are broken. Everything that writes is tried with every call."""
    for nr, verb in enumerate(WRITING):
        folder = tmp_path / str(nr)
        folder.mkdir()
        verb.prepare(folder)
        before = snapshot(folder)
        real, failed = getattr(os, call), list[int]()

        def fail(*arguments: object, failed: list[int] = failed, **named: object) -> None:
            failed.append(1)
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, call, fail)
        ran = run(*verb.arguments(folder))
        monkeypatch.setattr(os, call, real)
        if not failed:
            continue
        assert ran.code != 70 and "Traceback" not in ran.err, (verb.name, call, ran)
        assert ran.code or call == "mkdir", (verb.name, call)  # whose failure does not matter if it is there
        after = snapshot(folder)
        assert not [path for path in after if path.endswith(TEMPORARY)], (verb.name, call)
        changed = [path for path, state in before.items() if state[0] == "file" and after.get(path) != state]
        assert run(*verb.arguments(folder)).code in verb.again, (verb.name, call)
        now = snapshot(folder)
        half = [path for path in changed if after.get(path) != now[path]]
        assert not half, (verb.name, call, half)  # of several files some may have been written: as a whole


# --------------------------------------------------------------------------- others at work


def test_a_reader_that_goes_away(tmp_path: Path) -> None:
    """SIGPIPE: the rest of a long listing is not printed, and there is no traceback."""
    modules(signed, 60)(tmp_path)
    for words in (("list", "--jsonl"), ("verify", "--trust", str(CERT)), ("survey", "--no-cage", "--jsonl")):
        listing = subprocess.Popen(
            [sys.executable, "-m", "elfsig", *words, str(tmp_path / "tree")],
            env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert listing.stdout is not None and listing.stderr is not None
        listing.stdout.read(1)
        listing.stdout.close()
        said = listing.stderr.read().decode()
        listing.stderr.close()
        assert listing.wait(60) in (0, 1, 141, -signal.SIGPIPE), said
        assert "Traceback" not in said and "Exception ignored" not in said, said


TWICE = {
    "sign --in-place TREE", "sign --output-dir", "strip --in-place TREE", "convert --in-place TREE",
    "keys install", "keys generate --key-dir", "dkms resign", "survey --parts",
}  # fmt: skip


@pytest.mark.parametrize("verb", [v for v in VERBS if v.name in TWICE], ids=lambda verb: verb.name)
def test_two_runs_at_once_over_the_same_files(verb: Verb, tmp_path: Path) -> None:
    """Each file is whole, and a third run makes all as it should be: one may have refused what the other had
    changed."""
    both = tmp_path / "work"
    for _ in range(2):
        both.mkdir()
        verb.prepare(both)
        if not (tmp_path / "alone").exists():
            assert run(*verb.arguments(both)).code in verb.again
            expected = snapshot(both, verb.canonical)
            both.rename(tmp_path / "alone")
    words = [[sys.executable, "-m", "elfsig", *verb.arguments(both)] for _ in range(2)]
    started = [
        subprocess.Popen(each, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for each in words
    ]
    for each in started:
        _, said = each.communicate(timeout=120)
        assert b"Traceback" not in said and each.returncode != 70, said.decode()
    assert run(*verb.arguments(both)).code in verb.again
    if verb.judge is not None:
        assert not list(verb.judge(both))
    else:
        assert snapshot(both, verb.canonical) == expected
    assert not list(both.rglob(f"*{TEMPORARY}"))


def changing(path: Path, contents: list[bytes], stop: threading.Event, whole: bool) -> None:
    """Give the file one content after the other, by a rename or in place."""
    nr = 0
    while not stop.is_set():
        nr += 1
        content = contents[nr % len(contents)]
        if whole:
            other = path.with_suffix(f".{nr % 7}")
            other.write_bytes(content)
            other.replace(path)
        else:
            with open(path, "r+b") as stream:
                stream.truncate(len(content) // 2)
                stream.write(content)
        time.sleep(0)


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[Callable[[bool], Path]]:
    """A module that somebody replaces, or overwrites, all the time."""
    path, stop, threads = tmp_path / "m.ko", threading.Event(), []

    def start(whole: bool) -> Path:
        path.write_bytes(signed())
        contents = [signed(), plain(), b"", signed()[:5000]]
        threads.append(threading.Thread(target=changing, args=(path, contents, stop, whole)))
        threads[0].start()
        return path

    yield start
    stop.set()
    for each in threads:
        each.join()


@pytest.mark.parametrize("whole", [True, False], ids=["replaced", "overwritten"])
def test_files_that_change_while_they_are_read(whole: bool, busy: Callable[[bool], Path]) -> None:
    """Every verdict is one of a content that was there, or the file is said to have changed: no traceback, no
    verdict that fits none."""
    path = busy(whole)
    for _ in range(25):
        try:
            report = elfsig.verify(path, CERT)
        except elfsig.ReadError:
            continue
        assert report.verdict in (
            elfsig.Verdict.VALID, elfsig.Verdict.UNSIGNED, elfsig.Verdict.MALFORMED, elfsig.Verdict.INVALID,
        )  # fmt: skip
        if whole:
            assert report.verdict is not elfsig.Verdict.INVALID
    for words in (("list", path), ("compare", path, path), ("coverage", path), ("survey", "--no-cage", path)):
        ran = run(*words)
        assert ran.code != 70 and "Traceback" not in ran.err


def test_a_file_that_is_replaced_while_it_is_signed_is_not_overwritten(tmp_path: Path) -> None:
    """The signing service takes its time; meanwhile the module is built again: that build stays."""
    path, script = tmp_path / "m.ko", tmp_path / "service"
    path.write_bytes(plain())
    sign = f"openssl pkeyutl -sign -inkey {corpus.KEYS}/signer.key.pem -pkeyopt digest:sha256"
    script.write_text(f"#!/bin/sh\nprintf newer > {path}\n{sign}\n")  # fmt: skip
    script.chmod(0o755)
    words = ("--format", "pkcs7", "--signer-command", str(script), "--cert", CERT, "--in-place", "-j1")
    ran = run("sign", *words, path)
    assert ran.code == 1 and "changed" in ran.err
    assert path.read_bytes() == b"newer"
