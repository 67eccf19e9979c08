"""Forward decompression: every kind, several streams in one, cut off, changed, followed by something else."""

from __future__ import annotations

import random
import struct

import lz4.block
import pytest
import zstandard

from elfsig.compression.streams import HEAD, KINDS, decompress, kind_of
from elfsig.containers.readers import bytes_reader
from elfsig.errors import ContainerError
from tests.support.compressed import COMPRESSORS, compress
from tests.support.containers import forward

TEXT = b"".join(b"%d: a line of text that compresses\n" % number for number in range(3000))
NOISE = random.Random(1).randbytes(100_000)


def content(data: bytes, piece: int = 1000) -> tuple[bytes, int]:
    """What ``data`` decompresses to, and where its end is."""
    reader = forward(data, piece)
    kind = kind_of(reader.peek(HEAD))
    assert kind is not None
    out = b"".join(decompress(reader, kind))
    return out, reader.tell()


@pytest.mark.parametrize("name", COMPRESSORS)
@pytest.mark.parametrize("plain", [TEXT, NOISE, b"short"], ids=["text", "noise", "short"])
def test_streams_of_every_kind(name: str, plain: bytes) -> None:
    packed = compress(name, plain)
    assert kind_of(packed).name == name  # type: ignore[union-attr]
    for piece in (1, 997, len(packed) + 1) if len(packed) < 50_000 else (4096, len(packed)):
        assert content(packed, piece) == (plain, len(packed))


@pytest.mark.parametrize("name", COMPRESSORS)
def test_streams_that_follow_each_other_are_one(name: str) -> None:
    packed = compress(name, b"first ") + compress(name, TEXT) + compress(name, b" last")
    assert content(packed) == (b"first " + TEXT + b" last", len(packed))


@pytest.mark.parametrize("name", COMPRESSORS)
def test_nothing_after_the_end_is_consumed(name: str) -> None:
    packed = compress(name, TEXT)
    for more in (b"0707010000", b"\1" * 5000):
        if name == "lz4-legacy" and more[:4] == b"\1" * 4:
            continue  # may be the size of a further block
        assert content(packed + more) == (TEXT, len(packed))


@pytest.mark.parametrize("name", COMPRESSORS)
def test_every_truncation_is_reported(name: str) -> None:
    packed = compress(name, TEXT)
    end = len(packed)
    for cut in [*range(HEAD, end, max(1, end // 60)), end - 1]:
        out = b""
        reader = forward(packed[:cut])
        kind = kind_of(packed)
        assert kind is not None
        with pytest.raises(ContainerError) as error:
            for piece in decompress(reader, kind):
                out += piece
        assert error.value.code == "truncated" and TEXT.startswith(out), cut
        assert error.value.offset is not None and error.value.offset <= cut


@pytest.mark.parametrize("name", ["gzip", "xz", "zstd", "bzip2", "lz4", "lzop"])
def test_every_change_is_reported(name: str) -> None:
    """The kinds with a checksum of the content."""
    packed = compress(name, TEXT)
    silent = []
    for at in range(4, len(packed), 1 + len(packed) // 150):
        changed = bytearray(packed)
        changed[at] ^= 0x10
        kind = kind_of(packed)
        assert kind is not None
        try:
            out = b"".join(decompress(bytes_reader(bytes(changed)), kind))
        except ContainerError as error:
            assert error.code in ("damaged", "truncated", "over-budget")
        else:
            assert out == TEXT
            silent.append(at)
    assert len(silent) <= 2, silent  # time, operating system, reserved bits


def test_frames_that_decoders_skip() -> None:
    skipped = struct.pack("<II", 0x184D2A53, 5) + b"notes"
    for name in ("zstd", "lz4"):
        packed = skipped + compress(name, b"one ") + skipped * 2 + compress(name, b"two") + skipped
        assert kind_of(packed[:8]) is None  # what follows the frame is not seen yet
        reader = forward(packed)
        kind = kind_of(packed)
        assert kind is not None and kind.name == name
        assert b"".join(decompress(reader, kind)) == b"one two" and reader.at_end()


def test_claims_cost_no_memory() -> None:
    window = zstandard.ZstdCompressor(
        compression_params=zstandard.ZstdCompressionParameters(window_log=30, enable_ldm=False)
    ).compressobj()
    packed = window.compress(b"x" * 1000) + window.flush()
    with pytest.raises(ContainerError) as error:
        content(packed)
    assert error.value.code == "over-budget" and "128 MiB" in error.value.text
    block = struct.pack("<I", 9 << 20)
    with pytest.raises(ContainerError) as error:
        content(b"\x02\x21\x4c\x18" + block + bytes(100))
    assert error.value.code == "truncated"
    small = lz4.block.compress(b"x" * 100, store_size=False)
    one = b"\x02\x21\x4c\x18" + struct.pack("<I", len(small)) + small
    assert content(one + one + bytes(4)) == (b"x" * 200, 2 * len(one))


def test_a_bomb_comes_in_pieces() -> None:
    for kind in KINDS:
        packed = compress(kind.name, bytes(1 << 22))
        largest = max(len(piece) for piece in decompress(forward(packed), kind))
        assert largest <= (8 << 20 if kind.name == "lz4-legacy" else 1 << 18), kind.name


def test_many_small_streams_take_linear_time() -> None:
    packed = compress("gzip", b"") * 20_000 + compress("gzip", b"end")
    assert content(packed, 1 << 16) == (b"end", len(packed))


def test_a_dictionary_that_is_not_there_is_damage() -> None:
    dictionary = zstandard.train_dictionary(1 << 12, [TEXT[at : at + 300] for at in range(0, 60_000, 300)])
    packed = zstandard.ZstdCompressor(dict_data=dictionary).compress(TEXT)
    with pytest.raises(ContainerError) as error:
        content(packed)
    assert (error.value.code, error.value.offset) == ("damaged", 0)
