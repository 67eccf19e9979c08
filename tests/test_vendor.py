"""``--against``: every module against the vendor's, with changes planted; nothing unread is claimed."""

from __future__ import annotations

import io
import json
import lzma
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import corpus
import elfsig
from elfsig.batch.survey.run import Outermost, line_of
from elfsig.batch.survey.tables import read_rows
from elfsig.batch.vendor import compare as vendor_compare
from elfsig.batch.vendor import modules as batch_vendor
from elfsig.elf.image import Image
from elfsig.verbs.survey.shapes import is_record
from elfsig.verbs.vendor.differences import differences, is_comparison
from elfsig.verbs.vendor.faults import faults
from elfsig.verbs.vendor.index import VendorIndex
from elfsig.verbs.vendor.relation import (
    KnownModule,
    Relation,
    SignedBy,
    VendorFinding,
    relation,
    whereabouts,
)
from tests.support.opened import opened
from tests.support.run import run
from tests.support.schema import parsed
from tests.support.signed import CERT, made
from tests.support.tools import need

Json = dict[str, Any]
RELEASE = "6.1.0-9-amd64"
PLAIN = corpus.content("amd64-6.1.ko")
OTHER_CERT = corpus.KEYS / "other.cert.pem"
CODE = ".text"
NAMES = ("alphaa", "bravoo", "charli", "deltaa", "echooo", "foxtro", "golfff", "hotell")
"""As long as the name that the sample has."""


def named(name: str) -> bytes:
    """The sample under another name: in .modinfo and in its struct module."""
    assert len(name) == len("sample") and PLAIN.count(b"name=sample\0") == 1
    return PLAIN.replace(b"name=sample\0", b"name=" + name.encode() + b"\0")


def signed(content: bytes) -> bytes:
    return made(content, "pkcs7", "whole-file").content


def signed_by_another(content: bytes, folder: Path) -> bytes:
    source, target = folder / "plain.ko", folder / "resigned.ko"
    source.write_bytes(content)
    key = corpus.KEYS / "other.key.pem"
    ran = run("sign", source, "--format", "pkcs7", "--key", key, "--cert", OTHER_CERT, "-o", target)
    assert ran.code == 0, ran.err
    return target.read_bytes()


def with_changed_function(content: bytes) -> bytes:
    """One byte of a function is another."""
    table = Image(content).elf
    assert table is not None
    code = next(each for each in table.sections if each.name == CODE.encode() and each.row.size)
    at = code.row.offset + 1
    return content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]


def archive(path: Path, modules: Mapping[str, bytes], release: str = RELEASE) -> Path:
    """A tar of modules, by their paths below the module directory."""
    with tarfile.open(path, "w") as out:
        for name, content in modules.items():
            header = tarfile.TarInfo(f"./lib/modules/{release}/{name}")
            header.size = len(content)
            out.addfile(header, io.BytesIO(content))
    return path


def laid_out(folder: Path, modules: Mapping[str, bytes], release: str = RELEASE) -> Path:
    """The same as a tree."""
    for name, content in modules.items():
        path = folder / "lib" / "modules" / release / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


SHIPPED = {f"kernel/fs/{name}.ko": signed(named(name)) for name in NAMES}
MISSING = "kernel/fs/hotell.ko"


@pytest.fixture
def planted(tmp_path: Path) -> dict[str, bytes]:
    """What the vendor ships, with a change of each kind; and where it is."""
    (tmp_path / "made").mkdir()
    return {
        "kernel/fs/alphaa.ko": SHIPPED["kernel/fs/alphaa.ko"],
        "kernel/fs/bravoo.ko.xz": lzma.compress(SHIPPED["kernel/fs/bravoo.ko"], check=lzma.CHECK_CRC32),
        "kernel/fs/charli.ko": named("charli"),
        "kernel/fs/deltaa.ko": signed_by_another(named("deltaa"), tmp_path / "made"),
        "kernel/fs/echooo.ko": signed(with_changed_function(named("echooo"))),
        "updates/renamed.ko": SHIPPED["kernel/fs/foxtro.ko"],
        "kernel/fs/golfff.ko": SHIPPED["kernel/fs/alphaa.ko"],
        "extra/mine.ko": named("foreig"),
    }


