"""The map of a file and the verifier never disagree: over every vector, every sample and every format."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import corpus
from elfsig.coverages.bytemap import Kind, Map, Run
from elfsig.coverages.catalogue import COVERAGES
from elfsig.errors import ReadError, UsageError
from elfsig.model import Existing, Verdict
from elfsig.opened.evidence import read
from elfsig.trust import keyring
from elfsig.verbs.inspect.cover import Cover, covers
from elfsig.verbs.inspect.prove import SMALL, Proof, chosen, every, prove, prover
from elfsig.verbs.verify.examine import Outside, Question
from tests.support import vectors
from tests.support.debian import debian_modules, debian_vmlinuz
from tests.support.notes import Note
from tests.support.opened import opened
from tests.support.signed import WAYS, made, question
from tests.support.toy_objects import NOBITS, Part, Relocation, Symbol, Toy, build
from tests.test_coverage_properties import toys

SEED = 20031001
PLAIN = [sample.name for sample in corpus.select("unsigned") if sample.kept]
SAMPLES = [sample.name for sample in corpus.samples().values()]
SMALLEST = "i386-2.6.18-el5.ko"
TINY = Toy(
    (Part(".text", b"\x90" * 16, flags=6, relocations=(Relocation(4, 1, 2, -4), Relocation(8, 2, 2))),
     Part(".modinfo", b"license=GPL\0"), Part(".bss", bytes(8), type=NOBITS),
     Part(".comment", b"c", flags=0)),
    (Symbol("printk"), Symbol("init", 0, 3, 5)),
)  # fmt: skip


@cache
def everybody() -> Question:
    """All keys of the vectors and of the corpus."""
    rings = [str(path) for path in sorted((vectors.ROOT / "keys").glob("*.pub.gpg"))]
    return Question(keyring.load([*rings, *map(str, corpus.certificates())]))


def proofs(
    content: bytes, asked: Question, extra: int | None, outside: Outside | None = None
) -> Iterator[tuple[Cover, Proof]]:
    """The proof of every map that there is; ``extra`` None changes every byte."""
    for cover in covers(opened(content), asked, outside=outside):
        if cover.message is not None:
            changes = every(cover, SEED) if extra is None else chosen(cover, SEED, extra)
            yield cover, prove(prover(opened(content), cover, asked, outside), changes, SEED)


def holds(cover: Cover, proof: Proof) -> int:
    """Assert it, and that a key took part where one fits; how many bytes were changed."""
    assert proof.holds, [trial._asdict() for trial in proof.against[:5]]
    good = cover.signature is not None and cover.signature.verdict in (Verdict.VALID, Verdict.UNTRUSTED)
    assert proof.keyed is good
    return sum(count.tried for count in proof.counts.values())


@pytest.mark.parametrize("entry", vectors.vectors(), ids=lambda entry: str(entry["id"]))
def test_every_vector(entry: vectors.Vector) -> None:
    for cover, proof in proofs(vectors.module(entry), everybody(), 16):
        assert holds(cover, proof) >= 16


@pytest.mark.parametrize("name", SAMPLES)
def test_every_sample(name: str) -> None:
    try:
        content = read(corpus.content(name)).content
    except ReadError:
        return
    for cover, proof in proofs(content, everybody(), 16):
        holds(cover, proof)


@pytest.mark.parametrize(("format_id", "coverage"), WAYS)
def test_every_format_on_every_sample(format_id: str, coverage: str) -> None:
    for name in PLAIN:
        module = made(corpus.content(name), format_id, coverage)
        [(cover, proof)] = proofs(module.content, question(), 8, module.outside)
        holds(cover, proof)
        assert proof.keyed and cover.coverage == coverage
        assert proof.counts[Kind.VERBATIM].good == 0 < proof.counts[Kind.VERBATIM].tried


@pytest.mark.parametrize(
    ("format_id", "coverage"),
    [("gkh", "textdata"), ("redhat", "fileorder"), ("note", "sorted"), ("x509-rc1", "whole-file")],
)
@pytest.mark.parametrize(("bits", "order"), [(64, "<"), (32, ">")])
def test_every_byte(format_id: str, coverage: str, bits: int, order: str, note: Note) -> None:
    module = made(build(TINY, bits, order), format_id, coverage)
    [(cover, proof)] = proofs(module.content, question(), None)
    assert holds(cover, proof) == len(module.content)
    told = {kind.value: tuple(count) for kind, count in proof.counts.items()}
    note(f"every byte, {format_id} {bits}{order}: {told} (changed, another message, still valid)")
    if coverage != "whole-file":
        count = proof.counts[Kind.OPEN]
        assert count.good == count.tried > len(module.content) / 5


def test_signatures_on_top_of_each_other() -> None:
    """Each layer has a map of its own; what is outside of it is open, but for the wrappers."""
    content = corpus.content("amd64-2.6.39-uek.ko")
    order = (("redhat", "fileorder"), ("note", "sorted"), ("crypto-digsig", "whole-file"),
             ("x509", "whole-file"), ("pkcs7", "whole-file"))  # fmt: skip
    for format_id, coverage in order:
        content = made(content, format_id, coverage, existing=Existing.STACK).content
    found = list(proofs(content, question(), 64))
    assert [cover.coverage for cover, _ in found] == [coverage for _, coverage in reversed(order)]
    for cover, proof in found:
        holds(cover, proof)
        assert proof.keyed
    whole = {
        cover.signature.format: cover.kinds.counts() for cover, _ in found if cover.signature is not None
    }
    assert Kind.OPEN not in whole["pkcs7"]
    assert whole["x509"][Kind.STEERING] == 40  # info block and marker of the trailer outside


@pytest.mark.parametrize("arch", ["amd64", "i386", "arm64", "s390x"])
def test_real_modules(arch: str, note: Note) -> None:
    small = [path for path in debian_modules(arch) if path.stat().st_size < 60_000]
    asked, tried = Question(keyring.load([str(debian_vmlinuz(arch))])), 0
    for path in small[:: len(small) // 3]:
        content = path.read_bytes()
        [(cover, proof)] = proofs(content, asked, 8)
        tried += holds(cover, proof)
        bare = content[: cover.place.start if cover.place else None]
        for format_id, coverage in (("note", "sorted"), ("redhat", "fileorder"), ("gkh", "textdata")):
            module = made(bare, format_id, coverage)
            [(cover, proof)] = proofs(module.content, question(), 8)
            tried += holds(cover, proof)
    note(f"{arch}: {tried} bytes of real modules changed, the map was right about each")


@pytest.mark.parametrize("coverage", COVERAGES)
@given(toy=toys(), shape=st.sampled_from([(32, "<"), (32, ">"), (64, "<"), (64, ">")]))
@settings(max_examples=12, deadline=None)
def test_objects_of_any_shape(coverage: str, toy: Toy, shape: tuple[int, str]) -> None:
    """Without a signature: the messages alone are compared."""
    content = build(toy, *shape)
    asked = Question()
    [cover] = covers(opened(content), asked, coverage)
    if cover.message is not None:
        proof = prove(prover(opened(content), cover, asked), chosen(cover, SEED, 100), SEED)
        assert not proof.keyed
        assert proof.holds, proof.against[:3]


# --------------------------------------------------------------------------- a proof can fail


@pytest.mark.parametrize("kind", [Kind.OPEN, Kind.VERBATIM])
@pytest.mark.parametrize("keys", [True, False])
def test_a_wrong_map_is_refuted(kind: Kind, keys: bool) -> None:
    module = made(corpus.content(SMALLEST), "note", "sorted")
    asked = question() if keys else Question()
    [cover] = covers(opened(module.content), asked)
    wrong = replace(cover, kinds=Map([Run(0, len(module.content), kind)]))
    proof = prove(prover(opened(module.content), wrong, asked), chosen(cover, SEED, 50), SEED)
    assert not proof.holds
    assert len(proof.against) > 20


def test_derived_and_steering_must_agree_with_the_message() -> None:
    """Changes to the signature itself break it while the message stays: no map may call them steering."""
    module = made(corpus.content(SMALLEST), "note", "sorted")
    [cover] = covers(opened(module.content), question())
    wrong = replace(cover, kinds=Map([Run(0, len(module.content), Kind.STEERING)]))
    place = cover.place
    assert place is not None
    changes = [(place.blob_start + at, 0xFF) for at in range(20, 80)]
    assert not prove(prover(opened(module.content), wrong, question()), changes, 0).holds


def test_the_number_of_changes_is_bounded() -> None:
    (cover,) = covers(opened(corpus.content("amd64.pkcs7")), everybody())
    assert len(chosen(cover, SEED, SMALL)) >= SMALL
    with pytest.raises(UsageError, match="too many to change"):
        chosen(cover, SEED, 10**30)


def test_what_cannot_be_proved_is_refused() -> None:
    [cover] = covers(opened(corpus.content("sig-len-huge")), question())
    with pytest.raises(UsageError, match="nothing to prove"):
        prover(opened(corpus.content("sig-len-huge")), cover, question())
    module = made(corpus.content(SMALLEST) + bytes(SMALL), "pkcs7", "whole-file")
    [cover] = covers(opened(module.content), question())
    with pytest.raises(UsageError, match="too many"):
        every(cover, 1)
