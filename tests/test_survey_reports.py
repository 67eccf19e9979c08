"""What a survey says about copies of a module, and its SARIF log."""

from __future__ import annotations

from typing import Any

import pytest

from elfsig.cli.render.survey import sarif as survey_sarif
from elfsig.verbs.survey.copies import Copies
from tests.support.survey_records import container, module, report_objects

Json = dict[str, Any]


@pytest.fixture(scope="module")
def objects() -> dict[str, Json]:
    return report_objects()


def related(*records: Json) -> list[tuple[str, str]]:
    copies = Copies()
    for each in records:
        copies.add(each)
    return [(each.name, each.relation) for each in copies.several()]


def test_relations_of_copies(objects: dict[str, Json]) -> None:
    valid, unsigned = objects["valid"], objects["unsigned"]
    disk = module(valid, "d.img!/lib/m.ko")
    packed = module(valid, "d.img!/initrd!/m.ko.xz", compression="xz", sha256="00" * 32)
    assert related(disk, module(valid, "p.deb!/m.ko")) == [("m", "same")]
    assert related(disk, packed) == [("m", "recompressed")]
    assert related(disk, module(unsigned, "i!/m.ko")) == [("m", "lost its signature")]
    assert related(disk, module(valid, "i!/m.ko", sha256="11" * 32)) == [("m", "other signature")]
    assert related(disk, module(valid, "i!/m.ko", sha256="11" * 32, content_sha256="22" * 32)) == [
        ("m", "differs")
    ]
    assert related(disk, module(valid, "i!/m.ko", sha256="11" * 32, content_sha256=None)) == [
        ("m", "unknown")
    ]


def test_modules_of_other_kernels_are_not_copies(objects: dict[str, Json]) -> None:
    one, other = (module(objects["valid"], f"{n}!/m.ko", f"6.{n}.0") for n in (1, 2))
    assert related(one, other) == []


def test_what_differs_comes_first(objects: dict[str, Json]) -> None:
    valid = objects["valid"]
    same = [module(valid, f"{n}!/a.ko") for n in (1, 2)]
    differs = [module(valid, f"{n}!/z.ko", content_sha256=f"{n}0" * 32, sha256=f"{n}0" * 32) for n in (1, 2)]
    assert related(*same, *differs) == [("z", "differs"), ("a", "same")]


def test_sarif_groups_and_nests(objects: dict[str, Json]) -> None:
    log = survey_sarif.Log()
    for number in range(30):
        log.add(module(objects["unsigned"], f"/m/a.deb!/data.tar!/lib/m{number}.ko"))
    log.add(module(objects["valid"], "/m/a.deb!/data.tar!/lib/good.ko"))
    log.add(module(objects["invalid"], "/m/b b.deb!/data.tar!/x.ko"))
    fault = {"code": "damaged", "offset": 512, "text": "checksum of a header"}
    log.add(container("/m/b b.deb!/data.tar", error=fault))
    run = log.log()["runs"][0]
    results = {each["ruleId"]: each for each in run["results"]}
    assert list(results) == ["incomplete", "unsigned", "invalid"]
    assert results["unsigned"]["occurrenceCount"] == 30
    assert "the first 20 are located" in results["unsigned"]["message"]["text"]
    artifacts = run["artifacts"]
    location = results["invalid"]["locations"][0]["physicalLocation"]["artifactLocation"]
    row, names = artifacts[location["index"]], []
    while row is not None:
        names.append(row["location"]["uri"])
        row = artifacts[row["parentIndex"]] if "parentIndex" in row else None
    assert names == ["x.ko", "data.tar", "file:///m/b%20b.deb"]
    assert results["incomplete"]["locations"][0]["physicalLocation"]["region"] == {"byteOffset": 512}
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == list(results)
    assert all(
        run["tool"]["driver"]["rules"][each["ruleIndex"]]["id"] == each["ruleId"] for each in run["results"]
    )
