"""Containers: what the walk finds, and that nothing is missing in silence."""

from __future__ import annotations

import lzma
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

import corpus
import elfsig
from elfsig.containers.contract import Budget, Context
from elfsig.containers.nested import Name, Step, candidates, display, names_of, resolve
from elfsig.containers.readers import Reader, bytes_reader
from elfsig.containers.walk import ContainerRecord, Found, walk
from elfsig.errors import ContainerError
from elfsig.opened.module import Module
from tests.support.run import run

FILE = (Step("file", b"f"),)
CERT = corpus.FOLDER / "keys" / "signer.cert.pem"
MODULE = corpus.content("amd64.pkcs7")


def forward(data: bytes, piece: int = 1000) -> Reader:
    """A reader that cannot seek and gets its bytes in small pieces."""
    pieces = iter([data[at : at + piece] for at in range(0, len(data), piece)])
    return Reader(lambda: next(pieces, b""))


def taken(data: bytes, context: Context | None = None) -> tuple[dict[str, bytes], list[ContainerRecord]]:
    """The content of every file found by its path, and the records of the containers."""
    files: dict[str, bytes] = {}
    records = []
    for found in walk(forward(data), FILE, context):
        if isinstance(found, ContainerRecord):
            records.append(found)
        elif found.member.reader is not None:
            with suppress(ContainerError):  # the container's record has it as well
                files[found.path] = found.member.reader.all(1 << 30)
    return files, records


def ar(*members: tuple[bytes, bytes]) -> bytes:
    """An ar archive as dpkg-deb makes it."""
    out = [b"!<arch>\n"]
    for name, content in members:
        out.append(b"%-16s%-12d%-6d%-6d%-8s%-10d`\n" % (name, 0, 0, 0, b"100644", len(content)))
        out.append(content + b"\n" * (len(content) % 2))
    return b"".join(out)


def test_a_debian_package_by_dpkg_deb(tmp_path: Path) -> None:
    assert shutil.which("dpkg-deb")
    tree = tmp_path / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN" / "control").write_text(
        "Package: x\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example.org>\nDescription: x\n"
    )
    (tree / "x.ko").write_bytes(MODULE)
    package = tmp_path / "x.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Zxz", "-b", tree, package], check=True, stdout=subprocess.DEVNULL
    )
    data = package.read_bytes()
    records = taken(data)[1]
    assert [(r.path, r.kind) for r in records if r.kind in ("xz", "ar")] == [
        ("f!/control.tar.xz", "xz"),
        ("f!/data.tar.xz", "xz"),
        ("f", "ar"),
    ]
    assert all(record.complete for record in records)


def test_every_truncation_of_an_ar_archive_is_reported() -> None:
    data = ar((b"debian-binary", b"2.0\n"), (b"a.ko", MODULE[:301]), (b"data.tar", b"not a tar."))
    whole, _ = taken(data)
    for end in range(len(data)):
        files, records = taken(data[:end])
        if end > 8:  # the magic line alone is an archive without members
            assert files.items() <= whole.items()
            assert records[-1].error and records[-1].error.code == "truncated", end


def test_budgets_are_named() -> None:
    bomb = lzma.compress(bytes(1 << 20))
    for budget, said in (
        (Budget(output=1000), "1000 bytes"),
        (Budget(members=1), "1 members"),
        (Budget(depth=1), "1 containers"),
        (Budget(seconds=-1), "seconds"),
    ):
        records = [
            found
            for found in walk(forward(ar((b"a", bomb), (b"b", bomb))), FILE, Context(budget))
            if isinstance(found, ContainerRecord)
        ]
        errors = [record.error for record in records if record.error]
        assert errors and all(error.code == "over-budget" and said in error.text for error in errors)


def test_names_are_written_so_that_paths_lead_back() -> None:
    odd = b"a!/b\\x21\xff\0.ko"
    data = ar((odd[:15], b"content"))
    (found,) = [each for each in walk(bytes_reader(data), FILE) if isinstance(each, Found)]
    assert found.path == "f!/a\\x21/b\\x5cx21\udcff\\x00.ko"
    assert list(candidates(found.path)) == ["f"]
    names = names_of(found.path.removeprefix("f!/"))
    assert names == (Name(odd),)
    resolved = resolve(lambda: bytes_reader(data), names)
    assert resolved.member.reader is not None and resolved.member.reader.all(100) == b"content"
    assert display(resolved.chain[:0] + found.chain) == found.path


@pytest.mark.parametrize("verb", ["list", "show", "verify", "digest", "coverage", "explain"])
def test_verbs_take_what_is_inside_a_container(verb: str, tmp_path: Path) -> None:
    (tmp_path / "m.ko").write_bytes(MODULE)
    (tmp_path / "x.a").write_bytes(ar((b"m.ko", MODULE)))
    keys: list[str | Path] = ["--trust", CERT] if verb == "verify" else []
    outside = run(verb, *keys, tmp_path / "m.ko")
    inside = run(verb, *keys, f"{tmp_path}/x.a!/m.ko")
    assert inside.code == outside.code and outside.out
    for ours, theirs in ((inside.out, outside.out), (inside.err, outside.err)):
        assert ours == theirs.replace(f"{tmp_path}/m.ko", f"{tmp_path}/x.a!/m.ko")


def test_a_key_inside_a_container_is_a_source(tmp_path: Path) -> None:
    (tmp_path / "m.ko").write_bytes(MODULE)
    (tmp_path / "x.a").write_bytes(ar((b"cert.pem", CERT.read_bytes()), (b"m.ko", MODULE)))
    assert run("verify", "--trust", f"{tmp_path}/x.a!/cert.pem", tmp_path / "m.ko").code == 0
    assert run("compare", f"{tmp_path}/x.a!/m.ko", tmp_path / "m.ko").code == 0
    absent = run("verify", "--trust", f"{tmp_path}/x.a!/other.pem", tmp_path / "m.ko")
    assert absent.code == 2 and "no member other.pem in this ar container" in absent.err


def test_a_path_on_disk_takes_precedence(tmp_path: Path) -> None:
    (tmp_path / "x.a").write_bytes(ar((b"m.ko", b"inside")))
    (tmp_path / "x.a!").mkdir()
    (tmp_path / "x.a!" / "m.ko").write_bytes(MODULE)
    assert elfsig.open(f"{tmp_path}/x.a!/m.ko").content == MODULE
    with pytest.raises(elfsig.ReadError, match="no such file"):
        elfsig.open(f"{tmp_path}/y.a!/m.ko")
    (tmp_path / "x.a!" / "m.ko").unlink()
    assert elfsig.open(f"{tmp_path}/x.a!/m.ko").content == b"inside"


def test_members_are_modules() -> None:
    packed = lzma.compress(MODULE)
    (a, b) = elfsig.members(ar((b"note", b"text"), (b"a.ko", MODULE), (b"b.ko.xz", packed)))
    assert (a.path, b.path) == ("<bytes>!/a.ko", "<bytes>!/b.ko.xz")
    assert a.content == b.content == MODULE and b.compression == "xz"
    assert elfsig.verify(a, trust=CERT).verdict == "valid"
    got = []
    with pytest.raises(elfsig.ContainerError) as error:
        for each in elfsig.members(ar((b"a.ko", MODULE), (b"b.ko.xz", packed))[:-2]):
            got.append(each)
    assert got == [Module(a.evidence, a.registry)] and error.value.code == "truncated"
