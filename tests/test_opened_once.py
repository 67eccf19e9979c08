"""A module is opened, parsed, searched and hashed once, whatever is done with it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import corpus
from elfsig.elf.image import Image
from elfsig.elf.table import ElfTable
from elfsig.errors import EditRefused
from elfsig.kernels.select import Chosen
from elfsig.model import Existing, SignOptions
from elfsig.opened import evidence, module
from elfsig.verbs.audit.audit import Gate, audit
from elfsig.verbs.edit.convert import Target, convert, look, plan
from elfsig.verbs.edit.strip import strip
from elfsig.verbs.verify.examine import Question, examine
from elfsig.verbs.verify.kernel import KernelQuestion, ask
from tests.support.opened import opened
from tests.support.run import run
from tests.support.signed import CERT, REGISTRY, made, question, signer


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """How often each of what costs time is done: whole images, tables, searches, reads."""
    counted: Counter[str] = Counter()

    def count(owner: Any, name: str, what: str, only: Any = lambda *args, **more: True) -> None:
        mine = getattr(owner, name)

        def counting(*args: Any, **more: Any) -> Any:
            counted[what] += bool(only(*args, **more))
            return mine(*args, **more)

        monkeypatch.setattr(owner, name, counting)

    count(Image, "__init__", "images", lambda *args, whole=None, **more: whole is None)
    count(ElfTable, "__init__", "tables")
    count(module, "find", "searches")
    count(evidence, "_raw", "reads")
    yield counted


def trailed(format_id: str = "pkcs7") -> bytes:
    return made(corpus.content("amd64-6.1.ko"), format_id, "whole-file").content


def test_a_trailer_is_converted_with_three_images(counts: Counter[str]) -> None:
    source = opened(trailed("pkcs7"))
    how = plan([Target(REGISTRY.get("x509"), signer(), SignOptions())], REGISTRY, question().keys)
    counts.clear()
    done = convert(source, look(source, how), how)
    assert {each.format for each in done.after.signatures} == {"x509"}
    assert counts == {"images": 3, "tables": 3, "searches": 3}  # as it was, without, and as it is now


def test_a_kernel_is_asked_about_what_was_looked_at(
    counts: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = opened(trailed())
    fed: list[int] = []
    mine = hashlib.new

    class Counting:
        def __init__(self, state: Any) -> None:
            self.state = state

        def update(self, data: Any) -> None:
            fed.append(len(data))
            self.state.update(data)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.state, name)

    monkeypatch.setattr(hashlib, "new", lambda *args, **more: Counting(mine(*args, **more)))
    counts.clear()
    assert examine(source, question()).verdict is not None
    assert ask(source, KernelQuestion(Chosen(None), question().keys)).accepted  # type: ignore[arg-type]
    assert counts == {"images": 1, "tables": 1, "searches": 1}
    assert [size for size in fed if size] == [len(corpus.content("amd64-6.1.ko"))]


def test_an_audit_looks_at_the_module_that_was_verified(counts: Counter[str], tmp_path: Path) -> None:
    source = opened(trailed())
    counts.clear()
    gate = Gate(question(), kernels=(KernelQuestion(Chosen(None), question().keys),))  # type: ignore[arg-type]
    audit(source, examine(source, gate.question), gate)
    assert counts == {"images": 1, "tables": 1, "searches": 1}
    path = tmp_path / "amd64-6.1.ko"
    path.write_bytes(trailed())
    counts.clear()
    run("audit", "--trust", CERT, "--kernel", "auto", "-j", "1", path)
    assert (counts["images"], counts["searches"]) == (1, 1)


@pytest.mark.parametrize("name", ["pkcs7", "redhat", "note", "gkh"])
def test_the_bare_content_is_what_strip_gives_without_its_witness(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = corpus.content("amd64-2.6.32-el6.ko")
    coverage = {"pkcs7": "whole-file", "redhat": "fileorder", "note": "sorted", "gkh": "textdata"}[name]
    signed = made(plain, name, coverage)
    stacked = made(signed.content, "x509", "whole-file", existing=Existing.STACK).content
    assert strip(opened(stacked), everything=True).content == plain

    def witness(*args: Any) -> None:
        raise AssertionError("the witness was called")

    for proof in ("prove_removed", "prove_inserted"):
        monkeypatch.setattr(f"elfsig.elf.edit.{proof}", witness)
    left = opened(stacked)
    assert left.bare == plain and left.bare_sha256 == hashlib.sha256(plain).hexdigest()
    assert examine(opened(stacked), Question(hashes=True)).content_sha256 == left.bare_sha256


def test_nothing_is_bare_where_the_extent_of_a_signature_is_uncertain() -> None:
    damaged = opened(corpus.content("newline-lost"))
    assert damaged.bare_sha256 is None
    with pytest.raises(EditRefused) as refusal:
        _ = damaged.bare
    assert refusal.value.code == "uncertain-extent"


def test_a_module_that_does_not_change_is_the_module() -> None:
    source = opened(corpus.content("amd64-6.1.ko"))
    assert strip(source).module is source and source.edited(source.content) is source
    assert source.as_file() is source
