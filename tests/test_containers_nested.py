"""Nested paths: every path of a walk leads back, through links, duplicates and layers; layered images."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from pathlib import Path

import pytest

import corpus
import elfsig
from elfsig.containers.nested import names_of, resolve
from elfsig.containers.readers import bytes_reader
from elfsig.errors import ContainerError, ReadError
from tests.support.compressed import compress
from tests.support.containers import taken
from tests.support.cpio import newc
from tests.support.run import run

MODULE = corpus.content("amd64.pkcs7")
CERT = corpus.FOLDER / "keys" / "signer.cert.pem"


def tarred(*members: tuple[str, bytes | str | None]) -> bytes:
    """An archive: bytes are a file's content, text is a symbolic link's target, None makes a directory."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, content in members:
            about = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                about.size = len(content)
                archive.addfile(about, io.BytesIO(content))
                continue
            about.type = tarfile.DIRTYPE if content is None else tarfile.SYMTYPE
            about.linkname = content or ""
            archive.addfile(about)
    return made.getvalue()


def content(data: bytes, path: str) -> bytes:
    """What a nested path leads to in the file ``f`` with these bytes."""
    names = names_of(path.removeprefix("f!/"))
    found = resolve(lambda: bytes_reader(data), names)
    assert found.member.reader is not None
    return found.member.reader.all(1 << 30)


def test_every_path_of_a_walk_leads_back() -> None:
    inner = newc({"lib/a.ko": b"a", "lib/b!/c\\x21.ko": b"b"})
    image = newc({"early": b"e"}) + bytes(4) + compress("zstd", inner)
    data = compress("xz", tarred(("./boot/ramdisk", image), ("boot/ramdisk", b"second"), ("./odd\n é", b"o")))
    files, records = taken(data)
    assert all(record.complete for record in records) and len(files) == 5
    assert [path for path in files if path.endswith("\\#2")] == ["f!/boot/ramdisk\\#2"]
    for path, wanted in files.items():
        assert content(data, path) == wanted, path


def test_links_are_followed_inside() -> None:
    data = tarred(
        ("usr", None),
        ("lib", "usr/lib"),
        ("usr/lib/modules/6.1/a.ko", b"module"),
        ("usr/lib/modules/current", "6.1"),
        ("a.ko", "/lib/modules/current/a.ko"),
        ("up/link", "../../../a.ko"),
        ("loop", "loop2"),
        ("loop2", "loop"),
        ("outside", "../../../../etc/passwd"),
    )
    for path in ("lib/modules/6.1/a.ko", "lib/modules/current/a.ko", "a.ko", "up/link", "./a.ko", "/a.ko"):
        assert content(data, f"f!/{path}") == b"module", path
    for path, code in (("loop", "symlink-loop"), ("outside", "not-found"), ("usr", "is-a-directory"),
                       ("none", "not-found"), ("a.ko!/deeper", "not-found")):  # fmt: skip
        with pytest.raises(ReadError) as error:
            content(data, f"f!/{path}")
        assert error.value.code == code, path


def test_what_cannot_be_looked_for_is_not_called_missing() -> None:
    data = compress("gzip", tarred(("a", b"first"), ("b", b"second")))
    cut = data[:-20]
    assert content(cut, "f!/a") == b"first" if len(cut) > 200 else True
    with pytest.raises(ContainerError) as error:
        content(tarred(("a", b"first"), ("b", b"second"))[:1100], "f!/c")
    assert error.value.code == "truncated"
    with pytest.raises(ReadError) as missing:
        content(data, "f!/c")
    assert missing.value.code == "not-found"


def layered() -> bytes:
    """What ``docker save`` writes: layers as archives in an archive, in which a later one hides a file."""
    below = tarred(("lib/modules/6.1/a.ko", MODULE), ("lib/modules/6.1/b.ko", MODULE))
    above = tarred(("lib/modules/6.1/.wh.b.ko", b""), ("lib/modules/6.1/c.ko", MODULE))
    manifest = json.dumps([{"Layers": ["1/layer.tar", "2/layer.tar"]}]).encode()
    packed = gzip.compress(above, mtime=0)
    return tarred(("1/layer.tar", below), ("2/layer.tar", packed), ("manifest.json", manifest))


def test_layered_images_by_recursion(tmp_path: Path) -> None:
    image = tmp_path / "image.tar"
    image.write_bytes(layered())
    names = [module.path for module in elfsig.members(image)]
    lib = "layer.tar!/lib/modules/6.1"
    assert names == [f"{image}!/1/{lib}/a.ko", f"{image}!/1/{lib}/b.ko", f"{image}!/2/{lib}/c.ko"]
    _, records = taken(layered())
    hidden = [each.member.notes["whiteout"] for each in records.found if "whiteout" in each.member.notes]
    assert hidden == [b"lib/modules/6.1/b.ko"]
    ran = run("verify", "--trust", CERT, *names)
    assert ran.code == 0 and ran.out.count("valid") >= 3


def test_nothing_is_written_into_a_container(tmp_path: Path) -> None:
    image = tmp_path / "image.tar"
    image.write_bytes(layered())
    path = f"{image}!/1/layer.tar!/lib/modules/6.1/a.ko"
    assert run("strip", path, "-o", tmp_path / "bare.ko").code == 0
    assert (tmp_path / "bare.ko").read_bytes() == elfsig.strip(MODULE).content
    digest = ("digest", "--coverage", "whole-file", "-o")
    for words in (digest, ("coverage", "--html")):
        for _ in range(2):  # the second time the output exists
            ran = run(words[0], path, *words[1:], tmp_path / "out")
            assert ran.code == 0, ran.err
    (tmp_path / "out").unlink()
    ran = run("strip", "--in-place", path)
    assert ran.code != 0 and "Traceback" not in ran.err and path in ran.err
    assert image.read_bytes() == layered()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["bare.ko", "image.tar"]


def test_a_member_over_the_limit_is_refused(tmp_path: Path) -> None:
    image = tmp_path / "image.tar"
    image.write_bytes(layered())
    path = f"{image}!/1/layer.tar!/lib/modules/6.1/a.ko"
    with pytest.raises(ReadError) as error:
        elfsig.open(path, limit=1000)
    assert (error.value.code, error.value.path) == ("too-large", path)


def test_what_is_inside_is_read_in_a_cage_too(tmp_path: Path) -> None:
    """The cage is opened for the file on disk; zip archives are copied there to be read."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m.ko", MODULE)
    image = tmp_path / "image.tgz"
    image.write_bytes(gzip.compress(tarred(("x.zip", made.getvalue()))))
    for words in (["verify", "--cage"], ["verify"]):
        ran = run(*words, "--trust", CERT, f"{image}!/x.zip!/m.ko")
        assert ran.code == 0, ran.err
    for path in (str(image), f"{image}!/x.zip"):
        ran = run("survey", "--trust", CERT, "--jsonl", path)
        assert ran.code == 0 and json.loads(ran.out.splitlines()[0])["path"] == f"{image}!/x.zip!/m.ko"
