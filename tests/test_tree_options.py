"""Every option says of a file in a tree what it says of the file alone, however much of the tree is alike."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

import corpus
from elfsig.batch.like_signed import LikeSigned
from elfsig.cli import exit_codes
from elfsig.compression.whole import pack
from elfsig.elf.table import ElfTable
from elfsig.model import Existing
from elfsig.verbs.verify.examine import Question, examine
from tests.support import elf
from tests.support.cli import Ran
from tests.support.opened import opened
from tests.support.run import run
from tests.support.signed import CERT, REGISTRY, made, question

PLAIN = ("amd64-6.1.ko", "arm64-6.1.ko", "i386-6.1.ko", "s390x-6.1.ko")
OTHER = corpus.KEYS / "other.cert.pem"
SKIPPABLE = b"\x53\x2a\x4d\x18\x04\0\0\0skip"


@cache
def signed(content: bytes, format_id: str = "pkcs7") -> bytes:
    return made(content, format_id, "whole-file", existing=Existing.STACK).content


def flipped(data: bytes, at: int) -> bytes:
    at %= len(data)
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def reaching(content: bytes) -> bytes:
    """Its second to last section claims more bytes than the file has."""
    table = ElfTable(content)
    return elf.patched(content, len(table.rows) - 2, size=len(content))


@cache
def files() -> Mapping[str, bytes]:
    """Modules whose trailers are alike but for the value, and others that are not quite as they should be."""
    plain = [corpus.content(name) for name in PLAIN]
    good = [signed(content) for content in plain]
    odd = {
        **{f"type-{kind}": signed(elf.repatched(plain[0], type=kind)) for kind in (0, 2, 3, 4, 77)},
        "reaching": signed(reaching(plain[0])),
        "no-names": signed(elf.repatched(plain[0], shstrndx=0)),
        "names-elsewhere": signed(elf.repatched(plain[0], shstrndx=1)),
        "segments": signed(elf.repatched(plain[0], phnum=1, phoff=64, phentsize=56)),
        "no-table": signed(elf.repatched(plain[0], shoff=0)),
        "table-cut": signed(elf.repatched(plain[0], shnum=4000)),
        "behind": signed(plain[1] + bytes(16)),
        "marker-inside": signed(plain[1][:-28] + b"~Module signature appended~\n"),
        "text": signed(b"a text\n" * 20),
        "content": flipped(good[0], 200),
        "value": flipped(good[1], -60),
        "marker": flipped(good[1], -3),
        "twice": signed(good[2]),
        "section": signed(made(plain[0], "redhat", "fileorder").content),
        "x509": signed(plain[3], "x509"),
        "stranger": corpus.content("amd64.pkcs7-other"),
        "unsigned": plain[2],
        "cut": good[3][:-1],
        "empty": b"",
    }
    packed = {
        "packed.ko.xz": pack(good[0], "xz"),
        "packed.ko.gz": pack(good[1], "gzip"),
        "packed.ko.zst": pack(good[2], "zstd"),
        "skippable.ko.zst": SKIPPABLE + zstandard.compress(good[3]),
        "outside.ko.xz": signed_file(pack(plain[0], "xz")),
    }
    named = {f"{'em'[number % 2]}-{name}.ko": content for number, (name, content) in enumerate(odd.items())}
    return {**{f"{n:02}-good.ko": good[n % 4] for n in range(8)}, **named, **packed}


def signed_file(raw: bytes) -> bytes:
    """``raw`` signed as it is, though it is compressed."""
    blob = signed(b"text")[len(b"text") :]
    return raw + blob


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tree")
    for name, content in files().items():  # each in a directory of its own, which can be walked alone
        (folder / name).mkdir()
        (folder / name / name).write_bytes(content)
    return folder


VERIFY: tuple[tuple[str | Path, ...], ...] = (
    (),
    ("--trust", CERT),
    ("--keys", CERT),
    ("--trust", OTHER),
    ("--trust", OTHER, "--keys", CERT),
    ("--trust", CERT, "--require", "x509"),
    ("--trust", CERT, "--require", "pkcs7"),
    ("--keys", CERT, "--require", "pkcs7"),
    ("--trust", CERT, "--lenient"),
    ("--trust", CERT, "--kernel", "6.12"),
    ("--trust", CERT, "--kernel", "rhel7", "--enforce"),
    ("--trust", CERT, "--kernel", "auto"),
    ("--kernel", "rhel5", "--all-modes"),
    ("--trust", CERT, "--jsonl", "--reproducible"),
    ("--jsonl", "--reproducible"),
    ("--trust", CERT, "--kernel", "6.12", "--jsonl", "--reproducible", "--all-modes"),
)
LIST: tuple[tuple[str | Path, ...], ...] = (
    ("-H",),
    ("-H", "--only", "signed"),
    ("-H", "--only", "pkcs7"),
    ("-H", "--only", "malformed"),
    ("-H", "--only", "sha256"),
    ("--jsonl", "--reproducible"),
    ("-H", "--sections"),
)


@pytest.mark.parametrize(
    "words", [*(("verify", *each) for each in VERIFY), *(("list", *each) for each in LIST)],
    ids=lambda words: " ".join(getattr(word, "name", word) for word in words),
)  # fmt: skip
def test_a_file_gets_the_same_answer_in_a_tree_and_alone(words: tuple[str | Path, ...], tree: Path) -> None:
    jobs = () if "--sections" in words else ("-j", "1")
    together = run(*words, *jobs, tree)
    alone = [run(*words, *jobs, path) for path in sorted(tree.iterdir())]
    assert together.out == "".join(each.out for each in alone)
    assert together.code == exit_codes.combined(each.code for each in alone)
    assert complaints(together) == [line for each in alone for line in complaints(each)]


def complaints(ran: Ran) -> list[str]:
    """What stderr says, without the summary."""
    return [line for line in ran.err.splitlines() if not re.match(r"elfsig: \d+ files?: ", line)]


@pytest.mark.parametrize("words", [("--trust", CERT), ("--trust", CERT, "--require", "x509")])
def test_processes_say_the_same(words: tuple[str | Path, ...], tree: Path, tmp_path: Path) -> None:
    for number in range(3):
        shutil.copytree(tree, tmp_path / str(number))
    one, two = (run("verify", *words, "-j", jobs, tmp_path) for jobs in ("1", "2"))
    assert (one.out, one.code) == (two.out, two.code)


def test_the_second_line_of_an_unmet_demand_names_its_own_file(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.ko").write_bytes(signed(corpus.content(PLAIN[0])))
    ran = run("verify", "-j", "1", "--trust", CERT, "--require", "x509", tmp_path)
    lines = [line for line in ran.out.splitlines() if "required" in line]
    assert [Path(line.split(":")[0]).name for line in lines] == ["a.ko", "b.ko", "c.ko"]


# --------------------------------------------------------------------------- the short way


@cache
def remembered(check: bool, hashes: bool = False) -> tuple[LikeSigned, Question]:
    asked = Question(question().keys, hashes) if check else Question(check=False)
    like = LikeSigned(REGISTRY, asked)
    for format_id in ("pkcs7", "x509"):
        module = opened(signed(corpus.content(PLAIN[0]), format_id))
        like.learn(module, examine(module, asked))
    return like, asked


@pytest.mark.parametrize("hashes", [False, True])
def test_the_short_way_gives_the_very_report(hashes: bool) -> None:
    like, asked = remembered(True, hashes)
    quick = 0
    for name, content in files().items():
        module = opened(content)
        report = like.report(module)
        assert report in (None, examine(opened(content), asked)), name
        quick += report is not None
    assert quick >= 11  # the good ones, packed or not


@settings(max_examples=400, deadline=None)
@given(
    name=st.sampled_from(PLAIN),
    changes=st.lists(st.tuples(st.integers(-2600, 63), st.integers(1, 255)), min_size=1, max_size=3),
    again=st.booleans(),
)
def test_a_changed_module_is_never_mistaken(name: str, changes: list[tuple[int, int]], again: bool) -> None:
    """Changes to the header, the section header table and the trailer, before or after it is signed."""
    content = bytearray(corpus.content(name) if again else signed(corpus.content(name)))
    for at, mask in changes:
        content[at % len(content)] ^= mask
    data = signed(bytes(content)) if again else bytes(content)
    for check in (True, False):
        like, asked = remembered(check)
        assert like.report(opened(data)) in (None, examine(opened(data), asked))


@settings(max_examples=150, deadline=None)
@given(changes=st.lists(st.tuples(st.integers(-2600, 63), st.integers(1, 255)), min_size=1, max_size=2))
def test_a_glance_at_a_changed_module_is_never_mistaken(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]]
) -> None:
    content = bytearray(corpus.content(PLAIN[1]))
    for at, mask in changes:
        content[at % len(content)] ^= mask
    path = tmp_path_factory.mktemp("glance") / "m.ko"
    path.write_bytes(signed(bytes(content)))
    like, asked = remembered(False)
    assert like.report_from_ends(str(path)) in (None, examine(opened(path), asked))
