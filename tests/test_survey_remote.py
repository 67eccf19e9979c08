"""``elfsig survey`` of URLs: web servers and object stores on the loopback interface, and lost
connections."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

import corpus
import elfsig
from elfsig.opened.remote import client, stores
from elfsig.opened.remote.urls import RemoteFile, is_url, shown
from tests.support import web
from tests.support.archives import tar
from tests.support.cli import elfsig as command
from tests.support.images import call
from tests.support.run import run
from tests.support.signed import CERT, made

UNSIGNED = corpus.content("amd64-2.6.39-uek.ko")
SIGNED = made(UNSIGNED, "pkcs7", "whole-file").content
Json = dict[str, Any]


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    yield
    client.close()


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    """A package of two modules, one below, a file of no known kind."""
    root = tmp_path / "mirror"
    (root / "sub").mkdir(parents=True)
    (root / "a.tar").write_bytes(tar(x_ko=SIGNED, y_ko=UNSIGNED))
    (root / "sub" / "b.tar").write_bytes(tar(noise=os.urandom(9 << 20), z_ko=SIGNED))
    (root / "notes.txt").write_text("text")
    return root


@pytest.fixture
def server(mirror: Path) -> Iterator[web.Web]:
    with web.serving(mirror) as running:
        yield running


def records(*words: str | Path) -> list[Json]:
    return run("survey", "--jsonl", *words).files()


def without_place(each: Json, place: str) -> Json:
    """A record with its URL or directory left out."""
    found: Json = json.loads(json.dumps(each).replace(place, ""))
    return found


@pytest.mark.parametrize("ranges", [True, False])
def test_a_web_server_gives_what_its_directory_gives(server: web.Web, mirror: Path, ranges: bool) -> None:
    server.ranges = ranges
    there = records(f"{server.url}/", "--trust", CERT)
    here = records(f"{mirror}/", "--trust", CERT)
    assert len([each for each in here if each["record"] == "module"]) == 3
    assert [without_place(each, server.url) for each in there] == [
        without_place(each, str(mirror)) for each in here
    ]


def test_the_hash_of_a_stream_is_in_all_its_records(server: web.Web, mirror: Path) -> None:
    found = records(f"{server.url}/a.tar")
    digest = hashlib.sha256((mirror / "a.tar").read_bytes()).hexdigest()
    assert len(found) == 3
    assert {(each["chain"][0]["name"], each["chain"][0]["sha256"]) for each in found} == {
        (f"{server.url}/a.tar", digest)
    }


def test_only_what_is_asked_for_is_requested(server: web.Web) -> None:
    assert len(records(f"{server.url}/a.tar")) == 3
    assert set(server.requests) == {"/a.tar"}


def test_a_lost_connection_is_taken_up_again(server: web.Web) -> None:
    server.losses, server.whole = 3, 100_000
    found = records(f"{server.url}/sub/b.tar", "--trust", CERT)
    assert server.losses == 0
    assert [each.get("verdict", each.get("complete")) for each in found] == ["valid", True]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_connection_that_stays_lost_costs_one_file(server: web.Web, ranges: bool, tmp_path: Path) -> None:
    server.ranges, server.losses, server.whole = ranges, 10**9, 2000
    (tmp_path / "plain.ko").write_bytes(SIGNED)
    found = records(f"{server.url}/sub/b.tar", tmp_path / "plain.ko")
    assert [(each["record"], (each.get("error") or {}).get("code")) for each in found] == [
        ("container", "connection"), ("module", None),
    ]  # fmt: skip
    assert not found[0]["complete"]


def test_a_server_that_is_gone(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{web.free_port()}/a.tar"
    done = run("survey", url)
    assert done.code == 5
    assert done.out == f"{url}: not read (connection): not read after 5 attempts: ClientConnectorError\n"


def test_what_is_missing_is_asked_for_once(server: web.Web) -> None:
    found = records(f"{server.url}/none.tar")
    assert [each["error"]["code"] for each in found] == ["not-found"]
    assert server.requests in (["/none.tar"], ["/none.tar"] * 2)  # HEAD, and GET where that is refused


def test_a_file_that_is_replaced_meanwhile(mirror: Path, server: web.Web) -> None:
    stream = stores.Stream(RemoteFile(f"{server.url}/sub/b.tar"))
    pieces = stream.pieces()
    next(pieces)
    (mirror / "sub" / "b.tar").write_bytes(os.urandom(8 << 20))
    server.losses = 1
    with pytest.raises(elfsig.ReadError) as caught:
        for _ in pieces:
            pass
    assert caught.value.code == "changed-while-reading"


def test_credentials_are_never_shown(server: web.Web) -> None:
    secret = server.url.replace("://", "://user:pa55@") + "/a.tar?token=s3cret"
    for url in (secret, secret.replace("a.tar", "none.tar"), secret.replace("a.tar", "")):
        for form in ("--json", "--jsonl"):
            done = run("survey", url, form, "--reproducible")
            assert not any(word in done.out + done.err for word in ("pa55", "s3cret", "user:"))
    document = json.loads(run("survey", secret, "--json").out)
    assert document["run"]["argv"][1] == f"{server.url}/a.tar"
    assert shown("s3://key:word@bucket/a%40b?x=1#y") == "s3://bucket/a%40b"
    assert shown("https://host/a@b/c") == "https://host/a@b/c"


def test_what_is_a_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s3:").mkdir()
    Path("s3:/x.ko").write_bytes(SIGNED)
    assert is_url("s3://bucket/x") and not is_url("s3://x.ko") and not is_url("a/b") and not is_url("C:/x")


def test_an_unknown_kind_of_url_is_a_usage_error(tmp_path: Path) -> None:
    done = run("survey", "nonsense://x/y")
    assert done.code == 2 and "nonsense:// is not a kind of URL" in done.err and done.out == ""


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "fsspec.py").write_text("raise ModuleNotFoundError('no', name='fsspec')")
    monkeypatch.syspath_prepend(str(tmp_path))
    done = run("survey", "https://127.0.0.1/x")
    assert done.code == 2
    assert "install elfsig[remote]" in done.err and done.out == ""


def test_memory_and_the_library() -> None:
    files = fsspec.filesystem("memory")
    files.pipe("/survey/a.tar", tar(x_ko=SIGNED, y_ko=UNSIGNED))
    try:
        found = list(elfsig.survey("memory://survey", trust=CERT))
        lines = records("memory://survey", "--trust", CERT)
    finally:
        files.rm("/survey", recursive=True)
    assert [type(each).__name__ for each in found] == ["ModuleRecord", "ModuleRecord", "ContainerRecord"]
    assert [each.path for each in found] == [each["path"] for each in lines]
    assert found[-1].to_json() == lines[-1]


def test_images_are_copied(server: web.Web, mirror: Path) -> None:
    """What must be read at any offset, and both passes of ``--keys found``, work on a copy without a name."""
    image = mirror / "disk.img"
    image.write_bytes(bytes(8 << 20))
    call("mkfs.ext4", "-q", "-F", image)
    module = mirror.parent / "x.ko"
    module.write_bytes(SIGNED)
    call("debugfs", "-w", "-R", f"write {module} x.ko", image)
    for words in ((), ("--keys", "found")):
        there = records(f"{server.url}/disk.img", "--trust", CERT, *words)
        here = records(image, "--trust", CERT, *words)
        assert [each.get("verdict") for each in here] == ["valid", None]
        assert [without_place(e, server.url) for e in there] == [without_place(e, str(mirror)) for e in here]
    over = records(f"{server.url}/disk.img", "--max-size", "1000000")
    assert [each["error"]["code"] for each in over] == ["over-budget"]


def test_an_object_store(mirror: Path) -> None:
    with web.s3_server("kernels") as environment:
        store = web.s3_client(environment)
        for path in sorted(mirror.rglob("*")):
            if path.is_file():
                store.put_object(
                    Bucket="kernels", Key=f"deb/{path.relative_to(mirror)}", Body=path.read_bytes()
                )
        done = command("survey", "s3://kernels/deb", "--trust", CERT, "--jsonl", env=environment)
        missing = command("survey", "s3://kernels/none.tar", "--jsonl", env=environment)
    here = records(mirror, "--trust", CERT)
    assert [without_place(each, "s3://kernels/deb") for each in done.files()] == [
        without_place(each, str(mirror)) for each in here
    ]
    assert "very-secret-word" not in done.out + done.err
    assert [each["error"]["code"] for each in missing.files()] == ["not-found"]
