"""Reading: compression told by magic and undone within limits, nothing blocks, trees are walked."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import socket
import stat
import subprocess
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from elfsig.carriers.trailer import MARKER
from elfsig.compression import whole as compression
from elfsig.compression.whole import Compression
from elfsig.errors import ReadError
from elfsig.opened import evidence
from elfsig.opened.evidence import read
from elfsig.opened.walk import WalkedFile, walk
from tests.support.tools import need

CONTENT = b"\x7fELF" + os.urandom(3000) + bytes(200_000)
KINDS: tuple[Compression, ...] = ("gzip", "xz", "zstd")
TOOLS = {"gzip": ".gz", "xz": ".xz", "zstd": ".zst"}
NOBODY = 65534

by_kind = pytest.mark.parametrize("kind", KINDS)


def fault(source: evidence.Source, *, limit: int = evidence.LIMIT) -> ReadError:
    with pytest.raises(ReadError) as caught:
        read(source, limit=limit)
    return caught.value


# --------------------------------------------------------------------------- compression


@by_kind
def test_what_the_tools_pack_is_opened_whatever_its_name(kind: Compression, tmp_path: Path) -> None:
    path = tmp_path / "a.ko"
    path.write_bytes(CONTENT)
    subprocess.run([need(kind), "-q", path], check=True)
    renamed = path.with_suffix(".ko" + TOOLS[kind]).rename(tmp_path / "plain.ko")
    found = read(renamed)
    assert (found.compression, found.content, found.tail_offset) == (kind, CONTENT, None)
    assert found.raw == renamed.read_bytes()


@by_kind
def test_the_tools_open_what_is_packed(kind: Compression, tmp_path: Path) -> None:
    path = tmp_path / f"a.ko{TOOLS[kind]}"
    path.write_bytes(compression.pack(CONTENT, kind))
    ran = subprocess.run([need(kind), "-dc", path], capture_output=True, check=True)
    assert ran.stdout == CONTENT


@by_kind
def test_large_content_is_in_memory_once(kind: Compression) -> None:
    size = 16 << 20
    packed = compression.pack(os.urandom(1 << 16) * (size >> 16), kind)
    tracemalloc.start()
    try:
        found = compression.unpack(packed, kind, size)
        assert tracemalloc.get_traced_memory()[1] < 1.5 * size
    finally:
        tracemalloc.stop()
    assert len(found.content) == size and found.end == len(packed)


@by_kind
@pytest.mark.parametrize("size", [1 << 16, (1 << 16) + 1, 1 << 20])
def test_content_of_exactly_the_limit_is_taken(kind: Compression, size: int) -> None:
    packed = compression.pack(bytes(size), kind)
    assert compression.unpack(packed, kind, size).content == bytes(size)
    with pytest.raises(ReadError, match="decompresses to more than"):
        compression.unpack(packed, kind, size - 1)
    with pytest.raises(ReadError):
        compression.unpack(packed[:-1], kind, size)
    behind = compression.unpack(b"junk" + packed + b"tail", kind, size, 4)
    assert (len(behind.content), behind.end) == (size, 4 + len(packed))


def test_xz_is_packed_as_kernels_read_it(tmp_path: Path) -> None:
    path = tmp_path / "a.ko.xz"
    path.write_bytes(read(lzma.compress(CONTENT, check=lzma.CHECK_CRC64)).packed(CONTENT))
    listing = subprocess.run([need("xz"), "-lvv", path], capture_output=True, text=True, check=True).stdout
    assert "CRC32" in listing and "--lzma2=dict=1MiB" in listing


def test_xz_is_packed_to_the_byte_as_modules_install_does(tmp_path: Path) -> None:
    command = [need("xz"), "--check=crc32", "--lzma2=dict=1MiB", "-c"]
    packed = subprocess.run(command, input=CONTENT, capture_output=True, check=True).stdout
    assert read(packed).packed(CONTENT) == packed


def test_gzip_keeps_the_name_and_time_of_the_header(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with gzip.GzipFile("name.ko", "wb", fileobj=stream, mtime=1234567890) as packer:
        packer.write(CONTENT)
    packed = read(stream.getvalue()).packed(CONTENT + b"!")
    assert packed.startswith(compression.gzip_header(stream.getvalue()) or b"missing")
    assert b"name.ko\0" in packed[:30] and gzip.decompress(packed) == CONTENT + b"!"


def test_gzip_header_with_every_optional_field() -> None:
    head = b"\x1f\x8b\x08\x1e" + bytes(6) + b"\x03\0abc" + b"name\0" + b"comment\0" + b"\x12\x34"
    assert compression.gzip_header(head + b"deflate") == head
    assert compression.gzip_header(head[:-12]) is None


@pytest.mark.parametrize(("level", "checksum"), [(3, True), (3, False), (19, True)])
def test_zstd_keeps_checksum_and_about_the_level(level: int, checksum: bool) -> None:
    content = b"".join(b"%d squared is %d, " % (n, n * n) for n in range(20_000))
    original = zstandard.ZstdCompressor(level=level, write_checksum=checksum).compress(content)
    packed = read(original).packed(content)
    assert zstandard.get_frame_parameters(packed).has_checksum is checksum
    assert abs(len(packed) - len(original)) < len(original) / 50
    assert zstandard.get_frame_parameters(packed).window_size <= 128 << 20


@by_kind
def test_several_streams_and_what_lies_behind_them(kind: Compression) -> None:
    stream = compression.pack(CONTENT, kind)
    found = read(stream + stream)
    assert (found.content, found.tail_offset) == (CONTENT * 2, None)
    found = read(stream + b"tail" + MARKER)
    assert (found.content, found.tail_offset) == (CONTENT, len(stream))


@by_kind
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.999])
def test_a_cut_stream_is_damage_and_not_a_shorter_file(kind: Compression, kept: float) -> None:
    stream = compression.pack(CONTENT, kind)
    found = fault(stream[: int(len(stream) * kept)])
    assert found.code == "decompression-damaged"
    assert "cut off" in found.text and found.offset == int(len(stream) * kept)


@by_kind
def test_flipped_bytes_are_damage(kind: Compression) -> None:
    stream = bytearray(compression.pack(CONTENT, kind))
    stream[len(stream) // 2] ^= 0xFF
    assert fault(stream).code == "decompression-damaged"


def zstd_bomb(blocks: int) -> bytes:
    """A frame of run-length blocks, 128 KiB from four bytes each, that tells no content size."""
    block = (1 << 1 | (1 << 17) << 3).to_bytes(3, "little") + b"\0"
    last = (1 | 1 << 1 | 1 << 3).to_bytes(3, "little") + b"\0"
    return compression.ZSTD_MAGIC + b"\x00\x58" + block * blocks + last


BOMBS: dict[str, Callable[[], bytes]] = {
    "gzip": lambda: gzip.compress(bytes(8 << 20)),
    "xz": lambda: lzma.compress(bytes(8 << 20)),
    "zstd": lambda: zstandard.ZstdCompressor().compress(bytes(8 << 20)),
    "zstd without a size": lambda: zstd_bomb(64),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_stop_at_the_limit_with_a_hint(name: str) -> None:
    bomb = BOMBS[name]()
    found = fault(bomb, limit=1 << 20)
    assert (found.code, found.hint) == ("decompression-limit", "max-size")
    assert read(bomb, limit=9 << 20).content.count(0) >= 8 << 20


def test_a_frame_cannot_claim_more_than_its_blocks_hold() -> None:
    frame = compression.ZSTD_MAGIC + b"\xe0" + (1 << 29).to_bytes(8, "little") + b"\x09\0\0x"
    assert "claims" in fault(frame).text


@settings(max_examples=200, deadline=None)
@given(kind=st.sampled_from(KINDS), tail=st.binary(max_size=200), cut=st.integers(0, 60))
def test_any_bytes_behind_a_magic_give_content_or_a_read_error(
    kind: Compression, tail: bytes, cut: int
) -> None:
    for data in (compression.pack(b"small", kind)[:cut] + tail, compression.MAGICS[0][0] + tail):
        try:
            read(data, limit=1 << 20)
        except ReadError as error:
            assert error.code.startswith("decompression-")


# --------------------------------------------------------------------------- files


def test_sources_of_every_kind(tmp_path: Path) -> None:
    path = tmp_path / "a.ko"
    path.write_bytes(CONTENT)
    found = read(path)
    assert found.content is found.raw and found.stat is not None and found.stat.st_size == len(CONTENT)
    with path.open("rb") as stream:
        assert read(stream).content == CONTENT
    assert read(bytearray(CONTENT)).path == "<bytes>"
    assert len(found.sha256) == 64 and found.size == len(CONTENT)
    empty = tmp_path / "empty.ko"
    empty.touch()
    assert read(empty).content == b""


def test_what_is_no_file_has_its_own_word(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to("loop")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        codes = {
            name: fault(tmp_path / name).code for name in ("missing", "fifo", "socket", "loop", "fifo/below")
        }
    assert codes == {
        "missing": "not-found",
        "fifo": "not-a-regular-file",
        "socket": "not-a-regular-file",
        "loop": "symlink-loop",
        "fifo/below": "not-found",
    }
    assert fault(tmp_path).code == "is-a-directory"
    assert fault("/dev/zero").code == "not-a-regular-file"
    assert fault("a\0b").code == "not-found"
    assert fault(tmp_path / "missing").path == str(tmp_path / "missing")


def test_files_over_the_limit_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.ko"
    with path.open("wb") as stream:
        stream.truncate(5 << 40)
    assert fault(path).hint == "max-size"
    assert fault(io.BytesIO(bytes(100)), limit=99).code == "too-large"
    assert read(io.BytesIO(bytes(100)), limit=100).size == 100


def test_pseudo_files_tell_no_size() -> None:
    assert read("/proc/self/status").raw.startswith(b"Name:")


@pytest.mark.parametrize("change", ["grow", "shrink", "touch"])
def test_a_file_that_changes_while_it_is_read(
    change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.ko"
    path.write_bytes(CONTENT)
    real = os.read

    def meddle(descriptor: int, size: int) -> bytes:
        if change == "touch":
            os.utime(path, ns=(1, 1))
        else:
            os.truncate(path, len(CONTENT) + (100 if change == "grow" else -100))
        return real(descriptor, size)

    monkeypatch.setattr(os, "read", meddle)
    assert fault(path).code == "changed-while-reading"


@pytest.fixture
def nobody(tmp_path: Path) -> Iterator[Path]:
    """Be a user without root's power to read everything, beside a directory that can be reached."""
    if os.geteuid():
        yield tmp_path
        return
    # pytest's own directories are shut to others at every level, and under xdist there is one more.
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, NOBODY, NOBODY)
        os.seteuid(NOBODY)
        try:
            yield Path(folder)
        finally:
            os.seteuid(0)


