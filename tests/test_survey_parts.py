"""``elfsig survey --parts``: every module once, whole files or none, and runs that are taken up again."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import corpus
import elfsig
from elfsig.batch.parts import division
from elfsig.batch.survey import run as survey_run
from elfsig.batch.survey.run import Outermost
from elfsig.opened.remote import client
from elfsig.opened.remote.urls import RemoteFile
from tests.support.archives import tar
from tests.support.cli import elfsig as command
from tests.support.cli import environment
from tests.support.run import run
from tests.support.signed import CERT, made
from tests.support.tools import need
from tests.support.web import s3_client, s3_content, s3_server

UNSIGNED = corpus.content("amd64-2.6.39-uek.ko")
SIGNED = made(UNSIGNED, "pkcs7", "whole-file").content
Json = dict[str, Any]
PACKAGES, PARTS = 12, 5


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    """Packages of two modules each, in directories, and one plain module."""
    root = tmp_path / "mirror"
    for number in range(PACKAGES):
        path = root / f"pool{number % 3}" / f"p{number:02}.tar"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(tar(a_ko=SIGNED, b_ko=UNSIGNED))
    (root / "plain.ko").write_bytes(SIGNED)
    return root


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    yield
    client.close()


def records_in(folder: Path) -> list[Json]:
    """The records of all parts."""
    lines = [line for path in sorted(folder.glob("part-*.jsonl")) for line in path.read_text().splitlines()]
    return [json.loads(line) for line in lines]


def modules_in(folder: Path) -> Counter[str]:
    return Counter(each["path"] for each in records_in(folder) if each["record"] == "module")


def content_of(folder: Path) -> dict[str, bytes]:
    """Every file in a directory, also what killed runs left."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def expected(mirror: Path) -> Counter[str]:
    """The path of every module in the mirror, once."""
    packages = sorted(mirror.glob("pool*/*.tar"))
    found = [f"{path}!/{name}.ko" for path in packages for name in "ab"]
    return Counter([*found, str(mirror / "plain.ko")])


def words(mirror: Path, out: Path | str, *more: str | Path) -> list[str | Path]:
    return ["survey", mirror, "--parts", str(PARTS), "-o", out, "--trust", CERT, *more]


# --------------------------------------------------------------------------- what is written


