"""zip archives and packages of Alpine: against other programs, by recipe, and damaged in every place."""

from __future__ import annotations

import gzip
import hashlib
import io
import subprocess
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest

import corpus
from elfsig.containers.contract import Budget, Context
from tests.support.containers import inside, taken
from tests.support.tools import need

MODULE = corpus.content("amd64.pkcs7")
METHODS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]


def zipped(method: int = zipfile.ZIP_DEFLATED, *, stream: bool = False) -> bytes:
    """Two files and a directory; ``stream``: sizes after the content."""
    made = io.BytesIO()
    target: io.RawIOBase | io.BytesIO = made
    if stream:
        made.seekable = lambda: False  # type: ignore[method-assign]
    with zipfile.ZipFile(target, "w", method) as archive:
        archive.writestr("lib/", b"")
        archive.writestr("lib/a.ko", MODULE)
        archive.writestr("é.txt", b"second")
    return made.getvalue()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("stream", [False, True])
def test_archives_of_python_against_bsdtar(method: int, stream: bool, tmp_path: Path) -> None:
    data = zipped(method, stream=stream)
    (tmp_path / "x.zip").write_bytes(data)
    (tmp_path / "out").mkdir()
    unpack = [need("bsdtar"), "-xf", str(tmp_path / "x.zip"), "-C", str(tmp_path / "out")]
    subprocess.run(unpack, check=True, capture_output=True, env={"LC_ALL": "C.UTF-8"})
    theirs = {
        str(path.relative_to(tmp_path / "out")): path.read_bytes()
        for path in (tmp_path / "out").rglob("*")
        if path.is_file()
    }
    files, records = taken(data)
    assert records[-1].error is None and inside(files) == theirs and theirs["lib/a.ko"] == MODULE


def test_archives_of_7z(tmp_path: Path) -> None:
    (tmp_path / "a.ko").write_bytes(MODULE)
    subprocess.run(
        [need("7zz"), "a", "-tzip", "x.zip", "a.ko"], cwd=tmp_path, check=True, capture_output=True
    )
    files, records = taken((tmp_path / "x.zip").read_bytes())
    assert inside(files) == {"a.ko": MODULE} and records[-1].complete
    words = ["a", "-tzip", "-psecret", "e.zip", "a.ko"]
    subprocess.run([need("7zz"), *words], cwd=tmp_path, check=True, capture_output=True)
    files, records = taken((tmp_path / "e.zip").read_bytes())
    assert not files and records[-1].error and records[-1].error.code == "encrypted"
    words = ["a", "-tzip", "-mm=deflate64", "d.zip", "a.ko"]
    subprocess.run([need("7zz"), *words], cwd=tmp_path, check=True, capture_output=True)
    files, records = taken((tmp_path / "d.zip").read_bytes())
    assert not files and records[-1].error and records[-1].error.code == "unsupported"


def test_every_truncation_and_every_flipped_byte_of_a_zip_is_reported() -> None:
    data = zipped()
    whole, records = taken(data)
    assert len(whole) == 2 and records[-1].complete
    for cut in range(4, len(data), 7):
        files, records = taken(data[:cut])
        assert not files and records[-1].error and records[-1].error.code == "truncated", cut
    directory = data.index(b"PK\1\2")
    ignored = 0
    for at in range(4, len(data)):
        changed = bytearray(data)
        changed[at] ^= 1
        files, records = taken(bytes(changed))
        if not records or records[-1].error is None:
            assert (
                files == whole
            )  # versions, times, attributes, and other things that say nothing about content
            ignored += 1
    assert ignored < 110 and directory


def test_what_a_zip_hides_is_reported() -> None:
    data = zipped()
    other = zipped().replace(b"lib/a.ko", b"lib/b.ko", 1)  # the local header only
    files, records = taken(other)
    assert records[-1].error and "differs" in records[-1].error.text and inside(files) == {"é.txt": b"second"}
    directory = data.index(b"PK\1\2")
    end = data.index(b"PK\5\6")
    hidden = zipped()[: data.index(b"PK\3\4", 40)]
    moved = int.from_bytes(data[end + 16 : end + 20], "little") + len(hidden)
    shifted = data[:directory] + hidden + data[directory:end] + data[end : end + 16]
    _, records = taken(shifted + moved.to_bytes(4, "little") + data[end + 20 :])
    assert records[-1].error and records[-1].error.code == "trailing-data"
    _, records = taken(data + b"more")
    assert records[-1].error and records[-1].error.code == "trailing-data"


def test_content_of_a_directory_is_reported() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("folder/", b"")
        archive.writestr("a.ko/", b"a module")
        archive.writestr("b", b"other")
    files, records = taken(out.getvalue())
    assert inside(files) == {"b": b"other"}
    assert records[-1].error is not None and records[-1].error.text == "a directory has content"


def test_bombs_end_at_the_budget() -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(8):
            archive.writestr(f"{number}", bytes(1 << 20))
    files, records = taken(made.getvalue(), Context(Budget(output=3 << 20)))
    assert records[-1].error and records[-1].error.code == "over-budget" and len(files) < 4


# --------------------------------------------------------------------------- Alpine


def part(files: dict[str, bytes], *, end: bool) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in files.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
    data = made.getvalue()
    used = (len(data.rstrip(b"\0")) + 511) & ~511
    return gzip.compress(data[: used + (1024 if end else 0)], mtime=0)


def alpine(*, wrong: bool = False) -> bytes:
    """A package as abuild makes it: signature, control, data."""
    data = part({"lib/modules/6.1/a.ko": MODULE, "lib/modules/6.1/b.ko": b"second"}, end=True)
    datahash = hashlib.sha256(b"other" if wrong else data).hexdigest()
    control = part({".PKGINFO": f"pkgname = x\ndatahash = {datahash}\n".encode()}, end=False)
    return part({".SIGN.RSA.x.rsa.pub": b"signature"}, end=False) + control + data


def test_packages_of_alpine_against_bsdtar() -> None:
    files, records = taken(alpine())
    assert [(record.kind, record.error) for record in records] == [("apk", None)]
    theirs = subprocess.run(
        [need("bsdtar"), "-tf", "-"], input=alpine(), check=True, capture_output=True
    ).stdout
    assert sorted(inside(files)) == sorted(theirs.decode().split())
    assert files["f!/lib/modules/6.1/a.ko"] == MODULE and b"datahash" in files["f!/.PKGINFO"]


def test_every_truncation_and_change_of_a_package_is_reported() -> None:
    data = alpine()
    whole, _ = taken(data)
    for cut in [*range(100, len(data), 41), len(data) - 1]:
        files, records = taken(data[:cut])
        assert files.items() <= whole.items()
        assert records[-1].error and records[-1].error.code == "truncated", cut
    for at in range(10, len(data), 29):
        changed = bytearray(data)
        changed[at] ^= 4
        _, records = taken(bytes(changed))
        assert records[-1].error is not None, at
    _, records = taken(alpine(wrong=True))
    assert records[-1].error and "sha256" in records[-1].error.text
    _, records = taken(data + b"more")
    assert records[-1].error and records[-1].error.code == "trailing-data"


def test_other_packages_with_a_pkginfo() -> None:
    """Old packages of Arch Linux are one gzip'd archive, without a hash of the data."""
    files, records = taken(part({".PKGINFO": b"pkgname = x\n", "usr/lib/modules/a.ko": MODULE}, end=True))
    assert files["f!/usr/lib/modules/a.ko"] == MODULE and records[-1].error is None
    _, records = taken(b"ADBd" + zlib.compress(b"package"))
    assert records[-1].error and records[-1].error.code == "unsupported"
