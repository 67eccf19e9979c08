"""Archives that are made to be misread: zip, 7z, ar, tar, uImage and ISO 9660, each by recipe or changed."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest

import corpus
from elfsig.compression import DECODER_MEMORY
from elfsig.containers.readers import bytes_reader
from elfsig.errors import ContainerError
from tests.support import images
from tests.support.archives import tar
from tests.support.containers import inside, taken
from tests.support.images import call

MODULE = corpus.content("amd64.pkcs7")
OTHER = corpus.content("amd64-2.6.39-uek.ko")


def fault(data: bytes) -> ContainerError | None:
    return taken(data)[1][-1].error


def coded(data: bytes) -> tuple[str, int | None] | None:
    error = fault(data)
    return None if error is None else (error.code, error.offset)


# --------------------------------------------------------------------------- zip


def zipped(method: int = zipfile.ZIP_STORED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("x.ko", OTHER, method)
        archive.writestr("y.ko", MODULE)
    return made.getvalue()


@pytest.mark.parametrize("name", [b"\0.ko", b"\0\0\0\0", b"x\0ko", b"////"])
def test_odd_names_in_a_zip(name: bytes) -> None:
    files, records = taken(zipped().replace(b"x.ko", name))
    is_directory = name == b"////"  # which has content
    assert records[-1].complete is not is_directory and inside(files)["y.ko"] == MODULE
    assert is_directory or OTHER in files.values()


def test_a_member_without_a_name() -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(zipfile.ZipInfo("x"), OTHER)
        archive.writestr("y.ko", MODULE)
    data = bytearray(made.getvalue())
    directory, end = data.index(b"PK\1\2"), data.rindex(b"PK\5\6")
    data[end + 12 : end + 20] = struct.pack("<II", end - directory - 1, directory - 1)
    data[directory + 28], data[26] = 0, 0
    second = data.index(b"PK\1\2", directory + 1)
    data[second + 42 : second + 46] = (data.index(b"PK\3\4", 4) - 1).to_bytes(4, "little")
    del data[directory + 46], data[30]
    files, records = taken(bytes(data))
    assert records[-1].complete and sorted(files.values()) == sorted([OTHER, MODULE])


def test_damage_to_a_member_does_not_keep_others_from_being_read() -> None:
    data = bytearray(zipped(zipfile.ZIP_LZMA))
    data[300:400] = bytes(100)
    files, records = taken(bytes(data))
    assert records[-1].error and (records[-1].error.code, records[-1].error.offset) == ("damaged", 0)
    assert inside(files)["y.ko"] == MODULE


@pytest.mark.parametrize("size", [1 << 32, DECODER_MEMORY + 2])
def test_a_large_dictionary_in_a_zip_is_refused(size: int) -> None:
    data = bytearray(zipped(zipfile.ZIP_LZMA))
    start = 30 + len("x.ko")
    data[start + 5 : start + 9] = (size - 1).to_bytes(4, "little")
    files, records = taken(bytes(data))
    assert records[-1].error and (records[-1].error.code, records[-1].error.offset) == ("unsupported", start)
    assert inside(files) == {"y.ko": MODULE}


def test_members_before_the_start_of_a_zip() -> None:
    data = bytearray(zipped())
    struct.pack_into("<I", data, data.rindex(b"PK\5\6") + 16, 0xFFFFFFF0)
    error = fault(bytes(data))
    assert error is not None and error.code == "damaged" and (error.offset or 0) >= 0


@pytest.mark.parametrize(("flag", "code"), [(0x1, "encrypted"), (0x40, "encrypted"), (0x20, "unsupported")])
def test_members_that_nobody_can_read(flag: int, code: str) -> None:
    data = bytearray(zipped())
    data[6] |= flag
    data[data.index(b"PK\1\2") + 8] |= flag
    files, records = taken(bytes(data))
    assert records[-1].error and (records[-1].error.code, inside(files)) == (code, {"y.ko": MODULE})


def with_gap(gap: bytes) -> bytes:
    """An archive with bytes between its members and its directory."""
    data = zipped()
    directory, end = data.index(b"PK\1\2"), data.rindex(b"PK\5\6")
    ending = bytearray(data[end:])
    struct.pack_into("<I", ending, 16, directory + len(gap))
    return data[:directory] + gap + data[directory:end] + bytes(ending)


def signing_block(content: bytes) -> bytes:
    size = (len(content) + 24).to_bytes(8, "little")
    return size + content + size + b"APK Sig Block 42"


@pytest.mark.parametrize("size", [100, 0x1000 - 24 - 8, 0x1000 - 24])
@pytest.mark.parametrize("zeros", [0, 1, 100, 4000])
def test_signatures_of_android_packages(size: int, zeros: int) -> None:
    block = signing_block(struct.pack("<QI", size - 8, 0x7109871A).ljust(size, b"s"))
    assert coded(with_gap(bytes(zeros) + block)) is None


def test_what_only_ends_like_signatures_of_android_packages() -> None:
    hidden, mark = zipped(), b"APK Sig Block 42"
    start = hidden.index(b"PK\1\2")
    for gap in (
        hidden + mark,
        hidden + signing_block(b""),
        signing_block(hidden)[8:],
        signing_block(hidden) + mark,
        b"\xff" * 8 + hidden + b"\xff" * 8 + mark,
        bytes(16) + mark,
    ):
        assert coded(with_gap(gap)) == ("trailing-data", start)


# --------------------------------------------------------------------------- 7z


def sevenzip(folder: Path, *words: str) -> bytearray:
    (folder / "x.ko").write_bytes(OTHER)
    (folder / "y.ko").write_bytes(MODULE)
    call("7zz", "a", "-bd", *words, "x.7z", "x.ko", "y.ko", cwd=folder)
    return bytearray((folder / "x.7z").read_bytes())


def resummed(data: bytearray) -> bytes:
    """A changed archive whose checksums of the header match."""
    offset, size = struct.unpack_from("<QQ", data, 12)
    struct.pack_into("<I", data, 28, zlib.crc32(data[32 + offset : 32 + offset + size]))
    struct.pack_into("<I", data, 8, zlib.crc32(data[12:32]))
    return bytes(data)


@pytest.mark.parametrize(
    ("method", "coder", "size"),
    [
        ("LZMA", b"\x23\3\1\1\5", b"\x5d\xff\xff\xff\xff"),
        ("LZMA", b"\x23\3\1\1\5", b"\x5d" + (DECODER_MEMORY + 1).to_bytes(4, "little")),
        ("LZMA2", b"\x21\x21\1", b"\x28"),
        ("LZMA2", b"\x21\x21\1", b"\xff"),
        ("PPMd", b"\x23\3\4\1\5", b"\6\xff\xff\xff\xff"),
    ],
)
def test_a_large_dictionary_in_a_7z_is_refused(
    method: str, coder: bytes, size: bytes, tmp_path: Path
) -> None:
    data = sevenzip(tmp_path, f"-m0={method}", "-mhc=off")
    assert coded(bytes(data)) is None
    at = data.rindex(coder) + len(coder)
    data[at : at + len(size)] = size
    assert coded(resummed(data)) == ("unsupported", 0)


def test_a_large_dictionary_of_a_header_is_refused(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"{number}").write_bytes(b"%d" % number)
    call("7zz", "a", "-bd", "-mhc=on", "x.7z", ".", cwd=tmp_path)
    data = bytearray((tmp_path / "x.7z").read_bytes())
    offset, size = struct.unpack_from("<QQ", data, 12)
    at = data.index(b"\x23\3\1\1\5", 32 + offset) + 5
    assert data[32 + offset] == 0x17 and at + 5 < 32 + offset + size
    data[at + 1 : at + 5] = b"\xff" * 4
    assert coded(resummed(data)) == ("unsupported", 0)


def test_what_follows_a_7z_is_reported(tmp_path: Path) -> None:
    data = bytes(sevenzip(tmp_path))
    assert coded(data) is None and coded(data + bytes(100)) is None
    assert coded(data + bytes(100) + OTHER) == ("trailing-data", len(data) + 100)
    files, _ = taken(data + OTHER)
    assert inside(files) == {"x.ko": OTHER, "y.ko": MODULE}
    call("7zz", "a", "-bd", "empty.7z", "-x!*", ".", cwd=tmp_path)
    empty = (tmp_path / "empty.7z").read_bytes()
    assert coded(empty) is None and coded(empty + OTHER) == ("trailing-data", len(empty))


# --------------------------------------------------------------------------- ar


def debian(*members: tuple[str, bytes]) -> bytes:
    out = b"!<arch>\n"
    for name, content in (("debian-binary", b"2.0\n"), ("control.tar", tar()), *members):
        out += b"%-16s%-12d%-6d%-6d%-8o%-10d`\n" % (name.encode(), 0, 0, 0, 0o100644, len(content))
        out += content + b"\n" * (len(content) % 2)
    return out


def test_a_signature_after_the_data_of_a_debian_package() -> None:
    data = ("data.tar", tar(b_ko=MODULE))
    files, records = taken(debian(data, ("_gpgorigin", b"signature")))
    assert records[-1].complete and inside(files)["b.ko"] == MODULE
    assert taken(debian(data))[1][-1].complete
    without = debian(("_gpgorigin", b"signature"))
    assert coded(without) == ("truncated", len(without))


# --------------------------------------------------------------------------- uImage


def uimage(data: bytes) -> bytes:
    """An image of several files (include/image.h of U-Boot: type 4)."""
    fields = (0x27051956, 0, 1, len(data), 0, 0, zlib.crc32(data), 5, 2, 4, 0, b"name")
    header = struct.pack(">IIIIIIIBBBB32s", *fields)
    return header[:4] + struct.pack(">I", zlib.crc32(header)) + header[8:] + data


def test_data_after_the_files_in_the_list_of_an_image_of_u_boot() -> None:
    listed = struct.pack(">II", 501, 0) + b"k" * 501 + bytes(3)
    assert coded(uimage(listed)) is None and coded(uimage(listed + bytes(64))) is None
    for zeros in (0, 64):
        whole = uimage(listed + bytes(zeros) + OTHER)
        assert coded(whole) == ("trailing-data", 64 + len(listed) + zeros)
        assert whole.index(OTHER[:64]) == 64 + len(listed) + zeros
    cut = uimage(listed + OTHER)[:-1]
    error = fault(cut)
    assert error is not None and error.code == "truncated"


# --------------------------------------------------------------------------- tar


def hard_link(name: str, target: str, size: int) -> bytes:
    header = tarfile.TarInfo(name)
    header.type, header.linkname = tarfile.LNKTYPE, target
    block = bytearray(header.tobuf(tarfile.USTAR_FORMAT))
    block[124:136] = b"%011o\0" % size
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def test_a_hard_link_with_a_size_is_the_last_member() -> None:
    first = tar(a_ko=MODULE)
    first = first[: 512 + len(MODULE) + -len(MODULE) % 512]
    files, records = taken(first + hard_link("b.ko", "a.ko", len(MODULE)) + bytes(1024))
    assert records[-1].complete and inside(files) == {"a.ko": MODULE, "b.ko": MODULE}
    _, records = taken(first + hard_link("b.ko", "a.ko", len(MODULE)))
    assert records[-1].error and records[-1].error.code == "truncated"
    other = MODULE[:-1] + b"!"
    stored = other + bytes(-len(MODULE) % 512)
    files, records = taken(first + hard_link("b.ko", "a.ko", len(MODULE)) + stored + bytes(1024))
    assert records[-1].complete and inside(files) == {"a.ko": MODULE, "b.ko": other}


# --------------------------------------------------------------------------- ISO 9660


def test_a_file_that_is_cut_off_is_not_a_module(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "a.ko").write_bytes(OTHER)
    (tree / "pad").write_bytes(bytes(500_000))
    (tree / "z.ko").write_bytes(MODULE)
    images.iso(tree, tmp_path / "x.iso")
    data = (tmp_path / "x.iso").read_bytes()
    start = data.index(MODULE)
    for end in (start + 100, start + len(MODULE) // 2048 * 2048, start + len(MODULE) - 1):
        files, records = taken(b"", reader=bytes_reader(data[:end]))
        assert "z.ko" not in inside(files) and inside(files)["a.ko"] == OTHER
        assert records[-1].error and (records[-1].error.code, records[-1].error.offset) == ("truncated", end)
    assert MODULE in taken(data)[0].values()
