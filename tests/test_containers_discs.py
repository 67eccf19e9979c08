"""Everything on a disc: each tree of names, boot images, other file systems, and files compressed on it."""

from __future__ import annotations

import hashlib
import shutil
import struct
import zlib
from pathlib import Path

import pytest

import corpus
from elfsig.containers.contract import Budget, Context
from elfsig.containers.readers import bytes_reader
from elfsig.containers.walk import ContainerRecord
from tests.support import images
from tests.support.containers import inside, taken
from tests.support.images import call

MODULE = corpus.content("amd64.pkcs7")
OTHER = corpus.content("amd64-2.6.39-uek.ko")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "a.ko").write_bytes(OTHER)
    (folder / "b.ko").write_bytes(MODULE)
    return folder


def disc(tree: Path, *words: str | Path) -> bytes:
    out = tree.parent / "x.iso"
    call("xorriso", "-as", "mkisofs", "-quiet", *words, "-o", out, tree)
    return out.read_bytes()


def opened(data: bytes) -> tuple[dict[str, bytes], ContainerRecord]:
    """The files, and the record of the disc, which are the same from a reader that cannot seek."""
    files, records = taken(data)
    again, _ = taken(b"", reader=bytes_reader(data))
    assert files == again
    return files, records[-1]


@pytest.mark.parametrize("words", ["-R -J", "-J --norock"])
@pytest.mark.parametrize("more", ["", "-hide b.ko", "-hide-joliet b.ko"])
def test_files_in_one_tree_of_names_alone(words: str, more: str, tree: Path) -> None:
    (tree / "sub").mkdir()
    (tree / "sub" / "c.ko").write_bytes(MODULE[:-1] + b"!")
    (tree / "empty.deb").write_bytes(b"")
    files, record = opened(disc(tree, *words.split(), *more.split()))
    modules = {name.lower(): content for name, content in inside(files).items() if content}
    assert record.error is None
    assert modules == {"a.ko": OTHER, "b.ko": MODULE, "sub/c.ko": MODULE[:-1] + b"!"}


def fat(tree: Path, size: int) -> None:
    """An image to boot from, with a module, in the tree."""
    image = images.blank(tree / "efi.img", size)
    call("mkfs.vfat", image)
    call("mcopy", "-i", image, tree / "b.ko", "::")
    (tree / "b.ko").unlink()


EFI = ("-R", "-e", "efi.img", "-no-emul-boot")


@pytest.mark.parametrize(
    ("size", "words", "name"),
    [
        (2 << 20, (*EFI, "-hide", "efi.img"), "boot1!/b.ko"),
        (1474560, ("-R", "-b", "efi.img", "-hide", "efi.img"), "boot1!/b.ko"),
        (2 << 20, EFI, "efi.img!/b.ko"),
        (2 << 20, ("-R", "-b", "efi.img", "-no-emul-boot", "-hide", "efi.img"), None),
    ],
)
def test_images_to_boot_from(size: int, words: tuple[str, ...], name: str | None, tree: Path) -> None:
    fat(tree, size)
    files, record = opened(disc(tree, *words))
    assert record.error is None
    assert [path.lower() for path in files if path.lower().endswith("b.ko")] == (
        [f"f!/{name}"] if name else []
    )


