"""Every known-answer vector gives the stream that the original extractors wrote."""

from __future__ import annotations

import hashlib

import pytest

from elfsig.coverages import relocations
from elfsig.coverages.canonical import FILEORDER, FILEORDER_NOBUILDID, SORTED
from elfsig.coverages.textdata import TEXTDATA, TEXTDATA_2003, TEXTDATA_FC2, TextData
from elfsig.coverages.whole_file import WholeFile
from elfsig.elf.image import Image
from elfsig.model import Coverage, Message, Place
from tests.support.vectors import Vector, each, module, read, vector, vectors

COVERAGES: dict[str, Coverage] = {
    c.id: c for c in (TEXTDATA, FILEORDER, FILEORDER_NOBUILDID, SORTED, WholeFile())
}


def place_of(entry: Vector, data: bytes) -> Place | None:
    """Where the vector's signature is, as the manifest says."""
    if "section" in entry:
        index = entry["section"]["index"]
        return Place("section", "", 0, 0, 0, b"", None, index=index)
    if entry["format"] != "crypto-pgp":
        return None
    start = len(data) - len("00310") - len("This Is A Crypto Signed Module") - len(read(entry["signature"]))
    return Place("trailer", "", start, len(data), start, b"", None)


def message(entry: Vector, coverage: Coverage | None = None) -> Message:
    data = module(entry)
    return (coverage or COVERAGES[entry["coverage"]]).message(Image(data), place_of(entry, data))


def test_there_are_65() -> None:
    assert len({v["id"] for v in vectors()}) == 65


@each(vectors())
def test_module_is_what_the_manifest_says(entry: Vector) -> None:
    assert len(module(entry)) == entry["module"]["size"]


def check(stream: bytes, expected: dict[str, object]) -> None:
    assert len(stream) == expected["length"]
    assert hashlib.sha1(stream).hexdigest() == expected["sha1"]
    assert hashlib.sha256(stream).hexdigest() == expected["sha256"]


@pytest.mark.parametrize("large", [0, 1 << 30], ids=["numpy", "struct"])
@each(v for v in vectors() if "stream" in v)
def test_stream(entry: Vector, large: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relocations, "LARGE", large)
    monkeypatch.setattr(relocations, "SMALL", large)
    found = message(entry)
    stream = found.to_bytes()
    assert found.size == len(stream)
    check(stream, entry["stream"])
    if "stream_file" in entry:
        assert stream == read(entry["stream_file"])


def test_streams_kept_as_files() -> None:
    assert sum("stream_file" in v for v in vectors()) == 26


@each(v for v in vectors() if "stream_with_rela" in v)
def test_textdata_with_rela(entry: Vector) -> None:
    check(message(entry, TextData("rela", rela=True)).to_bytes(), entry["stream_with_rela"])


@each(v for v in vectors() if "stream" not in v)
def test_module_without_signature_has_the_stream_of_its_origin(entry: Vector) -> None:
    """objcopy -R gives back what was signed."""
    coverage = COVERAGES[entry["coverage"]]
    origin = coverage.message(Image(read(entry["unsigned"])), None)
    assert message(entry).to_bytes() == origin.to_bytes()


def test_kernels_with_nobits_saw_more() -> None:
    """The FC2 kernel refuses this vector: it also hashes ``.data..percpu``, 72 bytes of type NOBITS."""
    entry = vector("edge-fc2-i386")
    signed, fc2, early = (message(entry, c) for c in (TEXTDATA, TEXTDATA_FC2, TEXTDATA_2003))
    assert fc2.size == signed.size + 72
    assert early.to_bytes() == fc2.to_bytes()
    assert [r.code for r in signed.remarks] == ["kernel-hashes-more"]
    assert not fc2.remarks


def test_only_the_own_section_is_left_out() -> None:
    """An allocated ``.module_sig`` is covered by the list of a note."""
    entry = vector("rh-i386-dsa-v3")
    image = Image(module(entry))
    without = SORTED.message(image, place_of(entry, image.data)).to_bytes()
    everything = SORTED.message(image, None).to_bytes()
    blob = read(entry["signature"])
    assert b".module_sig" in everything
    assert blob in everything
    assert blob not in without
