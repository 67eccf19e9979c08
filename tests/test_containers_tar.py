"""tar archives: against GNU tar, bsdtar and Python's tarfile, and damaged in every place."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

import corpus
from tests.support.containers import forward, inside, taken
from tests.support.tools import need

MODULE = corpus.content("amd64.pkcs7")
LONG = "lib/" + "/".join(["directory-with-a-name"] * 9) + "/module.ko"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Files of all kinds below a directory."""
    root = tmp_path / "tree"
    (root / LONG).parent.mkdir(parents=True)
    (root / LONG).write_bytes(MODULE)
    (root / "empty").touch()
    (root / "odd\n\udcff").write_bytes(b"x" * 513)
    (root / "link").symlink_to("empty")
    (root / "hard").hardlink_to(root / "empty")
    os.mkfifo(root / "fifo")
    with open(root / "sparse", "wb") as sparse:
        sparse.seek(1 << 20)
        sparse.write(b"middle" * 1000)
        sparse.seek(3 << 20)
        sparse.write(b"end")
        sparse.truncate((3 << 20) + 8192)
    return root


def expected(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)).replace("\\", "\\x5c"): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


GNU = [
    ["--format=v7", "--exclude=lib", "--exclude=fifo"],
    ["--format=ustar"],
    ["--format=oldgnu"],
    ["--format=gnu"],
    ["--format=gnu", "-S"],
    ["--format=posix"],
    ["--format=posix", "-S", "--sparse-version=0.0"],
    ["--format=posix", "-S", "--sparse-version=0.1"],
    ["--format=posix", "-S", "--sparse-version=1.0"],
]


@pytest.mark.parametrize("options", GNU, ids=" ".join)
def test_archives_of_gnu_tar(options: list[str], tree: Path) -> None:
    made = subprocess.run(
        [need("tar"), "-cf", "-", *options, "--sort=name", "-C", tree, "."], check=True, capture_output=True
    ).stdout
    files, records = taken(made)
    wanted = expected(tree)
    if "--exclude=lib" in options:
        wanted = {name: content for name, content in wanted.items() if not name.startswith("lib")}
    del wanted["hard"]  # stored as a link to the first
    assert inside(files) == wanted
    assert [record.complete for record in records] == [True]


@pytest.mark.parametrize("form", ["ustar", "pax", "gnutar", "v7"])
def test_archives_of_bsdtar(form: str, tree: Path) -> None:
    long = [LONG] if form != "v7" else []
    made = subprocess.run(
        [need("bsdtar"), "-cf", "-", "--format", form, "-C", tree, "link", "empty", "odd\n\udcff", *long],
        check=True,
        capture_output=True,
    ).stdout  # fmt: skip
    files, records = taken(made)
    wanted = {
        name: content for name, content in expected(tree).items() if name in ("empty", "odd\n\udcff", *long)
    }
    assert inside(files) == wanted and records[-1].complete


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_archives_of_python(form: int) -> None:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=form) as archive:
        for name in ("a" * 99, "b" * 100, "c/" * 60 + "d"):
            about = tarfile.TarInfo(name)
            about.size = 700
            archive.addfile(about, io.BytesIO(bytes(700)))
        if form == tarfile.PAX_FORMAT:
            about = tarfile.TarInfo("ima")
            about.pax_headers = {"SCHILY.xattr.security.ima": "\3\2signature"}
            archive.addfile(about)
    files, records = taken(made.getvalue())
    assert [len(content) for content in files.values()][:3] == [700] * 3 and records[-1].complete
    if form == tarfile.PAX_FORMAT:
        notes = [found.member.notes for found in records.found]
        assert notes[-1] == {"security.ima": b"\3\2signature"}


def small() -> bytes:
    """An archive with headers of every kind that says something, and small members."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name in ("a.ko", "b" * 120):
            about = tarfile.TarInfo(name)
            about.size = 600
            archive.addfile(about, io.BytesIO(name[:1].encode() * 600))
    with tarfile.open(fileobj=(more := io.BytesIO()), mode="w", format=tarfile.PAX_FORMAT) as archive:
        about = tarfile.TarInfo("c" + "/c" * 120)
        about.size = 1
        archive.addfile(about, io.BytesIO(b"c"))
    first = made.getvalue()
    return first[: (len(first.rstrip(b"\0")) + 511) & ~511] + more.getvalue()


def test_every_truncation_is_reported() -> None:
    data = small()
    whole, records = taken(data)
    assert len(whole) == 3 and records[-1].complete
    end = len(data.rstrip(b"\0")) + 511 & ~511
    for cut in [*range(512, end + 1024, 64), end - 1, end + 1, end + 1023]:
        files, records = taken(data[:cut])
        assert files.items() <= whole.items()
        assert records[-1].error and records[-1].error.code == "truncated", cut
    assert taken(data[: end + 1024])[1][-1].complete


def test_every_flipped_bit_of_a_header_is_reported() -> None:
    data = small()
    whole, _ = taken(data)
    headers = [at for at in range(0, len(data), 512) if data[at + 257 : at + 262] == b"ustar"]
    for at in headers[1:]:
        for byte in range(512):
            changed = bytearray(data)
            changed[at + byte] ^= 1
            files, records = taken(bytes(changed))
            if 148 <= byte < 156 and files == whole:
                continue  # the end of the checksum's own text
            assert records[-1].error and records[-1].error.code == "damaged", (at, byte)
            assert records[-1].error.offset == at
            assert files.items() <= whole.items()


def test_what_follows_the_end_is_reported_and_looked_at() -> None:
    data = small()
    files, records = taken(data + data)
    assert records[-1].error and (records[-1].error.code, records[-1].error.offset) == (
        "trailing-data",
        len(data),
    )
    assert len(files) == 6 and files["f!/a.ko\\#2"] == files["f!/a.ko"]
    files, records = taken(data + b"\0" * 512 + b"something else")
    assert records[-1].error and records[-1].error.code == "trailing-data" and len(files) == 3


def test_numbers_that_are_too_large_are_refused_and_not_allocated() -> None:
    for form, change in (
        (b"L", (124, b"77777777777")),
        (b"x", (124, b"77777777777")),
        (b"0", (124, b"\x80" + b"\xff" * 11)),
    ):
        block = bytearray(small()[:512])
        block[156:157] = form
        at, value = change
        block[at : at + len(value)] = value
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
        _, records = taken(bytes(block) + bytes(1024))
        assert records[-1].error and records[-1].error.code in ("over-budget", "truncated")


def test_whiteouts_are_marked() -> None:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name in ("lib/.wh.x.ko", "lib/modules/.wh..wh..opq", "lib/y.ko"):
            archive.addfile(tarfile.TarInfo(name))
    _, records = taken(made.getvalue())
    assert [found.member.notes.get("whiteout") for found in records.found] == [
        b"lib/x.ko",
        b"lib/modules/",
        None,
    ]


def test_nothing_is_read_twice() -> None:
    """The reader is forward: pieces of any size give the same."""
    data = small()
    assert all(taken(data, reader=forward(data, piece))[0] == taken(data)[0] for piece in (1, 7, 511, 4096))
