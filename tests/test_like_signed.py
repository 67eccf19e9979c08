"""The short way of ``verify`` over a tree says what the full look says, and never calls more valid."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import corpus
from elfsig.batch.like_signed import LikeSigned
from elfsig.batch.plain_file import HEAD, Ends, plain_file
from elfsig.compression.whole import Compression, pack, unpack
from elfsig.elf.image import Image
from elfsig.elf.modinfo import fields_in, value_in
from elfsig.model import Existing, Verdict
from elfsig.opened import evidence
from elfsig.verbs.verify.examine import examine
from tests.support.cli import elfsig
from tests.support.opened import opened
from tests.support.run import run
from tests.support.signed import CERT, REGISTRY, made, question

FORMATS = ("pkcs7", "x509")
FLIPS = 400


def signed(name: str, format_id: str = "pkcs7") -> bytes:
    return made(corpus.content(name), format_id, "whole-file").content


def learned(format_id: str) -> LikeSigned:
    like = LikeSigned(REGISTRY, question())
    module = opened(signed("amd64-6.1.ko", format_id))
    like.learn(module, examine(module, question()))
    return like


def verdict(like: LikeSigned, content: bytes) -> str | None:
    """What the short way says; None where it leaves the file to the full look."""
    report = like.report(opened(content))
    return None if report is None else str(report.verdict)


@pytest.mark.parametrize("format_id", FORMATS)
def test_a_like_signature_is_known_again(format_id: str) -> None:
    like = learned(format_id)
    for name in ("i386-6.1.ko", "arm64-6.1.ko", "s390x-6.1.ko"):
        assert verdict(like, signed(name, format_id)) == "valid"
    assert verdict(like, corpus.content("arm64-6.1.ko")) is None


@pytest.mark.parametrize("format_id", FORMATS)
def test_whatever_is_flipped_is_left_to_the_full_look(format_id: str) -> None:
    like, content = learned(format_id), signed("arm64-6.1.ko", format_id)
    rng = random.Random(7)
    places = [*range(len(content) - 700, len(content)), *rng.sample(range(len(content)), FLIPS)]
    for at in places:
        changed = bytearray(content)
        changed[at] ^= 1 << rng.randrange(8)
        assert verdict(like, bytes(changed)) is None, at


def test_nothing_is_learned_from_what_is_not_valid() -> None:
    like = LikeSigned(REGISTRY, question())
    bad = bytearray(signed("amd64-6.1.ko"))
    bad[100] ^= 1
    for content in (bytes(bad), corpus.content("amd64-6.1.ko"), signed("amd64-6.1.ko") + b"\0"):
        module = opened(content)
        report = examine(module, question())
        assert report.verdict is not Verdict.VALID
        like.learn(module, report)
    assert verdict(like, signed("i386-6.1.ko")) is None


def test_a_tree_is_told_of_as_its_files_are(tmp_path: Path) -> None:
    good = [signed(name) for name in ("amd64-6.1.ko", "i386-6.1.ko", "arm64-6.1.ko", "s390x-6.1.ko")]
    odd = {
        "content": good[0][:200] + b"!" + good[0][201:],
        "value": good[1][:-60] + bytes([good[1][-60] ^ 1]) + good[1][-59:],
        "twice": made(good[2], "pkcs7", "whole-file", existing=Existing.STACK).content,
        "section": made(made(corpus.content("amd64-6.1.ko"), "redhat", "fileorder").content, "pkcs7",
                        "whole-file", existing=Existing.STACK).content,
        "cut": good[3][:-1],
        "plain": corpus.content("i386-6.1.ko"),
    }  # fmt: skip
    every = {f"{number:02}": good[number % 4] for number in range(60)}
    for name, content in (every | {f"30-{name}": content for name, content in odd.items()}).items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "sample.ko").write_bytes(content)
    whole = elfsig("verify", "--trust", CERT, tmp_path).out
    apart = "".join(elfsig("verify", "--trust", CERT, path).out for path in sorted(tmp_path.rglob("*.ko")))
    assert whole == apart
    assert whole.count(": valid: ") == 60 + 2 + 2  # both layers of "twice" and of "section"


def test_every_file_is_unpacked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names: dict[str, Compression | None] = {
        "plain.ko": None, "one.ko.xz": "xz", "two.ko.xz": "xz", "three.ko.gz": "gzip",
    }  # fmt: skip
    content = signed("amd64-6.1.ko")
    for name, kind in names.items():
        (tmp_path / name).write_bytes(pack(content, kind) if kind else content)
    unpacked: list[int] = []

    def counting(raw: bytes, *args: Any) -> Any:
        unpacked.append(len(raw))
        return unpack(raw, *args)

    monkeypatch.setattr(evidence, "unpack", counting)
    ran = run("verify", "-j", "1", "--trust", CERT, tmp_path)
    assert ran.code == 0 and ran.out.count(": valid: ") == len(names)
    assert len(unpacked) == len(names) - 1


def test_what_is_plain_has_a_section_table_that_can_be_read() -> None:
    content = signed("amd64-6.1.ko")
    end = opened(content).places[0].place.start
    dice, count = random.Random(3), 0
    table = int.from_bytes(content[40:48], "little")
    for _ in range(20 * FLIPS):
        data = bytearray(content)
        for _ in range(dice.randrange(1, 4)):
            at = dice.choice((dice.randrange(64), dice.randrange(table, end), dice.randrange(end)))
            data[at] = dice.randrange(256)
        changed = bytes(data)
        if plain_file(Ends(changed[:HEAD], changed, len(changed)), end, REGISTRY) is not None:
            assert Image(changed).elf_fault is None and Image(changed).elf is not None
            count += 1
    assert count > FLIPS


@given(st.lists(st.sampled_from([b"a", b"b", b"=", b"\0", b"vermagic"]), max_size=12).map(b"".join))
def test_a_value_is_found_in_the_bytes_of_modinfo_as_among_its_fields(data: bytes) -> None:
    for name in (b"a", b"ab", b"vermagic"):
        first = next((value for key, value in fields_in(data) if key == name), None)
        assert value_in(data, name) == (None if first is None else first.decode())
