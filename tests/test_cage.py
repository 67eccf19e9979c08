"""The cage: whatever a child does is stopped where it must be, costs one file, and is recorded."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import corpus
from elfsig.batch import tree
from elfsig.cage import landlock, room, seccomp
from elfsig.cage.cage import Cage
from elfsig.cage.lock import LAYERS, Limits
from elfsig.cli.render import verify as render_verify
from elfsig.errors import ElfsigError, Killed, ParseError, ReadError
from elfsig.verbs.verify import examine as examining
from tests.support.run import run
from tests.support.schema import validate
from tests.support.signed import CERT, made

Report = Callable[[Any], None]

CAGE = Cage(Limits(processor=1, clock=90.0, memory=1 << 30, records=1 << 20))
HELD = CAGE.held.held

needs_filter = pytest.mark.skipif("seccomp" not in HELD, reason="no seccomp on this machine")
needs_landlock = pytest.mark.skipif(not any("landlock" in each for each in HELD), reason="no Landlock here")


def outcome(work: Callable[[Report], None], cage: Cage = CAGE) -> tuple[list[Any], ElfsigError | None]:
    """The records of a child, and why they ended early."""
    found: list[Any] = []
    try:
        found += _collected(cage.run(work), found)
    except ElfsigError as fault:
        return found, fault
    return found, None


def _collected(records: Iterator[Any], found: list[Any]) -> list[Any]:
    for each in records:
        found.append(each)
    return []


def opens_the_network(report: Report) -> None:
    socket.socket()


def writes_a_file(report: Report) -> None:
    os.open("/tmp/elfsig-cage-test", os.O_WRONLY | os.O_CREAT, 0o600)


def truncates_a_file(report: Report) -> None:
    os.truncate(__file__, 10)


def removes_a_file(report: Report) -> None:
    os.unlink("/tmp/elfsig-cage-test")


def changes_an_attribute(report: Report) -> None:
    os.chmod(__file__, 0o777)


def executes_a_program(report: Report) -> None:
    os.execv("/bin/true", ["true"])


def forks(report: Report) -> None:
    os.fork()


def signals_its_parent(report: Report) -> None:
    os.kill(os.getppid(), signal.SIGTERM)


def signals_everything(report: Report) -> None:
    os.kill(-1, signal.SIGCONT)


def traces_its_parent(report: Report) -> None:
    ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0)


def raises_its_limits(report: Report) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def becomes_another_user(report: Report) -> None:
    os.setuid(12345)


def makes_a_namespace(report: Report) -> None:
    ctypes.CDLL(None).unshare(0x10000000)


FORBIDDEN = [
    opens_the_network, writes_a_file, truncates_a_file, removes_a_file, changes_an_attribute,
    executes_a_program, forks, signals_its_parent, signals_everything, traces_its_parent, raises_its_limits,
    becomes_another_user, makes_a_namespace,
]  # fmt: skip


@needs_filter
@pytest.mark.parametrize("attack", FORBIDDEN, ids=lambda each: each.__name__)
def test_what_only_an_attack_does_ends_the_child(attack: Callable[[Report], None]) -> None:
    def work(report: Report) -> None:
        report("before")
        attack(report)
        report("after")

    records, fault = outcome(work)
    assert records == ["before"]
    assert isinstance(fault, Killed) and (fault.code, fault.signal) == ("killed", "SIGSYS")
    assert "SIGSYS" in fault.text
    assert not os.path.exists("/tmp/elfsig-cage-test")


def test_memory_is_limited() -> None:
    def work(report: Report) -> None:
        report("before")
        bytearray(10 << 30)

    records, fault = outcome(work)
    assert isinstance(fault, Killed) and (records, fault.limit) == (["before"], "memory")
    assert "1024 MiB" in fault.text and fault.hint == "cage-memory"


def test_processor_time_is_limited() -> None:
    def work(report: Report) -> None:
        report("before")
        while True:
            pass

    records, fault = outcome(work)
    assert isinstance(fault, Killed) and (records, fault.limit) == (["before"], "processor")
    assert fault.signal == "SIGXCPU"


def test_a_child_that_ignores_the_signal_is_killed_all_the_same() -> None:
    def work(report: Report) -> None:
        signal.signal(signal.SIGXCPU, signal.SIG_IGN)
        while True:
            pass

    _, fault = outcome(work)
    assert isinstance(fault, Killed) and (fault.limit, fault.signal) == ("processor", "SIGKILL")


@pytest.mark.timed
def test_a_child_that_waits_is_ended_by_the_clock() -> None:
    def work(report: Report) -> None:
        report("before")
        time.sleep(1000)

    started = time.monotonic()
    records, fault = outcome(work, Cage(Limits(clock=0.5)))
    assert isinstance(fault, Killed) and (records, fault.limit) == (["before"], "clock")
    assert time.monotonic() - started < 15


def test_a_child_that_closes_its_pipe_and_stays_is_ended() -> None:
    def work(report: Report) -> None:
        os.closerange(3, 64)
        time.sleep(1000)

    _, fault = outcome(work)
    assert isinstance(fault, Killed) and fault.signal == "SIGKILL"


def test_a_crash_is_recorded() -> None:
    def work(report: Report) -> None:
        report({"found": [1, None, "x"]})
        ctypes.string_at(0)

    records, fault = outcome(work)
    assert records == [{"found": [1, None, "x"]}]
    assert isinstance(fault, Killed) and fault.signal == "SIGSEGV"


def test_an_exit_is_recorded() -> None:
    _, fault = outcome(lambda report: os._exit(3))
    assert isinstance(fault, Killed) and "status 3" in fault.text


@needs_landlock
def test_files_that_were_not_named_cannot_be_read(tmp_path: Path) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    mine.write_text("mine")
    other.write_text("other")

    def work(report: Report) -> None:
        report(mine.read_text())
        report(other.read_text())

    found: list[Any] = []
    with pytest.raises(ReadError, match="PermissionError") as caught:
        _collected(CAGE.run(work, [str(mine), str(tmp_path / "missing")]), found)
    assert (found, caught.value.code) == (["mine"], "internal-error")


def test_threads_late_imports_and_prints_work() -> None:
    def work(report: Report) -> None:
        import wave  # never imported before

        print("into the void", flush=True)
        thread = threading.Thread(target=lambda: report(wave.__name__))
        thread.start()
        thread.join()

    assert outcome(work) == (["wave"], None)


def test_descriptors_of_the_parent_are_closed(tmp_path: Path) -> None:
    with open(tmp_path / "journal", "wb") as stream:
        inherited = os.dup(stream.fileno())

        def work(report: Report) -> None:
            for fd in range(3, 64):
                with suppress(OSError):
                    os.lseek(fd, 0, os.SEEK_END)
                    report(fd)

        try:
            none = Limits(scratch=0)
            assert outcome(work, Cage(none)) == ([], None)
            assert outcome(work, Cage(none, keep=[inherited])) == ([inherited], None)
        finally:
            os.close(inherited)


def _pipe_of_this_child() -> int:
    for fd in range(3, 64):
        with suppress(OSError):
            if stat.S_ISFIFO(os.fstat(fd).st_mode):
                return fd
    raise AssertionError


DEEP = b'["record", ' + 3000 * b"[" + 3000 * b"]" + b"]"


@pytest.mark.parametrize(
    "data",
    [
        b"\x04\0\0\0nope", b"\x02\0\0\0[]", b"\x02\0\0\0{}", b'\x0c\0\0\0["fault", 1]', 
        b"\x03\0\0\0\xff\xff\xff",
        b'\x0c\0\0\0[[], "held"]', len(DEEP).to_bytes(4, "little") + DEEP,
        (100003).to_bytes(4, "little") + b"[" * 100003,
        (10012).to_bytes(4, "little") + b'["record", ' + b"9" * 10000 + b"]",
    ],
)  # fmt: skip
def test_a_child_that_was_taken_over_cannot_do_more_than_lie(data: bytes) -> None:
    def work(report: Report) -> None:
        report("before")
        view = memoryview(data)
        pipe = _pipe_of_this_child()
        while view:
            view = view[os.write(pipe, view) :]

    records, fault = outcome(work)
    assert records == ["before"]
    assert isinstance(fault, Killed) and fault.limit == "records"


def test_records_are_limited() -> None:
    def work(report: Report) -> None:
        while True:
            report("x" * 1000)

    records, fault = outcome(work)
    assert isinstance(fault, Killed) and fault.limit == "records"
    assert 0 < len(records) <= 1049


def test_an_error_of_ours_crosses_with_all_it_says() -> None:
    def work(report: Report) -> None:
        report(1)
        raise ParseError("bad", offset=7, code="odd", hint="force")

    records, fault = outcome(work)
    assert records == [1] and isinstance(fault, ReadError)
    assert (fault.code, fault.text, fault.offset, fault.hint) == ("odd", "bad", 7, "force")


def test_no_process_is_left(tmp_path: Path) -> None:
    def work(report: Report) -> None:
        report(os.getpid())
        time.sleep(1000)

    records = CAGE.run(work)
    pid = next(records)
    assert isinstance(records, Iterator)
    records.close()  # type: ignore[attr-defined]  # a generator
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_room_for_copies_is_bounded_and_gone_afterwards(tmp_path: Path) -> None:
    def work(report: Report) -> None:
        descriptor = room.given()
        assert descriptor is not None
        report(os.pwrite(descriptor, b"x" * 1000, 0))
        os.pwrite(descriptor, b"x", 1000)

    before = set(os.listdir("/proc/self/fd"))
    records, fault = outcome(work, Cage(Limits(scratch=1000)))
    assert records == [1000] and fault is not None and "File too large" in fault.text
    assert set(os.listdir("/proc/self/fd")) == before and room.given() is None


def test_all_layers_are_named_in_order() -> None:
    held = CAGE.held
    found = [each.split("-")[0] for each in held.held] + [layer for layer, _ in held.missing]
    assert sorted(found) == sorted(LAYERS)


def test_a_layer_that_the_machine_lacks_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seccomp, "MACHINES", {})
    monkeypatch.setattr(landlock, "version", lambda: 0)
    held = Cage().held
    assert [layer for layer, _ in held.missing] == ["landlock", "seccomp"]
    assert held.held[0] == "limits"
    records, fault = outcome(lambda report: report("done"), Cage())
    assert (records, fault) == (["done"], None)


# --------------------------------------------------------------------------- elfsig verify --cage


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    folder = tmp_path / "modules"
    folder.mkdir()
    plain = corpus.content("amd64-6.1.ko")
    signed = made(plain, "pkcs7", "whole-file").content
    (folder / "a.ko").write_bytes(signed)
    (folder / "b.ko").write_bytes(plain)
    (folder / "c.ko").write_bytes(signed[:0x180] + bytes([signed[0x180] ^ 1]) + signed[0x181:])
    (folder / "d.ko").write_bytes(b"\x1f\x8b\x08 not gzip")
    return folder


@pytest.mark.parametrize("form", [(), ("--json", "--reproducible"), ("--jsonl", "--reproducible")])
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_output_and_exit_code_are_the_same(modules: Path, form: tuple[str, ...], jobs: str) -> None:
    words: tuple[str | Path, ...] = ("verify", *form, "--trust", CERT, "-j", jobs, modules)
    assert run(*words, "--cage") == run(*words)
    for each in sorted(modules.iterdir()):
        one: tuple[str | Path, ...] = ("verify", *form, "--trust", CERT, each)
        assert run(*one, "--cage") == run(*one)


def test_colours_and_kernels_are_the_same(modules: Path) -> None:
    for words in (("--kernel", "6.12"), ("--require", "pkcs7")):
        asked: tuple[str | Path, ...] = ("--color", "always", "verify", *words, "--trust", CERT, modules)
        assert run(*asked, "--cage") == run(*asked)


def test_the_document_says_which_cage_held(modules: Path) -> None:
    document = json.loads(run("verify", "--cage", "--json", modules).out)
    validate(document)
    assert document["run"]["cage"]["held"] == list(HELD)


def test_a_missing_layer_is_a_warning(modules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seccomp, "MACHINES", {})
    ran = run("verify", "--cage", "--json", "--trust", CERT, modules / "a.ko")
    assert "warning: the cage does without seccomp: no table of system calls for" in ran.err
    assert ran.code == 0
    document = json.loads(ran.out)
    validate(document)
    assert [each["layer"] for each in document["run"]["cage"]["missing"]] == ["seccomp"]


def _at(path: str, act: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have ``act`` happen when the file of this name is examined."""
    mine = examining.examine

    def patched(module: Any, *more: Any) -> Any:
        if module.path.endswith(path):
            act()
        return mine(module, *more)

    monkeypatch.setattr(tree, "examine", patched)