EXPECTED = {
    "alphaa.ko": "same", "bravoo.ko.xz": "repacked", "charli.ko": "signature-removed",
    "deltaa.ko": "other-signature", "echooo.ko": "changed", "renamed.ko": "same", "golfff.ko": "changed",
    "mine.ko": "unknown",
}  # fmt: skip


@pytest.fixture
def vendor(tmp_path: Path) -> Path:
    return archive(tmp_path / "vendor.tar", SHIPPED)


def relations(records: list[Json]) -> dict[str, str]:
    return {
        each["path"].rpartition("/")[2]: each["vendor"]["relation"]
        for each in records
        if each["record"] == "module"
    }


@pytest.mark.parametrize("make", [archive, laid_out])
@pytest.mark.parametrize("more", [(), ("--no-cage",)])
def test_every_kind_of_change_is_found(
    make: Callable[..., Path], more: tuple[str, ...], planted: dict[str, bytes], vendor: Path, tmp_path: Path
) -> None:
    own = make(tmp_path / "own", planted)
    ran = run("survey", own, "--against", vendor, "--jsonl", *more)
    records = ran.files()
    assert ran.code == 1 and relations(records) == EXPECTED
    (source,) = (each for each in records if each["record"] == "vendor")
    assert (source["modules"], source["complete"], source["files"]) == (len(SHIPPED), True, 1)
    (missing,) = (each for each in records if each["record"] == "missing")
    assert missing["path"].endswith(MISSING) and missing["vendor"]["relation"] == "missing"
    by_name = {each["path"].rpartition("/")[2]: each["vendor"] for each in records if each.get("vendor")}
    assert by_name["renamed.ko"]["moved"] and not by_name["alphaa.ko"]["moved"]
    assert by_name["renamed.ko"]["path"].endswith("kernel/fs/foxtro.ko")
    assert by_name["golfff.ko"]["content_of"].endswith("kernel/fs/alphaa.ko")
    signer, other = by_name["deltaa.ko"]["vendor_signed_by"], by_name["deltaa.ko"]["signed_by"]
    assert signer == by_name["alphaa.ko"]["signed_by"] and signer["key"] != other["key"]
    assert by_name["charli.ko"]["signed_by"] is None and by_name["charli.ko"]["vendor_signed_by"] == signer
    comparison = by_name["echooo.ko"]["comparison"]
    assert comparison["conclusion"] == "different" and comparison["sections"] == [CODE]
    (change,) = next(each for each in comparison["differences"] if each["kind"] == "section")["changes"]
    assert (change["offset"], change["old_size"]) == (1, 1) and comparison["symbols"] == [change["symbol"]]
    assert all(each["comparison"] is None for name, each in by_name.items() if each["relation"] != "changed")