def test_every_module_is_in_one_part_and_the_same_as_in_a_plain_survey(mirror: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run(*words(mirror, out))
    assert done.code == 1
    assert modules_in(out) == expected(mirror)
    plain = run("survey", mirror, "--trust", CERT, "--jsonl").files()

    def key(each: Json) -> str:
        return json.dumps({**each, "run": None, "host": None}, sort_keys=True)

    assert sorted(map(key, records_in(out))) == sorted(map(key, plain))
    assert len({each["run"] for each in records_in(out)}) == 1
    assert "all of 5 parts: 25 modules in 12 containers, 13 files: 13 valid, 12 unsigned" in done.err


def test_the_part_of_a_file_is_the_hash_of_its_path_below_the_source(mirror: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(*words(mirror, out))
    for path in sorted(out.glob("part-*.jsonl")):
        part = int(path.name[5:10])
        for each in map(json.loads, path.read_text().splitlines()):
            below = os.path.relpath(each["chain"][0]["name"], mirror)
            assert int(hashlib.sha256(below.encode()).hexdigest(), 16) % PARTS == part


def test_what_decides_on_the_part() -> None:
    assert division.key_of(Outermost("/a/b/c.deb", "/a")) == b"b/c.deb"
    assert division.key_of(Outermost("/a/b/c.deb", "/a/")) == b"b/c.deb"
    assert division.key_of(Outermost("b/c.deb")) == b"c.deb"
    url = Outermost("https://host/c.deb", None, None, (), RemoteFile("https://u:p@host/c.deb?x"))
    assert division.key_of(url) == b"https://host/c.deb"
    assert division.key_of(Outermost("a/\udcff.deb", "a")) == b"\xff.deb"
    parts = Counter(division.part_of(b"%d" % number, 7) for number in range(7000))
    assert len(parts) == 7 and min(parts.values()) > 800


def test_receipts_and_the_manifest_say_what_the_files_hold(mirror: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    receipts = run(*words(mirror, out, "--jsonl")).files()
    assert [each["part"] for each in receipts] == list(range(PARTS))
    manifest = json.loads((out / "manifest.json").read_text())
    for receipt, listed in zip(receipts, manifest["files"], strict=True):
        data = (out / receipt["file"]).read_bytes()
        found = [json.loads(line) for line in data.splitlines()]
        assert receipt["sha256"] == listed["sha256"] == hashlib.sha256(data).hexdigest()
        assert receipt["bytes"] == listed["bytes"] == len(data)
        kinds = Counter(each["record"] for each in found)
        assert (receipt["records"], receipt["modules"]) == (len(found), kinds["module"])
        assert receipt["containers"] == kinds["container"]
        assert receipt["version"] == elfsig.__version__
        assert json.loads((out / f"{receipt['file'].partition('.')[0]}.receipt.json").read_text()) == receipt
    assert manifest["totals"]["verdicts"] == {"unsigned": 12, "valid": 13}
    assert manifest["totals"]["files"] == 13
    assert {path.name.partition("-of-")[2].partition(".")[2] for path in out.glob("part-*")} == {
        "jsonl", "receipt.json",
    }  # fmt: skip


def test_a_document_of_all_receipts(mirror: Path, tmp_path: Path) -> None:
    from tests.support.cli import validator

    document = json.loads(run(*words(mirror, tmp_path / "out", "--json")).out)
    validator().validate(document)
    assert sum(each["modules"] for each in document["parts"]) == 25


def test_parts_are_the_same_bytes_wherever_and_in_which_order_they_are_made(
    mirror: Path, tmp_path: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    run(*words(mirror, one, "--reproducible", "-j1"))
    for part in (3, 0, 4, 1, 2):
        run(*words(mirror, two, "--reproducible", "--part", str(part)))
    assert content_of(one) == content_of(two)


def test_the_host_is_in_the_records(mirror: Path, tmp_path: Path) -> None:
    run(*words(mirror, tmp_path / "out", "--host", "build-7"))
    assert {each["host"] for each in records_in(tmp_path / "out")} == {"build-7"}


def test_parquet(mirror: Path, tmp_path: Path) -> None:
    import pyarrow.parquet

    out = tmp_path / "out"
    assert run(*words(mirror, out, "--as", "parquet", "--parts", "2")).code == 1
    rows = [row for p in sorted(out.glob("*.parquet")) for row in pyarrow.parquet.read_table(p).to_pylist()]
    assert Counter(row["path"] for row in rows if row["record"] == "module") == expected(mirror)
    for receipt in map(json.loads, (p.read_text() for p in out.glob("*.receipt.json"))):
        assert hashlib.sha256((out / receipt["file"]).read_bytes()).hexdigest() == receipt["sha256"]
    assert run("survey", "--check", "-o", out).code == 0


# --------------------------------------------------------------------------- resuming


def test_finished_parts_are_not_made_again(mirror: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(*words(mirror, out, "--part", "2"))
    before = (out / "part-00002-of-00005.jsonl").stat().st_mtime_ns
    assert not (out / "manifest.json").exists()
    done = run(*words(mirror, out))
    assert (out / "part-00002-of-00005.jsonl").stat().st_mtime_ns == before
    assert [line.endswith("(already there)") for line in done.out.splitlines()] == [
        False, False, True, False, False,
    ]  # fmt: skip
    again = run(*words(mirror, out))
    assert again.code == 1 and again.out.count("(already there)") == PARTS
    assert modules_in(out) == expected(mirror)


@pytest.mark.parametrize("lost", ["part-00001-of-00005.jsonl", "part-00001-of-00005.receipt.json"])
def test_a_part_without_its_receipt_or_file_is_made_again(mirror: Path, tmp_path: Path, lost: str) -> None:
    out = tmp_path / "out"
    run(*words(mirror, out))
    content = content_of(out)
    (out / lost).unlink()
    run(*words(mirror, out))
    assert content_of(out) == content


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (["--parts", "6"], "it holds a survey in 5 parts, not in 6"),
        (["--keys", str(corpus.KEYS / "other.cert.pem")], "another question: keys differs"),
        (["--max-depth", "3"], "another question: options differs"),
        (["--as", "parquet"], "another question: form differs"),
        (["/nowhere"], "another question: sources differs"),
        (["--lenient"], "another question: options differs"),
    ],
)
def test_another_question_is_a_usage_error_before_anything_is_read(
    mirror: Path, tmp_path: Path, change: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    run(*words(mirror, out, "--part", "1"))
    monkeypatch.setattr(survey_run, "survey_file", None)
    for more in ((), ("--part", "1"), ("--part", "2")):
        done = run(*words(mirror, out, *change, *more))
        assert done.code == 2 and said in done.err and done.out == ""


def test_files_that_are_not_receipts_are_refused(mirror: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(*words(mirror, out, "--part", "1"))
    receipt = out / "part-00001-of-00005.receipt.json"
    whole = json.loads(receipt.read_text())
    for bad in (
        b"", b"[]", b"{", b'{"record": "part"}', b"[" * 100_000,
        json.dumps({**whole, "modules": "x", "verdicts": {"valid": -1}}).encode(),
        json.dumps({**whole, "verdicts": {"fine": 1}}).encode(),
        json.dumps({**whole, "bytes": True}).encode(),
        json.dumps({**whole, "part": 2}).encode(),
        json.dumps({**whole, "question": "0" * 64}).encode(),
    ):  # fmt: skip
        receipt.write_bytes(bad)
        done = run(*words(mirror, out))
        assert done.code == 2 and "part-00001-of-00005.receipt.json" in done.err, bad[:50]
    receipt.unlink()
    (out / "question.json").write_text("{}")
    assert run(*words(mirror, out)).code == 2
    (out / "question.json").unlink()
    assert run(*words(mirror, out)).code == 2, "parts that nobody knows the question of"


def _program(mirror: Path, out: Path, *more: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "elfsig", *map(str, words(mirror, out, *more))],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(),
        start_new_session=True,
    )


def test_killed_at_random_and_taken_up_again(mirror: Path, tmp_path: Path) -> None:
    """Whatever was under way is absent; whatever is there is whole. The first kill is early in a run, however
    fast the machine is."""
    out, chance = tmp_path / "out", random.Random(7)
    whole = tmp_path / "whole"
    started = time.monotonic()
    assert _program(mirror, whole, "--reproducible", "-j2").wait() == 1
    takes, killed = time.monotonic() - started, 0
    for tried in range(5):
        process = _program(mirror, out, "--reproducible", "-j2")
        time.sleep(takes * (0.1 + 0.2 * tried * chance.random()))
        killed += process.poll() is None
        with suppress(ProcessLookupError):  # it may have finished
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for path in out.glob("part-*.jsonl"):
            assert path.read_bytes() == (whole / path.name).read_bytes()
    assert killed
    assert run(*words(mirror, out, "--reproducible")).code == 1
    assert modules_in(out) == expected(mirror)
    assert content_of(out) == content_of(whole)


def test_a_process_that_dies_costs_its_part(
    mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from elfsig.batch.parts import run as parts_run

    make: Callable[..., Any] = parts_run.make_part

    def dies(job: Any, part: int, *more: Any) -> Any:
        if part == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return make(job, part, *more)

    monkeypatch.setattr(parts_run, "make_part", dies)
    done = run(*words(mirror, tmp_path / "out", "-j2"))
    assert "part 3 of 5: not finished: its process was ended by SIGKILL" in done.err
    assert "1 part not finished: run it again" in done.err
    assert len(list((tmp_path / "out").glob("*.receipt.json"))) == PARTS - 1
    monkeypatch.undo()
    assert run(*words(mirror, tmp_path / "out")).code == 1
    assert modules_in(tmp_path / "out") == expected(mirror)


# --------------------------------------------------------------------------- faults


def test_a_poisoned_file_costs_one_record(mirror: Path, tmp_path: Path) -> None:
    """One that decompresses for ever is ended by its limit; all others are in their parts."""
    bomb = mirror / "bomb.tar.xz"
    bomb.write_bytes(
        subprocess.run([need("xz"), "-0", "-c"], input=bytes(64 << 20), stdout=subprocess.PIPE).stdout
    )
    out = tmp_path / "out"
    done = run(*words(mirror, out, "--max-size", "1000000"))
    assert done.code == 1
    bad = [each for each in records_in(out) if each["record"] == "container" and not each["complete"]]
    assert [(each["path"], each["error"]["code"]) for each in bad] == [(str(bomb), "over-budget")]
    assert modules_in(out) == expected(mirror)
    assert json.loads((out / "manifest.json").read_text())["totals"]["incomplete"] == 1


def _refusing(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Directories of these names cannot be listed."""
    real = os.scandir

    def refused(path: Any) -> Any:
        if Path(os.fsdecode(path)).name in names:
            raise PermissionError(13, "denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", refused)


@pytest.mark.parametrize("names", [["pool1"], ["pool0", "pool1", "pool2"], ["mirror"]])
def test_a_directory_that_cannot_be_listed_is_recorded_once(
    mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: list[str]
) -> None:
    _refusing(monkeypatch, *names)
    out = tmp_path / "out"
    paths = sorted(str(mirror / name) if name != "mirror" else str(mirror) for name in names)
    done = run(*words(mirror, out, "-j1"))
    found = [(each["path"], (each["error"] or {}).get("code")) for each in records_in(out)]
    assert sorted(path for path, code in found if code == "permission-denied") == paths
    plain = run("survey", mirror, "--jsonl").files()
    assert Counter(path for path, _ in found) == Counter(each["path"] for each in plain)
    receipts = [json.loads(path.read_text()) for path in out.glob("*.receipt.json")]
    assert len(receipts) == PARTS and all(each["unlisted"] == paths for each in receipts)
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["unlisted"] == paths and manifest["totals"]["incomplete"] == len(paths)
    assert f"could not be listed: {', '.join(paths)}" in done.err and "not all parts" not in done.err
    assert done.code == run("survey", mirror).code


def test_a_part_that_could_not_list_a_directory_says_so_wherever_its_record_is(
    mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One machine cannot list a directory that belongs to the part of another machine, which can."""
    out = tmp_path / "out"
    owner = division.part_of(b"pool1", PARTS)
    other = (owner + 1) % PARTS
    with monkeypatch.context() as here:
        _refusing(here, "pool1")
        done = run(*words(mirror, out, "--part", str(other)))
    assert done.code in (1, 5) and f"1 directory could not be listed: {mirror}/pool1" in done.err
    done = run(*words(mirror, out))
    assert "1 directory could not be listed" in done.err and "not all parts lack the same" in done.err
    assert json.loads((out / "manifest.json").read_text())["unlisted"] == [str(mirror / "pool1")]
    assert run("survey", "--check", "-o", out).code == 0


def test_no_room_for_a_part(mirror: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run(*words(mirror, tmp_path / "file"))
    assert done.code == 1 and "not written" in done.err and done.out == ""


@pytest.mark.parametrize(
    "more",
    [
        ["--parts", "0", "-o", "x"], ["--parts", "3"], ["--parts", "3", "-o", "x", "--part", "3"],
        ["-o", "x"], ["--part", "1"], ["--as", "jsonl"], ["--check"], ["--check", "-o", "nowhere"],
        ["--parts", "3", "-o", "x", "--html", "y"], ["--parts", "3", "-o", "x", "--check"],
        ["--parts", "3", "-o", "x", "--part", "1", "--scheduler", "tcp://127.0.0.1:1"],
        ["--parts", "3", "-o", "nonsense://x"],
    ],
)  # fmt: skip
def test_usage_errors(mirror: Path, more: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = run("survey", mirror, *more)
    assert done.code in (2, 5) and done.out == "" and (done.code == 2 or "nowhere" in more)
    assert not list(Path("x").glob("*")) if Path("x").exists() else True


# --------------------------------------------------------------------------- checking


def test_check_names_what_is_missing_or_changed(mirror: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(*words(mirror, out, "--part", "1"))
    done = run("survey", "--check", "-o", out)
    assert done.code == 5 and done.out.count(": missing: this part is not finished") == PARTS - 1
    assert run("survey", "--check", "-o", out, "--part", "1").code == 0
    assert run("survey", "--check", "-o", out, "--part", "2").code == 5
    run(*words(mirror, out))
    assert run("survey", "--check", "-o", out).code == 0
    path = out / "part-00000-of-00005.jsonl"
    path.write_bytes(path.read_bytes().replace(b"valid", b"valiD", 1))
    done = run("survey", "--check", "-o", out)
    assert done.code == 1 and done.out.startswith(f"{path}: changed: ")
    path.unlink()
    assert run("survey", "--check", "-o", out).code == 5
    (out / "manifest.json").write_text("{}")
    assert "manifest.json: changed: " in run("survey", "--check", "-o", out).out


# --------------------------------------------------------------------------- an object store


def test_from_and_to_an_object_store(mirror: Path, tmp_path: Path) -> None:
    with s3_server("kernels") as there:
        store = s3_client(there)
        for path in sorted(mirror.rglob("*.*")):
            store.put_object(Bucket="kernels", Key=f"in/{path.relative_to(mirror)}", Body=path.read_bytes())
        asked: list[str | Path] = [
            "survey", "s3://kernels/in", "--parts", "3", "-o", "s3://kernels/out", "--trust", CERT,
        ]  # fmt: skip
        one = command(*asked, "--part", "1", env=there)
        whole = command(*asked, "-j2", env=there)
        other = command(*asked, "--max-depth", "3", env=there)
        check = command("survey", "--check", "-o", "s3://kernels/out", env=there)
        kept = {k: v for k, v in s3_content(there, "kernels").items() if k.startswith("out/")}
    assert (one.code, whole.code, other.code, check.code) == (1, 1, 2, 0), whole.err + check.out
    assert whole.out.count("(already there)") == 1
    found = [
        json.loads(line) for k, v in kept.items() if k.endswith(".jsonl") for line in v.splitlines()
    ]  # fmt: skip
    paths = Counter(each["path"] for each in found if each["record"] == "module")
    assert paths == Counter(
        {path.replace(str(mirror), "s3://kernels/in"): n for path, n in expected(mirror).items()}
    )
    assert set(kept) == {
        "out/question.json", "out/manifest.json",
        *(f"out/part-0000{k}-of-00003.{end}" for k in range(3) for end in ("jsonl", "receipt.json")),
    }  # fmt: skip
    assert b"very-secret-word" not in b"".join(kept.values())