def _loop() -> None:
    while True:
        pass


def _no_memory() -> None:
    raise MemoryError


@pytest.mark.parametrize(
    ("act", "words", "said"),
    [
        (lambda: ctypes.string_at(0), (), "SIGSEGV"),
        (_loop, ("--cage-time", "2"), "2 s of processor time; --cage-time raises the limit"),
        (lambda: bytearray(8 << 30), ("--cage-memory", "256"), "256 MiB of memory; --cage-memory"),
        (_no_memory, (), "4096 MiB of memory"),
    ],
)
def test_one_file_is_killed_and_the_others_are_kept(
    act: Callable[[], Any], words: tuple[str, ...], said: str, modules: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _at("b.ko", act, monkeypatch)
    (modules / "d.ko").unlink()
    ran = run("verify", "--cage", *words, "--jsonl", "--trust", CERT, "-j1", modules)
    files = [json.loads(line) for line in ran.out.splitlines()]
    for each in files:
        validate(each)
    assert [each["verdict"] for each in files] == ["valid", None, "invalid"]
    assert files[1]["error"]["code"] == "killed"
    assert said in run("verify", "--cage", *words, "--trust", CERT, modules / "b.ko").err
    assert run("verify", "--cage", *words, "--trust", CERT, modules / "b.ko").code == 5


def test_memory_that_is_lacking_without_a_cage_is_that_file_s_error(
    modules: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _at("b.ko", _no_memory, monkeypatch)
    ran = run("verify", "--jsonl", "--trust", CERT, "-j1", modules)
    assert json.loads(ran.out.splitlines()[1])["error"]["code"] == "out-of-memory"


def test_what_a_child_reports_does_not_control_the_terminal(
    modules: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evil = "a.ko: \x1b]0;title\x07\x1b[31mvalid\x1b[0m \r\x9b2J \udcff"
    monkeypatch.setattr(render_verify, "lines", lambda *more: iter([evil]))
    monkeypatch.setattr("elfsig.cli.commands.verify.laid_out", lambda line: line)
    ran = run("verify", "--cage", "--trust", CERT, modules / "a.ko")
    assert ran.out == "a.ko: \\x1b]0;title\\x07\x1b[31mvalid\x1b[0m \\r\\x9b2J \\xff\n"


@pytest.mark.parametrize("text", ["not JSON", "[1]", "[" * 100000, '{"a": ' * 5000])
def test_what_is_not_an_object_is_no_result(
    text: str, modules: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def patched(report: Any, *more: Any) -> str:
        return text if report.error is None else mine(report, *more)

    from elfsig.cli.commands import verify

    mine = verify._text
    monkeypatch.setattr(verify, "_text", patched)
    ran = run("verify", "--cage", "--jsonl", "--trust", CERT, modules / "a.ko")
    assert json.loads(ran.out)["error"]["code"] == "killed" and ran.code == 5


def test_limits_need_a_cage(modules: Path) -> None:
    ran = run("verify", "--cage-time", "3", modules)
    assert ran.code == 2 and "need --cage" in ran.err