def test_a_module_without_its_debug_data(vendor: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain.ko"
    plain.write_bytes(named("echooo"))
    subprocess.run([need("objcopy"), "--strip-debug", plain], check=True)
    own = laid_out(tmp_path / "own", {"kernel/fs/echooo.ko": plain.read_bytes()})
    (record,) = (
        e for e in run("survey", own, "--against", vendor, "--jsonl").files() if e["record"] == "module"
    )
    comparison = record["vendor"]["comparison"]
    assert record["vendor"]["relation"] == "changed" and comparison["conclusion"] == "stripped"
    assert comparison["text"].startswith("this file is the vendor's without debug data")


def test_the_text_folds_what_is_alike(tmp_path: Path) -> None:
    vendor = archive(tmp_path / "v.tar", SHIPPED)
    own = archive(tmp_path / "o.tar", {name: named(Path(name).stem) for name in SHIPPED})
    ran = run("survey", own, "--against", vendor)
    head = next(line for line in ran.out.splitlines() if line.startswith("vendor-signature"))
    assert head.startswith(
        "vendor-signature: all 8 modules have no signature, where the vendor's are signed by"
    )
    assert "8 signature-removed" in ran.err and ran.code == 1


def test_without_keys_the_comparison_decides(vendor: Path, tmp_path: Path) -> None:
    own = archive(tmp_path / "own.tar", SHIPPED)
    assert run("survey", own, "--against", vendor).code == 0
    assert run("survey", own).code == 4
    assert run("survey", own, "--against", vendor, "--trust", OTHER_CERT).code == 4
    assert run("survey", own, "--against", vendor, "--trust", CERT).code == 0


def test_several_sources_and_a_mirror(tmp_path: Path) -> None:
    """Each half of the modules in a package of its own, among packages of other kernels and other files."""
    mirror = tmp_path / "pool"
    mirror.mkdir()
    half = dict(list(SHIPPED.items())[:4])
    rest = {name: each for name, each in SHIPPED.items() if name not in half}
    archive(mirror / "one.tar", half)
    archive(mirror / "two.tar", rest)
    archive(mirror / "other.tar", {"kernel/fs/other.ko": named("otherr")}, "6.5.0-1-amd64")
    (mirror / "Packages").write_text("an index")
    own = laid_out(tmp_path / "own", SHIPPED)
    for words in (("--against", mirror), ("--against", mirror / "one.tar", "--against", mirror / "two.tar")):
        ran = run("survey", own, "--jsonl", *words)
        assert ran.code == 0 and set(relations(ran.files()).values()) == {"same"}
        assert not [each for each in ran.files() if each["record"] == "missing"]
    ran = run("survey", own, "--jsonl", "--against", mirror / "one.tar")
    assert ran.code == 1 and sorted(relations(ran.files()).values()) == ["same"] * 4 + ["unknown"] * 4


def test_of_several_builds_the_closest_counts(tmp_path: Path) -> None:
    older = archive(
        tmp_path / "older.tar",
        {name: signed(with_changed_function(named(Path(name).stem))) for name in SHIPPED},
    )
    newer = archive(tmp_path / "newer.tar", SHIPPED)
    own = laid_out(tmp_path / "own", SHIPPED)
    ran = run("survey", own, "--jsonl", "--against", older, "--against", newer)
    assert ran.code == 0 and set(relations(ran.files()).values()) == {"same"}


def cut(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[: -len(SHIPPED[MISSING]) - 11_000])
    return path


def test_a_source_that_was_not_read_whole_claims_nothing(
    planted: dict[str, bytes], vendor: Path, tmp_path: Path
) -> None:
    cut(vendor)
    good = {name: each for name, each in SHIPPED.items() if name != MISSING}
    ran = run(
        "survey", laid_out(tmp_path / "good", dict(list(good.items())[:3])), "--against", vendor, "--jsonl"
    )
    assert ran.code == 5 and set(relations(ran.files()).values()) == {"same"}
    assert not [each for each in ran.files() if each["record"] == "missing"]
    ran = run(
        "survey", laid_out(tmp_path / "own", {MISSING: SHIPPED[MISSING]}), "--against", vendor, "--jsonl"
    )
    assert ran.code == 5 and set(relations(ran.files()).values()) == {"incomplete"}
    (source,) = (each for each in ran.files() if each["record"] == "vendor")
    assert not source["complete"] and source["error"]["code"] == "truncated"
    said = run("survey", tmp_path / "own", "--against", vendor)
    assert "what is missing is not known: not all of the vendor's could be read" in said.err
    assert "vendor-incomplete" in said.out and said.code == 5


def test_nothing_is_missing_from_what_was_not_read_whole(vendor: Path, tmp_path: Path) -> None:
    own = archive(tmp_path / "own.tar", SHIPPED)
    own.write_bytes(own.read_bytes()[: 3 * len(SHIPPED[MISSING])])
    ran = run("survey", own, "--against", vendor, "--jsonl")
    assert ran.code == 5 and not [each for each in ran.files() if each["record"] == "missing"]
    assert "not all of these files could be read" in ran.err


@pytest.mark.parametrize(
    ("content", "code"), [(b"text", "unrecognised"), (b"", "unrecognised"), (None, "not-found")]
)
def test_a_source_without_modules(content: bytes | None, code: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "vendor").write_bytes(content)
    own = laid_out(tmp_path / "own", {MISSING: SHIPPED[MISSING]})
    ran = run("survey", own, "--against", tmp_path / "vendor", "--jsonl")
    (source,) = (each for each in ran.files() if each["record"] == "vendor")
    assert ran.code == 5 and source["error"]["code"] == code
    assert relations(ran.files()) == {"hotell.ko": "incomplete"}


def test_an_empty_mirror(tmp_path: Path) -> None:
    (tmp_path / "pool").mkdir()
    own = laid_out(tmp_path / "own", {MISSING: SHIPPED[MISSING]})
    ran = run("survey", own, "--against", tmp_path / "pool", "--jsonl")
    (source,) = (each for each in ran.files() if each["record"] == "vendor")
    assert ran.code == 5 and source["error"]["code"] == "nothing-found"


def test_one_module_does_not_stand_for_all(vendor: Path, tmp_path: Path) -> None:
    laid_out(tmp_path, {MISSING: SHIPPED[MISSING]})
    one = tmp_path / "lib" / "modules" / RELEASE / MISSING
    for words in (("survey", one), ("audit", one, "--trust", CERT, "--ignore", "misnamed")):
        assert run(*words, "--against", vendor).code == 0


def test_modules_of_no_module_directory_go_by_name_and_vermagic(vendor: Path, tmp_path: Path) -> None:
    (tmp_path / "copied").mkdir()
    (tmp_path / "copied" / "some.ko").write_bytes(SHIPPED["kernel/fs/echooo.ko"])
    other = PLAIN.replace(b"vermagic=6.1", b"vermagic=6.2")
    assert other != PLAIN
    (tmp_path / "copied" / "other.ko").write_bytes(other.replace(b"name=sample\0", b"name=echooo\0"))
    ran = run("survey", tmp_path / "copied", "--against", vendor, "--jsonl")
    assert relations(ran.files()) == {"some.ko": "same", "other.ko": "unknown"}


def test_the_document_the_page_and_the_log(planted: dict[str, bytes], vendor: Path, tmp_path: Path) -> None:
    own = archive(tmp_path / "own.tar", planted)
    page, log = tmp_path / "r.html", tmp_path / "r.sarif"
    ran = run("survey", own, "--against", vendor, "--json", "--html", page, "--sarif", log)
    document = parsed(ran.out)
    counts = document["against"]["relations"]
    assert counts == {
        "same": 2, "repacked": 1, "other-signature": 1, "signature-removed": 1, "changed": 2, "unknown": 1,
        "missing": 1,
    }  # fmt: skip
    assert document["against"]["complete"]
    rules = [each["rule"] for each in document["against"]["rules"]]
    assert rules == ["moved", "vendor-changed", "vendor-signature", "vendor-unknown", "vendor-missing"]
    text = page.read_text("utf-8")
    assert "<h2>Against the vendor</h2>" in text and "kernel/fs/hotell.ko" in text
    results = {each["ruleId"]: each for each in json.loads(log.read_text())["runs"][0]["results"]}
    assert set(rules) <= set(results) and results["vendor-signature"]["occurrenceCount"] == 2


def test_audit_says_the_same(planted: dict[str, bytes], vendor: Path, tmp_path: Path) -> None:
    own = laid_out(tmp_path / "own", planted)
    words = (
        "audit",
        own,
        "--trust",
        CERT,
        "--ignore",
        "unsigned",
        "--ignore",
        "misnamed",
        "--against",
        vendor,
    )
    ran = run(*words, "--jsonl")
    files = {each["path"].rpartition("/")[2]: each for each in ran.files()}
    found = {name: each["vendor"]["relation"] for name, each in files.items() if each["vendor"] is not None}
    assert ran.code == 1 and found == EXPECTED
    rules = {name: {fault["rule"] for fault in each["faults"]} for name, each in files.items()}
    assert rules["alphaa.ko"] == rules["bravoo.ko.xz"] == set()
    assert rules["renamed.ko"] == {"moved"} and rules["golfff.ko"] == {"vendor-changed"}
    assert rules["hotell.ko"] == {"vendor-missing"} and rules["mine.ko"] == {"vendor-unknown"}
    echo = next(each for each in files["echooo.ko"]["faults"] if each["rule"] == "vendor-changed")
    assert echo["text"].startswith("what is loaded differs: .text, in ")
    assert files["echooo.ko"]["vendor"]["comparison"]["sections"] == [CODE]
    ignored = [word for rule in sorted(set().union(*rules.values())) for word in ("--ignore", rule)]
    assert run(*words, *ignored).code == 0


def test_audit_with_a_source_that_was_not_read_whole(vendor: Path, tmp_path: Path) -> None:
    cut(vendor)
    own = laid_out(tmp_path / "own", {"kernel/fs/alphaa.ko": SHIPPED["kernel/fs/alphaa.ko"]})
    ran = run("audit", own, "--trust", CERT, "--against", vendor)
    assert ran.code == 5 and "vendor-incomplete" in ran.out and "vendor-missing" not in ran.out
    assert run("audit", own, "--trust", CERT, "--against", vendor, "--ignore", "vendor-incomplete").code == 0


def test_the_library(planted: dict[str, bytes], vendor: Path, tmp_path: Path) -> None:
    own = laid_out(tmp_path / "own", planted)
    source, *findings = elfsig.against(own, [vendor])
    assert isinstance(source, elfsig.VendorSource) and source.complete and source.path == str(vendor)
    assert all(isinstance(each, elfsig.VendorFinding) for each in findings)
    found = {each.path.rpartition("/")[2]: each for each in findings if isinstance(each, VendorFinding)}
    assert {name: str(each.relation) for name, each in found.items()} == {**EXPECTED, "hotell.ko": "missing"}
    with pytest.raises(TypeError):
        bool(found["alphaa.ko"])
    assert "alphaa.ko" in repr(found["alphaa.ko"])
    with pytest.raises(elfsig.UsageError):
        elfsig.against(own, [])


def test_changed_modules_are_compared_in_groups(
    tmp_path: Path, vendor: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With every limit at its smallest, the findings are the same."""
    changed = {name: with_changed_function(named(Path(name).stem)) for name in SHIPPED}
    own = laid_out(tmp_path / "own", changed)
    monkeypatch.setattr(batch_vendor, "HELD_BACK", 1)
    monkeypatch.setattr(vendor_compare, "MOST", 2)
    monkeypatch.setattr(vendor_compare, "HELD", 1)
    records = run("survey", own, "--against", vendor, "--jsonl", "-j", "2").files()
    modules = [each["vendor"] for each in records if each["record"] == "module"]
    assert len(modules) == len(SHIPPED)
    assert {each["comparison"]["conclusion"] for each in modules} == {"different"}


def test_a_changed_module_that_cannot_be_read_again(vendor: Path, tmp_path: Path) -> None:
    pair = vendor_compare.Pair(
        Outermost(str(tmp_path / "gone.ko")), str(tmp_path / "gone.ko"), 10,
        Outermost(str(vendor)), f"{vendor}!/lib/modules/{RELEASE}/{MISSING}",
    )  # fmt: skip
    (found,) = vendor_compare.Comparer(opened(PLAIN).registry).compare([pair]).values()
    assert found["conclusion"] is None and found["error"]["code"] == "changed-meanwhile"
    finding = VendorFinding("m.ko", Relation.CHANGED, comparison=found)
    assert [each.rule for each in faults(finding)] == ["vendor-changed"]


@pytest.mark.parametrize("word", ["vendor", "missing"])
def test_a_confined_process_does_not_compare(word: str, vendor: Path, tmp_path: Path) -> None:
    """What it says about the vendor's modules is not taken."""
    ran = run(
        "survey", laid_out(tmp_path / "own", dict(list(SHIPPED.items())[:1])), "--against", vendor, "--jsonl"
    )
    records = {each["record"]: each for each in ran.files()}
    assert is_record(records[word])
    with pytest.raises(ValueError):
        line_of([records[word], "", ""], records[word]["path"])
    module = records["module"]
    assert module["vendor"]["relation"] == "same"
    assert line_of([dict(module), "", ""], module["path"]).record["vendor"] is None


def test_a_policy_reads_the_records(planted: dict[str, bytes], vendor: Path, tmp_path: Path) -> None:
    own = archive(tmp_path / "own.tar", planted)
    policy, table = tmp_path / "policy.toml", tmp_path / "t.parquet"
    policy.write_text(f'[[rule]]\npath = "**"\ntrust = ["{CERT}"]\n')
    ran = run("survey", own, "--trust", CERT, "--against", vendor, "--jsonl", "--parquet", table)
    lines = tmp_path / "records.jsonl"
    lines.write_text(ran.out)
    for records in (lines, table):
        done = run("audit", "--policy", policy, "--from", records, "--jsonl")
        assert done.code == 1 and len({each["path"] for each in done.files()}) == len(planted), done.err
    rows = {row["path"].rpartition("/")[2]: row for row in read_rows(str(table))}
    assert {name: row["vendor"] for name, row in rows.items() if row["record"] == "module"} == EXPECTED
    assert rows["echooo.ko"]["vendor_difference"] == "different" and rows["renamed.ko"]["vendor_moved"]
    assert [row["record"] for row in rows.values()].count("missing") == 1


def test_names_never_become_paths(vendor: Path, tmp_path: Path) -> None:
    """Members whose names lead elsewhere, or hold bytes that no one expects."""
    odd = {"../../../../etc/x.ko": SHIPPED[MISSING], "a\n\x1b[31m.ko": named("foreig"), "b!/c.ko": PLAIN}
    before = sorted(os.listdir(tmp_path))
    records = run("survey", archive(tmp_path / "odd.tar", odd), "--against", vendor, "--jsonl").files()
    assert len(relations(records)) == 3
    assert run("survey", vendor, "--against", tmp_path / "odd.tar").code == 1
    assert sorted(os.listdir(tmp_path)) == sorted([*before, "odd.tar"])


# --------------------------------------------------------------------------- pieces


def module(path: str = "/m.ko", **changes: Any) -> KnownModule:
    base = KnownModule(
        path, "6.1", "kernel/m.ko", "m", "6.1 SMP", "aa", "bb", None, "cc", SignedBy("pkcs7", "who", "01")
    )
    return base._replace(**changes)


@pytest.mark.parametrize(
    ("own", "vendor_module", "word"),
    [
        (module(), module(), Relation.SAME),
        (module(sha256="x", compression="xz"), module(), Relation.REPACKED),
        (module(sha256="x", signatures=None), module(), Relation.UNSIGNED),
        (module(sha256="x"), module(signatures=None), Relation.SIGNED),
        (module(sha256="x", signatures="d"), module(), Relation.RESIGNED),
        (module(sha256="x", content="y"), module(), Relation.CHANGED),
        (module(sha256="x", content=None), module(), Relation.UNCERTAIN),
        (module(sha256="x"), module(content=None), Relation.UNCERTAIN),
        (module(sha256="x", signatures=None), module(signatures=None), Relation.REPACKED),
    ],
)
def test_relations(own: KnownModule, vendor_module: KnownModule, word: Relation) -> None:
    assert relation(own, vendor_module) is word


@pytest.mark.parametrize(
    ("path", "vermagic", "expected"),
    [
        ("/lib/modules/6.1/kernel/a/b.ko.xz", "6.2 SMP", ("6.1", "kernel/a/b.ko")),
        ("x.deb!/data.tar!/usr/lib/modules/6.1/updates/b.ko", None, ("6.1", "updates/b.ko")),
        ("/somewhere/kernel/a/b.ko", "6.2 SMP", ("6.2", "kernel/a/b.ko")),
        ("/somewhere/b.ko", "6.2 SMP", ("6.2", None)),
        ("/somewhere/b.ko", None, (None, None)),
        ("/somewhere/b.ko", "", (None, None)),
    ],
)
def test_whereabouts(path: str, vermagic: str | None, expected: tuple[str | None, str | None]) -> None:
    assert whereabouts(path, vermagic) == expected


def test_the_index_holds_hostile_texts() -> None:
    index = VendorIndex()
    odd = module("/\ud800\0.ko", name="\ud800", vermagic="'; DROP TABLE module; --", place=None, release=None)
    index.add(odd, index.add_file("/\udcff'\0.tar", ("/a/b.tar", "c")))
    found = index.look_up(odd._replace(path="/own.ko"))
    assert found.finding.relation is Relation.SAME and found.file is not None
    assert index.file(found.file) == ("/\udcff'\0.tar", ("/a/b.tar", "c"))
    index.close()


def test_a_million_modules_do_not_fill_the_memory() -> None:
    """The database has a cache of a fixed size; what is more is on disk."""
    index = VendorIndex()
    file = index.add_file("/pool/p.deb")
    for number in range(2000):
        index.add(
            module(f"/{number}.ko", release=str(number % 7), place=f"kernel/{number}.ko", sha256=f"{number}"),
            file,
        )
    assert index.modules == 2000
    cache = index._database.execute("PRAGMA cache_size").fetchone()[0]
    assert -64 << 10 <= cache < 0
    own = module("/own.ko", release="3", place="kernel/3.ko", sha256="3")
    assert index.look_up(own).finding.vendor_path == "/3.ko"
    missing = list(index.missing())
    assert len(missing) == len([n for n in range(2000) if n % 7 == 3]) - 1
    index.close()


def test_a_comparison_has_its_shape() -> None:
    found = differences(opened(PLAIN), opened(with_changed_function(PLAIN)))
    assert is_comparison(found) and is_comparison(json.loads(json.dumps(found)))
    assert not is_comparison({**found, "conclusion": "fine"}) and not is_comparison({**found, "text": 1})
    assert not is_comparison({name: each for name, each in found.items() if name != "error"})
    assert not is_comparison([]) and not is_comparison(None)


def test_every_file_is_only_read(planted: dict[str, bytes], vendor: Path, tmp_path: Path) -> None:
    own = laid_out(tmp_path / "own", planted)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    run("survey", own, "--against", vendor)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    shutil.rmtree(own)


def test_a_damaged_module_of_the_vendors_is_not_taken_for_none(tmp_path: Path) -> None:
    """Whether the vendor has a module of that name is not established by a file that cannot be read."""
    own, vendor = tmp_path / "own", tmp_path / "vendor"
    own.mkdir()
    vendor.mkdir()
    (own / "x.ko").write_bytes(made(corpus.content("amd64-2.6.39-uek.ko"), "pkcs7", "whole-file").content)
    (vendor / "x.ko").write_bytes(b"\x7fELF" + bytes(20))
    ran = run("audit", own, "--trust", CERT, "--against", vendor)
    assert "vendor-incomplete" in ran.out and "vendor-unknown" not in ran.out
    assert "not a readable ELF file" in ran.out
