"""Compressed grains of VMDK that fuzzing found were read without an end, or ended in an internal error."""

from __future__ import annotations

import tracemalloc
import zlib
from pathlib import Path

import pytest

from elfsig.containers.names import Step
from elfsig.containers.readers import bytes_reader
from elfsig.containers.walk import ContainerRecord, walk
from tests.support.images import call


def streamed(grain: bytes, folder: Path) -> bytes:
    """A VMDK of compressed grains; the first one, of a size and a stream, is ``grain``."""
    (folder / "disk").write_bytes(bytes(range(256)) * 256 + bytes(1 << 20))
    words = ("-O", "vmdk", "-o", "subformat=streamOptimized")
    call("qemu-img", "convert", *words, folder / "disk", folder / "image")
    data = bytearray((folder / "image").read_bytes())
    table = 512 * int.from_bytes(data[56:64], "little")
    first = 512 * int.from_bytes(data[table : table + 4], "little")
    data[first : first + 4] = (len(data) // 512).to_bytes(4, "little")
    return bytes(data) + bytes(8) + len(grain).to_bytes(4, "little") + grain.ljust(1 << 16, b"\0")


GRAINS = {
    "damaged": b"\x78\x9c\xff" + bytes(100),
    "cut off": zlib.compress(bytes(1 << 16))[:-5],
    "too large": zlib.compress(bytes((1 << 16) + 1)),
    "a bomb": zlib.compress(bytes(100 << 20)),
}


@pytest.mark.parametrize("name", GRAINS)
def test_a_compressed_grain_of_a_vmdk_that_is_damaged(name: str, tmp_path: Path) -> None:
    """An internal error where the library could not unpack it, and 1 GiB of memory where it could."""
    data = streamed(GRAINS[name], tmp_path)
    tracemalloc.start()
    try:
        *_, last = walk(bytes_reader(data), (Step("file", b"f"),))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert isinstance(last, ContainerRecord) and last.error is not None and last.error.code == "damaged"
    assert peak < 32 << 20


def test_grains_of_a_vmdk_that_are_too_large_to_unpack(tmp_path: Path) -> None:
    data = bytearray(streamed(GRAINS["a bomb"], tmp_path))
    data[20:28] = (1 << 17).to_bytes(8, "little")
    *_, last = walk(bytes_reader(bytes(data)), (Step("file", b"f"),))
    assert isinstance(last, ContainerRecord) and last.error is not None and last.error.code == "unsupported"
