"""--jsonl on the commands that answer about one file, a ring or a gate: the same as --json, line by line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import corpus
from tests.support.cli import without_origin
from tests.support.run import run
from tests.support.schema import lines, parsed

CERT = corpus.KEYS / "signer.cert.pem"
PLAIN = corpus.SAMPLES / "amd64-6.1.ko"


@pytest.fixture
def module(tmp_path: Path) -> Path:
    path = tmp_path / "a.ko"
    path.write_bytes(corpus.content("amd64.pkcs7"))
    return path


def both(*words: str | Path) -> tuple[dict[str, Any], list[Any]]:
    """The document without what tells of the run, and the lines without it."""
    one, many = run(*words, "--json"), run(*words, "--jsonl")
    assert (one.code, one.err) == (many.code, many.err)
    document = parsed(one.out)
    del document["run"]
    if "files" in document:
        document["files"] = [without_origin(each) for each in document["files"]]
    return document, [without_origin(each) for each in lines(many.out)]


@pytest.mark.parametrize("words", [["digest"], ["keys", "match"], ["coverage"]], ids=" ".join)
def test_the_answer_about_one_file_is_one_line(words: list[str], module: Path) -> None:
    document, found = both(*words, module, *([CERT] if "match" in words else []))
    assert found == [document] and document["path"] == str(module)


def test_a_line_for_each_key() -> None:
    document, found = both("keys", "list", corpus.KEYS)
    assert found == [{**key, "schema_version": 1} for key in document["keys"]] and len(found) > 2


def test_audit_has_a_line_for_each_file(module: Path, tmp_path: Path) -> None:
    (tmp_path / "plain.ko").write_bytes(PLAIN.read_bytes())
    (tmp_path / "b\udce9.ko").write_bytes(PLAIN.read_bytes()[:100])
    document, found = both("audit", tmp_path, "--trust", CERT, "--ignore=misnamed", "--expect", "5")
    by_name = {Path(each["path"]).name: each for each in found}
    assert by_name["a.ko"]["faults"] == [] and by_name["a.ko"]["signer"]["verdict"] == "valid"
    assert [fault["rule"] for fault in by_name["plain.ko"]["faults"]] == ["unsigned"]
    assert any(each.get("path_hex", "").endswith(b"b\xe9.ko".hex()) for each in found)
    told = [fault for each in found for fault in each["faults"]]
    assert sorted(map(str, told)) == sorted(map(str, document["audit"]["faults"]))


def test_compare_and_explain(module: Path) -> None:
    for words, member in ((("compare", module, PLAIN), "comparisons"), (("explain", module), "files")):
        document, found = both(*words)
        assert found == document[member] and len(found) == 1


def test_explain_on_a_system_ends_with_what_was_read_there(module: Path, tmp_path: Path) -> None:
    (tmp_path / "lib/modules/6.1.0").mkdir(parents=True)
    document, found = both("explain", module, "--root", tmp_path)
    assert found == [*document["files"], {"system": document["system"], "schema_version": 1}]


def test_sections_of_every_file(module: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.ko").write_bytes(PLAIN.read_bytes()[:100])
    (tmp_path / "text.ko").write_bytes(b"text")
    document, found = both("list", "--sections", module, tmp_path / "cut.ko", tmp_path / "text.ko")
    assert found == document["files"]
    good, cut, text = found
    [reach] = good["reaches"]
    assert (reach["format"], reach["coverage"], reach["fault"]) == ("pkcs7", "whole-file", None)
    numbers = {each["name"]: each["nr"] for each in good["sections"]}
    assert numbers[".text"] in reach["sections"] and good["error"] is None
    [row] = [each for each in good["sections"] if each["name"] == ".text"]
    assert (row["type"], row["type_name"]) == (1, "PROGBITS")
    assert cut["sections"] == text["sections"] == [] and text["error"]["code"] == "not-elf"
    assert cut["error"]["offset"] is not None


def test_sections_of_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    ran = run("list", "--sections", tmp_path / "none.ko", "--jsonl")
    [found] = lines(ran.out)
    assert (ran.code, found["error"]["code"], found["sections"]) == (5, "not-found", [])
    assert run("list", "--sections", tmp_path / "none.ko").out == ""
