"""Unified kernel images and boot images of Android: by objcopy and mkbootimg, by recipe, and damaged."""

from __future__ import annotations

import gzip
import struct
import subprocess
import zlib
from pathlib import Path

import pytest

import corpus
from elfsig.containers.readers import bytes_reader
from tests.support.containers import inside, taken
from tests.support.cpio import newc
from tests.support.tools import need

MODULE = corpus.content("amd64.pkcs7")
INITRD = newc({"lib/modules/6.1/a.ko": MODULE})


# --------------------------------------------------------------------------- unified kernel images


@pytest.fixture
def unified(tmp_path: Path) -> Path:
    """What ukify does: sections added to systemd's stub."""
    sections = {".osrel": b"ID=test\n", ".linux": b"kernel" * 1000, ".initrd": gzip.compress(INITRD)}
    words = []
    for number, (name, content) in enumerate(sections.items()):
        (tmp_path / name).write_bytes(content)
        words += ["--add-section", f"{name}={tmp_path / name}"]
        words += ["--change-section-vma", f"{name}={0x2000000 * (number + 1):#x}"]
    out = tmp_path / "uki.efi"
    subprocess.run([need("objcopy"), *words, need("linuxx64.efi.stub"), out], check=True, capture_output=True)
    return out


def test_sections_of_a_unified_kernel_image(unified: Path, tmp_path: Path) -> None:
    files, records = taken(unified.read_bytes())
    assert [record.kind for record in records] == ["cpio", "gzip", "uki"]
    assert all(record.complete for record in records)
    assert files["f!/.initrd!/lib/modules/6.1/a.ko"] == MODULE
    for name in (".linux", ".osrel"):
        assert files[f"f!/{name}"] == (tmp_path / name).read_bytes()
    from_memory, _ = taken(b"", reader=bytes_reader(unified.read_bytes()))
    assert from_memory == files


def test_a_kernel_that_is_a_pe_file_is_not_a_container() -> None:
    files, records = taken(Path(need("linuxx64.efi.stub")).read_bytes())
    assert not records and list(files) == ["f"]


def test_truncations_and_additions_to_a_unified_kernel_image_are_reported(unified: Path) -> None:
    data = unified.read_bytes()
    whole, _ = taken(data)
    for cut in range(5000, len(data), 3001):
        files, records = taken(data[:cut])
        assert files.items() <= whole.items()
        assert records[-1].error and records[-1].error.code == "truncated", cut
    _, records = taken(data + b"hidden")
    assert records[-1].error and records[-1].error.code == "trailing-data"
    _, records = taken(data + bytes(512))
    assert records[-1].error is None


@pytest.mark.parametrize("start", [0x80, 0x1000, 0x5000, 0xF000])
def test_headers_after_a_dos_stub_of_any_size(start: int) -> None:
    contents = {b".linux": b"kernel" * 100, b".initrd": gzip.compress(INITRD)}
    head = bytearray(b"MZ".ljust(start, b"\x90"))
    struct.pack_into("<I", head, 60, start)
    head += b"PE\0\0" + struct.pack("<HHIIIHH", 0x8664, len(contents), 0, 0, 0, 0, 0)
    at = len(head) + 40 * len(contents)
    for name, content in contents.items():
        head += struct.pack("<8sIIII16x", name, len(content), 0, len(content), at)
        at += len(content)
    files, records = taken(bytes(head) + b"".join(contents.values()))
    assert [(record.kind, record.error) for record in records] == [
        ("cpio", None),
        ("gzip", None),
        ("uki", None),
    ]
    assert files["f!/.initrd!/lib/modules/6.1/a.ko"] == MODULE


# --------------------------------------------------------------------------- Android


@pytest.mark.parametrize("version", [0, 1, 2])
def test_images_of_mkbootimg(version: int, tmp_path: Path) -> None:
    parts = {"kernel": b"kernel" * 999, "ramdisk": gzip.compress(INITRD), "second": b"second"}
    if version == 2:
        parts["dtb"] = b"tree"
    for name, content in parts.items():
        (tmp_path / name).write_bytes(content)
    words = [f"--{name}={tmp_path / name}" for name in parts]
    image = tmp_path / "boot.img"
    make = [need("mkbootimg"), *words, f"--header_version={version}", "-o", str(image)]
    subprocess.run(make, check=True, capture_output=True)
    out = tmp_path / "out"
    subprocess.run(
        [need("unpack_bootimg"), "--boot_img", image, "--out", out], check=True, capture_output=True
    )
    files, records = taken(image.read_bytes())
    assert all(record.complete for record in records)
    assert files.pop("f!/ramdisk!/lib/modules/6.1/a.ko") == MODULE
    theirs = {path.name: path.read_bytes() for path in out.iterdir() if path.name != "ramdisk"}
    assert inside(files) == theirs and len(theirs) == len(parts) - 1


def paged(*parts: bytes) -> bytes:
    return b"".join(part + bytes(-len(part) % 4096) for part in parts)


def boot1(kernel: bytes, overlay: bytes) -> bytes:
    """By recipe: the mkbootimg of Debian 12 cannot write a recovery_dtbo."""
    header = struct.pack("<8sI24xII", b"ANDROID!", len(kernel), 4096, 1).ljust(1632, b"\0")
    return paged(header + struct.pack("<IQI", len(overlay), 8192, 1648), kernel, overlay)


def boot4(kernel: bytes, ramdisk: bytes) -> bytes:
    header = struct.pack("<8sIIII16xI", b"ANDROID!", len(kernel), len(ramdisk), 0, 1584, 4) + bytes(1536 + 4)
    return paged(header, kernel, ramdisk)


