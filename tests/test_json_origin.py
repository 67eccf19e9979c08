"""Where a line of --jsonl comes from: host, run, size and sha256; and that no type depends on the data."""

from __future__ import annotations

import hashlib
import json
import lzma
import tarfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

import corpus
from elfsig.cli.caged import _object_of
from elfsig.cli.options.common import Machine
from elfsig.model.json_form import run_id
from elfsig.opened.walk import WalkedFile
from tests.support.run import run
from tests.support.schema import lines, parsed

CERT = corpus.KEYS / "signer.cert.pem"
COMMANDS: dict[str, list[str | Path]] = {
    "verify": ["verify", "--trust", CERT],
    "verify without keys": ["verify"],
    "list": ["list"],
    "sections": ["list", "--sections"],
    "audit": ["audit", "--trust", CERT],
    "survey": ["survey", "--no-cage", "--trust", CERT],
}
NIL = "00000000-0000-0000-0000-000000000000"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One module of each kind: signed, unsigned, compressed, cut off; and one in an archive."""
    root = tmp_path_factory.mktemp("tree")
    signed = corpus.content("amd64.pkcs7")
    (root / "signed.ko").write_bytes(signed)
    (root / "plain.ko").write_bytes((corpus.SAMPLES / "amd64-6.1.ko").read_bytes())
    (root / "packed.ko.xz").write_bytes(lzma.compress(signed, check=lzma.CHECK_CRC32))
    (root / "cut.ko").write_bytes(signed[:100])
    return root


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_line_has_them(name: str, tree: Path) -> None:
    found = lines(run(*COMMANDS[name], tree, "--jsonl").out)
    assert len(found) == 4
    assert {each["host"] for each in found} == {None}
    (the_run,) = {each["run"] for each in found}
    assert the_run[14] == "7" and the_run[19] in "89ab"
    for each in found:
        data = Path(each["path"]).read_bytes()
        assert (each["size"], each["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize("name", list(COMMANDS))
@pytest.mark.parametrize("form", ["--json", "--jsonl"])
def test_the_host_is_the_one_given(name: str, form: str, tree: Path) -> None:
    out = run(*COMMANDS[name], tree, form, "--host", "b\udcff1").out
    entries = lines(out) if form == "--jsonl" else _entries(parsed(out))
    assert len(entries) == 4 and {each["host"] for each in entries} == {"b\\xff1"}


def _entries(document: Any) -> Any:
    return document["files"] if "files" in document else document["records"]


@pytest.mark.parametrize("name", list(COMMANDS))
def test_reproducible_runs_have_one_id(name: str, tree: Path) -> None:
    ran = [run(*COMMANDS[name], tree, "--jsonl", "--reproducible").out for _ in range(2)]
    assert ran[0] == ran[1] and {each["run"] for each in lines(ran[0])} == {NIL}


def test_runs_have_ids_in_order() -> None:
    many = [run_id() for _ in range(100)]
    assert len(set(many)) == 100 and sorted(each[:13] for each in many) == [each[:13] for each in many]
    assert run_id(reproducible=True) == NIL


@pytest.mark.parametrize("words", [["--host", "a"], ["--json", "--host", ""], ["--jsonl", "--host", " "]])
def test_a_host_that_cannot_be_written(words: list[str], tree: Path) -> None:
    ran = run("verify", tree, *words)
    assert (ran.code, ran.out) == (2, "") and "--host" in ran.err


def test_a_container_has_the_hash_of_its_file(tree: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as tar:
        tar.add(tree / "signed.ko", "signed.ko")
    module, container = lines(run("survey", "--no-cage", path, "--jsonl", "--host", "h").out)
    assert (container["size"], container["sha256"]) == (
        path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest(),
    )  # fmt: skip
    assert module["host"] == container["host"] == "h" and module["run"] == container["run"]


def test_a_file_that_cannot_be_read_has_null(tmp_path: Path) -> None:
    for words in (["verify"], ["list"], ["list", "--sections"], ["audit", "--trust", CERT]):
        (each,) = lines(run(*words, tmp_path / "none.ko", "--jsonl", "--host", "h").out)
        assert (each["size"], each["sha256"], each["host"]) == (None, None, "h")


def test_what_a_cage_hands_out_cannot_name_another_host() -> None:
    machine = Machine("jsonl", False, "real", NIL)
    sent = ["x.ko", json.dumps({"path": "x.ko", "host": "forged", "run": 5}), "valid", 0, None]
    result = _object_of(machine, sent, WalkedFile("x.ko"))
    assert json.loads(result.text) == {"path": "x.ko", "host": "real", "run": NIL}


# --------------------------------------------------------------------------- types


def test_no_type_depends_on_the_data(tmp_path: Path) -> None:
    """Programs that infer columns see null or one type in each, whatever was signed how."""
    for name in corpus.samples():
        (tmp_path / f"{name}.ko").write_bytes(corpus.content(name))
    (tmp_path / "text.ko").write_bytes(b"text")
    for name, words in COMMANDS.items():
        kinds: dict[str, set[str]] = defaultdict(set)
        for each in lines(run(*words, tmp_path, "--jsonl").out):
            _collect(each, "", kinds)
        assert {where: found for where, found in kinds.items() if len(found - {"null"}) > 1} == {}, name


def _collect(value: Any, where: str, kinds: dict[str, set[str]]) -> None:
    if isinstance(value, dict):
        kinds[where].add("object")
        for key, each in value.items():
            _collect(each, f"{where}.{key}", kinds)
    elif isinstance(value, list):
        kinds[where].add("array")
        for each in value:
            _collect(each, f"{where}[]", kinds)
    else:
        kinds[where].add("null" if value is None else type(value).__name__)
