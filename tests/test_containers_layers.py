"""Container images: every layer that a manifest lists is there, whole, and can be read; or it is named."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import corpus
from elfsig.containers import oci
from elfsig.containers.contract import Budget, Context
from elfsig.containers.walk import ContainerRecord, walk
from tests.support.archives import tar
from tests.support.containers import FILE, Records, forward, inside, taken
from tests.support.run import run

MODULE = corpus.content("amd64.pkcs7")
LAYER = tar(lib__modules__6_1__a_ko=MODULE)
TAR = "application/vnd.oci.image.layer.v1.tar"


def packed(members: Mapping[str, bytes], links: Mapping[str, str] | None = None) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in members.items():
            header = tarfile.TarInfo(name)
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
        for name, target in (links or {}).items():
            header = tarfile.TarInfo(name)
            header.type, header.linkname = tarfile.SYMTYPE, target
            archive.addfile(header)
    return out.getvalue()


def blob(content: bytes) -> str:
    return f"blobs/sha256/{hashlib.sha256(content).hexdigest()}"


def descriptor(content: bytes, kind: str | None = TAR) -> dict[str, Any]:
    found: dict[str, Any] = {"digest": "sha256:" + blob(content).rpartition("/")[2], "size": len(content)}
    return found if kind is None else {"mediaType": kind, **found}


def manifest(*layers: dict[str, Any]) -> bytes:
    return json.dumps({"schemaVersion": 2, "config": descriptor(b"{}"), "layers": layers}).encode()


def index(*manifests: bytes) -> bytes:
    return json.dumps({"schemaVersion": 2, "manifests": [descriptor(each) for each in manifests]}).encode()


def layout(*layers: bytes, kind: str | None = TAR, folder: str = "") -> dict[str, bytes]:
    """The files of an OCI image layout with an image of these layers."""
    listing = manifest(*(descriptor(each, kind) for each in layers))
    files = {"index.json": index(listing)} | {blob(each): each for each in (listing, b"{}", *layers)}
    return {folder + name: content for name, content in files.items()}


def outcome(records: Records) -> tuple[str, str] | None:
    error = records[-1].error
    return None if error is None else (error.code, error.text)


@pytest.mark.parametrize("layer", [LAYER, gzip.compress(LAYER), bytes(1024), bytes(10240)])
@pytest.mark.parametrize("folder", ["", "./", "images/one/"])
def test_a_whole_image_is_complete(layer: bytes, folder: str) -> None:
    files = layout(layer, folder=folder)
    for order in (files, dict(reversed(files.items()))):
        found, records = taken(packed(order))
        assert outcome(records) is None
        assert (MODULE in inside(found).values()) is any(layer)


@pytest.mark.parametrize("folder", ["", "images/one/"])
def test_a_layer_that_is_not_there(folder: str, tmp_path: Path) -> None:
    files = layout(LAYER, tar(b_ko=MODULE), folder=folder)
    del files[folder + blob(LAYER)]
    text = f"the layer {folder}{blob(LAYER)} is listed and not there"
    found, records = taken(packed(files))
    assert outcome(records) == ("truncated", text) and list(inside(found).values()).count(MODULE) == 1
    (tmp_path / "x.tar").write_bytes(packed(files))
    result = run("survey", tmp_path / "x.tar")
    assert result.code == 5 and text in result.out.replace("\n", " ")


def test_a_manifest_that_is_not_there() -> None:
    files = layout(LAYER)
    del files[listing := next(name for name, content in files.items() if b"layers" in content)]
    assert outcome(taken(packed(files))[1]) == (
        "truncated",
        f"the manifest {listing} is listed and not there",
    )


@pytest.mark.parametrize("instead", [bytes(512) + LAYER[512:], LAYER + bytes(512), b""])
def test_a_layer_with_another_content_than_its_name(instead: bytes) -> None:
    files = layout(LAYER)
    files[blob(LAYER)] = instead
    _, records = taken(packed(files))
    assert outcome(records) == ("damaged", f"the content of {blob(LAYER)} has another SHA-256 than its name")


def test_a_layer_of_no_known_form() -> None:
    secret = hashlib.shake_256(b"layer").digest(20000)
    for kind in (f"{TAR}+gzip+encrypted", TAR, None):
        _, records = taken(packed(layout(LAYER, secret, kind=kind)))
        text = f"the layer {blob(secret)} is of no known form, or encrypted"
        assert outcome(records) == ("unsupported", text)


def test_layers_of_artifacts_need_not_be_archives() -> None:
    """BuildKit adds an image whose layer is a statement about the build; cosign keeps signatures so."""
    files = layout(LAYER)
    for kind, content in (("application/vnd.in-toto+json", b'{"_type": "statement"}'), ("text/x", b"text")):
        artifact = layout(content, kind=kind)
        whole = files | artifact
        manifests = [text for name, text in whole.items() if "blobs" in name and b'"layers"' in text]
        assert outcome(taken(packed(whole | {"index.json": index(*manifests)}))[1]) is None
        del whole[blob(content)]
        whole["index.json"] = index(*manifests)
        assert outcome(taken(packed(whole))[1]) is not None


def test_other_platforms_need_not_be_there() -> None:
    here = layout(LAYER)
    listing = next(content for content in here.values() if b'"layers"' in content)
    platforms = index(listing, manifest(descriptor(b"another")))
    files = here | {"index.json": index(platforms), blob(platforms): platforms}
    assert outcome(taken(packed(files))[1]) is None


def test_a_store_without_an_index_need_not_have_the_layers() -> None:
    """containerd deletes a layer once it is unpacked, and keeps its manifest (discard_unpacked_layers)."""
    store = layout(LAYER, folder="var/lib/containerd/")
    del store["var/lib/containerd/index.json"], store["var/lib/containerd/" + blob(LAYER)]
    assert outcome(taken(packed(store))[1]) is None


def test_the_manifest_of_docker() -> None:
    layers = {"1/layer.tar": LAYER, "2/layer.tar": bytes(1024)}
    listing = {
        "manifest.json": json.dumps([{"Config": "c.json", "Layers": [*layers, "3/layer.tar"]}]).encode()
    }
    _, records = taken(packed(layers | listing, {"3/layer.tar": "../1/layer.tar"}))
    assert outcome(records) is None
    _, records = taken(packed(layers | listing))
    assert outcome(records) == ("truncated", "the layer 3/layer.tar is listed and not there")


@pytest.mark.parametrize(
    "document",
    [b"[", b"[" * 100_000, b'{"manifests": 7}', b'{"manifests": [7, {"digest": 7}, {"digest": "md5:1"}]}',
     b'[7, {"Layers": [7, null]}]', b'{"layers": {"digest": 1}}', b"[]", b"{}", b'{"manifests": []}'],
)  # fmt: skip
def test_documents_of_other_programs(document: bytes) -> None:
    for name in ("index.json", "manifest.json", blob(document)):
        assert outcome(taken(packed({name: document, "a.ko": MODULE}))[1]) is None


def test_more_than_is_remembered_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oci, "_KEPT", 2)
    _, records = taken(packed(layout(LAYER, tar(b_ko=MODULE))))
    assert records[-1].error and records[-1].error.code == "over-budget"
    assert outcome(taken(packed({f"{number}.tar": LAYER for number in range(5)}))[1]) is None


def test_hashing_counts_as_looking() -> None:
    files = layout(LAYER)
    noise = hashlib.shake_256(b"noise").digest(1 << 20)
    files[blob(noise)] = noise
    *_, last = walk(forward(packed(files)), FILE, Context(Budget(output=1 << 16)))
    assert isinstance(last, ContainerRecord) and last.error and last.error.code == "over-budget"


# --------------------------------------------------------------------------- a layout that is a directory


def unpacked(files: Mapping[str, bytes], folder: Path) -> Path:
    for name, content in files.items() if "oci-layout" in files else (*files.items(), ("oci-layout", b"{}")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def surveyed(folder: Path, *words: str) -> tuple[dict[str, Any], int]:
    """The record of the layout, and how many modules were found."""
    found = run("survey", "--jsonl", *words, folder).files()
    (record,) = [each for each in found if each.get("kind") == "oci-layout"]
    return record, sum(each["record"] == "module" for each in found)


@pytest.mark.parametrize("words", [(), ("--no-cage",)])
def test_a_directory_with_all_layers(words: tuple[str, ...], tmp_path: Path) -> None:
    listing = manifest(descriptor(LAYER))
    platforms = index(listing, manifest(descriptor(b"another")))
    files = layout(LAYER) | {blob(platforms): platforms, "index.json": index(platforms)}
    record, modules = surveyed(unpacked(files, tmp_path), *words)
    assert record["complete"] and record["members"] == 3 and modules == 1
    assert record["sha256"] == hashlib.sha256(files["index.json"]).hexdigest()


@pytest.mark.parametrize("nested", [False, True])
def test_a_directory_without_a_layer(nested: bool, tmp_path: Path) -> None:
    files = layout(LAYER, tar(b_ko=MODULE))
    listing = next(content for content in files.values() if b'"layers"' in content)
    if nested:
        platforms = index(listing)
        files |= {blob(platforms): platforms, "index.json": index(platforms)}
    del files[blob(LAYER)]
    record, modules = surveyed(unpacked(files, tmp_path))
    assert record["error"]["text"] == f"the layer {blob(LAYER)} is listed and not there" and modules == 1
    assert run("survey", tmp_path).code == 5


def test_a_directory_with_a_layer_that_nobody_can_read(tmp_path: Path) -> None:
    secret = hashlib.shake_256(b"layer").digest(20000)
    record, _ = surveyed(unpacked(layout(LAYER, secret), tmp_path / "form"))
    assert record["error"]["text"] == f"the layer {blob(secret)} is of no known form, or encrypted"
    record, _ = surveyed(unpacked(layout(LAYER) | {blob(LAYER): LAYER + bytes(512)}, tmp_path / "changed"))
    assert "another SHA-256" in record["error"]["text"]
    folder = unpacked(layout(LAYER), tmp_path / "odd")
    (folder / blob(LAYER)).unlink()
    (folder / blob(LAYER)).mkdir()
    assert not surveyed(folder)[0]["complete"]


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"{}", b'{"manifests": 1}', b"[" * 100000])
def test_a_directory_whose_index_is_none(text: bytes, tmp_path: Path) -> None:
    record, _ = surveyed(unpacked(layout(LAYER) | {"index.json": text}, tmp_path))
    assert record["error"]["code"] == "damaged"


def test_a_directory_leads_nowhere_else(tmp_path: Path) -> None:
    """A link in place of the blobs is not followed by a confined process."""
    other, folder = unpacked(layout(LAYER), tmp_path / "other"), tmp_path / "folder"
    unpacked({"index.json": (other / "index.json").read_bytes()}, folder)
    (folder / "blobs").symlink_to(other / "blobs")
    assert not surveyed(folder)[0]["complete"]


def test_parts_name_a_missing_layer_too(tmp_path: Path) -> None:
    files = layout(LAYER, tar(b_ko=MODULE))
    del files[blob(LAYER)]
    folder = unpacked(files, tmp_path / "image")
    assert run("survey", "--parts", "2", "-o", tmp_path / "out", folder).code == 5
    text = "".join(path.read_text() for path in sorted((tmp_path / "out").glob("*.jsonl")))
    assert f"the layer {blob(LAYER)} is listed and not there" in text
