"""Squashfs whose blocks ask for more memory, or give more, than they may."""

from __future__ import annotations

import resource
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

import corpus
from elfsig.compression import DECODER_MEMORY
from elfsig.containers.images.source import Source
from elfsig.containers.images.squashfs import _Bounded
from elfsig.containers.images.squashfs_attributes import security_ima
from elfsig.containers.readers import bytes_reader
from elfsig.containers.walk import ContainerRecord, walk
from elfsig.errors import ContainerError
from tests.support import images
from tests.support.archives import tar
from tests.support.containers import FILE

MODULE = corpus.content("amd64.pkcs7")
XZ = b"\xfd7zXZ\0"


def with_dictionary(data: bytes, dictionary: int) -> bytes:
    """The blocks of xz with another size of the dictionary (The .xz File Format 1.2, 3.1 and 5.3.1)."""
    changed, at = bytearray(data), data.find(XZ)
    while at >= 0:
        header = at + 12
        size = 4 * (changed[header] + 1)
        filters = changed.index(b"\x21\x01", header + 2, header + size)
        changed[filters + 2] = dictionary
        end = header + size - 4
        changed[end : end + 4] = struct.pack("<I", zlib.crc32(changed[header:end]))
        at = data.find(XZ, at + 1)
    return bytes(changed)


@pytest.fixture
def image(tmp_path: Path) -> Callable[[str], bytes]:
    def made(kind: str) -> bytes:
        (tmp_path / "tree").mkdir()
        (tmp_path / "tree" / "a.ko").write_bytes(MODULE * 3)
        images.FILE_SYSTEMS[kind](tmp_path / "tree", tmp_path / "image")
        return (tmp_path / "image").read_bytes()

    return made


def surveyed(data: bytes) -> dict[str, str | None]:
    found = walk(bytes_reader(tar(x_bin=data)), FILE)
    records = (each for each in found if isinstance(each, ContainerRecord))
    return {each.kind: None if each.error is None else each.error.code for each in records}


def test_a_dictionary_of_4_gib_is_over_the_budget(image: Callable[[str], bytes]) -> None:
    data = image("squashfs_xz")
    assert surveyed(with_dictionary(data, 24)) == {"squashfs": None, "tar": None}
    assert surveyed(with_dictionary(data, 40)) == {"squashfs": "over-budget", "tar": None}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    surveyed(with_dictionary(data, 36))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < DECODER_MEMORY >> 10


def bounded(kind: int) -> _Bounded:
    return _Bounded(_Library(), kind, Source(bytes_reader(b"")))


class _Library:
    def decompress(self, data: bytes, most: int) -> bytes:
        return bytes(most)


def packed(kind: int, content: bytes) -> bytes:
    import lzma

    import lz4.block
    import zstandard

    made: dict[int, Callable[[], bytes]] = {
        1: lambda: zlib.compress(content),
        2: lambda: lzma.compress(content, lzma.FORMAT_ALONE),
        4: lambda: lzma.compress(content),
        5: lambda: lz4.block.compress(content, store_size=False),
        6: lambda: zstandard.ZstdCompressor().compress(content),
        -6: lambda: zstandard.ZstdCompressor(write_content_size=False).compress(content),
    }
    return made[kind]()


@pytest.mark.parametrize("kind", [1, 2, 4, 5, 6, -6])
def test_no_block_gives_more_than_it_may(kind: int) -> None:
    most = 1 << 17
    decoder = bounded(abs(kind))
    for size in (0, 1, most - 1, most):
        assert decoder.decompress(packed(kind, bytes(size)), most) == bytes(size)
    for size in (most + 1, 16 << 20):
        with pytest.raises(Exception) as caught:
            decoder.decompress(packed(kind, bytes(size)), most)
        assert not isinstance(caught.value, MemoryError)


def test_no_block_is_stored_with_more_than_its_content() -> None:
    with pytest.raises(ContainerError, match="larger than its content") as caught:
        bounded(3).decompress(bytes(8193), 100)
    assert caught.value.offset == 0
    assert bounded(3).decompress(bytes(8192), 100) == bytes(8192)


def test_a_set_of_more_attributes_than_linux_can_list() -> None:
    """Each file with it took as long as reading a MiB of them, and files with it are few bytes."""

    def found(entries: int) -> bytes | None:
        table = struct.pack("<QI4xQ", 1000, 1, 5000)
        row = struct.pack("<QI4x", 0, entries).ljust(8192, b"\0")
        source = Source(bytes_reader(table))
        return security_ima(source, lambda at: (at + 1, row if at == 5000 else bytes(8192)), 0, 0)

    assert found(9362) is None
    with pytest.raises(ContainerError, match="a set of 9363 attributes"):
        found(9363)