def test_unreadable_files_and_directories(nobody: Path) -> None:
    (nobody / "shut").mkdir()
    (nobody / "a.ko").write_bytes(CONTENT)
    (nobody / "a.ko").chmod(0)
    (nobody / "z.ko").write_bytes(CONTENT)
    (nobody / "shut").chmod(0)
    found = list(walk([nobody]))
    assert names(found, nobody) == ["a.ko", "shut permission-denied", "z.ko"]
    assert fault(found[0].path).code == "permission-denied"
    assert read(found[2].path).raw == CONTENT
    (nobody / "shut").chmod(0o755)


# --------------------------------------------------------------------------- walking


def names(entries: list[WalkedFile], root: Path) -> list[str]:
    return [os.path.relpath(e.path, root) + (f" {e.error.code}" if e.error else "") for e in entries]


def test_a_walk_is_sorted_and_follows_no_link(tmp_path: Path) -> None:
    tree, outside = tmp_path / "tree", tmp_path / "outside"
    for name in ("b/y.ko", "b/x.ko.xz", "a.ko.gz", "c.ko.zst", "b.txt", "b/z.ko.bz2"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(b"x")
    outside.mkdir()
    (outside / "out.ko").write_bytes(b"x")
    (tree / "d").symlink_to(outside)
    (tree / "e.ko").symlink_to(outside / "out.ko")
    (tree / "b/loop").symlink_to(tree)
    os.mkfifo(tree / "fifo.ko")
    found = list(walk([tree]))
    assert names(found, tree) == ["a.ko.gz", "b/x.ko.xz", "b/y.ko", "c.ko.zst", "fifo.ko"]
    assert {entry.root for entry in found} == {str(tree)}


def test_what_is_missing_or_empty_is_an_entry_and_the_rest_goes_on(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "any.name").write_bytes(b"x")
    paths: list[str | Path] = [tmp_path / "gone.ko", tmp_path / "empty", tmp_path / "any.name", "n\0l"]
    found = list(walk(paths))
    assert [e.error.code if e.error else None for e in found] == [
        "not-found",
        "nothing-found",
        None,
        "not-found",
    ]
    assert found[2] == WalkedFile(str(tmp_path / "any.name"))


def test_a_root_that_is_a_link_is_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/a.ko").write_bytes(b"x")
    (tmp_path / "link").symlink_to("real")
    assert names(list(walk([tmp_path / "link"])), tmp_path) == ["link/a.ko"]


def test_all_files_means_elf_packed_elf_and_markers(tmp_path: Path) -> None:
    for kind in KINDS:
        (tmp_path / f"elf.{kind}").write_bytes(compression.pack(CONTENT, kind))
        (tmp_path / f"text.{kind}").write_bytes(compression.pack(b"text" * 10_000, kind))
    (tmp_path / "broken.gz").write_bytes(b"\x1f\x8b\x08\0junk")
    (tmp_path / "elf").write_bytes(CONTENT)
    (tmp_path / "marked").write_bytes(b"text" + MARKER + b"more")
    (tmp_path / "plain").write_bytes(b"text")
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "fifo")
    assert names(list(walk([tmp_path], all_files=True)), tmp_path) == [
        "elf",
        "elf.gzip",
        "elf.xz",
        "elf.zstd",
        "marked",
    ]


