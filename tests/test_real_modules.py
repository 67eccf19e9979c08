"""Editing real modules: hundreds of each architecture, and what the other tools say about the result."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from corpus.oldlayout import rewrite
from elfsig.carriers.trailer import INFO, MARKER, unpack_info
from elfsig.elf.edit import insert_section, remove_section
from elfsig.elf.guard import NewSection
from elfsig.elf.table import SHT_NOTE, SHT_PROGBITS, ElfTable
from elfsig.errors import EditRefused, ParseError
from tests.support import lief_plain
from tests.support.debian import debian_modules
from tests.support.elf import SIGNATURE
from tests.support.kernels import ARCHES
from tests.support.notes import Note
from tests.support.tools import need

NOTE = NewSection(b".note.module.sig", SIGNATURE, SHT_NOTE, 0, 4)
PLAIN = NewSection(b".module_sig", SIGNATURE[:-1], SHT_PROGBITS, 3, 1)
TRIPLETS = {"amd64": "x86_64", "i386": "i686", "arm64": "aarch64", "s390x": "s390x"}


def _spread(arch: str, count: int) -> Sequence[Path]:
    """``count`` modules and a few more, spread evenly over the package."""
    modules = debian_modules(arch)
    return modules[:: max(1, len(modules) // count)]


def _unsigned(content: bytes) -> bytes:
    """A module of Debian's without its trailer."""
    end = len(content) - len(MARKER) - INFO.size
    return content[: end - unpack_info(content[end : end + INFO.size]).sig_len]


@pytest.mark.parametrize("arch", ARCHES)
def test_insert_and_remove_give_hundreds_of_modules_back(arch: str) -> None:
    modules = _spread(arch, 260)
    assert len(modules) >= 250
    for nr, path in enumerate(modules):
        before = path.read_bytes()
        shapes = [before, _unsigned(before)]
        if nr % 4 == 0:
            shapes.append(rewrite(shapes[1]))
        for shape, wish in zip(shapes, (NOTE, PLAIN, NOTE), strict=False):
            after = insert_section(shape, wish)
            assert remove_section(after, len(ElfTable(after).rows) - 1) == shape, path


@pytest.mark.parametrize("arch", ARCHES)
def test_the_lief_engine_passes_the_witness_on_hundreds(
    arch: str, capsys: pytest.CaptureFixture[str]
) -> None:
    counted: Counter[str] = Counter()
    for nr, path in enumerate(_spread(arch, 260)):
        content = path.read_bytes()
        try:
            after = insert_section(rewrite(_unsigned(content)) if nr % 4 == 0 else content, NOTE, "lief")
            remove_section(after, len(ElfTable(after).rows) - 1, "lief")
            counted["edited"] += 1
        except (EditRefused, ParseError) as refusal:
            counted[refusal.code] += 1
    with capsys.disabled():
        print(f"\nlief engine on {arch}: {dict(counted)}")
    assert counted["edited"] >= 250


DAMAGED = {"amd64": (0.02, 0.12), "i386": (0, 0.01), "arm64": (0.05, 0.2), "s390x": (1, 1)}
"""What share of modules loses relocations when LIEF 1.0 adds a section as its documentation shows it; README
gives the figures."""


@pytest.mark.parametrize("arch", ARCHES)
def test_how_many_modules_plain_lief_damages(arch: str, tmp_path: Path, note: Note) -> None:
    modules = debian_modules(arch)[::10]
    count = int(lief_plain.run("count", "\n".join(map(str, modules)).encode(), tmp_path))
    note(f"{arch}: LIEF used plainly changes the relocations of {count} of {len(modules)} modules")
    least, most = DAMAGED[arch]
    assert least <= count / len(modules) <= most


def _reports(command: Sequence[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _pairs(arch: str, count: int, directory: Path, engine: str) -> Iterator[tuple[str, str]]:
    """Modules and the same with a note section, both written to ``directory``."""
    for nr, path in enumerate(_spread(arch, count)):
        before, after = directory / f"before-{nr}.ko", directory / f"after-{nr}.ko"
        content = _unsigned(path.read_bytes())
        before.write_bytes(content)
        after.write_bytes(insert_section(content, NOTE, engine))
        yield str(before), str(after)


def _other(report: str) -> list[str]:
    """A report of readelf without what has to differ: the new section, name table, their number."""
    expected = (".note.module.sig", ".shstrtab", "There are", "File: ")
    return [line for line in report.splitlines() if not any(word in line for word in expected)]


@pytest.mark.parametrize("engine", ["exact", "lief"])
@pytest.mark.parametrize("arch", ARCHES)
def test_readelf_and_modinfo_see_nothing_else_change(arch: str, engine: str, tmp_path: Path) -> None:
    readelf, modinfo = need("readelf"), need("modinfo")
    for before, after in _pairs(arch, 30, tmp_path, engine):
        old, new = (_reports([readelf, "-SWrs", name]) for name in (before, after))
        assert ".note.module.sig  NOTE" in new
        assert _other(old) == _other(new)
        old, new = (_reports([modinfo, name]) for name in (before, after))
        assert old.replace(before, "") == new.replace(after, "")


@pytest.mark.parametrize("engine", ["exact", "lief"])
@pytest.mark.parametrize("arch", ARCHES)
def test_objcopy_and_the_linker_accept_the_result(arch: str, engine: str, tmp_path: Path) -> None:
    objcopy, ld = (need(f"{TRIPLETS[arch]}-linux-gnu-{tool}") for tool in ("objcopy", "ld"))
    plain, stripped, linked = (str(tmp_path / name) for name in ("plain.o", "stripped.o", "linked.o"))
    for before, after in _pairs(arch, 10, tmp_path, engine):
        _reports([objcopy, before, plain])
        _reports([objcopy, "-R", ".note.module.sig", after, stripped])
        assert Path(stripped).read_bytes() == Path(plain).read_bytes()
        _reports([ld, "-r", "-o", linked, after])
        table = ElfTable(Path(linked).read_bytes())
        (section,) = table.named(b".note.module.sig")
        assert table.content(section.nr) == SIGNATURE


@pytest.mark.parametrize("arch", ARCHES)
def test_what_objcopy_put_in_comes_out_exactly(arch: str, tmp_path: Path) -> None:
    objcopy = need(f"{TRIPLETS[arch]}-linux-gnu-objcopy")
    plain, signed, blob = tmp_path / "plain.ko", tmp_path / "signed.ko", tmp_path / "blob"
    blob.write_bytes(SIGNATURE)
    for path in _spread(arch, 60):
        plain.write_bytes(_unsigned(path.read_bytes()))
        _reports([objcopy, "--add-section", f".module_sig={blob}", str(plain), str(signed)])
        content = signed.read_bytes()
        (section,) = ElfTable(content).named(b".module_sig")
        assert remove_section(content, section.nr) == plain.read_bytes(), path
