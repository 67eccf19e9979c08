"""Tables of partitions of an MBR as Linux reads them (block/partitions/msdos.c), compared with partx."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

import corpus
from elfsig.containers.nested import Step
from elfsig.containers.readers import bytes_reader
from elfsig.containers.walk import ContainerRecord, Found, walk
from tests.support.archives import tar
from tests.support.images import MIB, call

MODULE = corpus.content("amd64.pkcs7")
INNER = tar(a_ko=MODULE)
SECTOR = 512
SIZE = -(-len(INNER) // SECTOR)
Slot = tuple[int, int, int]
"""Type, first sector, sectors."""

NONE: Slot = (0, 0, 0)
START, FAR = 2048, 8192


def disk(tables: dict[int, tuple[Slot, ...]], *places: int) -> bytes:
    """A disk with these tables, by their sector, and an archive with a module at each of these sectors."""
    data = bytearray(8 * MIB)
    for at in places:
        data[at * SECTOR : at * SECTOR + len(INNER)] = INNER
    for at, slots in tables.items():
        for number, (kind, first, count) in enumerate(slots):
            struct.pack_into("<4xB3xII", data, at * SECTOR + 446 + 16 * number, kind, first, count)
        data[at * SECTOR + 510 : at * SECTOR + 512] = b"\x55\xaa"
    return bytes(data)


def surveyed(data: bytes) -> tuple[set[str], str | None]:
    """The partitions in which there is a module, and the code of the error of the table."""
    found = list(walk(bytes_reader(tar(x_bin=data)), (Step("file", b"f"),)))
    (error,) = [each.error for each in found if isinstance(each, ContainerRecord) and each.kind == "mbr"]
    modules = {
        each.path.split("!/")[2] for each in found if isinstance(each, Found) and each.what == "module"
    }
    return modules, None if error is None else error.code


def by_partx(data: bytes, tmp_path: Path) -> set[str]:
    """The numbers of the partitions that util-linux finds, but extended ones."""
    (tmp_path / "disk").write_bytes(data)
    lines = call("partx", "-o", "NR,TYPE", "--show", "-g", tmp_path / "disk").decode().splitlines()
    return {f"p{line.split()[0]}" for line in lines if line.split()[1] not in ("0x5", "0xf", "0x85")}


DATA: Slot = (0x83, START, SIZE)
EXTENDED: Slot = (5, START, 8192)
LOGICAL: Slot = (0x83, 64, SIZE)
TABLES: dict[str, tuple[dict[int, tuple[Slot, ...]], tuple[int, ...], set[str]]] = {
    "a slot of type 0": ({0: (DATA, (0, FAR, SIZE))}, (START, FAR), {"p1", "p2"}),
    "only slots of type 0": ({0: ((0, START, SIZE),)}, (START,), {"p1"}),
    "a type without sectors": ({0: (DATA, (0x83, 0, 0))}, (START,), {"p1"}),
    "an extended type without sectors": ({0: (DATA, (5, 4096, 0))}, (START,), {"p1"}),
    "the fourth slot alone": ({0: (NONE, NONE, NONE, DATA)}, (START,), {"p4"}),
    "slot 3 of a logical table": (
        {0: (EXTENDED,), START: (LOGICAL, NONE, (0x83, 4096, SIZE))},
        (START + 64, START + 4096),
        {"p5", "p6"},
    ),
    "slot 2 of a logical table": (
        {0: (EXTENDED,), START: (LOGICAL, (0x83, 4096, SIZE))},
        (START + 64, START + 4096),
        {"p5", "p6"},
    ),
    "the next table in slot 1": (
        {0: (EXTENDED,), START: ((5, 4096, 2048),), START + 4096: (LOGICAL,)},
        (START + 4096 + 64,),
        {"p5"},
    ),
    "the next table in slot 4": (
        {0: (EXTENDED,), START: (LOGICAL, NONE, NONE, (5, 4096, 2048)), START + 4096: (LOGICAL,)},
        (START + 64, START + 4096 + 64),
        {"p5", "p6"},
    ),
    "the first of two next tables": (
        {0: (EXTENDED,), START: (LOGICAL, (5, 4096, 2048), (5, 6144, 2048)), START + 4096: (LOGICAL,)},
        (START + 64, START + 4096 + 64),
        {"p5", "p6"},
    ),
    "garbage in slot 3": (
        {0: (EXTENDED,), START: (LOGICAL, NONE, (0x77, 0x70707070, 0x70707070))},
        (START + 64,),
        {"p5"},
    ),
    "type 0 in a logical table": ({0: (EXTENDED,), START: ((0, 64, SIZE),)}, (START + 64,), {"p5"}),
}


@pytest.mark.parametrize("name", TABLES)
def test_partitions_are_those_of_linux(name: str, tmp_path: Path) -> None:
    tables, places, expected = TABLES[name]
    data = disk(tables, *places)
    assert surveyed(data) == (expected, None)
    assert by_partx(data, tmp_path) == expected


def test_two_extended_partitions() -> None:
    tables = {0: ((5, START, 2048), (15, FAR, 2048)), START: (LOGICAL,), FAR: (LOGICAL,)}
    assert surveyed(disk(tables, START + 64, FAR + 64)) == ({"p5", "p6"}, None)


def test_extended_tables_that_form_a_loop() -> None:
    tables = {0: (EXTENDED,), START: (LOGICAL, (5, 4096, 2048)), START + 4096: (LOGICAL, NONE, (5, 4096, 64))}
    assert surveyed(disk(tables, START + 64, START + 4096 + 64)) == ({"p5", "p6"}, "damaged")


def test_empty_slots_are_no_table() -> None:
    data = disk({0: ((0x83, 0, 0), (5, 0, 0))})
    assert not [
        each for each in walk(bytes_reader(data), (Step("file", b"f"),)) if isinstance(each, ContainerRecord)
    ]
