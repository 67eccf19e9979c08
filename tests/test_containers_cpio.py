"""cpio archives and initramfs chains: against GNU cpio, bsdtar and unmkinitramfs, and damaged in every
place."""

from __future__ import annotations

import gzip
import os
import subprocess
import zlib
from pathlib import Path

import pytest

import corpus
from tests.support.compressed import COMPRESSORS, compress
from tests.support.containers import inside, taken, with_links
from tests.support.tools import need

MODULE = corpus.content("amd64.pkcs7")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Files of all kinds below a directory."""
    root = tmp_path / "tree"
    (root / "lib/modules/6.1").mkdir(parents=True)
    (root / "lib/modules/6.1/a.ko").write_bytes(MODULE)
    (root / "lib/modules/6.1/b.ko").hardlink_to(root / "lib/modules/6.1/a.ko")
    (root / "lib/modules/6.1/c.ko").hardlink_to(root / "lib/modules/6.1/a.ko")
    (root / "empty").touch()
    (root / "empty-too").hardlink_to(root / "empty")
    (root / "odd\n\udcff").write_bytes(b"x" * 513)
    (root / "link").symlink_to("empty")
    os.mkfifo(root / "fifo")
    return root


def packed(tree: Path, form: str) -> bytes:
    """An archive by GNU cpio, names sorted."""
    names = sorted(os.fsencode(path.relative_to(tree)) for path in tree.rglob("*"))
    command = [need("cpio"), "-o", "-0", "-H", form, "--quiet"]
    return subprocess.run(
        command, input=b"\0".join(names) + b"\0", cwd=tree, check=True, capture_output=True
    ).stdout


def expected(tree: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(tree)): path.read_bytes()
        for path in tree.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


@pytest.mark.parametrize("form", ["newc", "crc", "odc", "bin"])
def test_archives_of_gnu_cpio(form: str, tree: Path) -> None:
    files, records = taken(packed(tree, form))
    assert records[-1].error is None and [record.kind for record in records] == ["cpio"]
    assert with_links(records, files) == expected(tree)
    links = {each.member.name: each.member.target for each in records.found if each.member.kind == "link"}
    assert links[b"link"] == b"empty"


@pytest.mark.parametrize("form", ["newc", "odc", "cpio"])
def test_archives_of_bsdtar(form: str, tree: Path) -> None:
    names = ["lib", "odd\n\udcff", "empty", "link"]
    command = [need("bsdtar"), "-cf", "-", "--format", form, "-C", str(tree), *names]
    files, records = taken(subprocess.run(command, check=True, capture_output=True).stdout)
    wanted = {name: content for name, content in expected(tree).items() if name != "empty-too"}
    assert records[-1].error is None and with_links(records, files) == wanted


def small(form: str) -> bytes:
    """Two members of a few bytes and the trailer, without padding after it."""
    out = []
    for number, (name, content) in enumerate(
        ((b"a.ko", b"first"), (b"bb", b"second!!"), (b"TRAILER!!!", b""))
    ):
        check = sum(content) if form == "crc" else 0
        fields = [
            number,
            0o100644 if content else 0,
            0,
            0,
            1,
            0,
            len(content),
            0,
            0,
            0,
            0,
            len(name) + 1,
            check,
        ]
        header = (b"070702" if form == "crc" else b"070701") + b"".join(b"%08x" % field for field in fields)
        head = header + name + b"\0"
        out.append(head + bytes(-len(head) % 4) + content + bytes(-len(content) % 4))
    return b"".join(out)


@pytest.mark.parametrize("form", ["newc", "crc"])
def test_every_truncation_is_reported(form: str) -> None:
    data = small(form)
    whole, records = taken(data)
    assert inside(whole) == {"a.ko": b"first", "bb": b"second!!"} and records[-1].complete
    for cut in range(6, len(data)):
        files, records = taken(data[:cut])
        assert files.items() <= whole.items()
        assert records[-1].error and records[-1].error.code == "truncated", cut


def test_flipped_structure_is_reported() -> None:
    data = small("crc")
    second = data.index(b"070702", 6)
    for at in range(second, second + 110 + 3):
        changed = bytearray(data)
        changed[at] ^= 0x10 if 48 <= data[at] < 58 else 1
        files, records = taken(bytes(changed))
        field = (at - second - 6) // 8
        if at - second < 6 or field in (6, 11, 12):  # magic, sizes, checksum
            assert records[-1].error is not None, (at, files)
    changed = bytearray(data)
    changed[data.index(b"second")] ^= 1
    _, records = taken(bytes(changed))
    assert records[-1].error and records[-1].error.offset == second


def test_a_checksum_that_does_not_match_costs_one_member() -> None:
    first, then = small("crc"), small("newc")
    whole, records = taken(first + then)
    assert records[-1].complete and inside(whole)["a.ko"] == b"first"
    for word, name in ((b"first", "f!/a.ko"), (b"second", "f!/bb")):
        data = bytearray(first + then)
        data[at := first.index(word)] ^= 1
        files, records = taken(bytes(data))
        assert files.keys() == whole.keys() - {name}
        error = records[-1].error
        assert error and (error.code, error.offset) == ("damaged", first.rindex(b"070702", 0, at))


def test_chains_as_the_kernel_reads_them(tree: Path) -> None:
    early, main = small("newc"), packed(tree, "newc")
    for name in COMPRESSORS:
        chain = early + bytes(512 - len(early) % 512) + compress(name, main) + bytes(8) + small("newc")
        files, records = taken(chain)
        assert all(record.complete for record in records), (name, records)
        start = len(early) + 512 - len(early) % 512
        assert files[f"f!/@{start}!/lib/modules/6.1/c.ko"] == MODULE
        assert files["f!/a.ko"] == b"first"
        assert len([path for path in files if path.endswith("!/bb")]) == 2
        alone, records = taken(compress(name, main))
        assert inside(alone)["lib/modules/6.1/c.ko"] == MODULE and records[-1].complete


def test_a_damaged_segment_is_reported_with_what_came_before(tree: Path) -> None:
    early = small("newc") + bytes(4)
    main = gzip.compress(packed(tree, "newc"))
    for cut in (len(early) + 10, len(early) + len(main) // 2, len(early) + len(main) - 1):
        files, records = taken((early + main)[:cut])
        assert files["f!/bb"] == b"second!!"
        assert records[-1].error and records[-1].error.code == "truncated"
    changed = bytearray(early + main)
    changed[-5] ^= 1  # gzip's CRC
    files, records = taken(bytes(changed))
    assert files["f!/bb"] == b"second!!"
    assert records[-1].error and records[-1].error.code == "damaged"
    _, records = taken(early + b"neither an archive nor compressed")
    assert records[-1].error and (records[-1].error.code, records[-1].error.offset) == (
        "trailing-data",
        len(early),
    )


def test_unmkinitramfs_finds_the_same(tree: Path, tmp_path: Path) -> None:
    early = packed_early(tmp_path)
    image = tmp_path / "initrd.img"
    image.write_bytes(early + gzip.compress(packed(tree, "newc")))
    out = tmp_path / "out"
    subprocess.run([need("unmkinitramfs"), str(image), str(out)], check=True, capture_output=True)
    theirs = {
        str(path.relative_to(out)).partition("/")[2]: path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and not path.is_symlink()
    }
    files, records = taken(image.read_bytes())
    assert all(record.complete for record in records)
    assert with_links(records, files) == theirs and MODULE in theirs.values()


def packed_early(tmp_path: Path) -> bytes:
    root = tmp_path / "early"
    (root / "kernel/x86/microcode").mkdir(parents=True)
    (root / "kernel/x86/microcode/GenuineIntel.bin").write_bytes(zlib.compress(MODULE))
    return packed(root, "newc")
