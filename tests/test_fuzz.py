"""Fuzzing: every target for a short time, and each oracle against a fault that was planted for it."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from elfsig.compression import DECODER_MEMORY
from tests.fuzz import archive_seeds, images, reached, seeds
from tests.fuzz.__main__ import main
from tests.fuzz.mutate import archives, boxes, der, elf, openpgp, plain, text
from tests.fuzz.oracles import Judge
from tests.fuzz.repair import REPAIRS
from tests.fuzz.runner import Plan, Result, all_targets, chosen, fuzz, run
from tests.fuzz.target import ONE_DECODER, Mutator, Target
from tests.fuzz.targets import planted
from tests.support.cli import apart
from tests.support.tools import need

GROUPS = 8
SECONDS = 1


def ended(names: list[str], folder: Path, seconds: int = SECONDS) -> list[Result]:
    """The results of these targets. Skips where atheris is missing."""
    pytest.importorskip("atheris", reason="needs atheris: it has wheels for x86-64 and CPython 3.11 to 3.14")
    return run(names, Plan(seconds, folder), lambda result: None)


@pytest.mark.timed
@pytest.mark.parametrize("group", range(GROUPS))
def test_every_target_for_a_second(group: int, tmp_path: Path) -> None:
    all_names = chosen([])[group::GROUPS]
    tools = {
        f"containers/{kind}": tool for kind, (tool, _) in images.MAKERS.items() if images.base(kind) is None
    }
    names = [name for name in all_names if name not in tools]
    results = ended(names, tmp_path)
    assert [each.target for each in results] == names
    for each in results:
        said = [path.with_suffix(".json").read_text() for path in each.findings if path.suffix != ".json"]
        assert not each.findings, (each.target, said)
        assert not each.trouble, (each.target, each.trouble)
        assert each.executions and each.edges, each
    for name in all_names:
        if name in tools:  # the others have passed
            need(tools[name])
            need("mkfs.ext2")


# --------------------------------------------------------------------------- oracles


def judged(name: str, data: bytes) -> str | None:
    """The kind of the finding on one input of a planted target."""
    target = next(each for each in planted.TARGETS if each.name == f"planted/{name}")
    judge = Judge(target)
    judge(b"warm")
    found = judge(data)
    return found.kind if found else None


@pytest.mark.timed
@pytest.mark.parametrize(
    ("name", "bad", "kind"),
    [
        ("exception", b"x MARK", "IndexError"),
        ("internal", b"x MARK", "KeyError"),
        ("oracle", b"x MARK", "differs"),
        ("time", bytes(400), "slow"),
    ],
)
def test_each_oracle_finds_its_kind_and_nothing_else(name: str, bad: bytes, kind: str) -> None:
    assert judged(name, b"nothing") is None
    assert judged(name, bad) == kind


def test_growth_is_found_and_nothing_else() -> None:
    """In a process of its own: in one that has just freed memory, an allocation is no growth."""
    code = "print(judged('memory', b'nothing'), judged('memory', b'\\xff'))"
    assert apart("from tests.test_fuzz import judged; " + code) == "None memory"


def test_a_decoder_has_less_memory_than_a_target_may_take() -> None:
    assert DECODER_MEMORY + (32 << 20) < ONE_DECODER < 2 * DECODER_MEMORY


def test_memory_of_python_is_measured_in_a_sample() -> None:
    target = next(each for each in planted.TARGETS if each.name == "planted/memory")
    judge = Judge(target, sample=1)
    assert judge(b"x") is None
    found = judge(b"\xff")
    assert found is not None and "Python allocated" in found.text


@pytest.mark.timed
@pytest.mark.parametrize("name", ["planted/exception", "planted/oracle", "planted/abort"])
def test_a_planted_fault_is_found_saved_and_repeated(name: str, tmp_path: Path) -> None:
    (result,) = ended([name], tmp_path, 5)
    assert result.findings, result
    path = result.findings[0]
    assert planted.MARK in path.read_bytes()
    assert bool(result.trouble) == (name == "planted/abort")
    if name != "planted/abort":
        target = next(each for each in planted.TARGETS if each.name == name)
        assert Judge(target)(path.read_bytes()) is not None


def test_a_target_that_cannot_be_begun_is_trouble(tmp_path: Path) -> None:
    pytest.importorskip("atheris")
    (result,) = fuzz(["planted/none"], Plan(1, tmp_path))
    assert "KeyError" in result.trouble


# --------------------------------------------------------------------------- table and command


def test_rows_of_the_table() -> None:
    targets = all_targets()
    names = [each.name for each in targets]
    assert len(set(names)) == len(names) and not any(name.startswith("planted") for name in names)
    carriers = {c.id.replace(":", "-") for c in seeds.REGISTRY.carriers if c.kind != "detached"}
    assert {f"signatures/find-{name}" for name in carriers} <= set(names)
    assert {f"signatures/{name}" for name in seeds.REGISTRY.envelopes} <= set(names)


def test_every_parser_is_run_by_the_seeds_of_a_target() -> None:
    """In a process of its own, where nothing is cached yet."""
    for tool, _ in images.MAKERS.values():
        need(tool)
    code = "from tests.fuzz import reached; print(*sorted(reached.missed()), sep='\\n')"
    assert apart(code).split() == sorted(reached.NOT_FUZZED)


def test_the_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["--list"]) == 0
    assert "elf/table" in capsys.readouterr().out
    assert main(["nothing/there"]) == 2
    sample = tmp_path / "sample"
    sample.write_bytes(seeds.unsigned()[0])
    assert main(["elf/table", "--repeat", str(sample)]) == 0
    assert "nothing wrong" in capsys.readouterr().out


def test_areas_and_names_select() -> None:
    assert chosen(["texts/uri"] if "texts/uri" in chosen([]) else ["texts/pkcs11"]) == ["texts/pkcs11"]
    assert all(name.startswith("elf/") for name in chosen(["elf"]))


# --------------------------------------------------------------------------- mutators


def has_sums(data: bytes) -> bool:
    """Whether both checksums of an image of U-Boot match."""
    stated = data[64:][: int.from_bytes(data[12:16])]
    own = zlib.crc32(data[:4] + bytes(4) + data[8:64])
    return int.from_bytes(data[4:8]) == own and int.from_bytes(data[24:28]) == zlib.crc32(stated)


def has_names(data: bytes) -> bool:
    """Whether all blobs of an image of containers are named after their contents."""
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            blobs = [each for each in archive if each.isreg() and each.name.startswith("blobs/sha256/")]
            found = {each.name[13:]: archive.extractfile(each).read() for each in blobs}  # type: ignore[union-attr]
    except (tarfile.TarError, ValueError):
        return False
    return all(name == hashlib.sha256(content).hexdigest() for name, content in found.items())


MUTATORS: dict[str, tuple[Mutator, bytes, Callable[[bytes], object]]] = {
    "plain": (plain.plain, b"some bytes, long enough for a change" * 9, len),
    "text": (text.text, b"a = 1\nb = 2\n[c]\n", len),
    "der": (der.der, seeds.certificate(), der.parse),
    "elf": (elf.elf, seeds.unsigned()[0], elf.shape),
    "module": (elf.module, seeds.modules()[20], elf.shape),
    "openpgp": (openpgp.openpgp, seeds.rings()[0], openpgp.packets),
    "tar": (archives.tar, bytes(257) + b"ustar" + bytes(1000), len),
    "cpio": (archives.cpio, b"070701" + b"0" * 104 + b"name", len),
    "uimage": (boxes.uimage, next(archive_seeds.uimages()), has_sums),
    "layout": (boxes.layout, next(archive_seeds.layouts()), has_names),
}


@pytest.mark.parametrize("name", MUTATORS)
def test_mutators_are_decided_by_their_arguments_and_keep_the_structure(name: str) -> None:
    mutate, data, parse = MUTATORS[name]
    made = [mutate(data, 8192, Random(number)) for number in range(200)]
    assert made == [mutate(data, 8192, Random(number)) for number in range(200)]
    assert all(len(each) <= 8192 for each in made)
    assert len(set(made)) > 100
    assert sum(bool(parse(each)) for each in made) > 80


@pytest.mark.parametrize("kind", REPAIRS)
def test_checksums_are_right_again_after_a_patch(kind: str) -> None:
    """Repairs change nothing in an image as it was made, and another repair nothing in a repaired one."""
    base = images.base(kind)
    if base is None:
        need(images.MAKERS[kind][0])
        need("mkfs.ext2")
        return
    assert base.patched(b"").read_at(0, base.size) == base.patched(nothing(base)).read_at(0, base.size)


def nothing(base: images.Base) -> bytes:
    """A patch that puts the first byte there again."""
    return bytes(5) + base.patched(b"").read_at(base.place(0), 1)


def test_every_target_has_seeds_that_it_accepts() -> None:
    """A few of each; the run above tries all of them."""

    def wrong(target: Target) -> object:
        judge = Judge(target._replace(limits=target.limits._replace(seconds=60)))
        return next((found for data in list(target.seeds())[:2] if (found := judge(data))), None)

    areas = ("elf", "keys", "texts", "signatures")
    small = [each for each in all_targets() if each.name.partition("/")[0] in areas]
    assert not [found for target in small if (found := wrong(target))]
