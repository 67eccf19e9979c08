"""What the digest bits in an OpenPGP packet say without any key: which coverage they fit, and what not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import corpus
from elfsig import registry
from elfsig.elf.table import SHT_RELA, ElfTable
from elfsig.model import SignatureReport, SignOptions, Verdict
from elfsig.verbs.edit.sign import sign
from elfsig.verbs.inspect.digest import streams
from elfsig.verbs.verify.digest_bits import BEFORE_STRIP, CODES, DIFFERS, FITS
from elfsig.verbs.verify.examine import Question, examine
from tests.support import elf
from tests.support.opened import opened
from tests.support.openpgp import signer
from tests.support.run import run

REGISTRY = registry.load(plugins=False)
ERAS = [
    ("i386-2.6.18-el5.ko", "redhat", "fileorder"),
    ("amd64-2.6.32-el6.ko", "note", "sorted"),
    ("ppc64-2.6.32-el6.ko", "note", "sorted"),
    ("amd64-2.6.39-uek.ko", "note", "fileorder-nobuildid"),
    ("i386-2.6.5-fc2.ko", "gkh", "textdata"),
]
WITHOUT_KEYS, WITHOUT_CHECKS = Question(), Question(check=False, recorded=True)


def made(sample: str, format_id: str, coverage: str) -> bytes:
    wish = SignOptions(coverage=coverage)
    kind = "rsa2048" if format_id == "gkh" else "dsa1024"
    module = opened(corpus.content(sample), REGISTRY)
    return sign(module, REGISTRY.get(format_id), signer(kind), wish).content


def report(content: bytes, question: Question) -> SignatureReport:
    (found,) = examine(opened(content, REGISTRY), question).signatures
    return found


def said(content: bytes, question: Question = WITHOUT_KEYS) -> tuple[str, str]:
    """Code and text of what is said about the bits."""
    ((code, text),) = ((w.code, w.text) for w in report(content, question).warnings if w.code in CODES)
    return code, text


def damaged(content: bytes) -> bytes:
    """A byte of .text changed."""
    at = ElfTable(content).rows[elf.index_of(content, ".text")].offset
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


@pytest.mark.parametrize("question", [WITHOUT_KEYS, WITHOUT_CHECKS], ids=["verify", "list and show"])
@pytest.mark.parametrize(("sample", "format_id", "coverage"), ERAS)
def test_the_coverage_is_told_without_any_key(
    sample: str, format_id: str, coverage: str, question: Question
) -> None:
    content = made(sample, format_id, coverage)
    code, text = said(content, question)
    assert code == FITS and f"match {coverage}," in text
    assert "once in 65 536" in text and "no signature was checked" in text
    assert report(content, question).verdict is Verdict.UNCHECKED
    assert report(content, question).coverage is None


@pytest.mark.parametrize("question", [WITHOUT_KEYS, WITHOUT_CHECKS], ids=["verify", "list and show"])
@pytest.mark.parametrize(("sample", "format_id", "coverage"), ERAS)
def test_a_damaged_file_is_told_with_the_expected_coverage(
    sample: str, format_id: str, coverage: str, question: Question
) -> None:
    code, text = said(damaged(made(sample, format_id, coverage)), question)
    assert code == DIFFERS and f"{coverage}: " in text
    if format_id == "note":
        assert text.count("expected by the module's vermagic") == 1
        assert f"{coverage}: " in text.partition(", expected")[0].rpartition("(")[2]


def test_headers_that_strip_altered_are_seen_through_without_any_key() -> None:
    unflagged = corpus.content("amd64-2.6.32-el6.ko")
    sections = [s for s in ElfTable(unflagged).sections if s.row.type == SHT_RELA]
    for each in sections:
        unflagged = elf.patched(unflagged, each.nr, flags=each.row.flags & ~0x40)
    wish = SignOptions(coverage="sorted")
    content = sign(opened(unflagged, REGISTRY), REGISTRY.get("note"), signer("dsa1024"), wish).content
    assert said(content)[0] == FITS
    for each in sections:
        content = elf.patched(content, each.nr, flags=each.row.flags | 0x40)
    code, text = said(content)
    assert code == BEFORE_STRIP and f"headers of {len(sections)} relocation sections" in text
    assert said(damaged(content))[0] == DIFFERS


def test_trees_are_listed_without_computing_digests() -> None:
    content = made("amd64-2.6.32-el6.ko", "note", "sorted")
    assert not {w.code for w in report(content, Question(check=False)).warnings} & CODES


@pytest.mark.parametrize("command", ["list", "show", "verify"])
def test_the_commands_say_it(command: str, tmp_path: Path) -> None:
    path = tmp_path / "sample.ko"
    path.write_bytes(made("amd64-2.6.32-el6.ko", "note", "sorted"))
    text = " ".join(run(command, str(path)).out.split())
    assert text.count("the packet's 16 bits of the hash match sorted, which happens by chance") == 1
    (found,) = json.loads(run(command, "--json", str(path)).out)["files"][0]["signatures"]
    assert FITS in [warning["code"] for warning in found["warnings"]]


# --------------------------------------------------------------------------- digest


@pytest.mark.parametrize(
    ("sample", "expected"),
    [("amd64-2.6.32-el6.ko", False), ("amd64-6.1.ko", False), ("amd64-2.6.39-uek.ko", False)],
)
def test_digest_says_nothing_of_2003_about_modules_of_other_eras(sample: str, expected: bool) -> None:
    found = {each.coverage: each for each in streams(opened(corpus.content(sample), REGISTRY))}
    message = found["textdata"].message
    assert message is not None
    assert bool(message.remarks) is expected
    assert message.to_bytes()


def test_digest_says_it_of_modules_of_that_time_and_of_unknown_ones() -> None:
    other = elf.toy(extra=[elf.Sec(".rela.data", bytes(24), 4, 0, 6, 3, 8, 24)])
    found = {each.coverage: each for each in streams(opened(other, REGISTRY))}
    message = found["textdata"].message
    assert message is not None and [each.code for each in message.remarks] == ["kernel-hashes-more"]