def vendor4(*ramdisks: bytes) -> bytes:
    table = b"".join(bytes(108) for _ in ramdisks)
    header = struct.pack("<8sIIIII", b"VNDRBOOT", 4, 4096, 0, 0, sum(map(len, ramdisks))).ljust(2096, b"\0")
    header += struct.pack("<IIQIIII", 2128, 4, 0, len(table), len(ramdisks), 108, 3)
    return paged(header, b"".join(ramdisks), b"tree", table, b"a=b")


def test_versions_3_and_4_and_vendor_images() -> None:
    files, records = taken(boot1(b"kernel", b"overlay"))
    assert files == {"f!/kernel": b"kernel", "f!/recovery_dtbo": b"overlay"} and records[-1].complete
    files, records = taken(boot4(b"kernel", gzip.compress(INITRD)))
    assert files == {"f!/kernel": b"kernel", "f!/ramdisk!/lib/modules/6.1/a.ko": MODULE}
    assert all(record.complete for record in records)
    files, records = taken(vendor4(gzip.compress(INITRD), gzip.compress(newc({"b.ko": MODULE}))))
    assert all(record.complete for record in records)
    modules = [path for path, content in files.items() if content == MODULE]
    assert modules[0] == "f!/ramdisk!/lib/modules/6.1/a.ko" and modules[1].endswith("!/b.ko")
    assert files["f!/dtb"] == b"tree" and files["f!/bootconfig"] == b"a=b"


def test_truncations_of_boot_images_are_reported() -> None:
    for data in (boot4(b"kernel" * 1000, b"ramdisk" * 1000), vendor4(gzip.compress(INITRD))):
        whole, _ = taken(data)
        end = len(data.rstrip(b"\0"))
        for cut in range(8, end, 501):
            files, records = taken(data[:cut])
            assert files.items() <= whole.items()
            assert records[-1].error and records[-1].error.code == "truncated", cut
        _, records = taken(data + b"hidden")
        assert records[-1].error and records[-1].error.code == "trailing-data"
        files, records = taken(data + b"AVB0 descriptor")
        assert records[-1].error is None and files["f!/signature"] == b"AVB0 descriptor"
    _, records = taken(b"VNDRBOOT\x09".ljust(4096, b"\0"))
    assert records[-1].error and records[-1].error.code == "unsupported"


# --------------------------------------------------------------------------- U-Boot


def uimage(data: bytes, kind: int, check: int | None = None) -> bytes:
    """A legacy image as of mkimage 2023.01, but for the time; 2: a kernel, 3: a ramdisk, 4: several."""
    check = zlib.crc32(data) if check is None else check
    fields = (0x27051956, 0, 1, len(data), 0, 0, check, 5, 2, kind, 0, b"name")
    header = struct.pack(">IIIIIIIBBBB32s", *fields)
    return header[:4] + struct.pack(">I", zlib.crc32(header)) + header[8:] + data


def several(*files: bytes) -> bytes:
    """The data of an image of several files."""
    sizes = b"".join(len(each).to_bytes(4, "big") for each in files) + bytes(4)
    return sizes + b"".join(each + bytes(-len(each) % 4) for each in files)


def test_images_of_u_boot() -> None:
    files, records = taken(uimage(gzip.compress(INITRD), 3))
    assert files == {"f!/data!/lib/modules/6.1/a.ko": MODULE}
    assert [(each.kind, each.complete) for each in records] == [
        ("cpio", True), ("gzip", True), ("uimage", True)
    ]  # fmt: skip
    files, records = taken(uimage(several(b"a kernel.", INITRD), 4))
    assert files == {"f!/0": b"a kernel.", "f!/1!/lib/modules/6.1/a.ko": MODULE}
    assert records[-1].complete


def test_damage_to_images_of_u_boot_is_reported() -> None:
    whole = uimage(INITRD, 3)
    for end in (10, 63, 64, 65, 200, len(whole) - 1):
        assert taken(whole[:end])[1][-1].error is not None, end
    for changed in (whole[:9] + b"\1" + whole[10:], uimage(INITRD, 3, check=1), whole + b"x"):
        assert taken(changed)[1][-1].error is not None
    junk = taken(uimage(b"junk" * 100, 3))[1]
    assert [each.error and each.error.code for each in junk] == ["unrecognised", None]
    assert taken(uimage(b"a kernel", 2))[1][-1].complete


def test_zeros_before_an_initramfs() -> None:
    """The kernel passes over them."""
    for zeros in (4, 512, 5000, 60_000):
        for content in (INITRD, gzip.compress(INITRD)):
            files, records = taken(bytes(zeros) + content)
            assert files == {f"f!/@{zeros}!/lib/modules/6.1/a.ko": MODULE}
            assert all(each.complete for each in records)
    assert taken(bytes(4) + b"text")[1] == []


def test_several_initial_ramdisks_in_a_unified_kernel_image(unified: Path, tmp_path: Path) -> None:
    (tmp_path / "second").write_bytes(newc({"lib/modules/6.1/b.ko": MODULE}))
    words = ("--add-section", f".initrX={tmp_path / 'second'}", "--change-section-vma", ".initrX=0x9000000")
    out = tmp_path / "two.efi"
    subprocess.run([need("objcopy"), *words, unified, out], check=True, capture_output=True)
    files, records = taken(out.read_bytes().replace(b".initrX", b".initrd"))
    found = sorted(name.rpartition("/")[2] for name, content in files.items() if content == MODULE)
    assert found == ["a.ko", "b.ko"] and records[-1].complete
