"""What functions take as a module: paths, bytes, streams; and what they say of anything else."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

import corpus
import elfsig

SIGNED = corpus.content("amd64.pkcs7")


class Trickle(io.RawIOBase):
    """A raw stream that gives a few bytes at a time."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def read(self, size: int = -1) -> bytes:
        part, self.data = self.data[: min(size, 1000)], self.data[min(size, 1000) :]
        return part


class Failing(io.RawIOBase):
    def read(self, size: int = -1) -> bytes:
        raise OSError(5, "Input/output error")


def test_a_stream_that_gives_a_little_at_a_time_is_read_whole() -> None:
    assert elfsig.open(Trickle(SIGNED)).content == SIGNED  # type: ignore[arg-type]
    with pytest.raises(elfsig.ReadError) as caught:
        elfsig.open(Trickle(SIGNED), limit=1500)  # type: ignore[arg-type]
    assert caught.value.code == "too-large"


def test_streams_that_cannot_be_read_are_read_errors(tmp_path: Path) -> None:
    closed = io.BytesIO(SIGNED)
    closed.close()
    with (tmp_path / "out").open("wb") as written:
        for stream in (closed, written, Failing()):
            with pytest.raises(elfsig.ReadError):
                elfsig.open(stream)  # type: ignore[arg-type]


def test_a_text_stream_is_a_usage_error(tmp_path: Path) -> None:
    path = tmp_path / "signed.ko"
    path.write_bytes(SIGNED)
    with path.open("r", encoding="utf-8") as stream, pytest.raises(elfsig.UsageError, match="binary"):
        elfsig.open(stream)  # type: ignore[arg-type]
    for empty in (io.StringIO(""), io.StringIO("text")):
        with pytest.raises(elfsig.UsageError, match="binary"):
            elfsig.open(empty)  # type: ignore[arg-type]


@pytest.mark.parametrize("source", [None, 7, 1.5, object(), [SIGNED], {"a": 1}])
def test_a_wrong_type_is_a_usage_error(source: Any) -> None:
    for call in (elfsig.open, elfsig.verify, elfsig.strip, elfsig.list_signatures, elfsig.coverage):
        with pytest.raises(elfsig.UsageError, match="not a file"):
            call(source)
