"""Compressed streams that start in an unusual way, in a file whose name says nothing."""

from __future__ import annotations

import lzma
import random
import struct

import lz4.frame
import pytest
import zstandard

import corpus
from elfsig.containers.readers import Reader, bytes_reader
from elfsig.containers.walk import ContainerRecord, Found, walk
from tests.support.archives import tar
from tests.support.containers import FILE, forward

MODULE = corpus.content("amd64.pkcs7")
INNER = tar(a_ko=MODULE)


def surveyed(data: bytes, reader: Reader | None = None) -> tuple[dict[str, str | None], list[str]]:
    """The code of the error of each kind of container, and the paths of modules."""
    found = list(walk(reader or bytes_reader(tar(x_bin=data)), FILE))
    records = [each for each in found if isinstance(each, ContainerRecord)]
    modules = [each.path for each in found if isinstance(each, Found) and each.what == "module"]
    return {each.kind: None if each.error is None else each.error.code for each in records}, modules


def skippable(size: int) -> bytes:
    return struct.pack("<II", 0x184D2A53, size) + bytes(size)


@pytest.mark.parametrize("size", [0, 100, 5000, 70_000, 1 << 20])
@pytest.mark.parametrize("kind", ["zstd", "lz4"])
def test_skippable_frames_of_any_size(kind: str, size: int) -> None:
    packed = zstandard.ZstdCompressor().compress(INNER) if kind == "zstd" else lz4.frame.compress(INNER)
    data = skippable(size) + skippable(3) + packed
    assert surveyed(data)[1] == ["f!/x.bin!/a.ko"]
    assert surveyed(b"", forward(data))[1] == ["f!/a.ko"]


def test_what_follows_skippable_frames_is_not_passed_over() -> None:
    for size in (10, 1 << 20):
        assert surveyed(skippable(size)) == ({"skippable": "unrecognised", "tar": None}, [])
        assert surveyed(skippable(size) + b"junk")[0]["skippable"] == "trailing-data"
        assert surveyed(skippable(size)[:-1])[0]["skippable"] == "truncated"
        assert surveyed(skippable(size) + lzma.compress(INNER))[1] == ["f!/x.bin!/a.ko"]


def alone(**options: int) -> bytes:
    return lzma.compress(INNER, lzma.FORMAT_ALONE, filters=[{"id": lzma.FILTER_LZMA1, **options}])


@pytest.mark.parametrize(
    "options",
    [
        {"dict_size": 4096},
        {"dict_size": 6144},
        {"dict_size": 1 << 16},
        {"dict_size": 96 << 10},
        {"dict_size": 1 << 23},
        {"lc": 4},
        {"lc": 0, "lp": 2, "pb": 2},
        {"lc": 1, "lp": 3, "pb": 4, "dict_size": 12288},
        {"pb": 0},
    ],
)
def test_lzma_with_any_parameters(options: dict[str, int]) -> None:
    data = alone(**options)
    assert surveyed(data) == ({"lzma": None, "tar": None}, ["f!/x.bin!/a.ko"])
    sized = data[:5] + struct.pack("<Q", len(INNER)) + data[13:]
    assert surveyed(sized)[1] == ["f!/x.bin!/a.ko"]


def test_a_dictionary_that_is_too_large_is_named() -> None:
    for options in ({}, {"lc": 4}):
        data = bytearray(alone(**options))
        data[1:5] = struct.pack("<I", 1 << 31)
        assert surveyed(bytes(data))[0]["lzma"] == "over-budget"


def test_what_looks_like_lzma_and_does_not_decompress_is_not() -> None:
    chance = random.Random(3)
    for number in range(300):
        fields = struct.pack("<IQ", 1 << chance.randrange(12, 26), 1000 + number)
        head = bytes([chance.randrange(225)]) + fields
        if head[0] != 0x5D:
            for rest in (b"\0" + chance.randbytes(4096), chance.randbytes(4096), bytes(4096)):
                assert surveyed(head + rest)[0] == {"tar": None}