@pytest.mark.parametrize("count", [0, 1, 0xFFFF])
def test_a_boot_catalog_does_not_say_how_long_an_image_is(count: int, tree: Path) -> None:
    fat(tree, 2 << 20)
    data = bytearray(disc(tree, *EFI, "-hide", "efi.img"))
    start = data.index(b"mkfs.fat") - 3
    entry = data.index(struct.pack("<I", start // 2048), 34816) - 8
    assert data[entry] == 0x88
    struct.pack_into("<H", data, entry + 6, count)
    files, record = opened(bytes(data))
    assert record.error is None and MODULE in files.values()
    struct.pack_into("<I", data, entry + 8, 0xFFFFFF)
    assert opened(bytes(data))[1].error is not None


def test_a_boot_image_in_a_partition_is_given_once(tree: Path) -> None:
    fat(tree, 2 << 20)
    image = shutil.move(tree / "efi.img", tree.parent / "efi.img")
    boot = ("-e", "--interval:appended_partition_2:all::", "-no-emul-boot")
    files, record = opened(disc(tree, "-R", "-append_partition", "2", "0xef", image, *boot))
    assert record.error is None and list(files.values()).count(MODULE) == 1


def test_a_boot_image_of_no_known_kind_is_reported(tree: Path) -> None:
    (tree / "efi.img").write_bytes(hashlib.shake_256(b"image").digest(1 << 20))
    _, records = taken(disc(tree, *EFI, "-hide", "efi.img"))
    assert [each.error and each.error.code for each in records] == ["unrecognised", None]


def test_a_file_system_of_apple_is_reported(tree: Path) -> None:
    out = tree.parent / "x.iso"
    call(
        "xorriso",
        "-outdev",
        out,
        "-hfsplus",
        "on",
        "-map",
        tree,
        "/",
        "-hide",
        "iso_rr",
        "/b.ko",
        "--",
        "-commit",
    )
    files, record = opened(out.read_bytes())
    assert inside(files) == {"a.ko": OTHER}
    assert record.error and record.error.code == "unsupported" and "HFS+" in record.error.text
    start = record.error.offset or 0
    assert out.read_bytes()[start + 1024 : start + 1026] == b"H+"


# --------------------------------------------------------------------------- zisofs


def compressed(tree: Path) -> bytes:
    out = tree.parent / "z.iso"
    out.unlink(missing_ok=True)
    call("xorriso", "-outdev", out, "-map", tree, "/", "-set_filter_r", "--zisofs", "/", "--", "-commit")
    return out.read_bytes()


def test_files_that_are_compressed_on_a_disc(tree: Path) -> None:
    (tree / "large.ko").write_bytes(large := OTHER + bytes(100_000) + hashlib.shake_256(b"x").digest(70_000))
    (tree / "plain").write_bytes(plain := b"text")
    data = compressed(tree)
    assert b"ZF\x10\1pz" in data and MODULE not in data
    files, record = opened(data)
    assert record.error is None
    assert inside(files) == {"a.ko": OTHER, "b.ko": MODULE, "large.ko": large, "plain": plain}


def stored(tree: Path) -> tuple[bytearray, int]:
    """A disc, and where the only file on it is stored, of two blocks."""
    (tree / "a.ko").write_bytes(OTHER + bytes(70_000))
    (tree / "b.ko").unlink()
    data = bytearray(compressed(tree))
    return data, data.index(bytes.fromhex("37e45396c9dbd607"))


@pytest.mark.parametrize(
    ("at", "change", "code"),
    [
        (0, b"\0", "unsupported"),
        (8, b"\xff\xff\xff\x7f", "damaged"),
        (8, b"\1\0\0\0", "damaged"),
        (12, b"\3", "damaged"),
        (13, b"\x1f", "damaged"),
        (13, b"\x0e", "damaged"),
        (16, b"\xff\xff\xff\xff", "damaged"),
        (20, b"\0\0\0\0", "damaged"),
        (20, b"\xff\xff\0\0", "damaged"),
    ],
)
def test_damage_to_a_compressed_file(at: int, change: bytes, code: str, tree: Path) -> None:
    data, start = stored(tree)
    data[start + at : start + at + len(change)] = change
    files, record = opened(bytes(data))
    assert record.error and record.error.code == code and (record.error.offset or 0) >= start
    assert "a.ko" not in inside(files)


def test_a_compressed_block_of_another_size(tree: Path) -> None:
    data, start = stored(tree)
    (first,) = struct.unpack_from("<I", data, start + 16)
    for content in (bytes(32767), bytes(32769), bytes(1 << 20)):
        packed = zlib.compress(content)
        changed = bytearray(data)
        changed[start + first : start + first + len(packed)] = packed
        _, record = opened(bytes(changed))
        assert record.error and (record.error.code, record.error.offset) == ("damaged", start + first)


def test_compressed_files_count_as_content(tree: Path) -> None:
    data, _ = stored(tree)
    _, records = taken(bytes(data), Context(Budget(output=len(data) + 1000)))
    assert records[-1].error and records[-1].error.code == "over-budget"
