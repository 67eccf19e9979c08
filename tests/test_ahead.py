"""Modules that are read before their keys are known get the reports that they get afterwards."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import corpus
from elfsig.batch import ahead
from elfsig.batch.background import Background
from elfsig.batch.like_signed import LikeSigned
from elfsig.model import Existing
from elfsig.verbs.verify.examine import Question, examine
from tests.support.cli import elfsig
from tests.support.opened import opened
from tests.support.run import run
from tests.support.signed import CERT, REGISTRY, made, question


def signed(name: str, format_id: str = "pkcs7") -> bytes:
    return made(corpus.content(name), format_id, "whole-file").content


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A key source as large as a kernel image."""
    source = tmp_path / "image.pem"
    source.write_bytes(CERT.read_bytes() + b"# a comment\n" * (1 << 17))
    return source


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Modules of two formats, good ones and damaged ones, and one under another's name."""
    good = [
        signed(f"{name}-6.1.ko", form) for form in ("pkcs7", "x509") for name in ("amd64", "i386", "arm64")
    ]
    twice = made(good[2], "pkcs7", "whole-file", existing=Existing.STACK).content
    odd = {
        "content": good[0][:200] + b"!" + good[0][201:],
        "value": good[1][:-60] + bytes([good[1][-60] ^ 1]) + good[1][-59:],
        "twice": twice,
        "cut": good[2][:-1],
        "plain": corpus.content("i386-6.1.ko"),
        "text": b"not a module",
    }
    folder = tmp_path / "tree"
    for name, content in ({f"{n:02}": good[n % 6] for n in range(60)} | odd).items():
        (folder / name).mkdir(parents=True)
        (folder / name / "sample.ko").write_bytes(content)
    (folder / "named").mkdir()
    (folder / "named" / "other.ko").write_bytes(good[0])
    (folder / "gone").mkdir()
    (folder / "gone" / "link.ko").symlink_to(folder / "00" / "sample.ko")
    return folder


@pytest.mark.parametrize("options", [(), ("--jsonl", "--reproducible"), ("--require", "pkcs7"), ("--all",)])
@pytest.mark.parametrize("most", [ahead.MOST, 7])
def test_a_tree_is_reported_as_with_keys_that_are_there(
    options: tuple[str, ...], most: int, tree: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead, "MOST", most)
    begun: list[object] = []
    began = Background.__init__

    def counting(self: Background[Any], work: Callable[[], Any]) -> None:
        begun.append(work)
        began(self, work)

    monkeypatch.setattr(Background, "__init__", counting)
    first, then = (run("verify", "-j", jobs, *options, "--trust", image, tree) for jobs in ("2", "1"))
    assert len(begun) == 1 and first.out.count("valid") > 60
    assert (first.code, first.out, first.err) == (then.code, then.out, then.err)


def test_what_is_wrong_with_a_source_is_said_as_ever(tree: Path, tmp_path: Path) -> None:
    source = tmp_path / "image"
    source.write_bytes(bytes(1 << 20))
    first, then = (elfsig("verify", "-j", jobs, "--trust", source, tree) for jobs in ("2", "1"))
    assert first == then and first.code and not first.out


@pytest.mark.parametrize("format_id", ["pkcs7", "x509"])
def test_a_prepared_module_is_never_called_more_than_it_is(format_id: str) -> None:
    unchecked, like = LikeSigned(REGISTRY, Question(check=False)), LikeSigned(REGISTRY, question())
    module = opened(signed("amd64-6.1.ko", format_id))
    unchecked.learn(module, examine(module, Question(check=False)))
    like.learn(module, examine(module, question()))
    content = signed("arm64-6.1.ko", format_id)
    ready = unchecked.prepare(opened(content), hashes=False)
    assert ready is not None and like.report_prepared(ready) == like.report(opened(content))
    rng = random.Random(5)
    for at in [*range(len(content) - 700, len(content), 3), *rng.sample(range(len(content)), 200)]:
        changed = bytearray(content)
        changed[at] ^= 1 << rng.randrange(8)
        prepared = unchecked.prepare(opened(bytes(changed)), hashes=False)
        assert prepared is None or like.report_prepared(prepared) is None, at


def test_a_digest_counts_for_its_own_hash_alone() -> None:
    unchecked, like = LikeSigned(REGISTRY, Question(check=False)), LikeSigned(REGISTRY, question())
    module = opened(signed("amd64-6.1.ko"))
    unchecked.learn(module, examine(module, Question(check=False)))
    like.learn(module, examine(module, question()))
    ready = unchecked.prepare(module, hashes=False)
    assert ready is not None and like.report_prepared(ready) is not None
    assert like.report_prepared(ready._replace(hash="sha512")) is None


def test_work_in_the_background_returns_raises_and_dies() -> None:
    assert Background(lambda: {"key": b"value"}).result() == {"key": b"value"}
    with pytest.raises(ZeroDivisionError):
        Background(lambda: 1 / 0).result()
    here: list[int] = []

    def unpicklable() -> Callable[[], int]:
        here.append(1)
        return lambda: 1

    assert Background(unpicklable).result()() == 1 and here == [1]