def test_names_that_are_no_utf8_are_kept(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/caf\xe9\n.ko"
    with open(path, "wb") as stream:
        stream.write(CONTENT)
    (entry,) = walk([tmp_path])
    assert os.fsencode(entry.path) == path
    assert read(entry.path).raw == CONTENT
    assert stat.S_ISREG(os.stat(entry.path).st_mode)


SKIPPED = b"\x53\x2a\x4d\x18\x05\0\0\0notes"


@pytest.mark.parametrize("before", [SKIPPED, SKIPPED * 3, b"\x5f\x2a\x4d\x18\0\0\0\0"])
def test_zstd_may_start_with_frames_that_decoders_skip(before: bytes, tmp_path: Path) -> None:
    """RFC 8878, 3.1.2. Loading tools and kernels look for the magic of a frame with content at offset 0."""
    import zstandard

    from elfsig.compression.whole import detect
    from elfsig.kernels.unpacking import fault

    content, frame = b"\x7fELF" + bytes(400), zstandard.compress(b"\x7fELF" + bytes(200))
    frame += before + zstandard.compress(bytes(200))
    path = tmp_path / "m.ko.zst"
    path.write_bytes(before + frame + before)
    evidence = read(path)
    assert (evidence.compression, evidence.content) == ("zstd", content)
    assert evidence.tail_offset == len(before + frame)
    assert read(evidence.packed(content)).content == content
    remark = fault(evidence.raw, "zstd")
    assert remark is not None and "skippable" in remark.text
    for plain in (before, before[:7], b"\x53\x2a\x4d\x18\xff\xff\xff\xff" + frame, before + b"text"):
        assert detect(plain) is None and read(plain).content == plain
